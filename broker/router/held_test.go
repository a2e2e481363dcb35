package router

import (
	"slices"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

// recorder is a link that remembers the payloads of what is published over it.
type recorder struct {
	link
	payloads  []string
	published func() // nil, or called before
}

// Write implements Link.
func (l *recorder) Write(_ *Worker, frame []byte) {
	h, n, err := packet.ParseHeader(frame)
	var p packet.Publish
	if err == nil && h.Type == packet.TypePublish && p.Decode(packet.V5, h.Flags, frame[n:]) == nil {
		if l.published != nil {
			l.published()
		}
		l.payloads = append(l.payloads, string(p.Payload))
	}
}

// The worker of the client takes a message off its queue, while the one of the
// publisher has the next. The process ends when only what the latter has changed
// is in the store.
func TestOrderOfTwoWorkersOutlivesACrash(t *testing.T) {
	st := memory.New()
	r, w := openOver(t, st, access(t, 0))
	other := newWorker(r)
	s, l := connect(t, w, "c", lasting)
	subscribe(t, w, s, "t", packet.QoS2)
	from, _ := connect(t, other, "p")
	publish := func(id uint16, payload string) {
		p := &packet.Publish{QoS: packet.QoS2, ID: id, Topic: []byte("t"), Payload: []byte(payload)}
		other.Publish(&Publisher{Subscriber: from, Version: packet.V5}, p, nil)
	}
	l.congested = true
	publish(1, "first")
	settle(r)
	l.congested = false
	w.Drained(s, l)
	publish(2, "second")
	other.Settle()

	r, w = openOver(t, st, access(t, 0))
	var got recorder
	s, _ = connect(t, w, "c", lasting, func(c *Connect) { c.Link = &got })
	w.Resume(s, &got)
	settle(r)
	if want := []string{"first", "second"}; !slices.Equal(got.payloads, want) {
		t.Errorf("after the crash come %q, want %q", got.payloads, want)
	}
}

// The worker of the client takes a message off its queue that the one of the
// publisher has not handed over. A crash behind its sending has to find it.
func TestMessageIsSentOnceItIsStored(t *testing.T) {
	st := memory.New()
	r, w := openOver(t, st, access(t, 0))
	other := newWorker(r)
	var got recorder
	s, _ := connect(t, w, "c", lasting, func(c *Connect) { c.Link = &got })
	subscribe(t, w, s, "t", packet.QoS2)
	from, _ := connect(t, other, "p")
	settle(r)
	got.published = func() {
		if waiting, err := st.Deliveries(s.ID, 0, 1, 1); err != nil || len(waiting) != 1 {
			t.Errorf("the message is sent while the store has %v (%v)", waiting, err)
		}
	}
	got.congested = true
	p := &packet.Publish{QoS: packet.QoS2, ID: 1, Topic: []byte("t"), Payload: []byte("first")}
	other.Publish(&Publisher{Subscriber: from, Version: packet.V5}, p, nil)
	got.congested = false
	w.Drained(s, &got)
	w.EndRound()
	perform(r)
	settle(r)
	if want := []string{"first"}; !slices.Equal(got.payloads, want) {
		t.Errorf("sent %q, want %q", got.payloads, want)
	}
}

// The worker of the client learns that a delivery is complete while the one of the
// publisher has not handed it over.
func TestNothingStaysOfADeliveryThatIsCompleteBeforeItIsStored(t *testing.T) {
	for name, tc := range map[string]struct {
		waits    bool // the client takes nothing at the moment
		complete func(w *Worker, s *Subscriber, l *link)
		left     int
	}{
		"acknowledged": {false, func(w *Worker, s *Subscriber, l *link) {
			w.Acknowledge(s, l, packet.TypePuback, 1, 0)
		}, 0},
		"dropped for a newer one": {true, func(w *Worker, _ *Subscriber, _ *link) {
			send(w, 1, packet.QoS1)
		}, 1},
		"expired": {true, func(w *Worker, s *Subscriber, l *link) {
			w.Disconnect(s, l, true, nil)
			w.Now = w.Now.Add(time.Minute)
			w.sweepSession(s)
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			st := memory.New()
			r, w := openOver(t, st, access(t, 0))
			other := newWorker(r)
			s, l := connect(t, w, "c", lasting, func(c *Connect) {
				c.Limits = session.Limits{QueuedMessages: 1, DropOldest: true}
			})
			subscribe(t, w, s, "t", packet.QoS1)
			settle(r)
			l.congested = tc.waits
			m := &session.Message{Topic: "t", Payload: []byte("m"), QoS: packet.QoS1, Expires: w.Now.Add(time.Second)}
			other.PublishMessage(m)
			tc.complete(w, s, l)
			w.EndRound()
			settle(r)
			if left, err := st.Deliveries(s.ID, 0, 10, 1<<20); err != nil || len(left) != tc.left {
				t.Errorf("%d deliveries are stored, want %d: %v", len(left), tc.left, err)
			}
		})
	}
}

// perform runs what was posted to the workers of r, in the middle of their rounds.
func perform(r *Router) {
	x, _ := tasksOf.Load(r)
	for _, f := range x.(*tasks).take() {
		f()
	}
}
