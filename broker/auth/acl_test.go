package auth

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/config"
)

// rule makes a rule for the actions, a letter each: p, s or * for all.
func rule(effect config.Effect, actions string, topics ...string) config.Rule {
	r := config.Rule{Effect: effect, Topics: topics}
	for _, a := range actions {
		r.Actions = append(r.Actions, map[rune]config.Action{
			'p': config.ActionPublish, 's': config.ActionSubscribe, '*': config.ActionAll,
		}[a])
	}
	return r
}

func allow(actions string, topics ...string) config.Rule {
	return rule(config.Allow, actions, topics...)
}

func deny(actions string, topics ...string) config.Rule { return rule(config.Deny, actions, topics...) }

func withQoS(r config.Rule, q byte) config.Rule { r.MaxQoS = new(q); return r }

func withoutRetain(r config.Rule) config.Rule { r.Retain = config.Deny; return r }

// rulesFor compiles the rules for all authenticated principals and anonymous
// ones, and returns the ACL of user u1 with client ID c1.
func rulesFor(t *testing.T, rules ...config.Rule) *ACL {
	t.Helper()
	return identity(t, "u1", "c1", rules...)
}

func identity(t *testing.T, username, clientID string, rules ...config.Rule) *ACL {
	t.Helper()
	s := compile(t, config.Config{Access: config.Access{
		Users:    []config.User{{Username: username}},
		Policies: []config.Policy{{Source: "iot/all", Authenticated: true, Rules: rules}},
	}})
	return s.ACL(Principal{Username: username, ClientID: clientID})
}

func compile(tb testing.TB, c config.Config) *Snapshot {
	tb.Helper()
	s, err := Compile(&c)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

//api:semantics 1 2 3
func TestPublish(t *testing.T) {
	no := PublishDecision{}
	any := PublishDecision{Allowed: true, Retain: true, MaxQoS: 2, MaxQoSRetained: 2}
	for _, tc := range []struct {
		name  string
		rules []config.Rule
		topic string
		want  PublishDecision
	}{
		{"no rule is a refusal", nil, "a", no},
		{"allowed by name", []config.Rule{allow("p", "a/b")}, "a/b", any},
		{"allowed by All", []config.Rule{allow("*", "a/b")}, "a/b", any},
		{"Subscribe does not allow Publish", []config.Rule{allow("s", "a/b")}, "a/b", no},
		{"prefix is not the topic", []config.Rule{allow("p", "a")}, "a/b", no},
		{"plus is one level", []config.Rule{allow("p", "a/+")}, "a/b", any},
		{"plus is an empty level", []config.Rule{allow("p", "a/+")}, "a/", any},
		{"plus is not two levels", []config.Rule{allow("p", "a/+")}, "a/b/c", no},
		{"hash includes the parent", []config.Rule{allow("p", "a/#")}, "a", any},
		{"hash includes all below", []config.Rule{allow("p", "a/#")}, "a/b/c", any},
		{"hash does not cover $", []config.Rule{allow("p", "#")}, "$SYS/a", no},
		{"plus does not cover $", []config.Rule{allow("p", "+/a")}, "$SYS/a", no},
		{"$ by name", []config.Rule{allow("p", "$x/#")}, "$x/a", any},
		{"$SYS is the broker's own", []config.Rule{allow("p", "$SYS/#")}, "$SYS/a", no},
		{"$ below the first level is nothing special", []config.Rule{allow("p", "a/+")}, "a/$b", any},
		{"Deny after Allow", []config.Rule{allow("p", "a/#"), deny("p", "a/b")}, "a/b", no},
		{"Deny before Allow", []config.Rule{deny("p", "a/#"), allow("p", "a/b")}, "a/b", no},
		{"Deny of another action", []config.Rule{allow("p", "a"), deny("s", "a")}, "a", any},
		{"Deny of another topic", []config.Rule{allow("p", "a/#"), deny("p", "a/b/#")}, "a/c", any},
		{"username", []config.Rule{allow("p", "t/%u/x")}, "t/u1/x", any},
		{"another's username", []config.Rule{allow("p", "t/%u/x")}, "t/u2/x", no},
		{"placeholder is not literal", []config.Rule{allow("p", "t/%u/x")}, "t/%u/x", no},
		{"client ID", []config.Rule{allow("p", "t/%c")}, "t/c1", any},
		{"both", []config.Rule{allow("p", "%u/%c/#")}, "u1/c1/x", any},
		{"maxQoS", []config.Rule{withQoS(allow("p", "a"), 1)}, "a", PublishDecision{true, true, 1, 1}},
		{"no retain", []config.Rule{withoutRetain(allow("p", "a"))}, "a", PublishDecision{true, false, 2, 0}},
		{
			"one rule permits the whole",
			[]config.Rule{withQoS(allow("p", "a"), 0), withoutRetain(allow("p", "a/#"))},
			"a", PublishDecision{true, true, 2, 0},
		},
		{
			"the highest of the rules",
			[]config.Rule{withQoS(allow("p", "a"), 0), withQoS(allow("p", "+"), 1)},
			"a", PublishDecision{true, true, 1, 1},
		},
		{
			"Deny denies the whole, whatever its maxQoS and retain",
			[]config.Rule{allow("p", "a"), withoutRetain(withQoS(deny("p", "a"), 0))},
			"a", no,
		},
		{"a shared subscription says nothing about Publish", []config.Rule{allow("*", "$share/g/a")}, "a", no},
		{"nor does its Deny", []config.Rule{allow("p", "a"), deny("*", "$share/g/a")}, "a", any},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := rulesFor(t, tc.rules...).Publish([]byte(tc.topic)); got != tc.want {
				t.Errorf("Publish(%q) = %+v, want %+v", tc.topic, got, tc.want)
			}
		})
	}
}

func TestPermits(t *testing.T) {
	d := PublishDecision{Allowed: true, Retain: true, MaxQoS: 2, MaxQoSRetained: 1}
	for _, tc := range []struct {
		d      PublishDecision
		qos    byte
		retain bool
		want   bool
	}{
		{d, 2, false, true}, {d, 1, true, true}, {d, 2, true, false},
		{PublishDecision{Allowed: true, MaxQoS: 0}, 0, true, false},
		{PublishDecision{Allowed: true, MaxQoS: 0}, 1, false, false},
		{PublishDecision{}, 0, false, false},
		{PublishDecision{}, 0, true, false},
	} {
		if got := tc.d.Permits(tc.qos, tc.retain); got != tc.want {
			t.Errorf("%+v.Permits(%d, %t) = %t", tc.d, tc.qos, tc.retain, got)
		}
	}
}

//api:semantics 3 4
func TestSubscribe(t *testing.T) {
	const refused = -1
	for _, tc := range []struct {
		name   string
		rules  []config.Rule
		filter string
		want   int // QoS
	}{
		{"no rule is a refusal", nil, "a", refused},
		{"Publish does not allow Subscribe", []config.Rule{allow("p", "a")}, "a", refused},
		{"the same filter", []config.Rule{allow("s", "a/+/#")}, "a/+/#", 2},
		{"a part of the rule", []config.Rule{allow("s", "a/#")}, "a/+/b", 2},
		{"the parent of the rule", []config.Rule{allow("s", "a/#")}, "a", 2},
		{"more than the rule", []config.Rule{allow("s", "a/+")}, "a/#", refused},
		{"plus is more than a name", []config.Rule{allow("s", "a/b")}, "a/+", refused},
		{"a/# includes a, which a/+/# does not", []config.Rule{allow("s", "a/+/#")}, "a/#", refused},
		{"+/# is all that # is", []config.Rule{allow("s", "+/#")}, "#", 2},
		{"two rules do not add up", []config.Rule{allow("s", "a", "a/+/#")}, "a/#", refused},
		{"everything but $", []config.Rule{allow("s", "#")}, "#", 2},
		{"# does not cover $SYS", []config.Rule{allow("s", "#")}, "$SYS/#", refused},
		{"$SYS by name", []config.Rule{allow("s", "$SYS/#")}, "$SYS/broker/+", 2},
		{"username", []config.Rule{allow("s", "%u/#")}, "u1/+", 2},
		{"plus is more than the username", []config.Rule{allow("s", "%u/#")}, "+/a", refused},
		{"limited QoS", []config.Rule{withQoS(allow("s", "a/#"), 1)}, "a", 1},
		{"highest QoS of the covering rules", []config.Rule{withQoS(allow("s", "a/#"), 0), withQoS(allow("s", "a/+"), 1), allow("s", "a/b")}, "a/+", 1},
		{"Deny covers all", []config.Rule{allow("s", "a/#"), deny("s", "a/b/#")}, "a/b/+", refused},
		{"Deny overlaps in part", []config.Rule{allow("s", "a/#"), deny("s", "a/b")}, "a/+", 2},
		{"Denies do not add up", []config.Rule{allow("s", "a/#"), deny("s", "a", "a/+/#")}, "a/#", 2},
		{"Deny of Publish", []config.Rule{allow("s", "a"), deny("p", "a")}, "a", 2},
		{"shared is judged on its filter", []config.Rule{allow("s", "a/#")}, "$share/g/a/b", 2},
		{"shared with $", []config.Rule{allow("s", "#")}, "$share/g/$SYS/x", refused},
		{"group by name", []config.Rule{allow("s", "$share/g/a/#")}, "$share/g/a/b", 2},
		{"another group", []config.Rule{allow("s", "$share/g/a/#")}, "$share/h/a/b", refused},
		{"a rule for a group allows no subscription of one's own", []config.Rule{allow("s", "$share/g/a/#")}, "a/b", refused},
		{"group of the user", []config.Rule{allow("s", "$share/%u/a")}, "$share/u1/a", 2},
		{"group of the client", []config.Rule{allow("s", "$share/%c/a")}, "$share/u1/a", refused},
		{"# does not cover $ in a rule for a group", []config.Rule{allow("s", "$share/g/#")}, "$share/g/$SYS/x", refused},
		{"+/# for a group", []config.Rule{allow("s", "$share/g/+/#")}, "$share/g/#", 2},
		{"Deny of a group", []config.Rule{allow("s", "a"), deny("s", "$share/g/a")}, "$share/g/a", refused},
		{"Deny of another group", []config.Rule{allow("s", "a"), deny("s", "$share/g/a")}, "$share/h/a", 2},
		{"Deny of a group leaves one's own", []config.Rule{allow("s", "a"), deny("s", "$share/g/a")}, "a", 2},
		{"Deny of the filter denies each group", []config.Rule{allow("s", "$share/g/a"), deny("s", "a")}, "$share/g/a", refused},
		{"QoS of group and filter", []config.Rule{withQoS(allow("s", "$share/g/a"), 1), withQoS(allow("s", "a"), 0)}, "$share/g/a", 1},
		{"invalid filter", []config.Rule{allow("s", "#")}, "a/#/b", refused},
		{"invalid group", []config.Rule{allow("s", "#")}, "$share/+/a", refused},
		{"empty filter", []config.Rule{allow("s", "#")}, "", refused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			granted, max := rulesFor(t, tc.rules...).Subscribe(tc.filter)
			got := int(max)
			if !granted {
				got = refused
			}
			if got != tc.want {
				t.Errorf("Subscribe(%q) = %d, want %d", tc.filter, got, tc.want)
			}
		})
	}
}

func TestReceive(t *testing.T) {
	a := rulesFor(t, allow("s", "#"), deny("s", "a/+/secret", "%u/x"), deny("p", "b"), deny("s", "$share/g/w"))
	for topic, want := range map[string]bool{
		"a/b/secret": false, "a/b/c": true, "u1/x": false, "u2/x": true, "b": true, "w": true,
	} {
		if got := a.Receive([]byte(topic)); got != want {
			t.Errorf("Receive(%q) = %t", topic, got)
		}
	}
	for _, tc := range []struct {
		group, topic string
		want         bool
	}{
		{"g", "w", false}, {"h", "w", true}, {"h", "u1/x", false}, {"g", "a", true},
	} {
		if got := a.ReceiveShared(tc.group, []byte(tc.topic)); got != tc.want {
			t.Errorf("ReceiveShared(%q, %q) = %t", tc.group, tc.topic, got)
		}
	}
	if !a.FiltersReceive() || !a.FiltersReceiveShared() {
		t.Error("no filter although there are Deny rules")
	}
	shared := rulesFor(t, allow("s", "#"), deny("s", "$share/g/w"))
	if shared.FiltersReceive() || !shared.FiltersReceiveShared() {
		t.Error("a Deny of a group is a filter for shared subscriptions only")
	}
	none := rulesFor(t, allow("s", "#"), deny("p", "#"))
	if none.FiltersReceive() || none.FiltersReceiveShared() || !none.Receive([]byte("x")) {
		t.Error("a Deny of Publish is no filter")
	}
}

//api:semantics 2
func TestPlaceholdersOfUnusableIdentities(t *testing.T) {
	for _, id := range []string{"a/b", "+", "#", "a+b", "x#", ""} {
		t.Run(fmt.Sprintf("%q", id), func(t *testing.T) {
			a := identity(t, "u1", id, allow("*", "t/%c", "t/%c/#", "%c"), deny("*", "d/%c/#"), allow("*", "d/#"))
			for _, topic := range []string{"t/" + id, id, "t/", "t//x", "t"} {
				if topic != "" && a.Publish([]byte(topic)).Allowed {
					t.Errorf("Publish(%q) is allowed", topic)
				}
			}
			if granted, _ := a.Subscribe("t/" + id); granted {
				t.Errorf("Subscribe(%q) is granted", "t/"+id)
			}
			if !a.Publish([]byte("d/" + id)).Allowed {
				t.Errorf("a Deny rule with the placeholder matches")
			}
		})
	}
}

//api:semantics 3
func TestLeadingPlaceholderDoesNotOpenSYS(t *testing.T) {
	a := identity(t, "u1", "$SYS", allow("*", "%c/#", "a/%c"))
	if a.Publish([]byte("$SYS/x")).Allowed {
		t.Error("Publish to $SYS is allowed")
	}
	if granted, _ := a.Subscribe("$SYS/#"); granted {
		t.Error("Subscribe to $SYS is granted")
	}
	if !a.Publish([]byte("a/$SYS")).Allowed {
		t.Error("below the first level, '$' is nothing special")
	}
}

//api:semantics 1
func TestDefaultAllow(t *testing.T) {
	c := config.Config{
		Settings: config.Settings{DefaultEffect: config.Allow},
		Access: config.Access{
			Users: []config.User{{Username: "u1"}},
			Policies: []config.Policy{{Source: "p", Authenticated: true, Rules: []config.Rule{
				deny("*", "secret/#"), withQoS(withoutRetain(allow("*", "slow")), 0),
			}}},
		},
	}
	a := compile(t, c).ACL(Principal{Username: "u1"})
	if d := a.Publish([]byte("x")); d != (PublishDecision{true, true, 2, 2}) {
		t.Errorf("no rule: %+v", d)
	}
	if d := a.Publish([]byte("secret/x")); d.Allowed {
		t.Error("Deny does not win")
	}
	if d := a.Publish([]byte("slow")); d != (PublishDecision{true, false, 0, 0}) {
		t.Errorf("an Allow rule that matches limits: %+v", d)
	}
	if granted, q := a.Subscribe("#"); !granted || q != 2 {
		t.Error("a subscription that no rule covers is refused")
	}
	if granted, _ := a.Subscribe("secret/+"); granted {
		t.Error("a subscription that a Deny covers is granted")
	}
	if a.Receive([]byte("secret/x")) || !a.Receive([]byte("x")) {
		t.Error("Receive does not filter")
	}
	stranger := compile(t, c).ACL(Principal{Username: "nobody"})
	if stranger.Publish([]byte("x")).Allowed || stranger.Receive([]byte("x")) || !stranger.FiltersReceive() {
		t.Error("a user that is gone may do something")
	}
	if granted, _ := stranger.Subscribe("x"); granted {
		t.Error("a user that is gone may subscribe")
	}
}

func TestSubjects(t *testing.T) {
	s := compile(t, config.Config{
		Settings: config.Settings{Anonymous: true},
		Access: config.Access{
			Users: []config.User{{Username: "u1"}, {Username: "u2"}},
			Policies: []config.Policy{
				{Source: "u1", Users: []string{"u1", "u1", "ghost"}, Rules: []config.Rule{allow("p", "u1")}},
				{Source: "anon", Anonymous: true, Rules: []config.Rule{allow("p", "anon", "%u", "c/%c")}},
				{Source: "auth", Authenticated: true, Users: []string{"u1"}, Rules: []config.Rule{allow("p", "auth")}},
				{Source: "both", Anonymous: true, Users: []string{"u2"}, Rules: []config.Rule{allow("p", "both")}},
				{Source: "nobody", Rules: []config.Rule{allow("p", "nobody")}},
				{Source: "empty", Users: []string{"u1"}},
			},
		},
	})
	for _, tc := range []struct {
		who  Principal
		want []string
	}{
		{Principal{Username: "u1", ClientID: "x"}, []string{"u1", "auth"}},
		{Principal{Username: "u2", ClientID: "x"}, []string{"auth", "both"}},
		{Principal{Anonymous: true, ClientID: "x"}, []string{"anon", "both", "c/x"}},
		{Principal{Username: "ghost", ClientID: "x"}, nil},
	} {
		a := s.ACL(tc.who)
		var got []string
		for _, topic := range []string{"u1", "anon", "auth", "both", "nobody", "ghost", "c/x"} {
			if a.Publish([]byte(topic)).Allowed {
				got = append(got, topic)
			}
		}
		if !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%+v may publish to %q, want %q", tc.who, got, tc.want)
		}
	}
}

func TestFingerprint(t *testing.T) {
	base := []config.Rule{allow("p", "a", "b"), deny("s", "c")}
	same := rulesFor(t, base...).Fingerprint()
	for _, tc := range []struct {
		name  string
		acl   *ACL
		equal bool
	}{
		{"compiled again", rulesFor(t, base...), true},
		{"another order", rulesFor(t, deny("s", "c"), allow("p", "b", "a")), true},
		{"default spelled out", rulesFor(t, withQoS(allow("p", "a", "b"), 2), deny("s", "c")), true},
		{"another topic", rulesFor(t, allow("p", "a", "x"), deny("s", "c")), false},
		{"another effect", rulesFor(t, deny("p", "a", "b"), deny("s", "c")), false},
		{"another action", rulesFor(t, allow("*", "a", "b"), deny("s", "c")), false},
		{"another QoS", rulesFor(t, withQoS(allow("p", "a", "b"), 1), deny("s", "c")), false},
		{"no retain", rulesFor(t, withoutRetain(allow("p", "a", "b")), deny("s", "c")), false},
		{"a rule less", rulesFor(t, base[0]), false},
		{"another client", identity(t, "u1", "c2", base...), false},
	} {
		if got := tc.acl.Fingerprint() == same; got != tc.equal {
			t.Errorf("%s: equal is %t", tc.name, got)
		}
	}
}

func TestFingerprintIgnoresRulesOfOthers(t *testing.T) {
	access := config.Access{
		Users:    []config.User{{Username: "u1"}, {Username: "u2"}},
		Policies: []config.Policy{{Source: "p1", Users: []string{"u1"}, Rules: []config.Rule{allow("p", "a")}}},
	}
	before := compile(t, config.Config{Access: access}).ACL(Principal{Username: "u1"})
	access.Policies = append([]config.Policy{{Source: "p2", Users: []string{"u2"}, Rules: []config.Rule{allow("p", "b")}}}, access.Policies...)
	after := compile(t, config.Config{Access: access}).ACL(Principal{Username: "u1"})
	if before.Fingerprint() != after.Fingerprint() {
		t.Error("a policy of another user changes the fingerprint")
	}
}

func TestExplain(t *testing.T) {
	a := rulesFor(t,
		allow("*", "x", "a/#"), deny("*", "a/secret"), deny("s", "a/%u/x"), allow("s", "$share/g/w"), deny("s", "$share/g/a/q"))
	match := func(rule int, topic string, effect config.Effect) RuleMatch {
		m := RuleMatch{Policy: "iot/all", Rule: rule, Topic: topic, Effect: effect}
		if effect == config.Allow {
			m.MaxQoS, m.Retain = 2, true
		}
		return m
	}
	all := PublishDecision{Allowed: true, Retain: true, MaxQoS: 2, MaxQoSRetained: 2}
	for _, tc := range []struct {
		name string
		got  Explanation
		want Explanation
	}{
		{"allowed", a.ExplainPublish("a/b"), Explanation{PublishDecision: all, Rules: []RuleMatch{match(0, "a/#", config.Allow)}}},
		{"denied", a.ExplainPublish("a/secret"), Explanation{
			Rules:     []RuleMatch{match(1, "a/secret", config.Deny)},
			Overruled: []RuleMatch{match(0, "a/#", config.Allow)},
		}},
		{"default", a.ExplainPublish("nothing"), Explanation{Default: true}},
		{"reserved", a.ExplainPublish("$SYS/x"), Explanation{Reserved: true}},
		{"in part", a.ExplainSubscribe("a/+/x"), Explanation{
			PublishDecision: all,
			Rules:           []RuleMatch{match(0, "a/#", config.Allow)},
			Withheld:        []RuleMatch{match(2, "a/%u/x", config.Deny)},
		}},
		{"shared in part", a.ExplainSubscribe("$share/g/a/+"), Explanation{
			PublishDecision: all,
			Rules:           []RuleMatch{match(0, "a/#", config.Allow)},
			Withheld:        []RuleMatch{match(1, "a/secret", config.Deny), match(4, "$share/g/a/q", config.Deny)},
		}},
		{"shared", a.ExplainSubscribe("$share/g/w"), Explanation{PublishDecision: all, Rules: []RuleMatch{match(3, "$share/g/w", config.Allow)}}},
		{"more than a rule", a.ExplainSubscribe("+"), Explanation{
			Default: true, Partial: []RuleMatch{match(0, "x", config.Allow), match(0, "a/#", config.Allow)},
		}},
		{"invalid", a.ExplainSubscribe("a#"), Explanation{}},
	} {
		if !reflect.DeepEqual(tc.got, tc.want) {
			t.Errorf("%s: %+v, want %+v", tc.name, tc.got, tc.want)
		}
	}
}

func TestExplainNamesTheRuleAsItsSourceCountsIt(t *testing.T) {
	second := deny("p", "a")
	second.Index = 4 // of the source, whose rules 1 to 3 were left out
	e := rulesFor(t, withoutRetain(withQoS(allow("p", "a"), 1)), second).ExplainPublish("a")
	if len(e.Rules) != 1 || e.Rules[0].Rule != 4 {
		t.Errorf("rules = %+v, want rule 4", e.Rules)
	}
	allowed := e.Overruled[0]
	for _, tc := range []struct {
		qos    byte
		retain bool
		want   bool
	}{{0, false, true}, {1, false, true}, {2, false, false}, {0, true, false}} {
		if got := allowed.Permits(tc.qos, tc.retain); got != tc.want {
			t.Errorf("%+v.Permits(%d, %t) = %t", allowed, tc.qos, tc.retain, got)
		}
	}
	if e.Rules[0].Permits(0, false) {
		t.Error("a Deny rule permits")
	}
}

func TestDecisionsDoNotAllocate(t *testing.T) {
	a := rulesFor(t, allow("*", "a/+/c/#", "t/%u/%c", "#"), deny("*", "a/b/secret", "$share/g/x"))
	topic := []byte("a/b/c/d/e/f")
	for name, f := range map[string]func(){
		"Publish":       func() { a.Publish(topic) },
		"Receive":       func() { a.Receive(topic) },
		"ReceiveShared": func() { a.ReceiveShared("g", topic) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}
