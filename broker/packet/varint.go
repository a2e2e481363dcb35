package packet

// MaxLength is the greatest remaining length, and the greatest value of any
// variable byte integer.
const MaxLength = 268_435_455

// parseVarint reads a variable byte integer from the front of b. n is its size;
// n == 0 with ok means that b ends within it. ok is false when it has more than
// four bytes or more than its value needs [MQTT-1.5.5-1].
func parseVarint(b []byte) (value, n int, ok bool) {
	for i, c := range b[:min(len(b), 4)] {
		value |= int(c&0x7f) << (7 * i)
		if c < 0x80 {
			return value, i + 1, c != 0 || i == 0
		}
	}
	return 0, 0, len(b) < 4
}

// appendVarint appends v, which must not exceed MaxLength.
func appendVarint(dst []byte, v int) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v&0x7f)|0x80)
		v >>= 7
	}
	return append(dst, byte(v&0x7f))
}

// varintSize returns how many bytes appendVarint appends for v.
func varintSize(v int) int {
	switch {
	case v < 1<<7:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<21:
		return 3
	}
	return 4
}
