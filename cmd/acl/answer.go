package acl

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// Action that a Question is about.
type Action string

// Actions.
const (
	Publish   Action = "publish"
	Subscribe Action = "subscribe"
)

// Question is what a client may want to do.
type Question struct {
	Action Action `json:"action"`
	Topic  string `json:"topic"` // a topic name to publish to, or a topic filter to subscribe to
	// User who asks, by username; empty if Anonymous.
	User      string `json:"user,omitempty"`
	Anonymous bool   `json:"anonymous,omitempty"`
	// ClientID that the client connects with. Where it is empty, rules with %c do
	// not match.
	ClientID string `json:"clientID,omitempty"`
	QoS      byte   `json:"qos"`
	Retain   bool   `json:"retain,omitempty"` // of a publish
}

// Answer to a Question.
type Answer struct {
	Question
	Broker  string `json:"broker"` // "namespace/name"
	Allowed bool   `json:"allowed"`
	// Reason in a few words.
	Reason string `json:"reason"`
	// Hint at what may be missing in the question.
	Hint string `json:"hint,omitempty"`
	// Rules that decide. None where the default decides, or where the client would
	// not be let in.
	Rules []Rule `json:"rules,omitempty"`
	// InVain are Allow rules that match and do not help: a Deny rule overrules them,
	// or they grant less than is asked for, or not all topics of the filter.
	InVain []Rule `json:"inVain,omitempty"`
	// NotDelivered are Deny rules that a granted subscription overlaps with: it
	// receives no messages on their topics.
	NotDelivered []Rule `json:"notDelivered,omitempty"`
}

// Rule is one topic filter of one rule.
type Rule struct {
	ACL    string        `json:"acl"`   // "namespace/name" of the TopicACL
	Index  int           `json:"index"` // in its spec.rules
	Effect config.Effect `json:"effect"`
	Topic  string        `json:"topic"`
	MaxQoS *byte         `json:"maxQoS,omitempty"` // that an Allow rule grants
	Retain *bool         `json:"retain,omitempty"` // that an Allow rule grants
}

// Answer asks the rules. An error says what is wrong with the question.
func (r *Rights) Answer(q Question) (*Answer, error) {
	if err := q.validate(); err != nil {
		return nil, err
	}
	a := &Answer{Question: q, Broker: r.broker}
	refused, err := r.admit(q)
	switch {
	case err != nil:
		return nil, err
	case refused != "":
		a.Reason = refused
		return a, nil
	}
	acl := r.snapshot.ACL(auth.Principal{Username: q.User, Anonymous: q.Anonymous, ClientID: q.ClientID})
	if q.Action == Publish {
		r.answerPublish(a, acl.ExplainPublish(q.Topic))
	} else {
		r.answerSubscribe(a, acl.ExplainSubscribe(q.Topic))
	}
	if !a.Allowed && q.ClientID == "" && r.namesClientIDs() {
		a.Hint = "rules with %c match only where the question has a client ID"
	}
	return a, nil
}

// namesClientIDs says that %c stands in some rule.
func (r *Rights) namesClientIDs() bool {
	for _, p := range r.config.Access.Policies {
		for _, rule := range p.Rules {
			if slices.ContainsFunc(rule.Topics, func(t string) bool { return strings.Contains(t, "%c") }) {
				return true
			}
		}
	}
	return false
}

func (q Question) validate() error {
	var err error
	switch q.Action {
	case Publish:
		err = topic.ValidateName(q.Topic)
	case Subscribe:
		_, _, _, err = topic.ParseShared(q.Topic)
	default:
		return fmt.Errorf("%q is no action: use %s or %s", q.Action, Publish, Subscribe)
	}
	switch {
	case err != nil:
		return err
	case q.Anonymous == (q.User != ""):
		return errors.New("name either a user (--as) or an anonymous client (--anonymous)")
	case q.QoS > 2:
		return fmt.Errorf("%d is not a quality of service: use 0, 1 or 2", q.QoS)
	case q.Retain && q.Action != Publish:
		return errors.New("only a publish has a retain flag")
	}
	return nil
}

// admit says why the client would not be let in; empty where it would. A user
// that nobody has declared is more likely a mistake than a question.
func (r *Rights) admit(q Question) (refused string, err error) {
	if q.Anonymous {
		if !r.config.Settings.Anonymous {
			return fmt.Sprintf("Broker %s admits no anonymous clients", r.broker), nil
		}
		return "", nil
	}
	object, ok := r.users[q.User]
	if !ok {
		return "", fmt.Errorf("no MQTTUser of Broker %s has the username %q", r.broker, q.User)
	}
	if _, inForce := r.snapshot.User(q.User); !inForce {
		return fmt.Sprintf("%s %s is not in force: %s", v1alpha1.KindMQTTUser, object.Key, object.Verdict.Message), nil
	}
	if q.ClientID != "" && !r.snapshot.Valid(auth.Principal{Username: q.User, ClientID: q.ClientID}) {
		return fmt.Sprintf("%s %s may not use the client ID %q", v1alpha1.KindMQTTUser, object.Key, q.ClientID), nil
	}
	return "", nil
}

func (r *Rights) answerPublish(a *Answer, e auth.Explanation) {
	most := *r.config.Settings.MQTT.MaxQoS
	permitted := func(m auth.RuleMatch) bool { return m.Permits(a.QoS, a.Retain) }
	switch {
	case e.Reserved:
		a.Reason = "topics below $SYS/ are the broker's own"
	case a.QoS > most:
		a.Reason = tooHigh(r.broker, most)
	case e.Default:
		r.byDefault(a, e.Allowed)
	case !slices.ContainsFunc(e.Rules, permitted) && e.Rules[0].Effect == config.Allow:
		a.Reason = "the rules that match grant less"
		a.InVain = rules(e.Rules)
	default:
		a.Allowed = e.Permits(a.QoS, a.Retain)
		a.Reason = byRule(a.Allowed)
		for _, m := range e.Rules {
			if a.Allowed && !permitted(m) {
				a.InVain = append(a.InVain, ruleOf(m))
			} else {
				a.Rules = append(a.Rules, ruleOf(m))
			}
		}
		a.InVain = append(a.InVain, rules(e.Overruled)...)
	}
}

func (r *Rights) answerSubscribe(a *Answer, e auth.Explanation) {
	most := *r.config.Settings.MQTT.MaxQoS
	switch {
	case e.Allowed && a.QoS > most:
		a.Reason = tooHigh(r.broker, most)
	case e.Default && len(e.Partial) > 0 && !e.Allowed:
		a.Reason = "no rule covers all topics of the filter"
		a.InVain = rules(e.Partial)
	case e.Default:
		r.byDefault(a, e.Allowed)
	case !e.Allowed:
		a.Reason = byRule(false)
		a.Rules, a.InVain = rules(e.Rules), rules(e.Overruled)
	case e.MaxQoS < a.QoS:
		a.Reason = fmt.Sprintf("the rules that match grant QoS %d", e.MaxQoS)
		a.InVain = rules(e.Rules)
	default:
		a.Allowed, a.Reason, a.Rules = true, byRule(true), rules(e.Rules)
	}
	if a.Allowed {
		a.NotDelivered = rules(e.Withheld)
	}
}

func (r *Rights) byDefault(a *Answer, allowed bool) {
	a.Allowed = allowed
	a.Reason = fmt.Sprintf("no rule matches, and spec.authorization.default of Broker %s is %s",
		r.broker, cmp.Or(r.config.Settings.DefaultEffect, config.Deny))
}

func byRule(allowed bool) string {
	if allowed {
		return "a rule allows it"
	}
	return "a rule denies it"
}

func tooHigh(broker string, most byte) string {
	return fmt.Sprintf("spec.mqtt.maxQoS of Broker %s is %d", broker, most)
}

func rules(matches []auth.RuleMatch) []Rule {
	var out []Rule
	for _, m := range matches {
		out = append(out, ruleOf(m))
	}
	return out
}

func ruleOf(m auth.RuleMatch) Rule {
	r := Rule{ACL: m.Policy, Index: m.Rule, Effect: m.Effect, Topic: m.Topic}
	if m.Effect == config.Allow {
		r.MaxQoS, r.Retain = &m.MaxQoS, &m.Retain
	}
	return r
}
