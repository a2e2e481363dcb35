package bench

import "encoding/binary"

// stamp is how each payload begins.
type stamp struct {
	run       uint32 // tells the messages of this run from all others
	publisher uint32
	sequence  uint32
	time      int64 // when it was sent or due, in nanoseconds of Unix time
}

// stampSize is the number of bytes that a stamp takes.
const stampSize = 20

func (s stamp) put(b []byte) {
	_ = b[stampSize-1]
	binary.LittleEndian.PutUint32(b, s.run)
	binary.LittleEndian.PutUint32(b[4:], s.publisher)
	binary.LittleEndian.PutUint32(b[8:], s.sequence)
	binary.LittleEndian.PutUint64(b[12:], uint64(s.time))
}

// parseStamp needs at least stampSize bytes.
func parseStamp(b []byte) stamp {
	_ = b[stampSize-1]
	return stamp{
		run:       binary.LittleEndian.Uint32(b),
		publisher: binary.LittleEndian.Uint32(b[4:]),
		sequence:  binary.LittleEndian.Uint32(b[8:]),
		time:      int64(binary.LittleEndian.Uint64(b[12:])),
	}
}
