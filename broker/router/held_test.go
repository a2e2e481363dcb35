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
	payloads []string
}

// Write implements Link.
func (l *recorder) Write(_ *Worker, frame []byte) {
	h, n, err := packet.ParseHeader(frame)
	var p packet.Publish
	if err == nil && h.Type == packet.TypePublish && p.Decode(packet.V5, h.Flags, frame[n:]) == nil {
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
