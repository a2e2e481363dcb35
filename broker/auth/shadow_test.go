package auth

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/config"
)

func TestShadowed(t *testing.T) {
	everybody := func(rules ...config.Rule) config.Policy {
		return config.Policy{Source: "everybody", Authenticated: true, Rules: rules}
	}
	anybody := func(rules ...config.Rule) config.Policy {
		return config.Policy{Source: "anybody", Authenticated: true, Anonymous: true, Rules: rules}
	}
	of := func(source string, users []string, rules ...config.Rule) config.Policy {
		return config.Policy{Source: source, Users: users, Rules: rules}
	}
	u1, both := []string{"u1"}, []string{"u1", "u2"}
	for name, tc := range map[string]struct {
		policies []config.Policy
		want     []string // "RULE by RULE"
	}{
		"nothing":       {nil, nil},
		"each its own":  {[]config.Policy{everybody(allow("p", "a"), allow("s", "a"), deny("p", "b"))}, nil},
		"a Deny covers": {[]config.Policy{everybody(allow("p", "a/b"), deny("*", "a/#"))}, []string{"everybody[0] by everybody[1]"}},
		"a Deny covers a Deny": {[]config.Policy{everybody(deny("p", "a/b"), deny("*", "a/#"))},
			[]string{"everybody[0] by everybody[1]"}},
		"a Deny of another action": {[]config.Policy{everybody(allow("*", "a/b"), deny("p", "a/#"))}, nil},
		"a Deny of a part":         {[]config.Policy{everybody(allow("p", "a/#"), deny("p", "a/b"))}, nil},
		"a wider Allow":            {[]config.Policy{everybody(allow("p", "a/b"), allow("p", "a/+"))}, []string{"everybody[0] by everybody[1]"}},
		"a wider Allow does not cover a Deny": {
			[]config.Policy{everybody(deny("p", "a/b"), allow("p", "a/+"))}, nil},
		"a stricter Allow": {[]config.Policy{everybody(allow("p", "a/b"), withQoS(allow("p", "a/+"), 1), withoutRetain(allow("p", "#")))}, nil},
		"an Allow as strict": {[]config.Policy{everybody(withoutRetain(withQoS(allow("p", "a/b"), 1)), withoutRetain(allow("p", "a/+")))},
			[]string{"everybody[0] by everybody[1]"}},
		"retain says nothing to Subscribe": {[]config.Policy{everybody(allow("s", "a/b"), withoutRetain(allow("s", "a/+")))},
			[]string{"everybody[0] by everybody[1]"}},
		"of the same the first is left": {[]config.Policy{everybody(allow("p", "a"), allow("p", "a"), allow("p", "a"))},
			[]string{"everybody[1] by everybody[0]", "everybody[2] by everybody[0]"}},
		"filters covered by several": {[]config.Policy{everybody(allow("*", "a/b", "c/d"), allow("*", "a/#"), deny("*", "c/#"))},
			[]string{"everybody[0] by everybody[1]"}},
		"a filter that is not covered": {[]config.Policy{everybody(allow("*", "a/b", "c/d"), allow("*", "a/#"))}, nil},
		"its own filters":              {[]config.Policy{everybody(allow("*", "a/b", "a/#"))}, nil},
		"a placeholder by a wildcard": {[]config.Policy{everybody(allow("p", "a/%u/%c"), allow("p", "a/+/#"))},
			[]string{"everybody[0] by everybody[1]"}},
		"a placeholder by itself":   {[]config.Policy{everybody(allow("p", "a/%u"), allow("p", "a/%u/#"))}, []string{"everybody[0] by everybody[1]"}},
		"a placeholder by another":  {[]config.Policy{everybody(allow("p", "a/%u"), allow("p", "a/%c"))}, nil},
		"a wildcard by placeholder": {[]config.Policy{everybody(allow("p", "a/+", "b"), allow("p", "a/%c", "c"))}, nil},
		"$ by a wildcard":           {[]config.Policy{everybody(allow("s", "$x/a"), allow("s", "#", "+/#"))}, nil},
		"# by +/#":                  {[]config.Policy{everybody(allow("s", "#"), allow("s", "+/#"))}, []string{"everybody[1] by everybody[0]"}},
		"+/# by #":                  {[]config.Policy{everybody(allow("s", "+/#"), allow("s", "#"))}, []string{"everybody[1] by everybody[0]"}},
		"a group by its filter": {[]config.Policy{everybody(allow("s", "$share/g/a/b"), allow("s", "a/#"))},
			[]string{"everybody[0] by everybody[1]"}},
		"a filter by a group": {[]config.Policy{everybody(allow("s", "a/b"), allow("s", "$share/g/a/#"))}, nil},
		"a group by itself":   {[]config.Policy{everybody(deny("s", "$share/g/a"), deny("s", "$share/g/#"))}, []string{"everybody[0] by everybody[1]"}},
		"another group":       {[]config.Policy{everybody(deny("s", "$share/g/a"), deny("s", "$share/h/#"))}, nil},
		"a placeholder as group": {[]config.Policy{everybody(deny("s", "$share/%u/a"), deny("s", "$share/%u/#"), deny("s", "$share/%c/#"))},
			[]string{"everybody[0] by everybody[1]"}},
		"a group in a rule on Publish says nothing": {[]config.Policy{everybody(allow("p", "$share/g/a"), deny("*", "#"))}, nil},
		"a user's by everybody's": {[]config.Policy{of("one", u1, allow("p", "a")), everybody(allow("p", "#"))},
			[]string{"one[0] by everybody[0]"}},
		"everybody's by a user's": {[]config.Policy{of("one", both, allow("p", "#")), everybody(allow("p", "a"))}, nil},
		"a user's by more users'": {[]config.Policy{of("one", u1, allow("p", "a")), of("two", both, allow("p", "#"))},
			[]string{"one[0] by two[0]"}},
		"more users' by a user's":      {[]config.Policy{of("one", u1, allow("p", "#")), of("two", both, allow("p", "a"))}, nil},
		"anonymous clients' by nobody": {[]config.Policy{anybody(allow("p", "a")), everybody(allow("p", "#"))}, nil},
		"anonymous clients' by anybody": {[]config.Policy{anybody(allow("p", "a"), deny("p", "#")), everybody(allow("p", "b"))},
			[]string{"anybody[0] by anybody[1]", "everybody[0] by anybody[1]"}},
		"a policy for nobody": {[]config.Policy{of("none", []string{"gone"}, allow("p", "a"))}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := compile(t, config.Config{Access: config.Access{
				Users: []config.User{{Username: "u1"}, {Username: "u2"}}, Policies: tc.policies,
			}})
			var got []string
			for _, x := range s.Shadowed() {
				got = append(got, fmt.Sprintf("%s[%d] by %s[%d]", x.Policy, x.Rule, x.By.Policy, x.By.Rule))
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("shadowed: %q, want %q", got, tc.want)
			}
		})
	}
}

// Without the shadowed rules all decisions are the same.
func TestShadowedRulesDecideNothing(t *testing.T) {
	found := 0
	for seed := range uint64(1500) {
		d := dice{rand.New(rand.NewPCG(seed, 1))}
		c := d.config()
		for i := range c.Access.Policies {
			c.Access.Policies[i].Source = fmt.Sprint("p", i, "/")
		}
		s := compile(t, c)
		shadowed := map[string]bool{}
		for _, x := range s.Shadowed() {
			shadowed[fmt.Sprint(x.Policy, x.Rule)] = true
		}
		found += len(shadowed)
		without := c
		without.Access.Policies = nil
		for _, p := range c.Access.Policies {
			rules := p.Rules
			p.Rules = nil
			for i, r := range rules {
				if !shadowed[fmt.Sprint(p.Source, i)] {
					p.Rules = append(p.Rules, r)
				}
			}
			without.Access.Policies = append(without.Access.Policies, p)
		}
		less := compile(t, without)
		for range 40 {
			p, name, filter := d.principal(), d.name(), d.shared("g", "h", "u1", "c1")+d.filter()
			if before, after := answers(s.ACL(p), name, filter), answers(less.ACL(p), name, filter); before != after {
				t.Fatalf("%+v, topic %q, filter %q: %s, and without %v %s; policies %+v",
					p, name, filter, before, shadowed, after, c.Access.Policies)
			}
		}
	}
	if found < 100 {
		t.Errorf("%d rules were shadowed: too few to tell", found)
	}
}

// What many policies have in common is compared up to a bound: the rules that come
// last in the configuration are looked at first, and nothing is wrongly shadowed.
func TestShadowedIsBounded(t *testing.T) {
	own := func(source string) config.Policy {
		return config.Policy{Source: source, Users: []string{source}, Rules: []config.Rule{allow("p", "b"), deny("p", "b")}}
	}
	c := overlapping(2000, 1)
	c.Access.Users = append(c.Access.Users, config.User{Username: "first"}, config.User{Username: "last"})
	c.Access.Policies = slices.Concat([]config.Policy{own("first")}, c.Access.Policies, []config.Policy{own("last")})
	s := compile(t, c)
	for range 2 {
		var got []string
		for _, x := range s.Shadowed() {
			got = append(got, fmt.Sprintf("%s[%d]", x.Policy, x.Rule))
		}
		if want := []string{"last[0]"}; !slices.Equal(got, want) {
			t.Fatalf("shadowed: %q, want %q", got, want)
		}
	}
	if few := compile(t, config.Config{Access: config.Access{
		Users: c.Access.Users, Policies: slices.Delete(c.Access.Policies, 10, 2000),
	}}).Shadowed(); len(few) != 2 {
		t.Errorf("of a few policies %d rules are shadowed, want 2", len(few))
	}
}

// answers to all questions about a topic name and a filter.
func answers(a *ACL, name, filter string) string {
	granted, qos := a.Subscribe(filter)
	return fmt.Sprint(a.Publish([]byte(name)), granted, qos, a.Receive([]byte(name)), a.ReceiveShared("g", []byte(name)))
}

// overlapping is n policies of one rule each, the same, for users in common and one
// that no other policy names, so that none covers another.
func overlapping(n, common int) config.Config {
	var c config.Config
	var names []string
	for i := range common {
		names = append(names, fmt.Sprintf("user-%03d", i))
		c.Access.Users = append(c.Access.Users, config.User{Username: names[i]})
	}
	for i := range n {
		own := fmt.Sprintf("zz-%03d", i)
		c.Access.Users = append(c.Access.Users, config.User{Username: own})
		c.Access.Policies = append(c.Access.Policies, config.Policy{
			Source: fmt.Sprintf("iot/acl-%03d", i), Users: append(slices.Clone(names), own), Rules: []config.Rule{allow("*", "a/#")},
		})
	}
	return c
}

func BenchmarkShadowed(b *testing.B) {
	for _, shape := range []struct {
		name string
		make func(n int) config.Config
	}{{"fleet", fleet}, {"crowded", crowded}, {"one user each", func(n int) config.Config {
		return overlapping(n/10, 0)
	}}, {"nearly the same users", func(n int) config.Config {
		return overlapping(n/10, 500)
	}}, {"the same users", func(n int) config.Config {
		c := overlapping(n/10, 500)
		for i := range c.Access.Policies {
			p := &c.Access.Policies[i]
			p.Users = p.Users[:500]
		}
		return c
	}}, {"the same users, other topics", func(n int) config.Config {
		c := overlapping(n/10, 500)
		for i := range c.Access.Policies {
			p := &c.Access.Policies[i]
			p.Users, p.Rules = p.Users[:500], []config.Rule{allow("*", fmt.Sprintf("a/%d", i), "b/+"), deny("s", "c")}
		}
		return c
	}}, {"identical", func(n int) config.Config {
		c := fleet(n) // all of whose users have one rule, the same
		for i := range c.Access.Policies {
			c.Access.Policies[i].Rules = slices.Repeat([]config.Rule{allow("*", "#")}, 10)
		}
		return c
	}}} {
		s := compile(b, shape.make(10_000))
		b.Run(shape.name, func(b *testing.B) {
			for b.Loop() {
				s.Shadowed()
			}
		})
	}
}
