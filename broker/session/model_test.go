package session

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// model is a durable session as one would write it if neither speed nor memory
// did count.
type model struct {
	*shelf
	window   int
	parked   bool     // no client is connected
	inflight []flight // in the order in which they came to their step
	releases []uint16
	again    []uint16
	unsent   []uint16
	waiting  []*Delivery // of QoS 1 and 2
	qos0     []*Delivery
	received map[uint16]bool
	sent     int
	hour     int
}

type flight struct {
	id     uint16
	d      *Delivery
	step   step
	unsent bool
}

func newModel(limits Limits) *model {
	m := &model{shelf: durable(4), window: 4, received: map[uint16]bool{}}
	m.Limits = limits
	return m
}

func (m *model) find(id uint16) int {
	return slices.IndexFunc(m.inflight, func(f flight) bool { return f.id == id })
}

func (m *model) ready() bool {
	return len(m.waiting)+len(m.qos0)+len(m.releases)+len(m.again) == 0 && len(m.inflight) < m.window &&
		(m.Limits.QueuedBytes == 0 || m.bytesInFlight() < m.Limits.QueuedBytes)
}

// next is what Session.Next has to return of what is in flight. blocked says that
// it may return nothing at all.
func (m *model) next() (o Outgoing, ok, blocked bool) {
	for len(m.releases) > 0 {
		i := m.find(m.releases[0])
		m.releases = m.releases[1:]
		if i >= 0 && m.inflight[i].step == stepPubcomp {
			return Outgoing{ID: m.inflight[i].id}, true, false
		}
	}
	for _, list := range []*[]uint16{&m.again, &m.unsent} {
		for len(*list) > 0 {
			i := m.find((*list)[0])
			switch {
			case i < 0 || !m.inflight[i].unsent:
				*list = (*list)[1:]
				continue
			case m.inflight[i].step == stepHeld:
				return o, false, false
			case m.unacknowledged() >= m.window:
				return o, false, true
			}
			return Outgoing{Delivery: m.inflight[i].d, ID: m.inflight[i].id, Dup: list == &m.again}, true, false
		}
	}
	return o, false, false
}

// unacknowledged is how many messages the client has of this connection, or has
// begun to receive.
func (m *model) unacknowledged() (n int) {
	for _, f := range m.inflight {
		if !f.unsent {
			n++
		}
	}
	return n
}

// isSent notes what next has returned.
func (m *model) isSent(o Outgoing) {
	if o.Delivery == nil {
		return
	}
	i := m.find(o.ID)
	f := m.inflight[i]
	f.unsent = false
	if !o.Dup {
		f.step = stepPubrec
		m.inflight = append(slices.Delete(m.inflight, i, i+1), f)
		return
	}
	m.inflight[i] = f
}

// switchOver ends the connection, or begins the next one.
func (m *model) switchOver(window int) {
	if m.parked = !m.parked; m.parked {
		m.Park()
		m.qos0 = nil
		return
	}
	m.window, m.Window = window, int32(window)
	m.Resume()
	m.releases, m.again = nil, nil
	for i := range m.inflight {
		f := &m.inflight[i]
		if f.step == stepPubcomp {
			m.releases = append(m.releases, f.id)
		} else if f.step >= stepPuback && f.step != stepWithheld {
			f.unsent = true
			m.again = append(m.again, f.id)
		}
	}
}

// play runs a program of operations on a session and its model.
func play(t *testing.T, limits Limits, program []byte) {
	m := newModel(limits)
	arg := func() byte {
		if len(program) == 0 {
			return 0
		}
		b := program[0]
		program = program[1:]
		return b
	}
	for len(program) > 0 {
		op := arg() % 16
		switch {
		case op < 4:
			m.publish(t, packet.QoS(arg()%3), arg())
		case op < 9 && m.parked:
		case op < 6:
			m.send(t)
		case op < 9:
			m.acknowledge(t, arg(), arg())
		case op == 9:
			m.switchOver(int(arg()%6) + 1)
		case op == 10:
			m.receive(t, uint16(arg()%5)+1, arg())
		case op == 11:
			m.confirm(arg())
		case op == 12 && !m.parked:
			m.reads(t, int(arg()%4)+1)
		case op == 13:
			m.expire(t)
		case op == 14:
			m.lose(arg())
		case op == 15:
			m.withhold(arg())
		}
		m.compare(t)
	}
	m.finish(t)
}

// publish delivers a message, which loses its worth if life is low.
func (m *model) publish(t *testing.T, q packet.QoS, life byte) {
	t.Helper()
	if q == packet.QoS0 && m.parked {
		return // it is for those who are there
	}
	m.sent++
	d := named(fmt.Sprint(m.sent), q)
	if life < 32 {
		d.Expires = now.Add(time.Duration(m.hour+int(life%4)) * time.Hour)
	}
	m.number(d)
	if q > packet.QoS0 && !m.parked && m.Ready() {
		m.sends(t, m.first(d), d)
		return
	}
	result := m.Session.Enqueue(d, func(w Waiting) { m.drops(t, w.Seq) })
	switch {
	case result == QueueFull:
		delete(m.bodies, d.Seq)
	case q == packet.QoS0:
		m.qos0 = append(m.qos0, d)
	default:
		m.waiting = append(m.waiting, d)
	}
}

// first sends a message at once, as far as that is possible.
func (m *model) first(d *Delivery) (id uint16) {
	if d.QoS == packet.QoS2 {
		return m.Hold(d)
	}
	return m.Session.Send(d.QoS, d)
}

// drops takes what makes room, which has to be the oldest of its kind.
func (m *model) drops(t *testing.T, seq uint64) {
	t.Helper()
	switch {
	case seq == 0 && len(m.qos0) > 0:
		m.qos0 = m.qos0[1:]
	case len(m.waiting) > 0 && m.waiting[0].Seq == seq:
		m.waiting = m.waiting[1:]
	default:
		t.Fatalf("%d is dropped, which is not the oldest", seq)
	}
	delete(m.bodies, seq)
}

func (m *model) sends(t *testing.T, id uint16, d *Delivery) {
	t.Helper()
	if id == 0 || m.find(id) >= 0 {
		t.Fatalf("identifier %d for a new message", id)
	}
	f := flight{id: id, d: d, step: stepPuback}
	if d.QoS == packet.QoS2 {
		f.step, f.unsent = stepHeld, true
		m.unsent = append(m.unsent, id)
	}
	m.inflight = append(m.inflight, f)
}

// send takes one packet, and has the store read until there is one.
func (m *model) send(t *testing.T) (ok bool) {
	t.Helper()
	for {
		got, ok := m.Next()
		want, wantOK, blocked := m.next()
		switch {
		case ok && wantOK && got == want:
			m.isSent(got)
			return true
		case ok && !wantOK && !blocked:
			m.takes(t, got)
			return true
		case ok:
			t.Fatalf("next %+v, want %+v %t", got, want, wantOK)
		case m.reads(t, 2):
		case wantOK || !blocked && len(m.inflight) < m.window && len(m.waiting)+len(m.qos0) > 0:
			t.Fatalf("next has nothing, want %+v, or one of %d", want, len(m.waiting)+len(m.qos0))
		default:
			if m.Ready() != m.ready() {
				t.Fatalf("ready %t, want %t", m.Ready(), m.ready())
			}
			return false
		}
	}
}

// takes takes a message that waited, which has to be the oldest of its kind.
func (m *model) takes(t *testing.T, o Outgoing) {
	t.Helper()
	switch {
	case len(m.inflight) >= m.window:
		t.Fatalf("%+v is sent beyond the window", o)
	case len(m.qos0) > 0 && o.Delivery == m.qos0[0] && o.ID == 0:
		m.qos0 = m.qos0[1:]
	case len(m.waiting) > 0 && o.Delivery == m.waiting[0] && o.Held == (o.Delivery.QoS == packet.QoS2):
		m.waiting = m.waiting[1:]
		m.sends(t, o.ID, o.Delivery)
	default:
		t.Fatalf("%+v is not the oldest of its kind", o)
	}
}

// reads reads a page, and takes out of the model what is lost.
func (m *model) reads(t *testing.T, most int) (ok bool) {
	t.Helper()
	ok = m.read(most)
	for _, seq := range m.lost {
		if m.bodies[seq] != nil {
			t.Fatalf("%d is said to be lost", seq)
		}
		isIt := func(d *Delivery) bool { return d.Seq == seq }
		m.waiting = slices.DeleteFunc(m.waiting, isIt)
		m.inflight = slices.DeleteFunc(m.inflight, func(f flight) bool { return f.d.Seq == seq })
	}
	m.lost = nil
	return ok
}

// lose takes a body off the shelf.
func (m *model) lose(which byte) {
	if which < 64 && len(m.waiting) > 0 {
		delete(m.bodies, m.waiting[int(which)%len(m.waiting)].Seq)
	}
}

// expire lets an hour pass.
func (m *model) expire(t *testing.T) {
	t.Helper()
	m.hour++
	clock := now.Add(time.Duration(m.hour) * time.Hour)
	m.Expire(clock, func(w Waiting) {
		i := slices.IndexFunc(m.waiting, func(d *Delivery) bool { return d.Seq == w.Seq })
		if i < 0 || !m.waiting[i].Expired(clock) {
			t.Fatalf("%+v expires", w)
		}
		m.waiting = slices.Delete(m.waiting, i, i+1)
		delete(m.bodies, w.Seq)
	})
	for _, d := range m.waiting {
		if m.parked && d.Expired(clock) {
			t.Fatalf("%d has expired and is kept", d.Seq)
		}
	}
}

// confirm tells that one of the identifiers that are held, or withheld, is durable.
func (m *model) confirm(which byte) {
	if len(m.inflight) == 0 {
		return
	}
	i := int(which) % len(m.inflight)
	f := &m.inflight[i]
	m.Confirm(f.id, f.d.Seq)
	if f.step == stepHeld {
		f.step = stepConfirmed
	}
	if f.step == stepWithheld {
		m.releases = append(m.releases, f.id)
		m.goesOn(i, stepPubcomp)
	}
}

// withhold has the exchange of a message of QoS 2 that was sent go on without it.
func (m *model) withhold(which byte) {
	if len(m.inflight) == 0 {
		return
	}
	i := int(which) % len(m.inflight)
	if f := m.inflight[i]; f.step == stepPubrec && !f.unsent {
		m.Withhold(f.id)
		m.goesOn(i, stepWithheld)
	}
}

// goesOn brings an exchange to another step, as the last that came to it.
func (m *model) goesOn(i int, to step) {
	f := m.inflight[i]
	f.step = to
	m.inflight = append(slices.Delete(m.inflight, i, i+1), f)
}

func (m *model) acknowledge(t *testing.T, kind, which byte) {
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
	var want Waiting
	known := i >= 0 && m.inflight[i].step == expects(typ)
	if known {
		f := m.inflight[i]
		want = Waiting{Seq: f.d.Seq, Message: f.d.ID}
		m.inflight = slices.Delete(m.inflight, i, i+1)
		delete(m.bodies, f.d.Seq)
		if typ == packet.TypePubrec && !reason.IsError() {
			m.inflight = append(m.inflight, flight{id: id, d: f.d, step: stepPubcomp})
		}
	}
	if got, gotKnown := m.Acknowledge(typ, id, reason); got != want || gotKnown != known {
		t.Fatalf("%v %d: %v %t, want %v %t", typ, id, got, gotKnown, want, known)
	}
}

func (m *model) receive(t *testing.T, id uint16, release byte) {
	t.Helper()
	if m.Receiving(id) != m.received[id] {
		t.Fatalf("receiving %d is %t", id, m.Receiving(id))
	}
	if release%2 == 0 {
		if got := m.Receive(id); got == m.received[id] {
			t.Fatalf("receive %d: new is %t", id, got)
		}
		m.received[id] = true
		return
	}
	if got := m.Release(id); got != m.received[id] {
		t.Fatalf("release %d: known is %t", id, got)
	}
	delete(m.received, id)
}

func (m *model) compare(t *testing.T) {
	t.Helper()
	bytes := 0
	for _, d := range slices.Concat(m.waiting, m.qos0) {
		bytes += d.Size()
	}
	n, b := m.Queue()
	if n != len(m.waiting)+len(m.qos0) || b != bytes || m.Inflight() != len(m.inflight) || m.Received() != len(m.received) {
		t.Fatalf("queue %d (%d bytes), in flight %d, received %d; want %d (%d), %d, %d",
			n, b, m.Inflight(), m.Received(), len(m.waiting)+len(m.qos0), bytes, len(m.inflight), len(m.received))
	}
	if m.out.bytes != m.bytesInFlight() {
		t.Fatalf("%d bytes are in flight, want %d", m.out.bytes, m.bytesInFlight())
	}
	if limit := m.Limits.QueuedBytes; limit > 0 && m.queue.bytes+m.out.bytes > limit+wholeBytes {
		t.Fatalf("%d and %d bytes are in memory, of %d", m.queue.bytes, m.out.bytes, limit)
	}
	if m.Overtakes() != (len(m.qos0) > 0) {
		t.Fatalf("overtakes %t with %d of QoS 0", m.Overtakes(), len(m.qos0))
	}
	if whole, _ := m.queue.room(); whole < 0 && len(m.qos0) == 0 {
		t.Fatalf("%d deliveries are in memory", m.queue.len())
	}
	if m.parked && (m.queue.len() > 0 || m.bodiesInFlight() > 0) {
		t.Fatalf("bodies of %d and %d are in memory while nobody is connected", m.queue.len(), m.bodiesInFlight())
	}
}

func (m *model) bytesInFlight() (n int) {
	for _, f := range m.out.slots {
		if f.delivery != nil {
			n += f.delivery.Size()
		}
	}
	return n
}

func (m *model) bodiesInFlight() (n int) {
	for _, f := range m.out.slots {
		if f.delivery != nil {
			n++
		}
	}
	return n
}

// finish has everything delivered.
func (m *model) finish(t *testing.T) {
	t.Helper()
	if m.parked {
		m.switchOver(4)
	}
	for range 10000 {
		for m.send(t) {
		}
		if len(m.inflight) == 0 {
			break
		}
		for range len(m.inflight) {
			m.confirm(0)
			for kind := range byte(3) {
				m.acknowledge(t, 10+kind, 0) // without an error
			}
			m.compare(t)
			if len(m.inflight) == 0 {
				break
			}
			m.inflight = append(m.inflight[1:], m.inflight[0])
		}
	}
	if n, _ := m.Queue(); n > 0 || m.Inflight() > 0 {
		t.Fatalf("%d wait and %d are in flight at the end", n, m.Inflight())
	}
}

func TestSessionBehavesAsItsModel(t *testing.T) {
	for name, limits := range map[string]Limits{
		"without limits":        {},
		"that drops the oldest": {QueuedMessages: 12, DropOldest: true},
		"that drops the newest": {QueuedMessages: 12},
		"of a few bytes":        {QueuedBytes: 600, DropOldest: true},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(200) {
				r := rand.New(rand.NewPCG(seed, 1))
				program := make([]byte, 800)
				for i := range program {
					program[i] = byte(r.Uint32())
				}
				play(t, limits, program)
			}
		})
	}
}

func FuzzSession(f *testing.F) {
	f.Add(uint8(0), []byte{0, 1, 0, 2, 7, 3, 2, 4, 1, 0, 2})
	f.Add(uint8(8), []byte{0, 2, 90, 9, 1, 0, 1, 90, 0, 2, 90, 9, 3, 5, 11, 0, 5, 7, 1, 0})
	f.Fuzz(func(t *testing.T, most uint8, program []byte) {
		play(t, Limits{QueuedMessages: int(most), DropOldest: most%2 == 0}, program[:min(len(program), 2000)])
	})
}
