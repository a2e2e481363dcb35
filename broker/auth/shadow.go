package auth

import (
	"slices"

	"github.com/godwit-mqtt/godwit/broker/config"
)

// Shadow is a rule that decides nothing: others cover all that it speaks of, by a
// denial or, where it allows, by as much leave. Without the shadowed rules every
// question has the same answer.
type Shadow struct {
	Policy string // its Source
	Rule   int    // index into the rules of the source
	// By is a rule that covers its first topic filter.
	By RuleMatch
}

// Shadowed returns the rules that decide nothing, in the order of the
// configuration; of rules that say the same the first is not one of them. Users
// count as they are in the snapshot. The cost is about that of a decision for each
// topic filter, and grows with the square of the policies that have users and topics
// in common, up to maxSteps: from the last rule to the first, those that were not
// looked at by then are not among the returned. Like the explanations, it is for
// people who ask.
func (s *Snapshot) Shadowed() []Shadow {
	f := shadowFinder{
		Snapshot: s, steps: maxSteps, removed: make([]bool, len(s.rules)),
		numbers: map[string]int{}, members: map[int32]userSet{},
	}
	var found []Shadow
	for end := len(s.rules); end > 0 && f.steps > 0; {
		begin := end - 1
		for begin > 0 && sameRule(s.rules[begin-1], s.rules[begin]) {
			begin--
		}
		if by, ok := f.shadow(begin, end); ok {
			for i := begin; i < end; i++ {
				f.removed[i] = true
			}
			rule := s.match(s.rules[begin])
			found = append(found, Shadow{rule.Policy, rule.Rule, s.match(s.rules[by])})
		}
		end = begin
	}
	slices.Reverse(found)
	return found
}

func sameRule(a, b ruleRef) bool { return a.policy == b.policy && a.rule == b.rule }

// maxSteps bounds the work of a shadowFinder to some 100 ms. A step is about what it
// takes to compare a claim with one rule.
const maxSteps = 1 << 21

// shadowFinder goes through the rules from the last to the first. What is found to
// decide nothing covers nothing any more, so that one of several like it is left.
type shadowFinder struct {
	*Snapshot
	steps   int            // that are left
	removed []bool         // by index into rules
	numbers map[string]int // of the users in a userSet, by name
	members map[int32]userSet
}

// userSet has a bit for each user.
type userSet []uint64

// claim is a part of what a rule says: one topic filter for one action and one
// part of the subjects.
type claim struct {
	ruleRef
	pattern
	grant
	subscribe bool // or else publish
	// audiences whose rules may cover it, sorted.
	audiences []audience
	// byName says that it is for the users that the policy names, of whom only one
	// is known to be of the audiences.
	byName bool
}

// shadow says whether others cover the rule that is rules[begin:end], and which of
// them its first filter.
func (f *shadowFinder) shadow(begin, end int) (by int32, ok bool) {
	by = -1
	for _, ref := range f.rules[begin:end] {
		for _, c := range f.claims(ref) {
			cover, ok := f.cover(c)
			if !ok {
				return 0, false
			}
			if by < 0 {
				by = cover
			}
		}
	}
	return by, by >= 0
}

// claims of a filter. There are none if it says nothing, like a shared
// subscription in a rule on Publish.
func (f *shadowFinder) claims(ref ruleRef) (all []claim) {
	p := &f.policies[ref.policy]
	rule := &p.Rules[ref.rule]
	pattern, err := parsePattern(rule.Topics[ref.topic])
	if err != nil {
		return nil // it would not have been compiled
	}
	publish, subscribe := actionsOf(rule)
	add := func(audiences []audience, byName bool) {
		c := claim{ruleRef: ref, pattern: pattern, grant: grantOf(rule), audiences: audiences, byName: byName}
		if publish && !pattern.shared {
			all = append(all, c)
		}
		if c.subscribe = subscribe; subscribe {
			all = append(all, c)
		}
	}
	if p.Anonymous {
		add(anonymousAudiences, false)
	}
	if p.Authenticated {
		add(authenticatedAudiences, false)
	} else if u := f.anyUser(p); u != nil {
		add(u.other.audiences, true)
	}
	return all
}

// Rules for plain identities alone are taken to cover nothing.
var (
	anonymousAudiences     = []audience{audienceAnonymous}
	authenticatedAudiences = []audience{audienceAuthenticated}
)

// anyUser returns one of the users that a policy names and that there are.
func (f *shadowFinder) anyUser(p *config.Policy) *user {
	for _, name := range p.Users {
		if u := f.users[name]; u != nil {
			return u
		}
	}
	return nil
}

// audiencesPerStep is how many audiences a tree is asked about in a step.
const audiencesPerStep = 32

// cover returns a rule that covers the claim. It asks in the name of nobody, for
// whom placeholders stand for themselves.
func (f *shadowFinder) cover(c claim) (by int32, ok bool) {
	q := query{audiences: c.audiences, user: placeholderUser, client: placeholderClient}
	q.found = func(e entry) bool {
		if ok = f.covers(e, c); ok {
			by = e.rule
		}
		return ok || f.steps <= 0
	}
	f.steps -= len(c.audiences) / audiencesPerStep
	filter := []byte(withParent(c.filter))
	if !c.subscribe {
		q.ask(&f.publish, filter)
		return by, ok
	}
	for _, t := range []*scopedTree{&f.withhold, &f.subscribe} {
		q.ask(&t.plain, filter)
		if c.shared {
			q.askGroup(t, c.group, filter)
		}
	}
	return by, ok
}

// covers says whether an entry, whose filter covers that of the claim, covers all
// of the claim.
func (f *shadowFinder) covers(e entry, c claim) bool {
	f.steps--
	by := f.rules[e.rule]
	switch {
	case f.removed[e.rule] || sameRule(by, c.ruleRef):
		return false
	case !e.deny && (c.deny || e.maxQoS < c.maxQoS || c.retain && !e.retain && !c.subscribe):
		return false
	}
	return !c.byName || e.audience == audienceAuthenticated || f.included(c.policy, by.policy)
}

// wordsPerStep is how many words of two userSets are compared in a step.
const wordsPerStep = 64

// included says whether all users that one policy names are named by another.
func (f *shadowFinder) included(users, in int32) bool {
	all, members := f.membersOf(users), f.membersOf(in)
	f.steps -= len(all) / wordsPerStep
	for i, word := range all {
		if i >= len(members) || word&^members[i] != 0 {
			return false
		}
	}
	return true
}

// membersOf returns the users that a policy names.
func (f *shadowFinder) membersOf(policy int32) userSet {
	members, known := f.members[policy]
	if known {
		return members
	}
	for _, name := range f.policies[policy].Users {
		number, known := f.numbers[name]
		if !known {
			number = len(f.numbers)
			f.numbers[name] = number
		}
		for len(members) <= number/64 {
			members = append(members, 0)
		}
		members[number/64] |= 1 << (number % 64)
	}
	f.members[policy] = members
	return members
}
