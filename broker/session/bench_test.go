package session

import (
	"testing"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// exchange sends one message and takes its acknowledgements.
func exchange(s *Session, q packet.QoS) {
	id := s.Send(q, nil)
	if q == packet.QoS1 {
		s.Acknowledge(packet.TypePuback, id, 0)
		return
	}
	s.Acknowledge(packet.TypePubrec, id, 0)
	s.Acknowledge(packet.TypePubcomp, id, 0)
}

func TestExchangeDoesNotAllocate(t *testing.T) {
	for _, q := range []packet.QoS{packet.QoS1, packet.QoS2} {
		s := &Session{Window: 100}
		exchange(s, q)
		s.Receive(1)
		s.Release(1)
		if n := testing.AllocsPerRun(1000, func() {
			exchange(s, q)
			s.Receive(2)
			s.Release(2)
		}); n != 0 {
			t.Errorf("QoS %d: %v allocations", q, n)
		}
	}
}

func BenchmarkExchange(b *testing.B) {
	for _, bc := range []struct {
		name string
		qos  packet.QoS
	}{{"QoS 1", packet.QoS1}, {"QoS 2", packet.QoS2}} {
		b.Run(bc.name, func(b *testing.B) {
			s := &Session{Window: 1000}
			for range 500 { // a window that is half full
				s.Send(packet.QoS1, nil)
			}
			b.ReportAllocs()
			for b.Loop() {
				exchange(s, bc.qos)
			}
		})
	}
}

func BenchmarkQueue(b *testing.B) {
	s := &Session{Window: 1000}
	d := named("topic", packet.QoS0)
	for range 100 {
		s.Replay(d)
	}
	b.ReportAllocs()
	for b.Loop() {
		s.Replay(d)
		s.Next()
	}
}

func BenchmarkReceive(b *testing.B) {
	var s Session
	b.ReportAllocs()
	for b.Loop() {
		s.Receive(7)
		s.Release(7)
	}
}
