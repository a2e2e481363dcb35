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
	known := newDirectory(users)
	var out []acl
	for i := range in.ACLs {
		source := &in.ACLs[i]
		if source.BrokerKey() != keyOf(in.Broker) || !source.DeletionTimestamp.IsZero() {
			continue
		}
		a := acl{Object: describe(source)}
		if a.Verdict = admits(source.Namespace); a.Verdict.Accepted() {
			a.judge(source, known)
		}
		a.Digest = digest(a.Generation, a.rendered)
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b acl) int { return compareKeys(a.Key, b.Key) })
	return out
}

// judge renders an admitted TopicACL. Of one with a mistake in it, which its
// verdict names, it renders what can be understood of its denials and subjects.
func (a *acl) judge(source *v1alpha1.TopicACL, known directory) {
	policy := config.Policy{Source: a.Key.String(), PlainIdentities: source.Spec.Identities == v1alpha1.IdentitiesPlain}
	for _, r := range source.Spec.Rules {
		policy.Rules = append(policy.Rules, rule(r))
	}
	a.Verdict = validRules(policy.Rules)
	for i, s := range source.Spec.Subjects {
		names, err := known.named(s, a.Key.Namespace)
		if err != nil {
			a.reject(v1alpha1.ReasonInvalidSubject, "spec.subjects[%d].selector: %v; %s to its other subjects", i, err, untilMended)
			continue
		}
		policy.Users = append(policy.Users, names...)
		policy.Anonymous = policy.Anonymous || s.Anonymous
		policy.Authenticated = policy.Authenticated || s.Authenticated
	}
	if !a.Verdict.Accepted() {
		policy.Rules = understood(denials(policy.Rules))
	}
	slices.Sort(policy.Users)
	policy.Users = slices.Compact(policy.Users)
	a.MatchedUsers = int32(len(policy.Users))
	policy.Users = slices.DeleteFunc(policy.Users, func(name string) bool { return known.usernames[name].rendered == nil })
	a.render(policy)
}

// reject rejects the TopicACL, unless an earlier mistake has.
func (a *acl) reject(reason, format string, args ...any) {
	if a.Verdict.Accepted() {
		a.Verdict = rejected(reason, format, args...)
	}
}

// render puts the policy in force, if it says anything to anybody.
func (a *acl) render(policy config.Policy) {
	a.rendered = nil
	if len(policy.Rules) > 0 && (len(policy.Users) > 0 || policy.Anonymous || policy.Authenticated) {
		a.rendered = &policy
	}
}

// untilMended is what a TopicACL with a mistake in it does.
const untilMended = "until this is mended, nothing of it is allowed, and what it denies stays denied"

// denials is what stays in force of a TopicACL that is not accepted, so that
// neither a slip of the pen nor a lack of room opens anything: the rules that deny.
func denials(rules []config.Rule) []config.Rule {
	var out []config.Rule
	for i, r := range rules {
		if r.Effect != config.Deny {
			continue
		}
		if i != len(out) {
			r.Index = i
		}
		out = append(out, r)
	}
	return out
}

// understood leaves out the topics that are not valid, and rules without any other.
func understood(rules []config.Rule) []config.Rule {
	var out []config.Rule
	for i, r := range rules {
		if i != len(out) && r.Index == 0 {
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
	return rejected(v1alpha1.ReasonInvalidRule, "%s; %s", strings.ReplaceAll(message, "\n", "; "), untilMended)
}

// directory holds the accepted users, as subjects ask for them.
type directory struct {
	usernames  map[string]*user
	namespaces map[string][]*user
}

func newDirectory(users []user) directory {
	d := directory{map[string]*user{}, map[string][]*user{}}
	for i := range users {
		if u := &users[i]; u.Verdict.Accepted() {
			d.usernames[u.Username] = u
			d.namespaces[u.Key.Namespace] = append(d.namespaces[u.Key.Namespace], u)
		}
	}
	return d
}

// named returns the usernames that a subject of a TopicACL in namespace means.
func (d directory) named(s v1alpha1.Subject, namespace string) ([]string, error) {
	var names []string
	if d.usernames[s.User] != nil {
		names = append(names, s.User)
	}
	if s.Selector == nil {
		return names, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(s.Selector)
	if err != nil {
		return nil, err
	}
	for _, u := range d.namespaces[namespace] {
		if selector.Matches(labels.Set(u.source.Labels)) {
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
