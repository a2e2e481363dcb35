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
	if len(s) < 8 {
		return validShort(s)
	}
	for i := 0; i < len(s)-8; i += 8 {
		if !plain(s[i:]) {
			return validUTF8(s)
		}
	}
	return plain(s[len(s)-8:]) || validUTF8(s)
}

// plain reports whether the first eight bytes of s are all 0x01 to 0x7f.
func plain(s []byte) bool {
	const low, high = 0x0101010101010101, 0x8080808080808080
	w := binary.LittleEndian.Uint64(s)
	return (w|(w-low))&high == 0 // the subtraction sets the high bit of a zero byte
}

func validShort(s []byte) bool {
	for _, c := range s {
		if c-1 >= 0x7f {
			return validUTF8(s)
		}
	}
	return true
}

// validUTF8 judges a string that is not plain ASCII.
func validUTF8(s []byte) bool {
	return utf8.Valid(s) && bytes.IndexByte(s, 0) < 0
}
