package router

import (
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

// dies connects a client whose will has a delay.
func dies(after time.Duration) func(*Connect) {
	return func(c *Connect) {
		lasting(c)
		c.Will, c.WillDelay = &session.Message{Topic: "will", Payload: []byte("gone"), QoS: packet.QoS1}, after
	}
}

// The process ends with the connection of a client open, who is back at some time
// after the next one has begun.
func TestWillOfAnInterruptedConnection(t *testing.T) {
	for name, tc := range map[string]struct {
		delay, back time.Duration
		tick        bool
		comes       int
	}{
		"a client that is back before the delay has passed":     {time.Minute, time.Second, false, 0},
		"a client that is back after it":                        {time.Minute, 2 * time.Minute, false, 1},
		"a client that is back after it, and a tick":            {time.Minute, 2 * time.Minute, true, 1},
		"a will without a delay, of a client that is back soon": {0, time.Second, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			st := memory.New()
			r, w := openOver(t, st, access(t, 0))
			connect(t, w, "c", dies(tc.delay))
			watch, _ := connect(t, w, "watches", lasting)
			subscribe(t, w, watch, "will", packet.QoS1)
			settle(r)
			for range 2 { // it is published at most once
				r, w = openOver(t, st, access(t, 0))
				if w.Now = w.Now.Add(tc.back); tc.tick {
					w.Tick()
				}
				connect(t, w, "c", lasting)
				settle(r)
			}
			_, l := connect(t, w, "watches", lasting)
			settle(r)
			if l.written != tc.comes {
				t.Errorf("the will comes %d times, want %d", l.written, tc.comes)
			}
		})
	}
}

func TestACleanEndTakesTheWillOutOfTheStore(t *testing.T) {
	st := memory.New()
	r, w := openOver(t, st, access(t, 0))
	s, l := connect(t, w, "c", dies(time.Minute))
	w.Disconnect(s, l, true, nil)
	settle(r)
	var found records
	if err := st.Load(&found); err != nil {
		t.Fatal(err)
	}
	if found.all[0].Will != nil {
		t.Error("the will is stored")
	}
}

// The lifetime of a will begins when it is published.
func TestLifetimeOfAWillThatWasLoaded(t *testing.T) {
	st := memory.New()
	r, w := openOver(t, st, access(t, 0))
	connect(t, w, "c", dies(time.Minute), func(c *Connect) { c.Will.Expires = Unpublished.Add(time.Hour) })
	settle(r)
	next, _ := openOver(t, st, access(t, 0))
	s := next.sessions.shard("c").byID["c"]
	if got := s.will.Message.Expires.Sub(s.will.At); got != time.Hour || s.will.At.Sub(s.disconnected) != time.Minute {
		t.Errorf("it lives for %v from %v on", got, s.will.At)
	}
}
