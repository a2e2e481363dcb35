package packet

import "encoding/binary"

// reader takes fields from the front of a packet's body. The first failure
// sticks: it empties b, and the reads that follow return zero values. The
// slices that it returns alias b.
type reader struct {
	b   []byte
	typ Type
	err error
}

// fail records err, unless a failure is recorded already.
func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

// take returns the next n bytes, which may not be there.
func (r *reader) take(n int, what string) []byte {
	if n > len(r.b) {
		if r.err == nil {
			r.fail(malformed(r.typ, what+" is cut short"))
		}
		return nil
	}
	field := r.b[:n:n]
	r.b = r.b[n:]
	return field
}

func (r *reader) byte(what string) byte {
	if f := r.take(1, what); f != nil {
		return f[0]
	}
	return 0
}

func (r *reader) uint16(what string) uint16 {
	if f := r.take(2, what); f != nil {
		return binary.BigEndian.Uint16(f)
	}
	return 0
}

func (r *reader) uint32(what string) uint32 {
	if f := r.take(4, what); f != nil {
		return binary.BigEndian.Uint32(f)
	}
	return 0
}

func (r *reader) varint(what string) int {
	v, n, ok := parseVarint(r.b)
	switch {
	case r.err != nil:
	case !ok:
		r.fail(malformed(r.typ, what+" is too long or not in its shortest form"))
	case n == 0:
		r.fail(malformed(r.typ, what+" is cut short"))
	}
	if r.err != nil {
		return 0
	}
	r.b = r.b[n:]
	return v
}

// binary reads binary data: two bytes of length and as many bytes as it says.
func (r *reader) binary(what string) []byte {
	return r.take(int(r.uint16(what)), what)
}

func (r *reader) string(what string) []byte {
	s := r.binary(what)
	if !validString(s) {
		r.fail(malformed(r.typ, what+" is not valid UTF-8 or contains U+0000"))
		return nil
	}
	return s
}

// packetID reads a packet identifier, which is never zero [MQTT-2.2.1-3].
func (r *reader) packetID() uint16 {
	id := r.uint16("packet identifier")
	if id == 0 && r.err == nil {
		r.fail(protocolError(r.typ, "packet identifier is zero"))
	}
	return id
}

// reason reads a reason code, which must be one of those that the
// specification lists for the packet.
func (r *reader) reason() ReasonCode {
	c := ReasonCode(r.byte("reason code"))
	if r.err == nil && !c.allowedIn(r.typ) {
		r.fail(protocolError(r.typ, "reason code "+c.hex()+" does not belong to this packet"))
	}
	return c
}

// end returns the first failure, and one if bytes are left over.
func (r *reader) end() error {
	if len(r.b) > 0 {
		return malformed(r.typ, "bytes are left over after the last field")
	}
	return r.err
}

// appendBinary appends binary data or a string with its length, which must
// not exceed 65535.
func appendBinary(dst, b []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(b)))
	return append(dst, b...)
}
