package auth

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// ruleRef finds a topic filter of a rule in the configuration.
type ruleRef struct {
	policy, rule, topic int32
}

// pattern is a topic filter of a rule.
type pattern struct {
	group  string // of a shared subscription
	filter string
	shared bool
}

func parsePattern(s string) (p pattern, err error) {
	p.group, p.filter, p.shared, err = topic.ParseShared(s)
	return p, err
}

// compilePolicies fills the trees.
func (s *Snapshot) compilePolicies() error {
	atoms := map[audience][]digest{}
	for i := range s.policies {
		p := &s.policies[i]
		for j := range p.Rules {
			d, err := s.compileRule(i, j)
			if err != nil {
				return fmt.Errorf("access.policies[%d] (%s).rules[%d]%w", i, p.Source, j, err)
			}
			for _, a := range audiencesOf(p, i) {
				atoms[a] = append(atoms[a], d)
			}
		}
	}
	for _, t := range []*tree{&s.publish, &s.subscribe.plain, &s.subscribe.shared, &s.withhold.plain, &s.withhold.shared} {
		t.finish()
	}
	for a, ds := range atoms {
		s.digests[a] = digestOf(ds)
	}
	return nil
}

// audiencesOf returns the audiences of the i-th policy.
func audiencesOf(p *config.Policy, i int) []audience {
	var as []audience
	if p.Anonymous {
		as = append(as, audienceAnonymous)
	}
	if p.Authenticated {
		return append(as, audienceAuthenticated)
	}
	if len(p.Users) > 0 {
		as = append(as, audiencePolicies+audience(i))
	}
	return as
}

// compileRule enters one rule into the trees, and returns its digest.
func (s *Snapshot) compileRule(policy, rule int) (digest, error) {
	p := &s.policies[policy]
	r := &p.Rules[rule]
	publish, subscribe := actionsOf(r)
	g := grantOf(r)
	for i, text := range r.Topics {
		pt, err := parsePattern(text)
		if err != nil {
			return nil, fmt.Errorf(".topics[%d]: %q: %w", i, text, err)
		}
		s.rules = append(s.rules, ruleRef{int32(policy), int32(rule), int32(i)})
		for _, a := range audiencesOf(p, policy) {
			e := entry{audience: a, rule: int32(len(s.rules) - 1), grant: g}
			if publish && !pt.shared {
				s.publish.insert(pt.filter, e)
			}
			if subscribe {
				s.insertSubscribe(pt, e)
			}
		}
	}
	return digestRule(publish, subscribe, g, r.Topics), nil
}

func (s *Snapshot) insertSubscribe(p pattern, e entry) {
	trees := &s.subscribe
	if e.deny {
		trees = &s.withhold
		d := s.denies[e.audience]
		d.plain = d.plain || !p.shared
		d.shared = d.shared || p.shared
		s.denies[e.audience] = d
	}
	if p.shared {
		trees.shared.insert(p.group+"/"+p.filter, e)
		return
	}
	trees.plain.insert(p.filter, e)
}

func actionsOf(r *config.Rule) (publish, subscribe bool) {
	all := slices.Contains(r.Actions, config.ActionAll)
	return all || slices.Contains(r.Actions, config.ActionPublish),
		all || slices.Contains(r.Actions, config.ActionSubscribe)
}

func grantOf(r *config.Rule) grant {
	if r.Effect == config.Deny {
		return grant{deny: true}
	}
	g := grant{retain: r.Retain != config.Deny, maxQoS: 2}
	if r.MaxQoS != nil {
		g.maxQoS = *r.MaxQoS
	}
	return g
}

// digest names the content of rules.
type digest []byte

// digestRule is the digest of one rule, whatever the order of its topics.
func digestRule(publish, subscribe bool, g grant, topics []string) digest {
	h := sha256.New()
	fmt.Fprintf(h, "%t %t %v", publish, subscribe, g)
	for _, t := range slices.Sorted(slices.Values(topics)) {
		fmt.Fprintf(h, " %q", t)
	}
	return h.Sum(nil)
}

// digestOf is the digest of a set of digests, whatever their order.
func digestOf(ds []digest) digest {
	ds = slices.Clone(ds)
	slices.SortFunc(ds, func(a, b digest) int { return bytes.Compare(a, b) })
	h := sha256.New()
	for _, d := range ds {
		h.Write(d)
	}
	return h.Sum(nil)
}
