package render

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// Rules are those of a configuration, to be asked why they refuse something.
type Rules struct{ snapshot *auth.Snapshot }

// CompileRules compiles the rules of a configuration as the engine does.
func CompileRules(out *Output) (*Rules, error) {
	snapshot, err := compile(out)
	if err != nil {
		return nil, fmt.Errorf("compile the rules: %w", err)
	}
	return &Rules{snapshot}, nil
}

func compile(out *Output) (*auth.Snapshot, error) {
	c, err := config.Parse(out.Settings, out.Access)
	if err != nil {
		return nil, err
	}
	for i := range c.Access.Users {
		c.Access.Users[i].PasswordHashes = nil // say nothing of rules
	}
	return auth.Compile(c)
}

// DenyRule is one that refuses something.
type DenyRule struct {
	ACL   types.NamespacedName
	Index int    // in its spec.rules
	Topic string // as the rule spells it
}

func (d DenyRule) String() string {
	return fmt.Sprintf("%s %s denies %q in spec.rules[%d]", v1alpha1.KindTopicACL, d.ACL, d.Topic, d.Index)
}

// Refusal says why something is refused. Without a DenyRule, Reason says it.
type Refusal struct {
	By     *DenyRule
	Reason string
}

// WhyPublish says why a user, or an anonymous client where username is empty,
// may not publish to a topic.
func (r *Rules) WhyPublish(username, topic string) Refusal {
	e := r.of(username).ExplainPublish(topic)
	if e.Reserved {
		return Refusal{Reason: "only the broker itself publishes there"}
	}
	return refusal(e, "no rule allows it")
}

// WhySubscribe says why it may not subscribe to a topic filter.
func (r *Rules) WhySubscribe(username, filter string) Refusal {
	return refusal(r.of(username).ExplainSubscribe(filter), "no rule covers all topics of the filter")
}

func (r *Rules) of(username string) *auth.ACL {
	return r.snapshot.ACL(auth.Principal{Username: username, Anonymous: username == ""})
}

func refusal(e auth.Explanation, none string) Refusal {
	switch {
	case e.Allowed:
		return Refusal{Reason: "the rules allow it with a lower QoS, without the retain flag, to another client identifier, or since a change"}
	case e.Default || len(e.Rules) == 0:
		return Refusal{Reason: none}
	}
	m := e.Rules[0]
	if m.Effect != config.Deny {
		return Refusal{Reason: none}
	}
	namespace, name, _ := strings.Cut(m.Policy, "/")
	return Refusal{By: &DenyRule{types.NamespacedName{Namespace: namespace, Name: name}, m.Rule, m.Topic}}
}
