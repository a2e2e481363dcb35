package auth

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"

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
	digests := map[audience][]digest{}
	for i := range s.policies {
		p := &s.policies[i]
		audiences := audiencesOf(p, i)
		for j := range p.Rules {
			if err := s.compileRule(i, j, audiences); err != nil {
				return fmt.Errorf("access.policies[%d] (%s).rules[%d].%w", i, p.Source, j, err)
			}
			d := digestRule(&p.Rules[j])
			for _, a := range audiences {
				digests[a] = append(digests[a], d)
			}
		}
	}
	s.publish.finish()
	s.subscribe.finish()
	s.withhold.finish()
	for a, ds := range digests {
		s.digests[a] = digestOf(ds)
	}
	return nil
}

// audiencesOf returns the audiences of the i-th policy.
func audiencesOf(p *config.Policy, i int) []audience {
	anonymous, authenticated := audienceAnonymous, audienceAuthenticated
	if p.PlainIdentities {
		anonymous, authenticated = audiencePlainAnonymous, audiencePlainAuthenticated
	}
	var as []audience
	if p.Anonymous {
		as = append(as, anonymous)
	}
	if p.Authenticated {
		return append(as, authenticated)
	}
	if len(p.Users) > 0 {
		as = append(as, audiencePolicies+audience(i))
	}
	return as
}

// compileRule enters one rule into the trees.
func (s *Snapshot) compileRule(policy, rule int, audiences []audience) error {
	r := &s.policies[policy].Rules[rule]
	publish, subscribe := actionsOf(r)
	g := grantOf(r)
	for i, text := range r.Topics {
		p, err := parsePattern(text)
		if err != nil {
			return fmt.Errorf("topics[%d]: %w", i, err)
		}
		for _, a := range audiences {
			e := entry{audience: a, rule: int32(len(s.rules)), grant: g}
			if publish && !p.shared {
				s.publish.insert(p.filter, e)
			}
			if subscribe {
				s.insertSubscribe(p, e)
			}
		}
		s.rules = append(s.rules, ruleRef{int32(policy), int32(rule), int32(i)})
	}
	return nil
}

func (s *Snapshot) insertSubscribe(p pattern, e entry) {
	if !e.deny {
		s.subscribe.of(p).insert(p.filter, e)
		return
	}
	s.withhold.of(p).insert(p.filter, e)
	d := s.denies[e.audience]
	d.plain = d.plain || !p.shared
	d.shared = d.shared || p.shared
	s.denies[e.audience] = d
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
type digest [sha256.Size]byte

// digestRule is the digest of what a rule says, however it is spelled.
func digestRule(r *config.Rule) digest {
	publish, subscribe := actionsOf(r)
	g := grantOf(r)
	b := make([]byte, 0, 256)
	for _, v := range []bool{publish, subscribe, g.deny, g.retain} {
		b = strconv.AppendBool(b, v)
	}
	b = append(b, g.maxQoS)
	for _, t := range slices.Sorted(slices.Values(r.Topics)) {
		b = strconv.AppendQuote(b, t)
	}
	return sha256.Sum256(b)
}

// digestOf is the digest of a set of digests, which it sorts.
func digestOf(ds []digest) digest {
	slices.SortFunc(ds, func(a, b digest) int { return bytes.Compare(a[:], b[:]) })
	h := sha256.New()
	for _, d := range ds {
		h.Write(d[:])
	}
	return digest(h.Sum(nil))
}
