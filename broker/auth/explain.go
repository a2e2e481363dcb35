package auth

import (
	"slices"
	"strings"

	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// Explanation is a decision and the rules that made it.
type Explanation struct {
	PublishDecision // for a subscription, only Allowed and MaxQoS have a meaning

	// Default says that no rule matches, so that the default effect decided.
	Default bool
	// Reserved says that only the broker publishes to the topic, whatever the rules
	// say.
	Reserved bool
	// Rules that decided, in the order of the configuration: the Deny rules that
	// match, or if there is none the Allow rules that do.
	Rules []RuleMatch
	// Overruled are the Allow rules that match in vain.
	Overruled []RuleMatch
	// Withheld are the Deny rules that a granted subscription overlaps with in
	// part: messages on their topics are not delivered.
	Withheld []RuleMatch
	// Partial are the Allow rules that overlap with a subscription that no rule
	// covers: it is refused, and a narrower one would not be.
	Partial []RuleMatch
}

// RuleMatch is one topic filter of one rule.
type RuleMatch struct {
	Policy string // its Source
	Rule   int    // index into the rules of the source
	Topic  string // as the rule spells it
	Effect config.Effect
	MaxQoS byte // that an Allow rule grants
	Retain bool // whether an Allow rule grants retained messages
}

// Permits reports whether the rule by itself allows to publish a message with
// this quality of service and retain flag on its topics.
func (m RuleMatch) Permits(qos byte, retain bool) bool {
	return m.Effect == config.Allow && qos <= m.MaxQoS && (m.Retain || !retain)
}

// ExplainPublish explains what Publish decides on the topic name.
func (a *ACL) ExplainPublish(topic string) Explanation {
	if isReserved(topic) {
		return Explanation{Reserved: true}
	}
	q, found := a.tracingQuery()
	q.ask(&a.snapshot.publish, []byte(topic))
	return a.explain(q, *found)
}

// ExplainSubscribe explains what Subscribe decides on the filter. Of an invalid
// filter it says no more than that it is refused.
func (a *ACL) ExplainSubscribe(filter string) Explanation {
	q, found := a.tracingQuery()
	if !a.askSubscribe(&q, filter) {
		return Explanation{}
	}
	e := a.explain(q, *found)
	if e.Allowed {
		e.Withheld = a.overlapping(filter, config.Deny)
	} else if e.Default {
		e.Partial = a.overlapping(filter, config.Allow)
	}
	return e
}

// tracingQuery returns a query that notes the rules that cover, by index.
func (a *ACL) tracingQuery() (query, *[]int32) {
	q, rules := a.query(), new([]int32)
	q.found = func(e entry) bool {
		*rules = append(*rules, e.rule)
		return false
	}
	return q, rules
}

func (a *ACL) explain(q query, found []int32) Explanation {
	e := Explanation{
		PublishDecision: a.decide(q.verdict).publish(),
		Default:         a.known && len(found) == 0,
	}
	slices.Sort(found)
	for _, i := range slices.Compact(found) {
		m := a.snapshot.match(a.snapshot.rules[i])
		if q.verdict.denied && m.Effect == config.Allow {
			e.Overruled = append(e.Overruled, m)
			continue
		}
		e.Rules = append(e.Rules, m)
	}
	return e
}

func (s *Snapshot) match(r ruleRef) RuleMatch {
	p := &s.policies[r.policy]
	rule := &p.Rules[r.rule]
	g := grantOf(rule)
	return RuleMatch{
		Policy: p.Source, Rule: indexInSource(p, int(r.rule)), Topic: rule.Topics[r.topic],
		Effect: rule.Effect, MaxQoS: g.maxQoS, Retain: g.retain,
	}
}

// indexInSource returns the index of a policy's rule in the rules of its source.
func indexInSource(p *config.Policy, rule int) int { return max(rule, p.Rules[rule].Index) }

// overlapping returns the rules on Subscribe that speak of some topic of the
// subscription. It looks at every rule: it is for people who ask, not for the
// broker.
func (a *ACL) overlapping(filter string, effect config.Effect) (found []RuleMatch) {
	group, rest, _, _ := topic.ParseShared(filter)
	for _, ref := range a.snapshot.rules {
		p := &a.snapshot.policies[ref.policy]
		_, subscribe := actionsOf(&p.Rules[ref.rule])
		m := a.snapshot.match(ref)
		if m.Effect == effect && subscribe && a.isOf(audiencesOf(p, int(ref.policy))) && a.overlaps(m.Topic, group, rest) {
			found = append(found, m)
		}
	}
	return found
}

// isOf reports whether the principal belongs to one of the audiences.
func (a *ACL) isOf(audiences []audience) bool {
	return slices.ContainsFunc(audiences, func(x audience) bool {
		_, ok := slices.BinarySearch(a.audiences, x)
		return ok
	})
}

// overlaps reports whether a topic filter of a rule speaks of some topic of the
// subscription, whose group is empty if it is not shared.
func (a *ACL) overlaps(ruleTopic, group, filter string) bool {
	p, err := parsePattern(ruleTopic)
	if err != nil || p.shared && (group == "" || a.spellOut(p.group) != group) {
		return false
	}
	spelled := a.spellOut(p.filter)
	return spelled != "" && (spelled[0] != '$' || p.filter[0] == '$') && topic.Overlaps(spelled, filter)
}

// spellOut replaces the placeholders of a filter by what they stand for, and
// returns "" if one stands for nothing.
func (a *ACL) spellOut(filter string) string {
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		switch level {
		case placeholderUser:
			levels[i] = a.user
		case placeholderClient:
			levels[i] = a.client
		}
		if levels[i] == noLevel {
			return ""
		}
	}
	return strings.Join(levels, "/")
}
