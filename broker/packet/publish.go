package packet

import "encoding/binary"

// Publish is PUBLISH, an application message.
type Publish struct {
	Dup        bool
	Retain     bool
	QoS        QoS
	ID         uint16 // packet identifier; zero for QoS 0
	Topic      []byte // empty when a topic alias stands for it
	Payload    []byte
	Properties Properties
}

// The flags of PUBLISH.
const (
	publishRetain = 0x01
	publishQoS    = 0x06
	publishDup    = 0x08
)

// TopicOf returns the topic name at the front of the body of a PUBLISH that has not
// arrived as a whole: empty where the name has not, or the client uses an alias.
func TopicOf(body []byte) []byte {
	r := reader{b: body, typ: TypePublish}
	if topic := r.string("topic name"); r.err == nil {
		return topic
	}
	return nil
}

// Decode fills p from the flags of the fixed header and the body of a PUBLISH.
// Slices in p alias body. Whether the topic is a valid topic name, and whether
// an alias stands for one that is empty, is for the caller to judge.
func (p *Publish) Decode(v Version, flags byte, body []byte) error {
	if publishFlagsFault(flags) != "" {
		return malformed(TypePublish, publishFlagsFault(flags))
	}
	if len(body) < 2 || len(body)-2 < int(binary.BigEndian.Uint16(body)) {
		return malformed(TypePublish, "topic name is cut short")
	}
	n := 2 + int(binary.BigEndian.Uint16(body))
	if !validString(body[2:n]) { // [MQTT-3.3.2-1]
		return malformed(TypePublish, "topic name is not valid UTF-8 or contains U+0000")
	}
	p.Dup = flags&publishDup != 0
	p.Retain = flags&publishRetain != 0
	p.QoS = QoS(flags & publishQoS >> 1)
	p.Topic = body[2:n:n]
	p.ID = 0
	body = body[n:]
	if p.QoS > 0 {
		if len(body) < 2 {
			return malformed(TypePublish, "packet identifier is cut short")
		}
		p.ID = binary.BigEndian.Uint16(body)
		if p.ID == 0 { // [MQTT-2.2.1-3]
			return protocolError(TypePublish, "packet identifier is zero")
		}
		body = body[2:]
	}
	p.Properties.Reset()
	if v >= V5 {
		if len(body) == 0 || body[0] != 0 {
			return p.decodeProperties(body)
		}
		body = body[1:]
	}
	p.Payload = body
	return nil
}

// decodeProperties decodes properties, of which there are some, and the payload.
func (p *Publish) decodeProperties(body []byte) error {
	r := reader{b: body, typ: TypePublish}
	p.Properties.decode(&r, TypePublish)
	p.Payload = r.b
	return r.err
}

// publishFlagsFault tells what is wrong with the flags of a PUBLISH.
func publishFlagsFault(flags byte) string {
	switch flags & (publishQoS | publishDup) {
	case publishQoS, publishQoS | publishDup: // [MQTT-3.3.1-4]
		return "QoS is 3"
	case publishDup: // [MQTT-3.3.1-2]
		return "DUP is set with QoS 0"
	}
	return ""
}

// Append appends the packet to dst.
func (p *Publish) Append(dst []byte, v Version) []byte {
	dst, _ = p.AppendFrame(dst, v)
	return dst
}

// AppendFrame is Append for a frame that is copied to many receivers: idOffset
// is the offset of the packet identifier from the start of the frame, which is
// len(dst) before the call, or -1 for QoS 0. Write the receiver's identifier
// there, big endian, or use PutID.
func (p *Publish) AppendFrame(dst []byte, v Version) (frame []byte, idOffset int) {
	dst, idOffset = p.AppendHead(dst, v)
	return append(dst, p.Payload...), idOffset
}

// AppendHead is AppendFrame without the payload, which the caller sends after
// it. The fixed header counts the payload.
func (p *Publish) AppendHead(dst []byte, v Version) (head []byte, idOffset int) {
	start := len(dst)
	idOffset = -1
	dst = appendHeader(dst, TypePublish, p.flags(), p.length(v))
	dst = appendBinary(dst, p.Topic)
	if p.QoS > 0 {
		idOffset = len(dst) - start
		dst = binary.BigEndian.AppendUint16(dst, p.ID)
	}
	if v >= V5 {
		dst = p.Properties.append(dst, TypePublish)
	}
	return dst, idOffset
}

// PutID writes a packet identifier at the offset that AppendFrame returned.
func PutID(frame []byte, idOffset int, id uint16) {
	binary.BigEndian.PutUint16(frame[idOffset:], id)
}

// Size returns how many bytes Append appends.
func (p *Publish) Size(v Version) int { return packetSize(p.length(v)) }

func (p *Publish) length(v Version) int {
	n := 2 + len(p.Topic) + len(p.Payload)
	if p.QoS > 0 {
		n += 2
	}
	if v >= V5 {
		n += p.Properties.section(TypePublish)
	}
	return n
}

func (p *Publish) flags() byte {
	flags := byte(p.QoS) << 1 & publishQoS
	if p.Retain {
		flags |= publishRetain
	}
	if p.Dup && p.QoS > 0 { // [MQTT-3.3.1-2]
		flags |= publishDup
	}
	return flags
}
