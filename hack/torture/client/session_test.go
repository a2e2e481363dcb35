package client

import (
	"bytes"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

func outgoing(q packet.QoS) *Outgoing {
	return &Outgoing{Publish: packet.Publish{QoS: q, Topic: []byte("t"), Payload: []byte("x")}}
}

func ack(t packet.Type, id uint16) *packet.Ack { return &packet.Ack{Type: t, ID: id} }

// acknowledge expects an outcome and the type of a reply, 0 for none.
func acknowledge(t *testing.T, s *Session, a *packet.Ack, want Outcome, reply packet.Type) {
	t.Helper()
	p, got, r, err := s.Acknowledge(a)
	if err != nil || got != want || p == nil || p.ID != a.ID {
		t.Fatalf("%v: message %+v, outcome %d, %v; want outcome %d", a.Type, p, got, err, want)
	}
	switch {
	case r == nil && reply != 0, r != nil && (r.Type != reply || r.ID != a.ID):
		t.Fatalf("%v is answered with %+v, want %v", a.Type, r, reply)
	}
}

func TestExchangesOfThePublisher(t *testing.T) {
	failed := &packet.Ack{Type: packet.TypePubrec, ID: 1, Reason: packet.ReasonQuotaExceeded}
	unknown := &packet.Ack{Type: packet.TypePubcomp, ID: 1, Reason: packet.ReasonPacketIdentifierNotFound}
	type step struct {
		ack     *packet.Ack
		outcome Outcome
		reply   packet.Type
	}
	for name, tc := range map[string]struct {
		qos   packet.QoS
		steps []step
	}{
		"QoS 1":         {packet.QoS1, []step{{ack(packet.TypePuback, 1), Taken, 0}}},
		"QoS 1 refused": {packet.QoS1, []step{{&packet.Ack{Type: packet.TypePuback, ID: 1, Reason: packet.ReasonQuotaExceeded}, Refused, 0}}},
		"QoS 2": {packet.QoS2, []step{
			{ack(packet.TypePubrec, 1), Taken, packet.TypePubrel}, {ack(packet.TypePubcomp, 1), Nothing, 0},
		}},
		"PUBREC twice": {packet.QoS2, []step{
			{ack(packet.TypePubrec, 1), Taken, packet.TypePubrel}, {ack(packet.TypePubrec, 1), Nothing, packet.TypePubrel},
			{ack(packet.TypePubcomp, 1), Nothing, 0},
		}},
		"QoS 2 refused":         {packet.QoS2, []step{{failed, Refused, 0}}},
		"released there before": {packet.QoS2, []step{{ack(packet.TypePubrec, 1), Taken, packet.TypePubrel}, {unknown, Nothing, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			var s Session
			s.Send(outgoing(tc.qos))
			for _, step := range tc.steps {
				if s.InFlight() != 1 {
					t.Fatal("the exchange is over too early")
				}
				acknowledge(t, &s, step.ack, step.outcome, step.reply)
			}
			if s.InFlight() != 0 {
				t.Error("the exchange goes on")
			}
		})
	}
}

func TestAnswersThatNobodyWaitsFor(t *testing.T) {
	for name, tc := range map[string]struct {
		qos packet.QoS
		ack *packet.Ack
	}{
		"of another identifier": {packet.QoS1, ack(packet.TypePuback, 2)},
		"PUBACK at QoS 2":       {packet.QoS2, ack(packet.TypePuback, 1)},
		"PUBREC at QoS 1":       {packet.QoS1, ack(packet.TypePubrec, 1)},
		"PUBCOMP before PUBREC": {packet.QoS2, ack(packet.TypePubcomp, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			var s Session
			s.Send(outgoing(tc.qos))
			if _, _, _, err := s.Acknowledge(tc.ack); err == nil || s.InFlight() != 1 {
				t.Errorf("%v, %d in flight", err, s.InFlight())
			}
		})
	}
}

func TestIdentifiersInUseArePassedOver(t *testing.T) {
	s := Session{lastID: 65534}
	for _, want := range []uint16{65535, 1, 2} {
		p := outgoing(packet.QoS1)
		if s.Send(p); p.ID != want {
			t.Fatalf("identifier %d, want %d", p.ID, want)
		}
	}
	s.lastID = 65534
	p := outgoing(packet.QoS1)
	if s.Send(p); p.ID != 3 {
		t.Errorf("identifier %d is given twice", p.ID)
	}
}

func TestResume(t *testing.T) { // [MQTT-4.4.0-1]
	var s Session
	for _, q := range []packet.QoS{packet.QoS2, packet.QoS1, packet.QoS2, packet.QoS1} {
		s.Send(outgoing(q))
	}
	acknowledge(t, &s, ack(packet.TypePubrec, 1), Taken, packet.TypePubrel)
	acknowledge(t, &s, ack(packet.TypePuback, 2), Taken, 0)
	want := packet.AppendAck(nil, packet.TypePubrel, 1)
	for _, p := range []*packet.Publish{
		{QoS: packet.QoS2, ID: 3, Dup: true, Topic: []byte("t"), Payload: []byte("x")},
		{QoS: packet.QoS1, ID: 4, Dup: true, Topic: []byte("t"), Payload: []byte("x")},
	} {
		want = p.Append(want, packet.V5)
	}
	for range 2 { // as often as the connection ends
		if got := s.Resume(nil, packet.V5); !bytes.Equal(got, want) {
			t.Fatalf("sent again: % x, want % x", got, want)
		}
	}
}

func TestReceive(t *testing.T) {
	var s Session
	receive := func(q packet.QoS, fresh bool, reply packet.Type) {
		t.Helper()
		got, r := s.Receive(&packet.Publish{QoS: q, ID: 7})
		if got != fresh || (r == nil) != (reply == 0) || r != nil && (r.Type != reply || r.ID != 7) {
			t.Fatalf("QoS %d: fresh %t, reply %+v; want %t, %v", q, got, r, fresh, reply)
		}
	}
	release := func(want packet.ReasonCode) {
		t.Helper()
		if r := s.Release(7); r.Type != packet.TypePubcomp || r.ID != 7 || r.Reason != want {
			t.Fatalf("PUBREL is answered with %+v, want %v", r, want)
		}
	}
	receive(packet.QoS0, true, 0)
	receive(packet.QoS1, true, packet.TypePuback)
	receive(packet.QoS1, true, packet.TypePuback)
	receive(packet.QoS2, true, packet.TypePubrec)
	receive(packet.QoS2, false, packet.TypePubrec)
	release(packet.ReasonSuccess)
	release(packet.ReasonPacketIdentifierNotFound)
	receive(packet.QoS2, true, packet.TypePubrec)
}
