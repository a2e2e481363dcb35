package server

import (
	"bytes"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// TestAPacketInPiecesIsNotCopiedForEach: the memory that it is gathered in moves
// as often as it doubles, and nothing is copied into the loop's buffer where that
// would be more than what has come.
func TestAPacketInPiecesIsNotCopiedForEach(t *testing.T) {
	for _, tc := range []struct {
		name        string
		size, piece int
	}{
		{"one byte at a time", 200 << 10, 1},
		{"segments", 200 << 10, 1400},
		{"larger than what is read at a time", 600 << 10, 1400},
		{"larger, one byte at a time", 300 << 10, 1},
	} {
		l := &loop{read: make([]byte, readSize)}
		c := &conn{loop: l, state: stateOpen, version: packet.V5, limits: connLimits{maxPacket: 1 << 20}}
		frame := (&packet.Publish{Topic: []byte("t"), Payload: make([]byte, tc.size)}).Append(nil, packet.V5)
		for i := range frame[10:] {
			frame[10+i] = byte(i * 7)
		}
		copied, sent := 0, 0
		for sent < len(frame)-1 { // all but the end, which would be handled
			before := cap(c.part)
			buf, have := c.gather()
			if have > 0 && (&buf[0] == &l.read[0] || cap(c.part) != before) {
				copied += have
			}
			n := copy(buf[have:], frame[sent:min(sent+tc.piece, len(frame)-1)])
			sent += n
			c.received(buf[:have+n])
			if before != cap(c.part) && &buf[0] == &l.read[0] {
				copied += len(c.part)
			}
		}
		if !bytes.Equal(c.part, frame[:len(frame)-1]) {
			t.Errorf("%s: what was gathered is not what was sent", tc.name)
		}
		// minGather for each piece that comes before there is a buffer of its own, and
		// all of it for as often as that one doubles.
		if most := 2*minGather*(minGather/tc.piece+1) + 4*len(frame); copied > most {
			t.Errorf("%s: %d bytes were copied for a packet of %d, want at most %d", tc.name, copied, len(frame), most)
		}
	}
}

// TestPiecesThatComeFastShareTheLoopsBuffer: a client that sends much at a time is
// read as much at a time.
func TestPiecesThatComeFastShareTheLoopsBuffer(t *testing.T) {
	l := &loop{read: make([]byte, readSize)}
	c := &conn{loop: l, state: stateOpen, version: packet.V5, limits: connLimits{maxPacket: 1 << 20}}
	frame := (&packet.Publish{Topic: []byte("t"), Payload: make([]byte, 100<<10)}).Append(nil, packet.V5)
	buf, have := c.gather()
	n := copy(buf, frame[:60<<10])
	c.received(buf[:have+n])
	if buf, have = c.gather(); have != n || len(buf) != readSize {
		t.Errorf("%d bytes are read at a time, behind %d", len(buf), have)
	}
}
