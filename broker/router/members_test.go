package router

import (
	"fmt"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
)

// TestASharedMessageGoesToAMemberThatCanTakeIt: and nobody else's overflow policy
// drops it.
func TestASharedMessageGoesToAMemberThatCanTakeIt(t *testing.T) {
	const messages = 20
	for name, tc := range map[string]struct {
		q      packet.QoS
		unable func(t *testing.T, w *Worker, id string) (*Subscriber, *link)
	}{
		"not to one whose queue is full": {packet.QoS1, func(t *testing.T, w *Worker, id string) (*Subscriber, *link) {
			return connect(t, w, id, func(c *Connect) { c.Window, c.Limits = 1, session.Limits{QueuedMessages: 1} })
		}},
		"not to one whose queue is full of bytes": {packet.QoS1, func(t *testing.T, w *Worker, id string) (*Subscriber, *link) {
			return connect(t, w, id, func(c *Connect) { c.Window, c.Limits = 1, session.Limits{QueuedBytes: 10} })
		}},
		"not to one that makes room by dropping": {packet.QoS1, func(t *testing.T, w *Worker, id string) (*Subscriber, *link) {
			return connect(t, w, id, func(c *Connect) {
				c.Window, c.Limits = 1, session.Limits{QueuedMessages: 1, DropOldest: true}
			})
		}},
		"not to one that accepts no packet of that size": {packet.QoS1, func(t *testing.T, w *Worker, id string) (*Subscriber, *link) {
			return connect(t, w, id, func(c *Connect) { c.MaxPacket = 10 })
		}},
		"not at QoS 0 to one that is away": {packet.QoS0, func(t *testing.T, w *Worker, id string) (*Subscriber, *link) {
			return connect(t, w, id, lasting)
		}},
		"not to one that is away while another one is there": {packet.QoS1, func(t *testing.T, w *Worker, id string) (*Subscriber, *link) {
			return connect(t, w, id, lasting)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, w := openWith(t, rules(t, allow("#")))
			for i := range 3 {
				s, l := tc.unable(t, w, fmt.Sprint("unable", i))
				subscribe(t, w, s, "$share/g/t", packet.QoS1)
				if s.session.Durable {
					w.Disconnect(s, l, true, nil)
				}
			}
			able, l := connect(t, w, "able")
			subscribe(t, w, able, "$share/g/t", packet.QoS1)
			for range messages {
				publishTo(t, w, "t", tc.q)
			}
			// One is in flight to each whose window is 1, and one may wait.
			if got := l.written; got < messages-2*3 {
				t.Errorf("the one that can take all got %d of %d", got, messages)
			}
			for c := metrics.DroppedQueueFull; c <= metrics.DroppedLost; c++ {
				if w.Counts[c] > 0 {
					t.Errorf("%d messages were dropped, by counter %d", w.Counts[c], c)
				}
			}
		})
	}
}

// TestAClientHasSoManySharedSubscriptions: others are not counted, nor is one that
// is replaced, and one that ends makes room.
func TestAClientHasSoManySharedSubscriptions(t *testing.T) {
	r, w := open(t)
	r.SetLimits(Limits{MaxQoS: 2, SharedSubscriptions: 2})
	s, l := connect(t, w, "c")
	ask := func(filter string) packet.ReasonCode {
		p := &packet.Subscribe{Subscriptions: []packet.Subscription{{Filter: []byte(filter), QoS: packet.QoS1}}}
		return w.Subscribe(s, l, p, SubscriptionLimits{}, nil)[0].Reason
	}
	for _, step := range []struct {
		filter string
		want   packet.ReasonCode
	}{
		{"$share/g/t", packet.ReasonGrantedQoS1}, {"$share/h/t", packet.ReasonGrantedQoS1},
		{"$share/i/t", packet.ReasonQuotaExceeded}, {"$share/h/t", packet.ReasonGrantedQoS1},
		{"t", packet.ReasonGrantedQoS1},
	} {
		if got := ask(step.filter); got != step.want {
			t.Errorf("%s: %v, want %v", step.filter, got, step.want)
		}
	}
	w.Unsubscribe(s, l, [][]byte{[]byte("$share/g/t")}, nil)
	if got := ask("$share/i/t"); got != packet.ReasonGrantedQoS1 {
		t.Errorf("after another one has ended: %v", got)
	}
}

// TestMembersThatComeBackAreOnline: whoever is connected comes first, whatever
// happened before.
func TestMembersThatComeBackAreOnline(t *testing.T) {
	r, w := openWith(t, rules(t, allow("#")))
	links := map[string]*link{}
	for _, id := range []string{"a", "b"} {
		s, l := connect(t, w, id, lasting)
		subscribe(t, w, s, "$share/g/t", packet.QoS1)
		w.Disconnect(s, l, true, nil)
	}
	settle(r)
	r, w = openOver(t, r.store, rules(t, allow("#")))
	for _, id := range []string{"b", "a"} {
		s, l := connect(t, w, id, lasting)
		links[id] = l
		for range 10 {
			publishTo(t, w, "t", packet.QoS1)
		}
		settle(r)
		if l.written != 10 {
			t.Errorf("%s got %d of the 10 while it was the only one there", id, l.written)
		}
		w.Disconnect(s, l, true, nil)
	}
	if got := links["b"].written; got != 10 {
		t.Errorf("b got %d in all", got)
	}
}

// BenchmarkSharedWithManyAway: what a message costs does not depend on the members
// that are away.
func BenchmarkSharedWithManyAway(b *testing.B) {
	for _, away := range []int{0, 10000} {
		b.Run(fmt.Sprint(away), func(b *testing.B) {
			_, w := openWith(b, rules(b, allow("#")))
			for i := range away {
				s, l := connect(b, w, fmt.Sprint("away", i), lasting)
				subscribe(b, w, s, "$share/g/t", packet.QoS0)
				w.Disconnect(s, l, true, nil)
			}
			s, l := connect(b, w, "there")
			l.keeps = false
			subscribe(b, w, s, "$share/g/t", packet.QoS0)
			from := &Publisher{Subscriber: s, Version: packet.V5}
			p := &packet.Publish{Topic: []byte("t"), Payload: []byte("m")}
			b.ReportAllocs()
			for b.Loop() {
				w.Publish(from, p, nil)
				w.Touched = w.Touched[:0]
			}
		})
	}
}
