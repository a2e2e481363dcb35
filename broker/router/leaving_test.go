package router

import (
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
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

// What a session has left is read again in a while where the store cannot be read.
func TestASessionLeavesOnceTheStoreCanBeRead(t *testing.T) {
	st := memory.New()
	r, w := openOver(t, st, access(t, 100))
	s, l := connect(t, w, "c", lasting)
	subscribe(t, w, s, "$share/g/a", packet.QoS1)
	w.Disconnect(s, l, true, nil)
	publishTo(t, w, "a", packet.QoS1)
	settle(r)
	member, _ := connect(t, w, "member", lasting)
	subscribe(t, w, member, "$share/g/a", packet.QoS1)
	r.store = unreadable{st}
	w.Now = w.Now.Add(2 * time.Hour)
	for range 3 {
		w.Tick()
		settle(r)
		w.Now = w.Now.Add(readAgain)
	}
	if s.leaving == nil || member.session.Inflight() > 0 {
		t.Fatal("the session has left although the store cannot be read")
	}
	r.store = st
	w.Tick()
	settle(r)
	if s.leaving != nil || member.session.Inflight() != 1 {
		t.Errorf("leaves still: %t, and %d messages are handed over", s.leaving != nil, member.session.Inflight())
	}
}
