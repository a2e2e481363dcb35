package auth

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// oracle answers by looking at every rule.
type oracle struct {
	config.Config
	p Principal
}

// each calls f with every topic filter of every rule for the principal,
// placeholders replaced.
func (o *oracle) each(action config.Action, f func(r *config.Rule, group, filter string)) {
	for i := range o.Access.Policies {
		y := &o.Access.Policies[i]
		if !o.isSubject(y) {
			continue
		}
		for j := range y.Rules {
			r := &y.Rules[j]
			for _, a := range r.Actions {
				if a != action && a != config.ActionAll {
					continue
				}
				for _, text := range r.Topics {
					if group, filter, ok := o.expand(text); ok {
						f(r, group, filter)
					}
				}
			}
		}
	}
}

func (o *oracle) isSubject(y *config.Policy) bool {
	if o.p.Anonymous {
		return y.Anonymous
	}
	return y.Authenticated || slices.Contains(y.Users, o.p.Username)
}

// expand returns the group and filter of a rule's topic, group "" for one that
// is not shared.
func (o *oracle) expand(text string) (group, filter string, ok bool) {
	tail, shared := strings.CutPrefix(text, "$share/")
	if shared {
		group, tail, _ = strings.Cut(tail, "/")
		text = tail
	}
	if strings.HasPrefix(text, "%u") && strings.HasPrefix(o.p.Username, "$") ||
		strings.HasPrefix(text, "%c") && strings.HasPrefix(o.p.ClientID, "$") {
		return "", "", false
	}
	for from, to := range map[string]string{"%u": o.p.Username, "%c": o.p.ClientID} {
		if !strings.Contains(group+"/"+text, from) {
			continue
		}
		if to == "" || strings.ContainsAny(to, "/+#") {
			return "", "", false
		}
		group, text = strings.ReplaceAll(group, from, to), strings.ReplaceAll(text, from, to)
	}
	return group, text, true
}

func (o *oracle) publishes(name string, q byte, retain bool) bool {
	if strings.HasPrefix(name, "$SYS/") {
		return false
	}
	denied, allowed, matched := false, false, false
	o.each(config.ActionPublish, func(r *config.Rule, group, filter string) {
		switch {
		case group != "" || !topic.Match(filter, name):
		case r.Effect == config.Deny:
			denied = true
		default:
			matched = true
			allowed = allowed || (r.MaxQoS == nil || q <= *r.MaxQoS) && (!retain || r.Retain != config.Deny)
		}
	})
	return !denied && (allowed || !matched && o.Settings.DefaultEffect == config.Allow)
}

func (o *oracle) subscribes(filter string, q byte) bool {
	group, rest, _, err := topic.ParseShared(filter)
	if err != nil {
		return false
	}
	denied, allowed, matched := false, false, false
	o.each(config.ActionSubscribe, func(r *config.Rule, g, f string) {
		switch {
		case g != "" && g != group || !topic.Covers(f, rest):
		case r.Effect == config.Deny:
			denied = true
		default:
			matched = true
			allowed = allowed || r.MaxQoS == nil || q <= *r.MaxQoS
		}
	})
	return !denied && (allowed || !matched && o.Settings.DefaultEffect == config.Allow)
}

func (o *oracle) receives(group, name string) bool {
	ok := true
	o.each(config.ActionSubscribe, func(r *config.Rule, g, f string) {
		if r.Effect == config.Deny && (g == "" || g == group) && topic.Match(f, name) {
			ok = false
		}
	})
	return ok
}

// check compares every answer of the evaluator on one topic and one filter.
func (o *oracle) check(t *testing.T, a *ACL, name, filter string) {
	t.Helper()
	d := a.Publish([]byte(name))
	for q := byte(0); q <= 2; q++ {
		for _, retain := range []bool{false, true} {
			if got, want := d.Permits(q, retain), o.publishes(name, q, retain); got != want {
				t.Fatalf("%s publishes %q with QoS %d, retain %t: %t, want %t", o, name, q, retain, got, want)
			}
		}
		granted, most := a.Subscribe(filter)
		if got, want := granted && q <= most, o.subscribes(filter, q); got != want {
			t.Fatalf("%s subscribes to %q with QoS %d: %t, want %t", o, filter, q, got, want)
		}
	}
	if got, want := a.Receive([]byte(name)), o.receives("", name); got != want {
		t.Fatalf("%s receives %q: %t, want %t", o, name, got, want)
	}
	if got, want := a.ReceiveShared("g", []byte(name)), o.receives("g", name); got != want {
		t.Fatalf("%s receives %q by g: %t, want %t", o, name, got, want)
	}
	if !a.FiltersReceive() && !o.receives("", name) || !a.FiltersReceiveShared() && !o.receives("g", name) {
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

func (o *oracle) String() string {
	return fmt.Sprintf("%+v of default %q, policies %+v:", o.p, o.Settings.DefaultEffect, o.Access.Policies)
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
		y := config.Policy{Anonymous: d.IntN(2) == 0, Authenticated: d.IntN(4) == 0}
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
		o := &oracle{Config: c, p: d.principal()}
		a := s.ACL(o.p)
		for range questions {
			name, filter := d.name(), d.shared("g", "h", "u1", "c1")+d.filter()
			if name != "" {
				o.check(t, a, name, filter)
			}
		}
	}
}

//api:semantics 1 2 3
func TestEvaluatorAgreesWithOracle(t *testing.T) {
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
		o := &oracle{Config: c, p: Principal{Username: username, ClientID: clientID}}
		o.check(t, s.ACL(o.p), name, filter)
	})
}
