package packet

// Error says why bytes are not a valid packet. Every error of this package is
// an *Error; take it with errors.As.
type Error struct {
	// Type is the packet that was being decoded; zero when it is not known.
	Type Type
	// Reason is what MQTT 5 answers, in CONNACK or DISCONNECT. In MQTT 3.x
	// the connection is closed, except that a CONNECT with
	// ReasonUnsupportedProtocolVersion is answered with ConnackV3.
	Reason ReasonCode
	// Detail names what is wrong, in lower case.
	Detail string
}

// Error returns the text for a log, "invalid PUBLISH: topic name is cut short".
func (e *Error) Error() string {
	if e.Type == 0 {
		return "invalid packet: " + e.Detail
	}
	return "invalid " + e.Type.String() + ": " + e.Detail
}

// malformed is out of line so that the callers' fast paths stay small.
//
//go:noinline
func malformed(t Type, detail string) error {
	return &Error{Type: t, Reason: ReasonMalformedPacket, Detail: detail}
}

//go:noinline
func protocolError(t Type, detail string) error {
	return &Error{Type: t, Reason: ReasonProtocolError, Detail: detail}
}
