package bench

import (
	"bytes"
	"compress/flate"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// sink is a link that takes everything.
type sink struct{ sent []byte }

func (s *sink) flush(c *client) { s.sent, c.out = append(s.sent, c.out...), c.out[:0] }
func (s *sink) close()          {}

// newTestRun is a run whose clients are all ready and linked to sinks.
func newTestRun(t *testing.T, o Options) *run {
	t.Helper()
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	r := newRun(o, nil)
	for _, c := range r.clients {
		c.link = &sink{}
		r.opening++
		c.state = opening
		r.becameReady(c)
	}
	r.from, r.to, r.sending = 0, never, true
	return r
}

func message(o *Options, s stamp) []byte {
	payload := make([]byte, stampSize)
	s.put(payload)
	p := packet.Publish{Topic: []byte("t"), Payload: payload, QoS: o.QoS, ID: 7}
	return p.Append(nil, o.Version)
}

func TestDeliveriesAreAccountedFor(t *testing.T) {
	r := newTestRun(t, Options{Scenario: FanIn, Publishers: 2, Window: 8})
	for _, p := range r.publishers {
		p.fill()
	}
	if r.count.sent != 16 || r.count.expected != 16 {
		t.Fatalf("%d sent, %d expected", r.count.sent, r.count.expected)
	}
	sub := r.clients[0]
	hear := func(publisher uint32, numbers ...uint32) {
		for _, n := range numbers {
			sub.received(message(&r.options, stamp{run: r.id, publisher: publisher, sequence: n, time: 1}))
		}
	}
	hear(0, 0, 1, 1, 4, 3, 5, 6, 7) // 2 is lost, 1 comes twice, 3 is late
	hear(1, 0, 1, 2, 3, 4, 5)       // 6 and 7 are lost at the end
	hear(9, 0)                      // there is no such publisher
	sub.received(message(&r.options, stamp{run: r.id + 1}))
	sub.received((&packet.Publish{Topic: []byte("t"), Payload: []byte("short")}).Append(nil, packet.V311))

	want := Messages{Sent: 16, Expected: 16, Delivered: 13, Lost: 3, Late: 1, Duplicates: 1, Foreign: 3}
	if got := r.messages(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if r.publishers[0].unreceived != 0 || r.publishers[1].unreceived != 2 {
		t.Errorf("windows wait for %d and %d", r.publishers[0].unreceived, r.publishers[1].unreceived)
	}
	if r.latency.Total() != 13 {
		t.Errorf("%d latencies", r.latency.Total())
	}
}

func TestAMessageForAnotherPairIsForeign(t *testing.T) {
	r := newTestRun(t, Options{Scenario: Pair, Connections: 2})
	r.clients[0].received(message(&r.options, stamp{run: r.id, publisher: 1}))
	if m := r.messages(); m.Foreign != 1 || m.Delivered != 0 {
		t.Errorf("%+v", m)
	}
}

func TestStrangersAreHeardFromTheirFirstMessageOn(t *testing.T) {
	r := newTestRun(t, Options{Scenario: Subscribe})
	for _, n := range []uint32{100, 101, 104, 102, 101} {
		r.clients[0].received(message(&r.options, stamp{run: 5, publisher: 6, sequence: n}))
	}
	want := Messages{Expected: 5, Delivered: 4, Lost: 1, Late: 1, Duplicates: 1}
	if got := r.messages(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Packets may be cut anywhere.
func TestPacketsArriveInPieces(t *testing.T) {
	r := newTestRun(t, Options{Scenario: Pair, Connections: 1, QoS: packet.QoS1, Version: packet.V5})
	var stream []byte
	for i := range uint32(3) {
		stream = append(stream, message(&r.options, stamp{run: r.id, sequence: i})...)
	}
	sub := r.clients[0]
	for _, b := range stream {
		sub.received(append(append([]byte(nil), sub.part...), b))
	}
	if r.count.delivered != 3 || len(sub.part) != 0 {
		t.Errorf("%d delivered, %d bytes are left", r.count.delivered, len(sub.part))
	}
	ack := packet.AppendAck(nil, packet.TypePuback, 7)
	if got := sub.link.(*sink).sent; len(got) != 3*len(ack) {
		t.Errorf("acknowledged with % x", got)
	}
}

func TestNonsenseEndsTheConnection(t *testing.T) {
	v5 := func(p interface {
		Append([]byte, packet.Version) []byte
	}) []byte {
		return p.Append(nil, packet.V5)
	}
	for name, data := range map[string][]byte{
		"flags":         {0x36, 0x00},
		"short publish": {0x30, 0x01, 0x00},
		"short topic":   {0x30, 0x03, 0x00, 0x05, 'a'},
		"no identifier": {0x32, 0x03, 0x00, 0x01, 'a'},
		"properties":    {0x30, 0x05, 0x00, 0x01, 'a', 0xff, 0xff},
		"short ack":     {0x40, 0x01, 0x00},
		"its own kind":  v5(&packet.Pingreq{}),
		"disconnect":    v5(&packet.Disconnect{Reason: packet.ReasonServerShuttingDown}),
		"refusal":       v5(&packet.Connack{Reason: packet.ReasonNotAuthorized}),
		"subscription":  v5(&packet.Suback{ID: 1, Reasons: []packet.ReasonCode{packet.ReasonNotAuthorized}}),
	} {
		t.Run(name, func(t *testing.T) {
			r := newTestRun(t, Options{Scenario: Pair, Connections: 1, Version: packet.V5})
			r.clients[0].received(data)
			if r.ready != 1 || r.count.lostClients != 1 || r.err == nil {
				t.Errorf("%d clients are ready, %d lost, error %v", r.ready, r.count.lostClients, r.err)
			}
		})
	}
}

func TestTheWindowOpensHalfAtATime(t *testing.T) {
	r := newTestRun(t, Options{Scenario: Pair, Connections: 1, QoS: packet.QoS1, Window: 8})
	p, sub := r.publishers[0], r.clients[0]
	p.fill()
	arrive := func(from, to uint32) {
		for n := from; n < to; n++ {
			sub.received(message(&r.options, stamp{run: r.id, sequence: n}))
			p.received(packet.AppendAck(nil, packet.TypePuback, uint16(n+1)))
		}
		p.fill()
	}
	for _, step := range []struct {
		from, to uint32
		want     uint64
	}{{0, 3, 8}, {3, 4, 12}, {4, 12, 20}} {
		if arrive(step.from, step.to); p.sent != step.want {
			t.Errorf("after %d came %d were sent, want %d", step.to, p.sent, step.want)
		}
	}
}

func TestTheBrokersReceiveMaximumBoundsTheWindow(t *testing.T) {
	r := newTestRun(t, Options{Scenario: Publish, Connections: 1, QoS: packet.QoS2, Version: packet.V5})
	connack := packet.Connack{}
	connack.Properties.ReceiveMaximum = 5
	connack.Properties.Set(packet.PropReceiveMaximum)
	p := r.publishers[0]
	p.received(connack.Append(nil, packet.V5))
	p.fill()
	if p.sent != 5 {
		t.Errorf("%d were sent", p.sent)
	}
	p.received((&packet.Ack{Type: packet.TypePubrec, ID: 1, Reason: packet.ReasonQuotaExceeded}).Append(nil, packet.V5))
	p.received(packet.AppendAck(nil, packet.TypePubrec, 2))
	p.received(packet.AppendAck(nil, packet.TypePubcomp, 2))
	if p.inflight != 3 || r.count.refused != 1 || r.acks.Total() != 2 || r.messages().Unanswered != 3 {
		t.Errorf("%d in flight, %d refused, %d latencies, %+v", p.inflight, r.count.refused, r.acks.Total(), r.messages())
	}
}

// What a schedule wants and the window forbids is told apart from a loop that is
// late.
func TestMessagesThatWaitForTheBrokerAreHeldBack(t *testing.T) {
	r := newTestRun(t, Options{Scenario: Publish, Connections: 1, QoS: packet.QoS1, Window: 2, Rate: 1000})
	r.schedule = newSchedule(1000, 0, 5e6)
	p := r.publishers[0]
	for _, now := range []int64{0, 1e6, 2e6, 3e6, 3e6} {
		r.now = now
		r.takeDue()
		r.fill()
	}
	if p.sent != 2 || p.due != 2 || r.count.heldBack != 2 || r.count.lateSends != 0 {
		t.Errorf("%d sent, %d due, %d held back, %d late", p.sent, p.due, r.count.heldBack, r.count.lateSends)
	}
	p.received(packet.AppendAck(nil, packet.TypePuback, 1))
	r.now = 6e6 // the message of 4e6 is seen late
	r.takeDue()
	r.fill()
	if p.sent != 3 || p.due != 2 || r.count.heldBack != 3 || r.count.lateSends != 1 {
		t.Errorf("%d sent, %d due, %d held back, %d late", p.sent, p.due, r.count.heldBack, r.count.lateSends)
	}
}

// What goes to disk must not look smaller than that of real payloads.
func TestPayloadsThatLastCannotBeCompressed(t *testing.T) {
	for name, o := range map[string]Options{
		"persistent": {Scenario: Pair, Connections: 2, QoS: packet.QoS1, Persistent: true},
		"offline":    {Scenario: Offline, Messages: 10},
		"retained":   {Scenario: Retained, Messages: 10},
	} {
		t.Run(name, func(t *testing.T) {
			o.Size, o.Window = 1000, 100
			r := newTestRun(t, o)
			var packed bytes.Buffer
			w, err := flate.NewWriter(&packed, flate.BestCompression)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 100 {
				p := r.publishers[i%2]
				p.send(0)
				_, _ = w.Write(p.out)
				p.out = p.out[:0]
			}
			_ = w.Close()
			if packed.Len() < 95000 {
				t.Errorf("100 messages of 1000 bytes are compressed to %d", packed.Len())
			}
		})
	}
}
