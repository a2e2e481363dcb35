package router

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

// written is a store that remembers what sessions and subscriptions it was given.
type written struct {
	store.Store
	sessions      int
	subscriptions []string
}

// Commit implements store.Store.
func (s *written) Commit(b *store.Batch, done func(error)) {
	s.sessions += len(b.Sessions)
	for _, sub := range b.Subscriptions {
		change := "+"
		if sub.Removed {
			change = "-"
		}
		s.subscriptions = append(s.subscriptions, change+sub.Filter)
	}
	s.Store.Commit(b, done)
}

// take returns what came since the last call.
func (s *written) take() (sessions int, subscriptions []string) {
	sessions, subscriptions = s.sessions, s.subscriptions
	s.sessions, s.subscriptions = 0, nil
	return sessions, subscriptions
}

func TestOnlyWhatChangesOfASessionIsWritten(t *testing.T) {
	st := &written{Store: memory.New()}
	_, w := openOver(t, st, access(t, 0))
	var s *Subscriber
	var l *link
	for _, step := range []struct {
		name          string
		do            func()
		sessions      int
		subscriptions []string
	}{
		{"connect", func() { s, l = connect(t, w, "c", lasting) }, 1, nil},
		{"subscribe", func() { subscribe(t, w, s, "a", 1); subscribe(t, w, s, "b", 1) }, 0, []string{"+a", "+b"}},
		{"subscribe again", func() { subscribe(t, w, s, "a", 1) }, 0, nil},
		{"subscribe otherwise", func() { subscribe(t, w, s, "a", 2) }, 0, []string{"+a"}},
		{"unsubscribe", func() { w.Unsubscribe(s, l, [][]byte{[]byte("b"), []byte("c"), []byte("b")}, nil) }, 0, []string{"-b"}},
		{"disconnect", func() { w.Disconnect(s, l, true, nil) }, 1, nil},
		{"connect again", func() { s, l = connect(t, w, "c", lasting) }, 1, nil},
		{"of a session that does not last", func() {
			passing, pl := connect(t, w, "passing")
			subscribe(t, w, passing, "a", 1)
			w.Unsubscribe(passing, pl, [][]byte{[]byte("a")}, nil)
		}, 0, nil},
	} {
		step.do()
		w.EndRound()
		if sessions, subscriptions := st.take(); sessions != step.sessions || !slices.Equal(subscriptions, step.subscriptions) {
			t.Errorf("%s: %d sessions and subscriptions %q are written, want %d and %q",
				step.name, sessions, subscriptions, step.sessions, step.subscriptions)
		}
	}
}

func TestSubscriptionsOutliveTheProcess(t *testing.T) {
	st := memory.New()
	_, w := openOver(t, st, access(t, 0))
	s, l := connect(t, w, "c", lasting)
	for i := range 40 {
		subscribe(t, w, s, fmt.Sprint("t/", i), packet.QoS(i%3))
	}
	for i := range 20 {
		w.Unsubscribe(s, l, [][]byte{fmt.Append(nil, "t/", 2*i)}, nil)
	}
	w.EndRound()
	r, w := openOver(t, st, access(t, 0))
	if got := r.Subscriptions(); got != 20 {
		t.Errorf("%d subscriptions, want 20", got)
	}
	s, _ = connect(t, w, "c", func(c *Connect) { c.CleanStart, c.Expiry = false, time.Hour })
	for i := range 40 {
		sub := s.session.Subscription(fmt.Sprint("t/", i))
		if (sub != nil) != (i%2 == 1) || sub != nil && sub.QoS != packet.QoS(i%3) {
			t.Errorf("subscription %d is %+v", i, sub)
		}
	}
}

func TestFiltersOfAClientAreBoundedInBytes(t *testing.T) {
	_, w := open(t)
	s, l := connect(t, w, "c")
	limits := SubscriptionLimits{Count: 4, Bytes: 10}
	try := func(filter string) packet.ReasonCode {
		p := &packet.Subscribe{Subscriptions: []packet.Subscription{{Filter: []byte(filter)}}}
		return w.Subscribe(s, l, p, limits, nil)[0].Reason
	}
	for _, step := range []struct {
		filter string
		want   packet.ReasonCode
	}{
		{"12345", 0}, {"123456", packet.ReasonQuotaExceeded}, {"12345", 0}, {"1234", 0}, {"1", 0},
		{"2", packet.ReasonQuotaExceeded}, {"1234", 0},
	} {
		if got := try(step.filter); got != step.want {
			t.Errorf("subscribe to %q: %v, want %v", step.filter, got, step.want)
		}
	}
	w.Unsubscribe(s, l, [][]byte{[]byte("12345")}, nil)
	if got := try("67890"); got != 0 {
		t.Errorf("what was given back is not there: %v", got)
	}
}
