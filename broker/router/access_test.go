package router

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

// rules compiles rules for anonymous clients, who may do nothing else.
func rules(t testing.TB, all ...config.Rule) *auth.Snapshot {
	t.Helper()
	c := &config.Config{Settings: config.Settings{Anonymous: true, DefaultEffect: config.Deny}}
	c.Access.Policies = []config.Policy{{Source: "test", Anonymous: true, Rules: all}}
	snapshot, err := auth.Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

func rule(effect config.Effect, action config.Action, topics ...string) config.Rule {
	return config.Rule{Effect: effect, Actions: []config.Action{action}, Topics: topics}
}

func allow(topics ...string) config.Rule { return rule(config.Allow, config.ActionAll, topics...) }

func deny(topics ...string) config.Rule {
	return rule(config.Deny, config.ActionSubscribe, topics...)
}

func openWith(t testing.TB, access *auth.Snapshot) (*Router, *Worker) {
	t.Helper()
	return openOver(t, memory.New(), access)
}

// publishTo publishes to a topic as a client that has just come.
func publishTo(t testing.TB, w *Worker, name string, q packet.QoS) packet.ReasonCode {
	t.Helper()
	s, l := connect(t, w, "publisher")
	defer w.Disconnect(s, l, true, nil)
	return w.Publish(&Publisher{Subscriber: s, Version: packet.V5}, &packet.Publish{QoS: q, ID: 1, Topic: []byte(name)}, nil)
}

// What waits is judged by the rules of the moment in which it is first sent.
func TestWhatWaitsIsSentByTheRulesOfNow(t *testing.T) {
	before := []config.Rule{allow("a/#", "b")}
	for name, tc := range map[string]struct {
		filter string
		after  []config.Rule
		comes  int
	}{
		"rules that still grant it":              {"a/#", []config.Rule{allow("a/#")}, 2},
		"a right that is taken away":             {"a/#", []config.Rule{allow("b")}, 0},
		"a part that is denied":                  {"a/#", []config.Rule{allow("a/#"), deny("a/secret")}, 1},
		"a shared right that is taken away":      {"$share/g/a/#", []config.Rule{allow("b")}, 0},
		"a part that is denied to its group":     {"$share/g/a/#", []config.Rule{allow("a/#"), deny("$share/g/a/secret")}, 1},
		"a part that is denied to another group": {"$share/g/a/#", []config.Rule{allow("a/#"), deny("$share/h/a/secret")}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			r, w := openWith(t, rules(t, before...))
			s, l := connect(t, w, "c", lasting)
			subscribe(t, w, s, tc.filter, packet.QoS1)
			l.congested = true
			publishTo(t, w, "a/public", packet.QoS1)
			publishTo(t, w, "a/secret", packet.QoS1)
			r.SetAccess(rules(t, tc.after...))
			l.congested = false
			w.Drained(s, l)
			if l.written != tc.comes || s.session.Inflight() != tc.comes {
				t.Errorf("%d messages come and %d are in flight, want %d", l.written, s.session.Inflight(), tc.comes)
			}
		})
	}
}

// A session that is loaded gets what the rules of the new start grant.
func TestWhatWaitsInAStoreIsSentByTheRulesOfNow(t *testing.T) {
	r, w := openWith(t, rules(t, allow("a", "b")))
	s, l := connect(t, w, "c", lasting)
	subscribe(t, w, s, "a", packet.QoS1)
	subscribe(t, w, s, "b", packet.QoS1)
	w.Disconnect(s, l, true, nil)
	publishTo(t, w, "a", packet.QoS1)
	publishTo(t, w, "b", packet.QoS1)
	settle(r)
	next, w := openOver(t, r.store, rules(t, allow("b")))
	_, l = connect(t, w, "c", lasting)
	settle(next)
	if l.written != 1 {
		t.Errorf("%d messages come, want 1", l.written)
	}
	if got := next.metrics.Total(metrics.DroppedUnauthorized); got != 1 {
		t.Errorf("%d are counted as dropped, want 1", got)
	}
}

// A rule lowers the quality of service as long as it is there, and no longer.
func TestQoSComesBackWithTheRule(t *testing.T) {
	low := allow("t")
	low.MaxQoS = new(byte(0))
	r, w := openWith(t, rules(t, allow("t")))
	s, l := connect(t, w, "c", lasting)
	subscribe(t, w, s, "t", packet.QoS2)
	for _, tc := range []struct {
		name  string
		rules []config.Rule
		qos   packet.QoS
	}{
		{"lowered", []config.Rule{low}, packet.QoS0},
		{"restored", []config.Rule{allow("t")}, packet.QoS2},
		{"lowered again", []config.Rule{low}, packet.QoS0},
		{"withdrawn", nil, packet.QoS0},
		{"granted anew", []config.Rule{allow("t")}, packet.QoS2},
	} {
		r.SetAccess(rules(t, tc.rules...))
		if got := s.session.Subscription("t"); got.QoS != tc.qos || got.Suspended != (tc.rules == nil) {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
	w.PublishMessage(&session.Message{Topic: "t", Payload: []byte("m"), QoS: packet.QoS2})
	settle(r)
	if l.written != 1 || s.session.Inflight() != 1 {
		t.Errorf("%d messages come and %d are in flight", l.written, s.session.Inflight())
	}
}

func TestAWillThatWaitedIsPublishedByTheRulesOfNow(t *testing.T) {
	for name, tc := range map[string]struct {
		passes time.Duration
		rule   config.Rule
		comes  int
	}{
		"that allow it when its delay has passed":    {time.Minute, allow("will"), 1},
		"that deny it when its delay has passed":     {time.Minute, rule(config.Allow, config.ActionSubscribe, "will"), 0},
		"that allow it when the session has expired": {time.Hour, allow("will"), 1},
		"that deny it when the session has expired":  {time.Hour, rule(config.Allow, config.ActionSubscribe, "will"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			r, w := openWith(t, rules(t, allow("will")))
			to, watch := connect(t, w, "watches")
			subscribe(t, w, to, "will", packet.QoS0)
			s, l := connect(t, w, "c", lasting, func(c *Connect) {
				c.Will, c.WillDelay = &session.Message{Topic: "will", Payload: []byte("gone")}, time.Minute
			})
			w.Disconnect(s, l, false, nil)
			r.SetAccess(rules(t, tc.rule))
			w.Now = w.Now.Add(tc.passes)
			w.Tick()
			if watch.written != tc.comes {
				t.Errorf("the will comes %d times, want %d", watch.written, tc.comes)
			}
		})
	}
}

// An exchange that began under other rules proves nothing to those in force.
func TestReproveAsksTheRulesInForce(t *testing.T) {
	compile := func(users ...config.User) *auth.Snapshot {
		c := &config.Config{}
		c.Access.Users = users
		snapshot, err := auth.Compile(c)
		if err != nil {
			t.Fatal(err)
		}
		return snapshot
	}
	r, w := openWith(t, compile(config.User{Username: "u"}))
	who := auth.Principal{Username: "u", ClientID: "c"}
	s, _ := connect(t, w, "c", func(c *Connect) { c.Principal = who })
	if !w.Reprove(s, who) {
		t.Error("a valid user is refused")
	}
	r.SetAccess(compile())
	if w.Reprove(s, who) {
		t.Error("a user that was removed is admitted")
	}
}

// One that is not in force any more is kept by no session, connected, disconnected
// or ended, and by nothing that was decided by it. What was decided stands where
// the rules answer as before.
func TestAnAccessSnapshotIsKeptByNobodyOnceItIsReplaced(t *testing.T) {
	var collected atomic.Int32
	compile := func(others int) *auth.Snapshot {
		c := &config.Config{Settings: config.Settings{Anonymous: true, DefaultEffect: config.Allow}}
		for i := range others {
			c.Access.Users = append(c.Access.Users, config.User{Username: fmt.Sprint("other", i)})
		}
		snapshot, err := auth.Compile(c)
		if err != nil {
			t.Fatal(err)
		}
		runtime.AddCleanup(snapshot, func(struct{}) { collected.Add(1) }, struct{}{})
		return snapshot
	}
	r, w := openWith(t, compile(0))
	x := newPublish(t, w, packet.QoS0, packet.V5)
	away(t, w, "away", "b/#")
	gone, l := connect(t, w, "gone")
	from := &Publisher{Subscriber: gone, Version: packet.V5}
	subscribe(t, w, gone, "c", packet.QoS0)
	for range 2 { // a topic that comes again has a route that stays
		w.Publish(from, &packet.Publish{Topic: []byte("c")}, nil)
		x.once()
	}
	w.Disconnect(gone, l, true, nil)
	rights, route := x.from.rights, x.from.route

	const reloads = 20
	for i := range reloads {
		r.SetAccess(compile(i + 1))
		x.once()
	}
	if x.from.rights != rights || x.from.route != route || route.rights != rights {
		t.Error("what was decided is forgotten by a reload that changes nothing for the client")
	}
	for deadline := time.Now().Add(time.Minute); collected.Load() < reloads; runtime.Gosched() {
		if runtime.GC(); time.Now().After(deadline) {
			t.Fatalf("%d of %d snapshots that were replaced are garbage", collected.Load(), reloads)
		}
	}
	runtime.KeepAlive([]any{r, w, x, from})
	r.SetAccess(rules(t, deny("#")))
	if x.once(); x.from.rights == rights {
		t.Error("what was decided outlives a reload that changes it")
	}
}
