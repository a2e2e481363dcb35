package router

import (
	"slices"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/packet"
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

// perform runs what was posted to the workers of r, in the middle of their rounds.
func perform(r *Router) {
	x, _ := tasksOf.Load(r)
	for _, f := range x.(*tasks).take() {
		f()
	}
}
