package auth

import (
	"crypto/sha256"
	"fmt"

	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// ACL answers what one principal may do, by one snapshot. It is immutable, may
// be used concurrently, takes no lock and, but for Subscribe and Explain, does
// not allocate.
type ACL struct {
	snapshot     *Snapshot
	known        bool   // false: the principal is not admitted, and may do nothing
	user, client string // what %u and %c stand for
	standing
}

// ACL returns the rules as they apply to the principal. A principal that is not
// of the snapshot, such as a user that was removed, is allowed nothing. Whether
// the principal is still Valid is another question.
func (s *Snapshot) ACL(p Principal) *ACL {
	a := &ACL{snapshot: s, user: noLevel, client: levelOf(p.ClientID)}
	if p.Anonymous {
		a.known = s.anonymous
		a.standing = *s.anonymousOnes.of(p)
		return a
	}
	if u, ok := s.users[p.Username]; ok {
		a.known = true
		a.user = levelOf(p.Username)
		a.standing = *u.of(p)
	}
	return a
}

// PublishDecision is what a principal may publish to one topic.
type PublishDecision struct {
	Allowed        bool // at all; the other fields are zero if not
	Retain         bool // with the retain flag
	MaxQoS         byte // without the retain flag
	MaxQoSRetained byte // with the retain flag
}

// Permits reports whether a message with this quality of service and retain flag
// may be published.
func (d PublishDecision) Permits(qos byte, retain bool) bool {
	if retain {
		return d.Retain && qos <= d.MaxQoSRetained
	}
	return d.Allowed && qos <= d.MaxQoS
}

// Publish decides on messages to the topic name, which must be valid. Topics that
// the broker publishes itself are its own, whatever the rules say [MQTT-4.7.2-1].
func (a *ACL) Publish(topic []byte) PublishDecision {
	if isReserved(topic) {
		return PublishDecision{}
	}
	q := a.query()
	q.ask(&a.snapshot.publish, topic)
	return a.decide(q.verdict).publish()
}

func isReserved[T string | []byte](name T) bool {
	const own = "$SYS/"
	return len(name) >= len(own) && string(name[:len(own)]) == own
}

func (v verdict) publish() PublishDecision {
	return PublishDecision{Allowed: v.allowed, Retain: v.retain, MaxQoS: v.maxQoS, MaxQoSRetained: v.maxQoSRetained}
}

// Subscribe decides on a subscription to the filter, which may be shared, and
// returns the highest quality of service that it is granted with. An invalid
// filter is refused.
func (a *ACL) Subscribe(filter string) (granted bool, maxQoS byte) {
	q := a.query()
	if !a.askSubscribe(&q, filter) {
		return false, 0
	}
	v := a.decide(q.verdict)
	return v.allowed, v.maxQoS
}

// askSubscribe asks for the rules that cover the filter, and reports whether the
// filter is valid.
func (a *ACL) askSubscribe(q *query, filter string) bool {
	group, rest, shared, err := topic.ParseShared(filter)
	if err != nil {
		return false
	}
	f := []byte(withParent(rest))
	for _, t := range []*scopedTree{&a.snapshot.withhold, &a.snapshot.subscribe} {
		q.ask(&t.plain, f)
		if shared {
			q.askGroup(t, group, f)
		}
	}
	return true
}

// withParent returns a filter that matches the same topic names, and whose '#' has
// a parent level that can be the end of a name: no name is empty
// [MQTT-4.7.3-1].
func withParent(filter string) string {
	switch filter {
	case "#":
		return "+/#"
	case "/#":
		return "/+/#"
	}
	return filter
}

// Receive reports whether a message on the topic may be delivered to a
// subscription that is not shared: false where a Deny rule on Subscribe covers
// the topic.
func (a *ACL) Receive(topic []byte) bool {
	if !a.denies.plain {
		return a.known
	}
	q := a.query()
	q.ask(&a.snapshot.withhold.plain, topic)
	return a.known && !q.verdict.denied
}

// ReceiveShared is Receive for a shared subscription of the group, which Deny
// rules that name the group withhold messages from as well.
func (a *ACL) ReceiveShared(group string, topic []byte) bool {
	if !a.denies.shared {
		return a.Receive(topic)
	}
	q := a.query()
	q.ask(&a.snapshot.withhold.plain, topic)
	q.askGroup(&a.snapshot.withhold, group, topic)
	return a.known && !q.verdict.denied
}

// Grants reports whether a subscription of the group, "" for one that is not shared,
// would be granted to exactly the messages of a topic: whoever may not have them by
// any subscription is sent none of them, not even one that was sent before.
func (a *ACL) Grants(group string, topic []byte) bool {
	q := a.query()
	for _, t := range []*scopedTree{&a.snapshot.withhold, &a.snapshot.subscribe} {
		q.ask(&t.plain, topic)
		if group != "" {
			q.askGroup(t, group, topic)
		}
	}
	return a.decide(q.verdict).allowed
}

// FiltersReceive reports whether Receive is ever false. If not, nobody has to
// ask.
func (a *ACL) FiltersReceive() bool { return a.denies.plain || !a.known }

// FiltersReceiveShared reports whether ReceiveShared is ever false.
func (a *ACL) FiltersReceiveShared() bool { return a.denies.shared || a.FiltersReceive() }

func (a *ACL) query() query {
	return query{audiences: a.audiences, user: a.user, client: a.client}
}

// decide turns what the rules say into a decision: Deny wins, and the default
// effect stands in where there is no rule.
func (a *ACL) decide(v verdict) verdict {
	switch {
	case v.denied || !a.known:
		return verdict{denied: true}
	case !v.allowed && a.snapshot.defaultEffect == config.Allow:
		return verdict{allowed: true, retain: true, maxQoS: 2, maxQoSRetained: 2}
	}
	return v
}

// Fingerprint names everything that an ACL decides by.
type Fingerprint [16]byte

// Fingerprint returns the name of the ACL's content. Two ACLs with the same
// fingerprint, of whatever snapshots, answer every question alike, so that after
// a reload the caches and subscriptions of such a principal stand. It costs more
// than a decision, and is not remembered.
func (a *ACL) Fingerprint() Fingerprint {
	b := fmt.Appendf(nil, "%t %s %q %q\n", a.known, a.snapshot.defaultEffect, a.user, a.client)
	var ds []digest
	for _, x := range a.audiences {
		if d, ok := a.snapshot.digests[x]; ok {
			ds = append(ds, d)
		}
	}
	rules := digestOf(ds)
	sum := sha256.Sum256(append(b, rules[:]...))
	return Fingerprint(sum[:])
}
