package router

import (
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
)

// usersAnd compiles users who may do everything, and clients without credentials.
func usersAnd(t testing.TB, anonymous bool, users ...config.User) *auth.Snapshot {
	t.Helper()
	return compiled(t, anonymous, config.Access{Users: users})
}

func compiled(t testing.TB, anonymous bool, access config.Access) *auth.Snapshot {
	t.Helper()
	c := &config.Config{Settings: config.Settings{Anonymous: anonymous, DefaultEffect: config.Allow}, Access: access}
	snapshot, err := auth.Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

// as connects as a user; "" is nobody.
func as(username string) func(*Connect) {
	return func(c *Connect) {
		c.Principal.Username, c.Principal.Anonymous = username, username == ""
	}
}

// A decision on a topic is used for no other, although they share a route.
func TestADecisionIsForItsTopicAlone(t *testing.T) {
	long := strings.Repeat("x", longName)
	for name, tc := range map[string]struct{ allowed, other string }{
		"of topics that come once":     {"open/1", "secret/1"},
		"of topics with long names":    {"open/" + long, "secret/" + long},
		"of a topic of the broker's":   {"open/1", "$SYS/broker/version"},
		"of the topic, and back again": {"open/1", "open/2"},
	} {
		t.Run(name, func(t *testing.T) {
			_, w := openWith(t, rules(t, allow("open/1", "open/x"+long[1:])))
			s, _ := connect(t, w, "eve")
			eve := &Publisher{Subscriber: s, Version: packet.V5}
			publish := func(topic string) bool {
				return !w.Publish(eve, &packet.Publish{Topic: []byte(topic)}, nil).IsError()
			}
			if !publish(tc.allowed) {
				t.Fatalf("%.20s is refused", tc.allowed)
			}
			w.PublishMessage(&session.Message{Topic: tc.other, Payload: []byte("by another")})
			if publish(tc.other) {
				t.Errorf("%.20s is allowed", tc.other)
			}
			w.PublishMessage(&session.Message{Topic: tc.allowed, Payload: []byte("by another")})
			if !publish(tc.allowed) {
				t.Errorf("%.20s is refused", tc.allowed)
			}
		})
	}
}

// What was sent and not acknowledged is sent again if the rules of now allow it, and
// whether or not the client is subscribed still [MQTT-3.10.4-3]. At QoS 2 the exchange
// goes on with PUBREL.
func TestWhatIsSentAgainIsSentByTheRulesOfNow(t *testing.T) {
	leave := func(t *testing.T, w *Worker, s *Subscriber, filter string) {
		w.Unsubscribe(s, s.link, [][]byte{[]byte(filter)}, nil)
	}
	for name, tc := range map[string]struct {
		filter string
		after  []config.Rule
		before func(t *testing.T, w *Worker, s *Subscriber, filter string)
		comes  bool
	}{
		"rules that still grant it":        {filter: "a/#", after: []config.Rule{allow("a/#")}, comes: true},
		"a subscription that has ended":    {filter: "a/#", after: []config.Rule{allow("a/#")}, before: leave, comes: true},
		"rules that grant this topic only": {filter: "a/#", after: []config.Rule{allow("a/b")}, comes: true},
		"a topic that is denied":           {filter: "a/#", after: []config.Rule{allow("a/#"), deny("a/b")}},
		"a right that is taken away":       {filter: "a/#", after: []config.Rule{allow("x")}},
		"one that left before, too":        {filter: "a/#", after: []config.Rule{allow("x")}, before: leave},
		"a group that is denied":           {filter: "$share/g/a/#", after: []config.Rule{allow("#"), deny("$share/g/a/b")}},
		"a group that is granted":          {filter: "$share/g/a/#", after: []config.Rule{allow("$share/g/a/#")}, comes: true},
	} {
		for _, q := range []packet.QoS{packet.QoS1, packet.QoS2} {
			t.Run(name, func(t *testing.T) {
				r, w := openWith(t, rules(t, allow("#")))
				s, l := connect(t, w, "c", lasting)
				subscribe(t, w, s, tc.filter, q)
				publishTo(t, w, "a/b", q)
				settle(r)
				if l.written != 1 {
					t.Fatalf("%d messages come", l.written)
				}
				if tc.before != nil {
					tc.before(t, w, s, tc.filter)
				}
				w.Disconnect(s, l, true, nil)
				r.SetAccess(rules(t, tc.after...))
				s, l = connect(t, w, "c", lasting)
				settle(r)
				expectAgain(t, l, q, tc.comes)
				if inflight, want := s.session.Inflight(), map[bool]int{tc.comes || q == packet.QoS2: 1}[true]; inflight != want {
					t.Errorf("%d are in flight, want %d", inflight, want)
				}
				w.Acknowledge(s, l, packet.TypePubcomp, 1, 0)
				settle(r)
			})
		}
	}
}

func expectAgain(t *testing.T, l *link, q packet.QoS, comes bool) {
	t.Helper()
	want := []string{"PUBLISH 1 dup true"}
	switch {
	case comes:
	case q == packet.QoS2:
		want = []string{"PUBREL 1"}
	default:
		want = nil
	}
	if got := l.packets(t); strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A message of QoS 2 whose identifier is durable, and that was never written before
// the broker ended, is withheld as well. That it is, is on disk before PUBREL is sent.
func TestWhatIsWithheldStaysWithheldAfterACrash(t *testing.T) {
	r, w := openWith(t, rules(t, allow("#")))
	s, l := connect(t, w, "c", lasting)
	subscribe(t, w, s, "a", packet.QoS2)
	publishTo(t, w, "a", packet.QoS2)
	w.Settle() // the identifier is in the store, and the process ends
	if l.written > 0 {
		t.Fatal("the message is sent before its identifier is durable")
	}
	r, w = openOver(t, r.store, rules(t, allow("b")))
	_, l = connect(t, w, "c", lasting)
	if got := l.packets(t); len(got) > 0 {
		t.Errorf("%q before the store has it", got)
	}
	settle(r)
	expectAgain(t, l, packet.QoS2, false)
	r, w = openOver(t, r.store, rules(t, allow("#")))
	_, l = connect(t, w, "c", lasting)
	settle(r)
	expectAgain(t, l, packet.QoS2, false)
}

// A session ends with its user, and leaves the client identifier to others, whether
// its client is connected or away.
func TestSessionsEndWithTheirUser(t *testing.T) {
	ann, bob := config.User{Username: "ann"}, config.User{Username: "bob"}
	for name, tc := range map[string]struct {
		owner        string
		after        *auth.Snapshot
		leaves, ends bool // the connection, the session
	}{
		"a user that is gone":          {"ann", usersAnd(t, true, bob), true, true},
		"a user that stays":            {"ann", usersAnd(t, false, ann, bob), false, false},
		"a user that is suspended":     {"ann", compiled(t, true, config.Access{Users: []config.User{bob}, Suspended: []config.Suspended{{Username: "ann"}}}), true, false},
		"anonymous access that is off": {"", usersAnd(t, false, ann, bob), true, true},
		"anonymous access that stays":  {"", usersAnd(t, true, bob), false, false},
	} {
		for _, online := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				r, w := openWith(t, usersAnd(t, true, ann, bob))
				s, l := connect(t, w, "c", lasting, as(tc.owner))
				if !online {
					w.Disconnect(s, l, true, nil)
				}
				r.SetAccess(tc.after)
				if online {
					if kicked := l.kicked == packet.ReasonNotAuthorized; kicked != tc.leaves {
						t.Errorf("disconnected: %t", kicked)
					}
					w.Disconnect(s, l, true, nil)
				}
				r.SetAccess(usersAnd(t, true, ann, bob)) // that the user is back brings nothing back
				w.Tick()
				settle(r)
				if got := r.Sessions() == 0; got != tc.ends {
					t.Errorf("the session has ended: %t", got)
				}
				if _, _, _, reason := w.Connect(&Connect{Principal: auth.Principal{Username: "bob", ClientID: "c"}, Link: &link{}}); reason.IsError() == tc.ends {
					t.Errorf("another user gets the client identifier: %v", reason)
				}
			})
		}
	}
}

// That is also so where the user goes while its client connects, or ends its
// connection with another session expiry interval.
func TestSessionsEndWithAUserWhoGoesMeanwhile(t *testing.T) {
	without := usersAnd(t, true, config.User{Username: "bob"})
	ann := config.User{Username: "ann"}
	for name, before := range map[string]bool{"a new session": false, "a session that was there": true} {
		t.Run(name, func(t *testing.T) {
			r, w := openWith(t, usersAnd(t, true, ann))
			if before {
				s, l := connect(t, w, "c", lasting, as("ann"))
				w.Disconnect(s, l, true, nil)
			}
			c := &Connect{Principal: auth.Principal{Username: "ann", ClientID: "c"}, Link: &link{}, Version: packet.V5, Expiry: time.Hour, Window: 1}
			sh := r.sessions.shard("c")
			sh.mu.Lock()
			s, _, wait, reason := w.existing(sh, c)
			if wait != nil || reason.IsError() || (s != nil) != before {
				t.Fatalf("session %v, waits %t, %v", s, wait != nil, reason)
			}
			// SetAccess, before it comes to the session.
			r.access.Store(without)
			if s == nil {
				s, _ = w.begin(sh, c)
			}
			w.join(s, c)
			sh.mu.Unlock()
			hour := time.Hour
			w.Disconnect(s, s.link, true, &hour)
			settle(r)
			if n := r.Sessions(); n != 0 {
				t.Errorf("%d sessions are left", n)
			}
			if n := len(r.sessions.users.byName); n != 0 {
				t.Errorf("%d users are counted", n)
			}
		})
	}
}

// That is also so where the user went while the broker was down.
func TestSessionsOfUsersWhoAreGoneEndAtTheStart(t *testing.T) {
	ann, bob := config.User{Username: "ann"}, config.User{Username: "bob"}
	r, w := openWith(t, usersAnd(t, false, ann, bob))
	s, l := connect(t, w, "away", lasting, as("ann"))
	w.Disconnect(s, l, true, nil)
	connect(t, w, "online", lasting, as("ann"))
	connect(t, w, "other", lasting, as("bob"))
	settle(r)
	r, w = openOver(t, r.store, usersAnd(t, false, bob))
	w.Tick()
	settle(r)
	if n := r.Sessions(); n != 1 {
		t.Errorf("%d sessions are left, want that of the user who is there", n)
	}
}

// A client identifier goes to the user whose clientIds name it, and who has it of
// those who name it in equal parts stays.
func TestAClientIdentifierGoesToWhomItIsNamedFor(t *testing.T) {
	access := usersAnd(t, true,
		config.User{Username: "device", ClientIDs: []string{"dev-1"}},
		config.User{Username: "twin", ClientIDs: []string{"x", "dev-1"}},
		config.User{Username: "fleet", ClientIDs: []string{"dev-*"}},
		config.User{Username: "any", ClientIDs: []string{"*"}},
		config.User{Username: "free"})
	for _, tc := range []struct {
		has, comes string
		gets       bool
	}{
		{"", "device", true},
		{"free", "device", true},
		{"any", "device", true},
		{"fleet", "device", true},
		{"", "fleet", true},
		{"free", "fleet", true},
		{"device", "twin", false},
		{"device", "fleet", false},
		{"device", "free", false},
		{"device", "", false},
		{"any", "free", false},
		{"free", "any", false},
		{"free", "", false},
		{"", "free", false},
	} {
		for _, online := range []bool{true, false} {
			t.Run(tc.comes+" comes and "+tc.has+" has it", func(t *testing.T) {
				r, w := openWith(t, access)
				s, l := connect(t, w, "dev-1", lasting, as(tc.has))
				if !online {
					w.Disconnect(s, l, true, nil)
				}
				took := claim(t, w, s, l, tc.comes, online)
				if took != tc.gets {
					t.Fatalf("gets it: %t", took)
				}
				settle(r)
				if n := r.Sessions(); n != 1 {
					t.Errorf("%d sessions", n)
				}
			})
		}
	}
}

// A user that is suspended keeps its sessions, also from those who name less of the
// client identifier, and from nobody who names more.
func TestASuspendedUserKeepsItsClientIdentifiers(t *testing.T) {
	user := func(name string, ids ...string) config.User { return config.User{Username: name, ClientIDs: ids} }
	others := []config.User{user("fleet", "dev-*"), user("exact", "dev-1")}
	for name, tc := range map[string]struct {
		ids   []string
		comes string
		gets  bool
	}{
		"named by both, and by it in whole": {[]string{"dev-1"}, "fleet", false},
		"named by both in whole":            {[]string{"dev-1"}, "exact", false},
		"named by it in part":               {[]string{"dev-*"}, "exact", true},
		"not named by it":                   {nil, "fleet", true},
	} {
		t.Run(name, func(t *testing.T) {
			r, w := openWith(t, usersAnd(t, true, append(others, user("device", tc.ids...))...))
			s, l := connect(t, w, "dev-1", lasting, as("device"))
			w.Disconnect(s, l, true, nil)
			r.SetAccess(compiled(t, true, config.Access{
				Users: others, Suspended: []config.Suspended{{Username: "device", ClientIDs: tc.ids}},
			}))
			if got := claim(t, w, s, l, tc.comes, false); got != tc.gets {
				t.Errorf("%s gets it: %t", tc.comes, got)
			}
		})
	}
}

// claim connects as a user under an identifier that the session s has, and reports
// whether it got it. Of the other's session it may have nothing.
func claim(t *testing.T, w *Worker, s *Subscriber, l *link, username string, online bool) bool {
	t.Helper()
	req := &Connect{Principal: auth.Principal{ClientID: "dev-1"}, Link: &link{}, Version: packet.V5, Expiry: time.Hour}
	as(username)(req)
	got, present, wait, reason := w.Connect(req)
	if wait != nil {
		if !online {
			t.Fatal("it waits for a connection that is none")
		}
		w.Disconnect(s, l, false, nil) // as Yield has it do
		got, present, wait, reason = w.Connect(req)
	}
	if reason.IsError() {
		if reason != packet.ReasonClientIdentifierNotValid {
			t.Errorf("refused with %v", reason)
		}
		return false
	}
	if wait != nil || present || got == s {
		t.Errorf("session present %t, the same %t, waits %t", present, got == s, wait != nil)
	}
	return true
}

// A session that has expired belongs to nobody, also before it was removed.
func TestAnExpiredSessionKeepsNobodyOut(t *testing.T) {
	_, w := openWith(t, usersAnd(t, true, config.User{Username: "ann"}))
	s, l := connect(t, w, "c", lasting, as(""))
	w.Disconnect(s, l, true, nil)
	w.Now = w.Now.Add(2 * time.Hour)
	connect(t, w, "c", as("ann"))
}

// A credential that is no longer valid when its CONNECT gets its turn ends nobody's
// connection.
func TestAPrincipalThatIsNoLongerValidTakesNothingOver(t *testing.T) {
	ann := config.User{Username: "ann"}
	r, w := openWith(t, usersAnd(t, true, ann))
	s, l := connect(t, w, "c", lasting, as("ann"))
	r.SetAccess(usersAnd(t, true, config.User{Username: "bob"}))
	req := &Connect{Principal: auth.Principal{Username: "ann", ClientID: "c"}, Link: &link{}, CleanStart: true}
	if _, _, wait, reason := w.Connect(req); wait != nil || reason != packet.ReasonNotAuthorized {
		t.Errorf("waits %t, %v", wait != nil, reason)
	}
	if s.ended || s.link != l {
		t.Error("the session that was there is disturbed")
	}
}
