// Package packet encodes and decodes the control packets of MQTT 3.1, 3.1.1
// and 5.0. It does no I/O and looks at no clock.
//
// # Reading
//
// ParseHeader reads the fixed header from the bytes that have arrived, says how
// long the body is, or that more bytes are needed. When the whole body is there,
// the Decode method of the packet's type fills a struct from it:
//
//	h, n, err := packet.ParseHeader(buf)
//	if err != nil || n == 0 || len(buf) < n+h.Length {
//		...
//	}
//	body := buf[n : n+h.Length]
//	switch h.Type {
//	case packet.TypePublish:
//		err = publish.Decode(version, h.Flags, body)
//	...
//
// # Who owns the bytes
//
// Decoding copies nothing: every slice in a decoded packet points into the body
// that was given to Decode. It is valid for as long as those bytes are left
// alone, and a change to either shows in both. Whoever keeps a part of a packet
// beyond that copies it (Properties.Clone). The slices have no spare capacity,
// so that appending to one does not write into the buffer.
//
// A packet struct may be decoded into again and again. The lists in it keep
// their capacity, so that decoding does not allocate once they have grown, and
// a decode leaves nothing of the one before it. After an error the fields of
// the struct are not specified, except for Connect.Version.
//
// Structs and slices are not safe for use by several goroutines at a time. The
// package keeps no state.
//
// # Writing
//
// Append appends the whole packet to a buffer, as the built-in append does, and
// allocates only when the buffer must grow. Size says beforehand how many bytes
// that will be, to compare with the receiver's Maximum Packet Size. The caller
// sees to it that strings and binary data are at most 65535 bytes long, strings
// are well-formed, the packet's body is no longer than MaxLength, and a packet
// identifier is there where one is needed; whatever came out of Decode is so.
// What the version or the packet has no place for is left out: properties in
// MQTT 3.x, a property in a packet that may not carry it.
//
// For a message that goes to many receivers, AppendFrame encodes it once and
// tells where each receiver's packet identifier belongs. AppendAck and
// AppendAckReason write acknowledgements without a struct.
//
// # What is checked
//
// Decode accepts what the specification of the version calls well-formed and
// refuses all else, trailing bytes included, with an *Error that holds the
// reason code to answer. It judges a packet by itself: whether it is allowed in
// the state of the connection, whether topics and filters are valid, and limits
// that were agreed on are for the caller. Nothing is allocated because of a
// length that the bytes do not bear out; the lists of a decoded packet take at
// most sixteen times the memory of its body, so that a limit on the size of
// packets bounds both.
package packet
