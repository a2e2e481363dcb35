package session

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// model is a session as one would write it if speed did not count.
type model struct {
	window   int
	inflight []flight // in the order in which they came to their step
	releases []uint16
	again    []uint16
	queue    []*Delivery
	received map[uint16]bool
	sent     int
}

type flight struct {
	id    uint16
	d     *Delivery
	step  step
	again bool // not sent again yet
}

func (m *model) find(id uint16) int {
	return slices.IndexFunc(m.inflight, func(f flight) bool { return f.id == id })
}

func (m *model) ready() bool {
	return len(m.queue) == 0 && len(m.releases)+len(m.again) == 0 && len(m.inflight) < m.window
}

// next is what Session.Next has to return, but for a new identifier.
func (m *model) next() (o Outgoing, ok bool) {
	for len(m.releases) > 0 {
		i := m.find(m.releases[0])
		m.releases = m.releases[1:]
		if i >= 0 && m.inflight[i].step == stepPubcomp {
			return Outgoing{ID: m.inflight[i].id}, true
		}
	}
	for len(m.again) > 0 {
		i := m.find(m.again[0])
		waits := i >= 0 && m.inflight[i].again
		if waits && m.unacknowledged() >= m.window {
			return o, false
		}
		m.again = m.again[1:]
		if waits {
			m.inflight[i].again = false
			return Outgoing{Delivery: m.inflight[i].d, ID: m.inflight[i].id, Dup: true}, true
		}
	}
	if len(m.queue) == 0 || len(m.inflight) >= m.window {
		return o, false
	}
	o.Delivery, m.queue = m.queue[0], m.queue[1:]
	return o, true
}

// unacknowledged is how many messages the client has of this connection, or has
// begun to receive.
func (m *model) unacknowledged() (n int) {
	for _, f := range m.inflight {
		if !f.again {
			n++
		}
	}
	return n
}

func (m *model) resume() {
	m.releases, m.again = nil, nil
	for i := range m.inflight {
		f := &m.inflight[i]
		if f.again = f.step != stepPubcomp; f.again {
			m.again = append(m.again, f.id)
		} else {
			m.releases = append(m.releases, f.id)
		}
	}
}

// play runs a program of operations on a session and its model.
func play(t *testing.T, program []byte) {
	s := durable(4)
	m := &model{window: 4, received: map[uint16]bool{}}
	arg := func() byte {
		if len(program) == 0 {
			return 0
		}
		b := program[0]
		program = program[1:]
		return b
	}
	for len(program) > 0 {
		switch op := arg(); op % 9 {
		case 0, 1:
			m.publish(t, s, packet.QoS(arg()%3))
		case 2, 3:
			m.send(t, s)
		case 4, 5, 6:
			m.acknowledge(t, s, arg(), arg())
		case 7:
			m.window = int(arg()%6) + 1
			s.Window = m.window
			s.Resume()
			m.resume()
		case 8:
			m.receive(t, s, uint16(arg()%5)+1, arg())
		}
		m.compare(t, s)
	}
}

func (m *model) publish(t *testing.T, s *Session, q packet.QoS) {
	t.Helper()
	m.sent++
	d := named(fmt.Sprint(m.sent), q)
	if q > packet.QoS0 && m.ready() {
		id := s.Send(q, d)
		m.sends(t, id, d)
		return
	}
	s.Enqueue(d, nil)
	m.queue = append(m.queue, d)
}

func (m *model) sends(t *testing.T, id uint16, d *Delivery) {
	t.Helper()
	if id == 0 || m.find(id) >= 0 {
		t.Fatalf("identifier %d for a new message", id)
	}
	m.inflight = append(m.inflight, flight{id: id, d: d, step: firstStep(d.QoS)})
}

func (m *model) send(t *testing.T, s *Session) {
	t.Helper()
	want, wantOK := m.next()
	got, ok := s.Next()
	if ok && want.Delivery != nil && !want.Dup && want.Delivery.QoS > packet.QoS0 {
		m.sends(t, got.ID, want.Delivery)
		want.ID = got.ID
	}
	if ok != wantOK || got != want {
		t.Fatalf("next %+v %t, want %+v %t", got, ok, want, wantOK)
	}
}

func (m *model) acknowledge(t *testing.T, s *Session, kind, which byte) {
	t.Helper()
	typ := []packet.Type{packet.TypePuback, packet.TypePubrec, packet.TypePubcomp}[kind%3]
	reason := packet.ReasonSuccess
	if kind%7 == 0 {
		reason = packet.ReasonUnspecifiedError
	}
	id := uint16(which)
	i := m.find(id)
	if len(m.inflight) > 0 && which < 200 {
		i = int(which) % len(m.inflight)
		id = m.inflight[i].id
	}
	var done *Delivery
	known := i >= 0 && m.inflight[i].step == expects(typ)
	switch {
	case !known:
	case typ == packet.TypePubrec && !reason.IsError():
		f := flight{id: id, d: m.inflight[i].d, step: stepPubcomp}
		m.inflight = append(slices.Delete(m.inflight, i, i+1), f)
	default:
		done = m.inflight[i].d
		m.inflight = slices.Delete(m.inflight, i, i+1)
	}
	if gotDone, gotKnown := s.Acknowledge(typ, id, reason); gotDone != done || gotKnown != known {
		t.Fatalf("%v %d: %v %t, want %v %t", typ, id, gotDone, gotKnown, done, known)
	}
}

func (m *model) receive(t *testing.T, s *Session, id uint16, release byte) {
	t.Helper()
	if release%2 == 0 {
		if got := s.Receive(id); got == m.received[id] {
			t.Fatalf("receive %d: new is %t", id, got)
		}
		m.received[id] = true
		return
	}
	if got := s.Release(id); got != m.received[id] {
		t.Fatalf("release %d: known is %t", id, got)
	}
	delete(m.received, id)
}

func (m *model) compare(t *testing.T, s *Session) {
	t.Helper()
	bytes, qos0 := 0, false
	for _, d := range m.queue {
		bytes += d.Size()
		qos0 = qos0 || d.QoS == packet.QoS0
	}
	n, b := s.Queue()
	if n != len(m.queue) || b != bytes || s.Inflight() != len(m.inflight) || s.Received() != len(m.received) {
		t.Fatalf("queue %d (%d bytes), in flight %d, received %d; want %d (%d), %d, %d",
			n, b, s.Inflight(), s.Received(), len(m.queue), bytes, len(m.inflight), len(m.received))
	}
	if s.Ready() != m.ready() || s.Overtakes() != qos0 {
		t.Fatalf("ready %t, overtakes %t; want %t, %t", s.Ready(), s.Overtakes(), m.ready(), qos0)
	}
}

func TestSessionBehavesAsItsModel(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		program := make([]byte, 600)
		for i := range program {
			program[i] = byte(r.Uint32())
		}
		play(t, program)
	}
}

func FuzzSession(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 7, 3, 2, 4, 1, 0, 2})
	f.Fuzz(func(t *testing.T, program []byte) { play(t, program[:min(len(program), 2000)]) })
}
