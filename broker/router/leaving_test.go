package router

import (
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// The timer of a session goes off, and before its worker has come to it the client is
// back and the session leaves: what it has left is handed over once, and the session
// that the client then has stays.
func TestASessionLeavesOnceWhenItsTimerGoesOffAsWell(t *testing.T) {
	const n = 3 * leftMessages
	r, w := open(t)
	s, l := connect(t, w, "c", lasting)
	subscribe(t, w, s, "$share/g/a", packet.QoS1)
	w.Disconnect(s, l, true, nil)
	for range n {
		publishTo(t, w, "a", packet.QoS1)
	}
	settle(r)
	member, _ := connect(t, w, "member", lasting)
	subscribe(t, w, member, "$share/g/a", packet.QoS1)

	w.Now = w.Now.Add(2 * time.Hour)
	if r.timers.next(w.Now) != s {
		t.Fatal("the session has not expired")
	}
	c := &Connect{Principal: s.Principal(), Link: &link{}, Version: packet.V5, Expiry: time.Hour, Window: 1}
	_, _, wait, _ := w.Connect(c)
	if wait == nil {
		t.Fatal("the session does not leave")
	}
	var back *Subscriber
	wait(func() { back, _, _, _ = w.Connect(c) })
	w.wake(s)
	settle(r)
	waiting, _ := member.session.Queue()
	if got := waiting + member.session.Inflight(); got != n {
		t.Errorf("%d messages are handed over, want %d", got, n)
	}
	if sh := r.sessions.shard("c"); back == nil || sh.byID["c"] != back {
		t.Errorf("the client has session %p, and listed is %p", back, sh.byID["c"])
	}
}
