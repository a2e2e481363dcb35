package packet

import "encoding/binary"

// Connect is CONNECT, the first packet of a client.
type Connect struct {
	Version     Version
	CleanStart  bool // Clean Session in MQTT 3.x
	HasWill     bool
	HasUsername bool
	HasPassword bool
	KeepAlive   uint16 // seconds; 0 turns it off
	ClientID    []byte
	Will        Will
	Username    []byte
	Password    []byte
	Properties  Properties
}

// Will is the message that the server publishes for a client that is gone. In
// Connect it means something only if HasWill is set.
type Will struct {
	QoS        QoS
	Retain     bool
	Topic      []byte
	Payload    []byte
	Properties Properties // the will properties of MQTT 5
}

// The bits of the connect flags.
const (
	connectReserved   = 0x01
	connectCleanStart = 0x02
	connectWill       = 0x04
	connectWillQoS    = 0x18
	connectWillRetain = 0x20
	connectPassword   = 0x40
	connectUsername   = 0x80
)

// Decode fills p from the body of a CONNECT. Slices in p alias body.
//
// After an error p.Version is the version to answer in, if the body could be
// read that far, and otherwise zero, which means not to answer. For a protocol
// level that the codec does not speak the error carries
// ReasonUnsupportedProtocolVersion, and p.Version is the nearest one that it
// does speak.
func (p *Connect) Decode(body []byte) error {
	p.reset()
	r := reader{b: body, typ: TypeConnect}
	if err := p.decodeVersion(&r); err != nil {
		return err
	}
	flags := r.byte("connect flags")
	if r.err == nil {
		if fault := connectFlagsFault(p.Version, flags); fault != "" {
			return malformed(TypeConnect, fault)
		}
	}
	p.CleanStart = flags&connectCleanStart != 0
	p.KeepAlive = r.uint16("keep alive")
	if p.Version >= V5 {
		p.Properties.decode(&r, TypeConnect)
	}
	p.ClientID = r.string("client identifier")
	if flags&connectWill != 0 {
		p.decodeWill(&r, flags)
	}
	p.decodeCredentials(&r, flags)
	if p.Properties.Has(PropAuthData) && !p.Properties.Has(PropAuthMethod) {
		r.fail(protocolError(TypeConnect, "authentication data without authentication method"))
	}
	return r.end()
}

func (p *Connect) reset() {
	p.Properties.Reset()
	p.Will.Properties.Reset()
	*p = Connect{Properties: p.Properties, Will: Will{Properties: p.Will.Properties}}
}

// decodeVersion reads the protocol name and level. An unknown name means that
// the client speaks something else, so there is no version to answer in.
func (p *Connect) decodeVersion(r *reader) error {
	name := string(r.binary("protocol name"))
	level := Version(r.byte("protocol level"))
	switch {
	case r.err != nil:
		return r.err
	case name != "MQTT" && name != "MQIsdp": // [MQTT-3.1.2-1]
		return unsupportedVersion("protocol name is neither MQTT nor MQIsdp")
	case level < V31 || level > V5: // [MQTT-3.1.2-2]
		p.Version = nearestVersion(level)
		return unsupportedVersion(level.String() + " is not supported")
	case name != level.protocolName():
		p.Version = level
		return unsupportedVersion("protocol name " + name + " does not go with " + level.String())
	}
	p.Version = level
	return nil
}

func unsupportedVersion(detail string) error {
	return &Error{Type: TypeConnect, Reason: ReasonUnsupportedProtocolVersion, Detail: detail}
}

// nearestVersion returns the version in which a client with an unknown
// protocol level is most likely to understand the answer. Levels from 0x80 on
// are how bridges of other brokers mark MQTT 3.x.
func nearestVersion(level Version) Version {
	if level > V5 && level < 0x80 {
		return V5
	}
	return V311
}

// connectFlagsFault tells what is wrong with the connect flags. MQTT 3.1 left
// the reserved bit, and the will's bits of a client without a will, undefined.
func connectFlagsFault(v Version, flags byte) string {
	switch {
	case flags&connectWillQoS == connectWillQoS && (v != V31 || flags&connectWill != 0): // [MQTT-3.1.2-12]
		return "will QoS is 3"
	case v != V31 && flags&connectReserved != 0: // [MQTT-3.1.2-3]
		return "reserved connect flag is set"
	case v != V31 && flags&connectWill == 0 && flags&(connectWillQoS|connectWillRetain) != 0: // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
		return "will QoS or will retain is set without a will"
	case v < V5 && flags&(connectUsername|connectPassword) == connectPassword: // 3.1.1 [MQTT-3.1.2-22]
		return "password without user name"
	}
	return ""
}

func (p *Connect) decodeWill(r *reader, flags byte) {
	p.HasWill = true
	p.Will.QoS = QoS(flags & connectWillQoS >> 3)
	p.Will.Retain = flags&connectWillRetain != 0
	if p.Version >= V5 {
		p.Will.Properties.decode(r, typeWill)
	}
	p.Will.Topic = r.string("will topic")
	p.Will.Payload = r.binary("will payload")
}

// decodeCredentials reads user name and password. MQTT 3.1 lets a client set
// their flags and send neither: the remaining length counts more than the flag.
func (p *Connect) decodeCredentials(r *reader, flags byte) {
	missing := func() bool { return p.Version == V31 && r.err == nil && len(r.b) == 0 }
	if flags&connectUsername != 0 && !missing() {
		p.HasUsername = true
		p.Username = r.string("user name")
	}
	if flags&connectPassword != 0 && !missing() {
		p.HasPassword = true
		p.Password = r.binary("password")
	}
}

// Append appends the packet to dst. v counts, not p.Version.
func (p *Connect) Append(dst []byte, v Version) []byte {
	dst = appendHeader(dst, TypeConnect, 0, p.length(v))
	dst = append(dst, 0, byte(len(v.protocolName())))
	dst = append(dst, v.protocolName()...)
	dst = append(dst, byte(v), p.flags(v))
	dst = binary.BigEndian.AppendUint16(dst, p.KeepAlive)
	if v >= V5 {
		dst = p.Properties.append(dst, TypeConnect)
	}
	dst = appendBinary(dst, p.ClientID)
	if p.HasWill {
		dst = p.Will.append(dst, v)
	}
	if p.HasUsername {
		dst = appendBinary(dst, p.Username)
	}
	if p.sendsPassword(v) {
		dst = appendBinary(dst, p.Password)
	}
	return dst
}

// Size returns how many bytes Append appends.
func (p *Connect) Size(v Version) int { return packetSize(p.length(v)) }

func (p *Connect) length(v Version) int {
	n := 2 + len(v.protocolName()) + 1 + 1 + 2 + 2 + len(p.ClientID)
	if v >= V5 {
		n += p.Properties.section(TypeConnect)
	}
	if p.HasWill {
		n += p.Will.length(v)
	}
	if p.HasUsername {
		n += 2 + len(p.Username)
	}
	if p.sendsPassword(v) {
		n += 2 + len(p.Password)
	}
	return n
}

func (p *Connect) flags(v Version) (flags byte) {
	if p.CleanStart {
		flags |= connectCleanStart
	}
	if p.HasWill {
		flags |= connectWill | byte(p.Will.QoS)<<3&connectWillQoS
		if p.Will.Retain {
			flags |= connectWillRetain
		}
	}
	if p.HasUsername {
		flags |= connectUsername
	}
	if p.sendsPassword(v) {
		flags |= connectPassword
	}
	return flags
}

// sendsPassword leaves out what MQTT 3.x cannot express, a password without a
// user name.
func (p *Connect) sendsPassword(v Version) bool {
	return p.HasPassword && (p.HasUsername || v >= V5)
}

func (w *Will) append(dst []byte, v Version) []byte {
	if v >= V5 {
		dst = w.Properties.append(dst, typeWill)
	}
	dst = appendBinary(dst, w.Topic)
	return appendBinary(dst, w.Payload)
}

func (w *Will) length(v Version) int {
	n := 2 + len(w.Topic) + 2 + len(w.Payload)
	if v >= V5 {
		n += w.Properties.section(typeWill)
	}
	return n
}
