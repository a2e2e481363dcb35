package auth

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/auth/authtest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// plain returns the rules of c for p, evaluated without an index.
func plain(c config.Config, p Principal) *authtest.Rules {
	return &authtest.Rules{Config: c, Identity: authtest.Identity{Username: p.Username, Anonymous: p.Anonymous, ClientID: p.ClientID}}
}

// check compares every answer of the evaluator on one topic and one filter.
func check(t *testing.T, o *authtest.Rules, a *ACL, name, filter string) {
	t.Helper()
	d := a.Publish([]byte(name))
	for q := byte(0); q <= 2; q++ {
		for _, retain := range []bool{false, true} {
			if got, want := d.Permits(q, retain), o.Publishes(name, q, retain); got != want {
				t.Fatalf("%s publishes %q with QoS %d, retain %t: %t, want %t", o, name, q, retain, got, want)
			}
		}
		granted, most := a.Subscribe(filter)
		if got, want := granted && q <= most, o.Subscribes(filter, q); got != want {
			t.Fatalf("%s subscribes to %q with QoS %d: %t, want %t", o, filter, q, got, want)
		}
	}
	if got, want := a.Receive([]byte(name)), o.Receives("", name); got != want {
		t.Fatalf("%s receives %q: %t, want %t", o, name, got, want)
	}
	if got, want := a.ReceiveShared("g", []byte(name)), o.Receives("g", name); got != want {
		t.Fatalf("%s receives %q by g: %t, want %t", o, name, got, want)
	}
	for group, filter := range map[string]string{"": name, "g": "$share/g/" + name} {
		if got, want := a.Grants(group, []byte(name)), o.Subscribes(filter, 0); got != want {
			t.Fatalf("%s is granted %q by group %q: %t, want %t", o, name, group, got, want)
		}
	}
	if !a.FiltersReceive() && !o.Receives("", name) || !a.FiltersReceiveShared() && !o.Receives("g", name) {
		t.Fatalf("%s withholds %q although no filter is announced", o, name)
	}
	if e := a.ExplainPublish(name); e.PublishDecision != d {
		t.Fatalf("%s: explanation of publishing %q: %+v, decision %+v", o, name, e, d)
	}
	granted, _ := a.Subscribe(filter)
	if e := a.ExplainSubscribe(filter); e.Allowed != granted {
		t.Fatalf("%s: explanation of subscribing to %q: %+v", o, filter, e)
	}
}

// dice makes random configurations over small alphabets.
type dice struct{ *rand.Rand }

func pick[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

func (d dice) levels(of ...string) string {
	n := 1 + d.IntN(4)
	levels := make([]string, n)
	for i := range levels {
		levels[i] = pick(d, of...)
	}
	return strings.Join(levels, "/")
}

func (d dice) name() string {
	return pick(d, "", "", "", "$s/") + d.levels("a", "b", "$s", "", "u1", "c1")
}

func (d dice) filter(placeholders ...string) string {
	f := pick(d, "", "", "", "$s/") + d.levels(append(placeholders, "a", "b", "+", "+", "", "u1", "c1")...)
	switch d.IntN(6) {
	case 0:
		f = "#"
	case 1, 2:
		f += "/#"
	}
	return f
}

func (d dice) shared(groups ...string) string {
	if d.IntN(3) == 0 {
		return "$share/" + pick(d, groups...) + "/"
	}
	return ""
}

func (d dice) rule() config.Rule {
	r := config.Rule{
		Effect:  pick(d, config.Allow, config.Allow, config.Deny),
		Actions: []config.Action{pick(d, config.ActionPublish, config.ActionSubscribe, config.ActionAll)},
		MaxQoS:  pick(d, nil, nil, new(byte(0)), new(byte(1))),
		Retain:  pick(d, "", config.Allow, config.Deny),
	}
	for range 1 + d.IntN(2) {
		r.Topics = append(r.Topics, d.shared("g", "h", "%u", "%c")+cmp.Or(d.filter("%u", "%c"), "a"))
	}
	return r
}

func (d dice) config() config.Config {
	c := config.Config{
		Settings: config.Settings{Anonymous: true, DefaultEffect: pick(d, "", config.Deny, config.Allow)},
		Access:   config.Access{Users: []config.User{{Username: "u1"}, {Username: "$s"}, {Username: "a/b"}}},
	}
	for range d.IntN(4) {
		y := config.Policy{Anonymous: d.IntN(2) == 0, Authenticated: d.IntN(4) == 0, PlainIdentities: d.IntN(3) == 0}
		for _, u := range c.Access.Users {
			if d.IntN(2) == 0 {
				y.Users = append(y.Users, u.Username)
			}
		}
		for range d.IntN(4) {
			y.Rules = append(y.Rules, d.rule())
		}
		c.Access.Policies = append(c.Access.Policies, y)
	}
	return c
}

func (d dice) principal() Principal {
	id := pick(d, "c1", "c1", "g", "$s", "", "a+")
	if d.IntN(4) == 0 {
		return Principal{Anonymous: true, ClientID: id}
	}
	return Principal{Username: pick(d, "u1", "u1", "$s", "a/b"), ClientID: id}
}

// play checks one random configuration.
func (d dice) play(t *testing.T, questions int) {
	t.Helper()
	c := d.config()
	s := compile(t, c)
	for range 3 {
		p := d.principal()
		o, a := plain(c, p), s.ACL(p)
		for range questions {
			name, filter := d.name(), d.shared("g", "h", "u1", "c1")+d.filter()
			if name != "" {
				check(t, o, a, name, filter)
			}
		}
	}
}

//api:semantics 1 2 3
func TestEvaluatorAgreesWithThePlainRules(t *testing.T) {
	rounds := 4000
	if testing.Short() {
		rounds = 400
	}
	for seed := range rounds {
		dice{rand.New(rand.NewPCG(uint64(seed), 1))}.play(t, 8)
	}
}

// TestSubscribeByEnumeration judges by topic names instead of by relations
// between filters: a subscription is granted where one rule matches all of the
// names that the filter matches.
//
//api:semantics 4
func TestSubscribeByEnumeration(t *testing.T) {
	const depth = 4
	names := enumerate(depth, "a", "b", "$s", "", "u1", "c1", "other")
	d := dice{rand.New(rand.NewPCG(7, 7))}
	for range 2000 {
		allowed, denied, filter := cmp.Or(d.filter(), "#"), cmp.Or(d.filter(), "/#"), cmp.Or(d.filter(), "/#")
		if strings.Count(allowed, "/") >= depth || strings.Count(denied, "/") >= depth || strings.Count(filter, "/") >= depth {
			continue
		}
		a := rulesFor(t, allow("s", allowed), deny("s", denied))
		want := coversAll(names, allowed, filter) && !coversAll(names, denied, filter)
		if granted, _ := a.Subscribe(filter); granted != want {
			t.Fatalf("Subscribe(%q) with Allow %q and Deny %q: %t", filter, allowed, denied, granted)
		}
	}
}

func coversAll(names []string, rule, filter string) bool {
	for _, n := range names {
		if topic.Match(filter, n) && !topic.Match(rule, n) {
			return false
		}
	}
	return true
}

// enumerate returns all names of up to depth levels.
func enumerate(depth int, alphabet ...string) []string {
	all := slices.Clone(alphabet)
	for last := all; depth > 1; depth-- {
		var next []string
		for _, prefix := range last {
			for _, level := range alphabet {
				next = append(next, prefix+"/"+level)
			}
		}
		all, last = append(all, next...), next
	}
	return slices.DeleteFunc(all, func(n string) bool { return n == "" })
}

func FuzzEvaluator(f *testing.F) {
	f.Add("t/%u/#", "t/+/secret", "t/u1/x", "t/u1/+", "u1", "c1")
	f.Add("$share/g/a", "%c/#", "$SYS/x", "$share/g/a", "u1", "$SYS")
	f.Fuzz(func(t *testing.T, allowed, denied, name, filter, username, clientID string) {
		if topic.ValidateName(name) != nil {
			return
		}
		c := config.Config{Access: config.Access{
			Users:    []config.User{{Username: username}},
			Policies: []config.Policy{{Authenticated: true, Rules: []config.Rule{allow("*", allowed), deny("*", denied)}}},
		}}
		s, err := Compile(&c)
		if err != nil {
			return
		}
		p := Principal{Username: username, ClientID: clientID}
		check(t, plain(c, p), s.ACL(p), name, filter)
	})
}
