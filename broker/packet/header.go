package packet

import "strconv"

// Type is the kind of a control packet.
type Type byte

// The control packets of MQTT; AUTH exists in MQTT 5 only.
const (
	TypeConnect     Type = 1
	TypeConnack     Type = 2
	TypePublish     Type = 3
	TypePuback      Type = 4
	TypePubrec      Type = 5
	TypePubrel      Type = 6
	TypePubcomp     Type = 7
	TypeSubscribe   Type = 8
	TypeSuback      Type = 9
	TypeUnsubscribe Type = 10
	TypeUnsuback    Type = 11
	TypePingreq     Type = 12
	TypePingresp    Type = 13
	TypeDisconnect  Type = 14
	TypeAuth        Type = 15
)

var typeNames = [16]string{
	TypeConnect:     "CONNECT",
	TypeConnack:     "CONNACK",
	TypePublish:     "PUBLISH",
	TypePuback:      "PUBACK",
	TypePubrec:      "PUBREC",
	TypePubrel:      "PUBREL",
	TypePubcomp:     "PUBCOMP",
	TypeSubscribe:   "SUBSCRIBE",
	TypeSuback:      "SUBACK",
	TypeUnsubscribe: "UNSUBSCRIBE",
	TypeUnsuback:    "UNSUBACK",
	TypePingreq:     "PINGREQ",
	TypePingresp:    "PINGRESP",
	TypeDisconnect:  "DISCONNECT",
	TypeAuth:        "AUTH",
}

// String returns the name that the specification uses, "PUBLISH".
func (t Type) String() string {
	if int(t) < len(typeNames) && typeNames[t] != "" {
		return typeNames[t]
	}
	return "packet type " + strconv.Itoa(int(t))
}

// flags returns the fixed-header flags of t, which may be any type but
// PUBLISH [MQTT-2.1.3-1].
func (t Type) flags() byte {
	switch t {
	case TypePubrel, TypeSubscribe, TypeUnsubscribe:
		return 0x02
	default:
		return 0
	}
}

// QoS is a quality of service.
type QoS byte

// The qualities of service.
const (
	QoS0 QoS = 0 // at most once
	QoS1 QoS = 1 // at least once
	QoS2 QoS = 2 // exactly once
)

// Header is a fixed header.
type Header struct {
	Type   Type
	Flags  byte // the low four bits of the first byte
	Length int  // the remaining length: size of the body in bytes
}

// validFirst tells which first bytes of a packet are allowed.
var validFirst = func() (valid [256]bool) {
	for t := TypeConnect; t <= TypeAuth; t++ {
		valid[byte(t)<<4|t.flags()] = true
	}
	for flags := range byte(16) {
		valid[byte(TypePublish)<<4|flags] = publishFlagsFault(flags) == ""
	}
	return valid
}()

// ParseHeader reads a fixed header from the front of b. n is its size in
// bytes; n == 0 with a nil error means that more bytes are needed.
//
// Flags other than those that the specification fixes for the type are
// refused [MQTT-2.1.3-1], as soon as the first byte is there. So is a
// remaining length that takes more bytes than it needs: MQTT 5 demands the
// shortest form [MQTT-1.5.5-1], and table 2.4 of MQTT 3.1.1 gives each size a
// range of its own, so that no correct client of either version sends one. The
// version is not known before CONNECT was decoded, and one encoding for each
// length leaves nothing to read in two ways.
func ParseHeader(b []byte) (h Header, n int, err error) {
	if len(b) >= 2 && b[1] < 0x80 && validFirst[b[0]] {
		return Header{Type(b[0] >> 4), b[0] & 0x0f, int(b[1])}, 2, nil
	}
	if len(b) >= 3 && b[2]-1 < 0x7f && validFirst[b[0]] {
		return Header{Type(b[0] >> 4), b[0] & 0x0f, int(b[1]&0x7f) | int(b[2])<<7}, 3, nil
	}
	return parseHeader(b)
}

// ParseHeaderV31 is ParseHeader for a connection that speaks MQTT 3.1, where
// PUBREL, SUBSCRIBE and UNSUBSCRIBE may be sent again with the DUP flag and
// the other flags of these packets mean nothing. MQTT 3.1.1 fixed all of them.
func ParseHeaderV31(b []byte) (h Header, n int, err error) {
	if len(b) == 0 {
		return Header{}, 0, nil
	}
	t := Type(b[0] >> 4)
	if t == TypePublish || t == 0 || t == TypeAuth {
		return ParseHeader(b)
	}
	return parseLength(t, b)
}

func parseHeader(b []byte) (Header, int, error) {
	if len(b) == 0 {
		return Header{}, 0, nil
	}
	t := Type(b[0] >> 4)
	if !validFirst[b[0]] {
		return Header{}, 0, headerFault(t, b[0]&0x0f)
	}
	return parseLength(t, b)
}

func parseLength(t Type, b []byte) (Header, int, error) {
	length, n, ok := parseVarint(b[1:])
	if !ok {
		return Header{}, 0, malformed(t, "remaining length is too long or not in its shortest form")
	}
	if n == 0 {
		return Header{}, 0, nil
	}
	return Header{Type: t, Flags: b[0] & 0x0f, Length: length}, 1 + n, nil
}

func headerFault(t Type, flags byte) error {
	switch t {
	case 0:
		return malformed(0, "packet type 0 is reserved")
	case TypePublish:
		return malformed(t, publishFlagsFault(flags))
	default:
		return malformed(t, "fixed header flags are "+strconv.Itoa(int(flags))+", not "+strconv.Itoa(int(t.flags())))
	}
}

// appendHeader appends a fixed header; length must not exceed MaxLength.
func appendHeader(dst []byte, t Type, flags byte, length int) []byte {
	dst = append(dst, byte(t)<<4|flags)
	return appendVarint(dst, length)
}

// packetSize returns the size of a packet with a body of length bytes.
func packetSize(length int) int {
	return 1 + varintSize(length) + length
}
