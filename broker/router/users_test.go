package router

import (
	"fmt"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
)

// tryConnect asks for a session, and returns what a client is told.
func tryConnect(w *Worker, user, id string, most int, changes ...func(*Connect)) (*Subscriber, *link, packet.ReasonCode) {
	l := &link{}
	c := &Connect{
		Principal: auth.Principal{Username: user, Anonymous: user == "", ClientID: id},
		Link:      l, Version: packet.V5, CleanStart: true, Window: 1, MaxSessions: most, Expiry: time.Hour,
	}
	for _, change := range changes {
		change(c)
	}
	s, _, _, reason := w.Connect(c)
	return s, l, reason
}

// TestSessionsAreBounded: those of a user and those of all, whether their clients
// are connected or not. Whoever comes back to a session, or begins it anew, is none
// more.
func TestSessionsAreBounded(t *testing.T) {
	const most = 5
	for name, tc := range map[string]struct {
		user  func(i int) string
		limit Limits
		own   int
	}{
		"of a user":           {func(int) string { return "ann" }, Limits{}, most},
		"of anonymous ones":   {func(int) string { return "" }, Limits{}, most},
		"of all users":        {func(i int) string { return fmt.Sprint("user", i) }, Limits{Sessions: most}, 0},
		"of one among others": {func(int) string { return "ann" }, Limits{Sessions: 100}, most},
	} {
		t.Run(name, func(t *testing.T) {
			everybody := config.Access{Users: []config.User{{Username: "ann"}}}
			for i := range 10 {
				everybody.Users = append(everybody.Users, config.User{Username: fmt.Sprint("user", i)})
			}
			r, w := openWith(t, compiled(t, true, everybody))
			r.SetLimits(tc.limit)
			for i := range most {
				s, l, reason := tryConnect(w, tc.user(i), fmt.Sprint("c", i), tc.own)
				if reason.IsError() {
					t.Fatalf("session %d: %v", i, reason)
				}
				if i%2 == 0 {
					w.Disconnect(s, l, true, nil)
				}
			}
			if _, _, reason := tryConnect(w, tc.user(most), "more", tc.own); reason != packet.ReasonQuotaExceeded {
				t.Errorf("one more: %v", reason)
			}
			back, l, reason := tryConnect(w, tc.user(0), "c0", tc.own, lasting)
			if reason.IsError() {
				t.Fatalf("one that comes back: %v", reason)
			}
			w.Disconnect(back, l, true, nil)
			if back, l, reason = tryConnect(w, tc.user(0), "c0", tc.own); reason.IsError() {
				t.Fatalf("one that begins anew: %v", reason)
			}
			var zero time.Duration
			w.Disconnect(back, l, true, &zero)
			if _, _, reason := tryConnect(w, tc.user(most), "more", tc.own); reason.IsError() {
				t.Errorf("one more after another has ended: %v", reason)
			}
			settle(r)
			next, later := openOver(t, r.store, compiled(t, true, everybody))
			next.SetLimits(tc.limit)
			if _, _, reason := tryConnect(later, tc.user(9), "yet more", tc.own); reason != packet.ReasonQuotaExceeded {
				t.Errorf("one more after a restart: %v", reason)
			}
		})
	}
}

// TestRetainedMessagesOfAUserAreBounded: whoever published last owns it, after a
// restart too. What is beyond the limit is delivered, and not kept.
func TestRetainedMessagesOfAUserAreBounded(t *testing.T) {
	size := int64((&session.Message{Topic: "t/0", Payload: []byte("m")}).Size())
	for name, limits := range map[string]config.UserLimits{
		"messages": {MaxRetainedMessages: 3},
		"bytes":    {MaxRetainedBytes: 3*size + 1},
	} {
		t.Run(name, func(t *testing.T) {
			users := config.Access{Users: []config.User{{Username: "ann", Limits: limits}, {Username: "bob"}}}
			r, w := openWith(t, compiled(t, true, users))
			publisher := func(w *Worker, user string) func(topic, payload string) packet.ReasonCode {
				s, _ := connect(t, w, user, as(user))
				from := &Publisher{Subscriber: s, Version: packet.V5}
				return func(topic, payload string) packet.ReasonCode {
					return w.Publish(from, &packet.Publish{Topic: []byte(topic), Payload: []byte(payload), Retain: true}, nil)
				}
			}
			want := func(got, want packet.ReasonCode) {
				t.Helper()
				if got != want {
					t.Errorf("%v, want %v", got, want)
				}
			}
			live, l := connect(t, w, "live")
			subscribe(t, w, live, "#", packet.QoS0)
			ann, bob := publisher(w, "ann"), publisher(w, "bob")
			for i := range 3 {
				want(ann(fmt.Sprint("t/", i), "m"), packet.ReasonSuccess)
			}
			want(ann("t/3", "m"), packet.ReasonQuotaExceeded)
			if l.written != 4 {
				t.Errorf("%d were delivered, want 4", l.written)
			}
			want(ann("t/0", "x"), packet.ReasonSuccess) // in the place of its own
			want(bob("t/0", "m"), packet.ReasonSuccess) // which is bob's from now on
			want(ann("t/3", "m"), packet.ReasonSuccess)
			want(ann("t/3", ""), packet.ReasonSuccess)
			want(ann("t/4", "m"), packet.ReasonSuccess)
			settle(r)
			_, later := openOver(t, r.store, compiled(t, true, users))
			after := publisher(later, "ann")
			want(after("t/5", "m"), packet.ReasonQuotaExceeded)
			want(after("t/4", ""), packet.ReasonNoMatchingSubscribers)
			want(after("t/5", "m"), packet.ReasonNoMatchingSubscribers)
		})
	}
}
