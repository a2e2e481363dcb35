package packet

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// PropertyID names a property of MQTT 5.
type PropertyID byte

// The properties of MQTT 5; each has a field of the same name in Properties.
const (
	PropPayloadFormat           PropertyID = 0x01
	PropMessageExpiry           PropertyID = 0x02
	PropContentType             PropertyID = 0x03
	PropResponseTopic           PropertyID = 0x08
	PropCorrelationData         PropertyID = 0x09
	PropSubscriptionID          PropertyID = 0x0b
	PropSessionExpiry           PropertyID = 0x11
	PropAssignedClientID        PropertyID = 0x12
	PropServerKeepAlive         PropertyID = 0x13
	PropAuthMethod              PropertyID = 0x15
	PropAuthData                PropertyID = 0x16
	PropRequestProblemInfo      PropertyID = 0x17
	PropWillDelay               PropertyID = 0x18
	PropRequestResponseInfo     PropertyID = 0x19
	PropResponseInfo            PropertyID = 0x1a
	PropServerReference         PropertyID = 0x1c
	PropReasonString            PropertyID = 0x1f
	PropReceiveMaximum          PropertyID = 0x21
	PropTopicAliasMaximum       PropertyID = 0x22
	PropTopicAlias              PropertyID = 0x23
	PropMaximumQoS              PropertyID = 0x24
	PropRetainAvailable         PropertyID = 0x25
	PropUser                    PropertyID = 0x26
	PropMaximumPacketSize       PropertyID = 0x27
	PropWildcardAvailable       PropertyID = 0x28
	PropSubscriptionIDAvailable PropertyID = 0x29
	PropSharedAvailable         PropertyID = 0x2a

	propLast = PropSharedAvailable
)

// String returns the name of the property in lower case, "topic alias".
func (id PropertyID) String() string {
	if id <= propLast && rules[id].name != "" {
		return rules[id].name
	}
	return "property " + ReasonCode(id).hex()
}

// UserProperty is one name and value pair; names may repeat.
type UserProperty struct {
	Key, Value []byte
}

// Properties holds the properties of a packet, or of a will.
//
// A field means something only when Has says that its property is present, and
// is encoded only after Set. Whoever fills in a field calls Set too;
// AddUserProperty and AddSubscriptionID do both. Times are in seconds.
type Properties struct {
	// present has bit id set for each property that is present. Bit 0, which
	// is no property, says that a field may be other than zero.
	present uint64

	PayloadFormat           byte
	RequestProblemInfo      byte
	RequestResponseInfo     byte
	MaximumQoS              byte
	RetainAvailable         byte
	WildcardAvailable       byte
	SubscriptionIDAvailable byte
	SharedAvailable         byte
	ServerKeepAlive         uint16
	ReceiveMaximum          uint16
	TopicAliasMaximum       uint16
	TopicAlias              uint16
	MessageExpiry           uint32
	SessionExpiry           uint32
	WillDelay               uint32
	MaximumPacketSize       uint32

	ContentType      []byte
	ResponseTopic    []byte
	CorrelationData  []byte
	AssignedClientID []byte
	AuthMethod       []byte
	AuthData         []byte
	ResponseInfo     []byte
	ServerReference  []byte
	ReasonString     []byte

	SubscriptionIDs []uint32
	UserProperties  []UserProperty // in the order of the packet [MQTT-3.3.2-18]
}

const dirty uint64 = 1

// Has reports whether the property is present.
func (p *Properties) Has(id PropertyID) bool { return p.present>>id&1 != 0 }

// Set marks the property as present.
func (p *Properties) Set(id PropertyID) { p.present |= 1<<id | dirty }

// Unset marks the property as absent; its field keeps its value until Reset.
func (p *Properties) Unset(id PropertyID) { p.present &^= 1 << id }

// Empty reports whether no property is present.
func (p *Properties) Empty() bool { return p.present&^dirty == 0 }

// AddUserProperty appends a user property; key and value are not copied.
func (p *Properties) AddUserProperty(key, value []byte) {
	p.Set(PropUser)
	p.UserProperties = append(p.UserProperties, UserProperty{key, value})
}

// AddSubscriptionID appends a subscription identifier, 1 to MaxLength.
func (p *Properties) AddSubscriptionID(id uint32) {
	p.Set(PropSubscriptionID)
	p.SubscriptionIDs = append(p.SubscriptionIDs, id)
}

// Reset makes all properties absent and all fields zero. The lists keep their
// capacity; nothing else is kept, so that no packet's buffer stays reachable.
func (p *Properties) Reset() {
	if p.present != 0 {
		p.reset()
	}
}

func (p *Properties) reset() {
	clear(p.UserProperties)
	*p = Properties{SubscriptionIDs: p.SubscriptionIDs[:0], UserProperties: p.UserProperties[:0]}
}

// Clone returns a copy that shares no memory with p, for whoever keeps
// properties longer than the buffer that they were decoded from. All of its
// bytes are in one piece of memory.
func (p *Properties) Clone() Properties {
	c := *p
	rest := make([]byte, 0, p.contents())
	keep := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		at := len(rest)
		rest = append(rest, b...)
		return rest[at:len(rest):len(rest)]
	}
	for id := range propLast + 1 {
		if f := c.bytesField(id); f != nil {
			*f = keep(*f)
		}
	}
	c.SubscriptionIDs = exactly(p.SubscriptionIDs)
	c.UserProperties = exactly(p.UserProperties)
	for i, u := range c.UserProperties {
		c.UserProperties[i] = UserProperty{keep(u.Key), keep(u.Value)}
	}
	return c
}

// exactly returns a copy of a list without room to spare, nil if it is empty.
func exactly[E any](list []E) []E {
	if len(list) == 0 {
		return nil
	}
	return append(make([]E, 0, len(list)), list...)
}

// contents returns the number of bytes of all strings and binary data.
func (p *Properties) contents() (n int) {
	for id := range propLast + 1 {
		if f := p.bytesField(id); f != nil {
			n += len(*f)
		}
	}
	for i := range p.UserProperties {
		n += len(p.UserProperties[i].Key) + len(p.UserProperties[i].Value)
	}
	return n
}

// Footprint returns the bytes of memory that a Clone of p takes: what is in it,
// and the structures that hold it.
func (p *Properties) Footprint() int {
	return int(unsafe.Sizeof(*p)) + p.contents() +
		len(p.SubscriptionIDs)*int(unsafe.Sizeof(uint32(0))) +
		len(p.UserProperties)*int(unsafe.Sizeof(UserProperty{}))
}

// kind is the data type of a property.
type kind byte

const (
	kindByte kind = iota + 1
	kindUint16
	kindUint32
	kindVarint
	kindString
	kindBinary
	kindPair
)

// typeWill stands for the will properties of CONNECT where a Type is wanted.
const typeWill = 0

// rule says what the specification allows for a property.
type rule struct {
	name    string
	kind    kind
	in      uint16 // the packets that may carry it, bits 1<<Type
	boolean bool   // 0 or 1 are the only values
	nonzero bool   // 0 is not a value
}

const (
	ruleConnect   = 1 << TypeConnect
	ruleConnack   = 1 << TypeConnack
	ruleMessage   = 1<<TypePublish | 1<<typeWill
	ruleLimits    = ruleConnect | ruleConnack
	ruleLogin     = ruleConnect | ruleConnack | 1<<TypeAuth
	ruleAnswer    = ruleConnack | 1<<TypePuback | 1<<TypePubrec | 1<<TypePubrel | 1<<TypePubcomp | 1<<TypeSuback | 1<<TypeUnsuback | 1<<TypeDisconnect | 1<<TypeAuth
	ruleUser      = ruleAnswer | ruleMessage | ruleConnect | 1<<TypeSubscribe | 1<<TypeUnsubscribe
	ruleRedirect  = ruleConnack | 1<<TypeDisconnect
	ruleRetention = ruleConnect | ruleConnack | 1<<TypeDisconnect
)

// rules is table 2-4 of MQTT 5.
var rules = [propLast + 1]rule{
	PropPayloadFormat:           {name: "payload format indicator", kind: kindByte, in: ruleMessage, boolean: true},
	PropMessageExpiry:           {name: "message expiry interval", kind: kindUint32, in: ruleMessage},
	PropContentType:             {name: "content type", kind: kindString, in: ruleMessage},
	PropResponseTopic:           {name: "response topic", kind: kindString, in: ruleMessage},
	PropCorrelationData:         {name: "correlation data", kind: kindBinary, in: ruleMessage},
	PropSubscriptionID:          {name: "subscription identifier", kind: kindVarint, in: 1<<TypePublish | 1<<TypeSubscribe, nonzero: true},
	PropSessionExpiry:           {name: "session expiry interval", kind: kindUint32, in: ruleRetention},
	PropAssignedClientID:        {name: "assigned client identifier", kind: kindString, in: ruleConnack},
	PropServerKeepAlive:         {name: "server keep alive", kind: kindUint16, in: ruleConnack},
	PropAuthMethod:              {name: "authentication method", kind: kindString, in: ruleLogin},
	PropAuthData:                {name: "authentication data", kind: kindBinary, in: ruleLogin},
	PropRequestProblemInfo:      {name: "request problem information", kind: kindByte, in: ruleConnect, boolean: true},
	PropWillDelay:               {name: "will delay interval", kind: kindUint32, in: 1 << typeWill},
	PropRequestResponseInfo:     {name: "request response information", kind: kindByte, in: ruleConnect, boolean: true},
	PropResponseInfo:            {name: "response information", kind: kindString, in: ruleConnack},
	PropServerReference:         {name: "server reference", kind: kindString, in: ruleRedirect},
	PropReasonString:            {name: "reason string", kind: kindString, in: ruleAnswer},
	PropReceiveMaximum:          {name: "receive maximum", kind: kindUint16, in: ruleLimits, nonzero: true},
	PropTopicAliasMaximum:       {name: "topic alias maximum", kind: kindUint16, in: ruleLimits},
	PropTopicAlias:              {name: "topic alias", kind: kindUint16, in: 1 << TypePublish, nonzero: true},
	PropMaximumQoS:              {name: "maximum QoS", kind: kindByte, in: ruleConnack, boolean: true},
	PropRetainAvailable:         {name: "retain available", kind: kindByte, in: ruleConnack, boolean: true},
	PropUser:                    {name: "user property", kind: kindPair, in: ruleUser},
	PropMaximumPacketSize:       {name: "maximum packet size", kind: kindUint32, in: ruleLimits, nonzero: true},
	PropWildcardAvailable:       {name: "wildcard subscription available", kind: kindByte, in: ruleConnack, boolean: true},
	PropSubscriptionIDAvailable: {name: "subscription identifier available", kind: kindByte, in: ruleConnack, boolean: true},
	PropSharedAvailable:         {name: "shared subscription available", kind: kindByte, in: ruleConnack, boolean: true},
}

// allowed holds, for each packet, the properties that it may carry, in the
// form of Properties.present.
var allowed = func() (sets [TypeAuth + 1]uint64) {
	for id, r := range rules {
		for t := range sets {
			sets[t] |= uint64(r.in>>t&1) << id
		}
	}
	return sets
}()

// repeats reports whether a packet may carry the property more than once.
func (id PropertyID) repeats(in Type) bool {
	return id == PropUser || id == PropSubscriptionID && in == TypePublish
}

// decode reads a property length and the properties after it. in is the packet,
// or typeWill.
func (p *Properties) decode(r *reader, in Type) {
	p.Reset()
	section := r.take(r.varint("property length"), "property section")
	sub := reader{b: section, typ: r.typ}
	for len(sub.b) > 0 {
		p.decodeOne(&sub, in)
	}
	if sub.err != nil {
		r.fail(sub.err)
	}
}

func (p *Properties) decodeOne(r *reader, in Type) {
	// The identifier is a variable byte integer, but all of them fit in one byte.
	id := PropertyID(r.byte("property identifier"))
	switch {
	case id > propLast || allowed[in]>>id&1 == 0:
		r.fail(malformed(r.typ, id.String()+" is not allowed here"))
		return
	case p.Has(id) && !id.repeats(in):
		r.fail(protocolError(r.typ, id.String()+" is given twice"))
		return
	}
	p.Set(id)
	p.decodeValue(r, id)
}

func (p *Properties) decodeValue(r *reader, id PropertyID) {
	name := rules[id].name
	switch rules[id].kind {
	case kindByte:
		f := p.byteField(id)
		*f = r.byte(name)
		id.check(r, uint32(*f))
	case kindUint16:
		f := p.uint16Field(id)
		*f = r.uint16(name)
		id.check(r, uint32(*f))
	case kindUint32:
		f := p.uint32Field(id)
		*f = r.uint32(name)
		id.check(r, *f)
	case kindVarint:
		v := uint32(r.varint(name))
		id.check(r, v)
		p.AddSubscriptionID(v)
	case kindString:
		*p.bytesField(id) = r.string(name)
	case kindBinary:
		*p.bytesField(id) = r.binary(name)
	case kindPair:
		key := r.string(name)
		p.AddUserProperty(key, r.string(name))
	}
}

// check records a failure when v is not a value of the property.
func (id PropertyID) check(r *reader, v uint32) {
	switch {
	case r.err != nil:
	case rules[id].boolean && v > 1:
		r.fail(protocolError(r.typ, id.String()+" is neither 0 nor 1"))
	case id == PropTopicAlias && v == 0: // [MQTT-3.3.2-8]
		r.fail(&Error{Type: r.typ, Reason: ReasonTopicAliasInvalid, Detail: "topic alias is zero"})
	case rules[id].nonzero && v == 0:
		r.fail(protocolError(r.typ, id.String()+" is zero"))
	}
}

// size returns the size of the property section without its length field.
func (p *Properties) size(in Type) (n int) {
	for set := p.present & allowed[in]; set != 0; set &= set - 1 {
		n += p.sizeOf(PropertyID(bits.TrailingZeros64(set)))
	}
	return n
}

func (p *Properties) sizeOf(id PropertyID) (n int) {
	switch rules[id].kind {
	case kindByte:
		return 2
	case kindUint16:
		return 3
	case kindUint32:
		return 5
	case kindString, kindBinary:
		return 3 + len(*p.bytesField(id))
	case kindVarint:
		for _, v := range p.SubscriptionIDs {
			n += 1 + varintSize(int(v))
		}
	case kindPair:
		for _, u := range p.UserProperties {
			n += 5 + len(u.Key) + len(u.Value)
		}
	}
	return n
}

// section returns the size of the property section with its length field.
func (p *Properties) section(in Type) int {
	if p.present == 0 {
		return 1
	}
	return p.sectionSize(in)
}

func (p *Properties) sectionSize(in Type) int {
	n := p.size(in)
	return varintSize(n) + n
}

// append appends the property section with its length field. Properties that
// the packet may not carry are left out.
func (p *Properties) append(dst []byte, in Type) []byte {
	if p.present == 0 {
		return append(dst, 0)
	}
	return p.appendSection(dst, in)
}

func (p *Properties) appendSection(dst []byte, in Type) []byte {
	dst = appendVarint(dst, p.size(in))
	for set := p.present & allowed[in]; set != 0; set &= set - 1 {
		dst = p.appendOne(dst, PropertyID(bits.TrailingZeros64(set)))
	}
	return dst
}

func (p *Properties) appendOne(dst []byte, id PropertyID) []byte {
	switch rules[id].kind {
	case kindByte:
		return append(dst, byte(id), *p.byteField(id))
	case kindUint16:
		return binary.BigEndian.AppendUint16(append(dst, byte(id)), *p.uint16Field(id))
	case kindUint32:
		return binary.BigEndian.AppendUint32(append(dst, byte(id)), *p.uint32Field(id))
	case kindString, kindBinary:
		return appendBinary(append(dst, byte(id)), *p.bytesField(id))
	case kindVarint:
		for _, v := range p.SubscriptionIDs {
			dst = appendVarint(append(dst, byte(id)), int(v))
		}
	case kindPair:
		for _, u := range p.UserProperties {
			dst = appendBinary(append(dst, byte(id)), u.Key)
			dst = appendBinary(dst, u.Value)
		}
	}
	return dst
}

// The fields by identifier; each returns nil for a property of another kind.

func (p *Properties) byteField(id PropertyID) *byte {
	switch id {
	case PropPayloadFormat:
		return &p.PayloadFormat
	case PropRequestProblemInfo:
		return &p.RequestProblemInfo
	case PropRequestResponseInfo:
		return &p.RequestResponseInfo
	case PropMaximumQoS:
		return &p.MaximumQoS
	case PropRetainAvailable:
		return &p.RetainAvailable
	case PropWildcardAvailable:
		return &p.WildcardAvailable
	case PropSubscriptionIDAvailable:
		return &p.SubscriptionIDAvailable
	case PropSharedAvailable:
		return &p.SharedAvailable
	default:
		return nil
	}
}

func (p *Properties) uint16Field(id PropertyID) *uint16 {
	switch id {
	case PropServerKeepAlive:
		return &p.ServerKeepAlive
	case PropReceiveMaximum:
		return &p.ReceiveMaximum
	case PropTopicAliasMaximum:
		return &p.TopicAliasMaximum
	case PropTopicAlias:
		return &p.TopicAlias
	default:
		return nil
	}
}

func (p *Properties) uint32Field(id PropertyID) *uint32 {
	switch id {
	case PropMessageExpiry:
		return &p.MessageExpiry
	case PropSessionExpiry:
		return &p.SessionExpiry
	case PropWillDelay:
		return &p.WillDelay
	case PropMaximumPacketSize:
		return &p.MaximumPacketSize
	default:
		return nil
	}
}

func (p *Properties) bytesField(id PropertyID) *[]byte {
	switch id {
	case PropContentType:
		return &p.ContentType
	case PropResponseTopic:
		return &p.ResponseTopic
	case PropCorrelationData:
		return &p.CorrelationData
	case PropAssignedClientID:
		return &p.AssignedClientID
	case PropAuthMethod:
		return &p.AuthMethod
	case PropAuthData:
		return &p.AuthData
	case PropResponseInfo:
		return &p.ResponseInfo
	case PropServerReference:
		return &p.ServerReference
	case PropReasonString:
		return &p.ReasonString
	default:
		return nil
	}
}
