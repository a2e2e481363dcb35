package router

import (
	"fmt"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
)

// TestManySessionsThatExpireTogetherEndInSlices: what else the loop has to do
// gets its turn in between, and none is left over.
func TestManySessionsThatExpireTogetherEndInSlices(t *testing.T) {
	for name, subscriptions := range map[string]int{"few subscriptions": 1, "many subscriptions": 20} {
		t.Run(name, func(t *testing.T) {
			const sessions = 3*wakeMost + 1
			r, w := open(t)
			for i := range sessions {
				s, l := connect(t, w, fmt.Sprint("c", i), func(c *Connect) { c.Expiry = time.Minute })
				for n := range subscriptions {
					subscribe(t, w, s, fmt.Sprint("t/", n), packet.QoS1)
				}
				w.Disconnect(s, l, false, nil)
			}
			w.Now = w.Now.Add(time.Hour)
			ended := 0
			for slices := 0; ended < sessions; slices++ {
				if slices == 0 {
					w.Tick()
				}
				now := sessions - r.Sessions()
				if now-ended == 0 || (now-ended)*(1+subscriptions) > wakeMost+1+subscriptions {
					t.Fatalf("slice %d ends %d sessions of %d subscriptions", slices, now-ended, subscriptions)
				}
				ended = now
				w.Tick() // a second that passes meanwhile changes nothing
				perform(r)
			}
			if r.Subscriptions() != 0 {
				t.Errorf("%d subscriptions are left", r.Subscriptions())
			}
		})
	}
}

// TestASweepLooksAtSomeOfManyDeliveries: it goes on where it stopped.
func TestASweepLooksAtSomeOfManyDeliveries(t *testing.T) {
	r, w := open(t)
	const sessions, each = 8, sweepMost / 2
	for i := range sessions {
		s, l := connect(t, w, fmt.Sprint("c", i), func(c *Connect) { c.Expiry = time.Hour })
		subscribe(t, w, s, "t", packet.QoS1)
		w.Disconnect(s, l, false, nil)
	}
	for range each {
		w.PublishMessage(&session.Message{Topic: "t", Payload: []byte("m"), QoS: packet.QoS1, Expires: w.Now.Add(time.Minute)})
	}
	w.Now = w.Now.Add(2 * time.Minute)
	left := r.Listed()
	for tick := 0; left > 0; tick++ {
		w.Tick()
		now := r.Listed()
		if gone := left - now; gone == 0 || gone > sweepMost+each {
			t.Fatalf("tick %d looks at %d deliveries", tick, gone)
		}
		left = now
	}
}
