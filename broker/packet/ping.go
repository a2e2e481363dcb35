package packet

// Pingreq is PINGREQ, by which a client shows that it is alive.
type Pingreq struct{}

// Decode checks that the body of a PINGREQ is empty.
func (*Pingreq) Decode(_ Version, body []byte) error { return decodeEmpty(TypePingreq, body) }

// Append appends the packet to dst.
func (*Pingreq) Append(dst []byte, _ Version) []byte { return appendHeader(dst, TypePingreq, 0, 0) }

// Size returns how many bytes Append appends.
func (*Pingreq) Size(Version) int { return packetSize(0) }

// Pingresp is PINGRESP, the server's answer to PINGREQ.
type Pingresp struct{}

// Decode checks that the body of a PINGRESP is empty.
func (*Pingresp) Decode(_ Version, body []byte) error { return decodeEmpty(TypePingresp, body) }

// Append appends the packet to dst.
func (*Pingresp) Append(dst []byte, _ Version) []byte { return appendHeader(dst, TypePingresp, 0, 0) }

// Size returns how many bytes Append appends.
func (*Pingresp) Size(Version) int { return packetSize(0) }

func decodeEmpty(t Type, body []byte) error {
	r := reader{b: body, typ: t}
	return r.end()
}
