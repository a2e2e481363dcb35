package router

import (
	"testing"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
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
	r := New(memory.New(), metrics.New(), access, Limits{MaxQoS: 2})
	return r, r.NewWorker(func(f func()) { f() })
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
	w.EndRound()
	next := New(r.store, metrics.New(), rules(t, allow("b")), Limits{MaxQoS: 2})
	if err := next.Load(w.Now); err != nil {
		t.Fatal(err)
	}
	w = next.NewWorker(func(f func()) { f() })
	if _, l = connect(t, w, "c", lasting); l.written != 1 {
		t.Errorf("%d messages come, want 1", l.written)
	}
	w.EndRound()
	if got := next.metrics.Total(metrics.DroppedUnauthorized); got != 1 {
		t.Errorf("%d are counted as dropped, want 1", got)
	}
}
