package render

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// acl is what became of a TopicACL: rendered is nil where nothing of it is in
// force.
type acl struct {
	Object
	rendered *config.Policy
}

// renderACLs judges the TopicACLs of the Broker, sorted by namespace and name.
// renderUsers has asked admission before, and it has not failed.
func renderACLs(in Input, users []user) []acl {
	admits, _ := admission(in)
	var out []acl
	for i := range in.ACLs {
		source := &in.ACLs[i]
		if source.BrokerKey() != keyOf(in.Broker) || !source.DeletionTimestamp.IsZero() {
			continue
		}
		a := acl{Object: describe(source)}
		if a.Verdict = admits(source.Namespace); a.Verdict.Accepted() {
			a.judge(source, users)
		}
		a.Digest = digest(a.Generation, a.rendered)
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b acl) int { return compareKeys(a.Key, b.Key) })
	return out
}

// judge renders an admitted TopicACL, or says in its verdict why it cannot.
func (a *acl) judge(source *v1alpha1.TopicACL, users []user) {
	policy := config.Policy{Source: a.Key.String()}
	for _, r := range source.Spec.Rules {
		policy.Rules = append(policy.Rules, rule(r))
	}
	if a.Verdict = validRules(policy.Rules); !a.Verdict.Accepted() {
		policy.Rules = denials(policy.Rules)
	}
	for i, s := range source.Spec.Subjects {
		names, err := subject(s, a.Key.Namespace, users)
		if err != nil {
			a.Verdict = rejected(v1alpha1.ReasonInvalidSubject, "spec.subjects[%d].selector: %v", i, err)
			return
		}
		policy.Users = append(policy.Users, names...)
		policy.Anonymous = policy.Anonymous || s.Anonymous
		policy.Authenticated = policy.Authenticated || s.Authenticated
	}
	slices.Sort(policy.Users)
	policy.Users = slices.Compact(policy.Users)
	a.MatchedUsers = int32(len(policy.Users))
	if len(policy.Rules) == 0 {
		return
	}
	if len(policy.Users) > 0 || policy.Anonymous || policy.Authenticated {
		a.rendered = &policy
	}
}

// denials is what stays in force of a TopicACL with a mistake in it: all that it
// denies and that can be understood, so that a slip of the pen opens nothing.
func denials(rules []config.Rule) []config.Rule {
	var out []config.Rule
	for i, r := range rules {
		if r.Effect != config.Deny {
			continue
		}
		if i != len(out) {
			r.Index = i
		}
		r.Topics = slices.DeleteFunc(slices.Clone(r.Topics), func(topic string) bool {
			one := r
			one.Topics = []string{topic}
			return !validRules([]config.Rule{one}).Accepted()
		})
		if len(r.Topics) > 0 {
			out = append(out, r)
		}
	}
	return out
}

// validRules asks the engine's own validation, whose field names below a policy
// are those below the spec of a TopicACL.
func validRules(rules []config.Rule) Verdict {
	err := (&config.Access{Policies: []config.Policy{{Rules: rules}}}).Validate()
	if err == nil {
		return accepted("")
	}
	message := strings.ReplaceAll(err.Error(), "access.policies[0].", "spec.")
	return rejected(v1alpha1.ReasonInvalidRule, "%s; until this is mended, nothing of it is allowed, and what it denies stays denied", strings.ReplaceAll(message, "\n", "; "))
}

// subject returns the usernames that a subject of a TopicACL in namespace means
// among the accepted users.
func subject(s v1alpha1.Subject, namespace string, users []user) ([]string, error) {
	selector := labels.Nothing()
	if s.Selector != nil {
		var err error
		if selector, err = metav1.LabelSelectorAsSelector(s.Selector); err != nil {
			return nil, err
		}
	}
	var names []string
	for _, u := range users {
		selected := u.Key.Namespace == namespace && selector.Matches(labels.Set(u.source.Labels))
		if u.Verdict.Accepted() && (selected || s.User == u.Username) {
			names = append(names, u.Username)
		}
	}
	return names, nil
}

func rule(r v1alpha1.Rule) config.Rule {
	out := config.Rule{Effect: config.Effect(r.Effect), Topics: r.Topics, Retain: config.Effect(r.Retain)}
	for _, a := range r.Actions {
		out.Actions = append(out.Actions, config.Action(a))
	}
	if r.MaxQoS != nil {
		qos := byte(*r.MaxQoS)
		out.MaxQoS = &qos
	}
	return out
}
