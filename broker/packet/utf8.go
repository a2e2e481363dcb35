package packet

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// validString reports whether s may be a UTF-8 encoded string: well-formed,
// without surrogates [MQTT-1.5.4-1] and without U+0000 [MQTT-1.5.4-2]. Other
// control characters and a byte order mark are allowed [MQTT-1.5.4-3].
func validString(s []byte) bool {
	const low, high = 0x0101010101010101, 0x8080808080808080
	rest := s
	for len(rest) >= 8 {
		// The subtraction sets the high bit of a byte that is zero.
		w := binary.LittleEndian.Uint64(rest)
		if (w|(w-low))&high != 0 {
			return validUTF8(rest)
		}
		rest = rest[8:]
	}
	for _, c := range rest {
		if c-1 >= 0x7f {
			return validUTF8(rest)
		}
	}
	return true
}

// validUTF8 judges a string that is not plain ASCII.
func validUTF8(s []byte) bool {
	return utf8.Valid(s) && bytes.IndexByte(s, 0) < 0
}
