package router

import (
	"fmt"
	"math"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
)

// TestWithoutRoomNoSessionBegins: whoever comes back has its own.
func TestWithoutRoomNoSessionBegins(t *testing.T) {
	for name, tc := range map[string]struct {
		room           Room
		lasts, refused bool
	}{
		"memory is short":                          {Room{NoSessions: true}, false, true},
		"memory is short, a durable one":           {Room{NoSessions: true}, true, true},
		"disk is short, a durable one":             {Room{NoDurable: true}, true, true},
		"disk is short, one that is not kept":      {Room{NoDurable: true}, false, false},
		"there is room":                            {Room{}, true, false},
		"there is room, for one that is not there": {Room{}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			r, w := open(t)
			s, l := connect(t, w, "known", lasting)
			w.Disconnect(s, l, true, nil)
			r.SetRoom(tc.room)
			_, _, reason := tryConnect(w, "", "new", 0, func(c *Connect) {
				if !tc.lasts {
					c.Expiry = 0
				}
			})
			if (reason == packet.ReasonQuotaExceeded) != tc.refused {
				t.Errorf("%v", reason)
			}
			if got := w.Counts[metrics.SessionsShed]; (got == 1) != tc.refused {
				t.Errorf("%d are counted", got)
			}
			if _, _, reason := tryConnect(w, "", "known", 0, lasting); reason.IsError() {
				t.Errorf("one that comes back: %v", reason)
			}
		})
	}
}

// TestTheBiggestQueuesAreFullFirst: where room is short small ones go on.
func TestTheBiggestQueuesAreFullFirst(t *testing.T) {
	size := int64((&session.Delivery{Message: &session.Message{Topic: "t", Payload: make([]byte, 100)}}).Size())
	for name, tc := range map[string]struct {
		room    func(most int64) Room
		changes []func(*Connect)
	}{
		"in memory": {func(most int64) Room { return Room{Memory: most, Disk: math.MaxInt64} }, nil},
		"on disk":   {func(most int64) Room { return Room{Memory: math.MaxInt64, Disk: most} }, []func(*Connect){lasting}},
	} {
		t.Run(name, func(t *testing.T) {
			r, w := openWith(t, rules(t, allow("#")))
			waits := func(filter string) *Subscriber {
				s, _ := connect(t, w, filter, append(tc.changes, func(c *Connect) { c.Window = 1 })...)
				subscribe(t, w, s, filter, packet.QoS1)
				return s
			}
			big, small := waits("+"), waits("t")
			publish := func(n int, topic string) {
				for range n {
					w.PublishMessage(&session.Message{Topic: topic, Payload: make([]byte, 100), QoS: packet.QoS1})
				}
			}
			publish(11, "x")
			r.SetRoom(tc.room(10 * size))
			publish(5, "t")
			bigHas, _ := big.session.Queue()
			smallHas, _ := small.session.Queue()
			if bigHas != 10 || smallHas != 4 {
				t.Errorf("%d and %d wait, want 10 and 4", bigHas, smallHas)
			}
			if got := w.Counts[metrics.DroppedQueueFull]; got != 5 {
				t.Errorf("%d were dropped, want 5", got)
			}
		})
	}
}

// TestShedEndsThoseForWhomMostIsHeld: and no more than needed.
func TestShedEndsThoseForWhomMostIsHeld(t *testing.T) {
	r, w := open(t)
	links := make([]*link, 5)
	for i := range links {
		_, links[i] = connect(t, w, fmt.Sprint("c", i))
		links[i].pending = int64(i) * leastShed
	}
	if got := r.Shed(6 * leastShed); got != 2 {
		t.Errorf("%d are ended", got)
	}
	for i, l := range links {
		if ended := l.kicked == packet.ReasonQuotaExceeded; ended != (i >= 3) {
			t.Errorf("the one for whom %d bytes are held is ended: %t", l.pending, ended)
		}
	}
	if got := r.metrics.Total(metrics.ConnectionsShed); got != 2 {
		t.Errorf("%d are counted", got)
	}
}
