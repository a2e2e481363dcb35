package router

import (
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
)

// behindFor publishes to a subscriber that is behind, every millisecond, until the
// publisher is not held up any more, and returns how long it was.
func behindFor(w *Worker, from *Publisher, q packet.QoS, most time.Duration) (held time.Duration) {
	for ; held < most; held += time.Millisecond {
		w.Behind = false
		w.Publish(from, &packet.Publish{Topic: []byte("t"), QoS: q, ID: 1}, nil)
		if !w.Behind {
			return held
		}
		w.Now = w.Now.Add(time.Millisecond)
	}
	return held
}

// TestASlowSubscriberHoldsUpItsOwnUserForAWhile: and nobody else at all, whatever
// the quality of service.
func TestASlowSubscriberHoldsUpItsOwnUserForAWhile(t *testing.T) {
	users := config.Access{Users: []config.User{{Username: "ann"}, {Username: "bob"}}}
	for name, tc := range map[string]struct {
		subscriber, publisher string
		q                     packet.QoS
		want                  time.Duration
	}{
		"its own user":                       {"ann", "ann", packet.QoS0, holdMost},
		"its own user, QoS 1":                {"ann", "ann", packet.QoS1, holdMost},
		"anonymous clients":                  {"", "", packet.QoS0, holdMost},
		"another user":                       {"ann", "bob", packet.QoS0, 0},
		"another user, QoS 1":                {"ann", "bob", packet.QoS1, 0},
		"a user, by an anonymous subscriber": {"", "bob", packet.QoS0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, w := openWith(t, compiled(t, true, users))
			s, l := connect(t, w, "slow", as(tc.subscriber), func(c *Connect) {
				c.Window, c.Limits = 1, session.Limits{QueuedMessages: 8, DropOldest: true}
			})
			l.behind = true
			subscribe(t, w, s, "#", tc.q)
			p, _ := connect(t, w, "p", as(tc.publisher))
			from := &Publisher{Subscriber: p, Version: packet.V5}
			for range 6 { // more wait than a quarter of its queue, from here on
				w.Publish(from, &packet.Publish{Topic: []byte("t"), QoS: tc.q, ID: 1}, nil)
			}
			s.holdUp = holdUp{}
			got := behindFor(w, from, tc.q, 2*holdMost)
			if got < tc.want || got > tc.want+time.Millisecond {
				t.Fatalf("it is held up for %v, want %v", got, tc.want)
			}
			if got := behindFor(w, from, tc.q, time.Minute); got != 0 {
				t.Errorf("and for %v more", got)
			}
			w.Now = w.Now.Add(time.Minute) // in which it has caught up
			if got := behindFor(w, from, tc.q, time.Minute); got > holdMost || tc.want > 0 && got < time.Second {
				t.Errorf("when it is behind again, for %v", got)
			}
		})
	}
}

// TestAWillIsChargedToNobody: nor is what is handed over.
func TestAWillIsChargedToNobody(t *testing.T) {
	_, w := openWith(t, rules(t, allow("#")))
	s, l := connect(t, w, "slow")
	l.behind = true
	subscribe(t, w, s, "#", packet.QoS0)
	w.PublishMessage(&session.Message{Topic: "t", Payload: []byte("m")})
	if w.Behind {
		t.Error("whoever publishes next is held up")
	}
}
