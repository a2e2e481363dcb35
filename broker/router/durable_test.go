package router

import (
	"fmt"
	"slices"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

// filtersOf returns the subscriptions of a session, sorted.
func filtersOf(s *Subscriber) []string {
	all := []string{}
	for sub := range s.session.EachSubscription {
		all = append(all, fmt.Sprintf("%s %d", sub.Filter, sub.QoS))
	}
	slices.Sort(all)
	return all
}

// What a durable session has subscribed to is there after a restart, although its connection
// never ended.
func TestSubscriptionsOfADurableSessionOutliveTheProcess(t *testing.T) {
	st := memory.New()
	_, w := openOver(t, st, access(t, 1))
	s, l := connect(t, w, "c", lasting)
	w.Settle()
	steps := []struct {
		change func()
		want   []string
	}{
		{func() { subscribe(t, w, s, "a", packet.QoS1) }, []string{"a 1"}},
		{func() { subscribe(t, w, s, "b/#", packet.QoS2) }, []string{"a 1", "b/# 2"}},
		{func() { subscribe(t, w, s, "a", packet.QoS0) }, []string{"a 0", "b/# 2"}},
		{func() { w.Unsubscribe(s, l, [][]byte{[]byte("b/#")}, nil) }, []string{"a 0"}},
	}
	for i, step := range steps {
		step.change()
		if !w.Dirty() {
			t.Errorf("step %d: the acknowledgement does not wait for the store", i)
		}
		w.Settle()
		again, _ := openOver(t, st, access(t, 1))
		if got := filtersOf(again.sessions.all()[0]); !slices.Equal(got, step.want) {
			t.Errorf("step %d: after a restart there are %q, want %q", i, got, step.want)
		}
	}
}

func TestSubscriptionsOfOtherSessionsAreNotStored(t *testing.T) {
	_, w := open(t)
	s, l := connect(t, w, "c")
	w.Settle()
	subscribe(t, w, s, "a", packet.QoS1)
	w.Unsubscribe(s, l, [][]byte{[]byte("a")}, nil)
	if w.Dirty() {
		t.Error("the store is given what ends with the connection")
	}
}

// A connection whose session was taken over changes nothing in it any more.
func TestAConnectionThatWasTakenOverSubscribesToNothing(t *testing.T) {
	st := memory.New()
	_, w := openOver(t, st, access(t, 1))
	s, old := connect(t, w, "c", lasting)
	subscribe(t, w, s, "kept", packet.QoS1)
	w.Disconnect(s, old, true, nil)
	connect(t, w, "c", lasting)
	w.Settle()
	p := &packet.Subscribe{Subscriptions: []packet.Subscription{{Filter: []byte("late")}, {Filter: []byte("later")}}}
	results := w.Subscribe(s, old, p, SubscriptionLimits{}, nil)
	if len(results) != 2 || results[0].Reason != packet.ReasonUnspecifiedError || results[1].Reason != packet.ReasonUnspecifiedError {
		t.Errorf("the SUBSCRIBE is answered %+v", results)
	}
	reasons := w.Unsubscribe(s, old, [][]byte{[]byte("kept")}, nil)
	if !slices.Equal(reasons, []packet.ReasonCode{packet.ReasonNoSubscriptionExisted}) {
		t.Errorf("the UNSUBSCRIBE is answered %v", reasons)
	}
	if w.Dirty() {
		t.Error("the store is given a change that was refused")
	}
	if got := filtersOf(s); !slices.Equal(got, []string{"kept 1"}) {
		t.Errorf("the session has %q", got)
	}
}
