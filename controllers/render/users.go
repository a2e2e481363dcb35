package render

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// user is what became of a MQTTUser: rendered is nil where nobody may connect
// as this user.
type user struct {
	Object
	source   *v1alpha1.MQTTUser
	rendered *config.User
	// holds says that the username is this user's, that the configuration had it
	// before and has room for it: while rendered is nil it is suspended, and keeps
	// its sessions.
	holds bool
	// names says that the configuration has room for its clientIds as well then.
	names bool
	// plain holds the passwords for whose hashes unhashed stands in rendered, in
	// their order; nil where it does not.
	plain [][]byte
}

// renderUsers judges the MQTTUsers of the Broker, sorted by namespace and name.
// hashPasswords completes them.
func renderUsers(in Input, before previous) ([]user, error) {
	admits, err := admission(in)
	if err != nil {
		return nil, err
	}
	names, subjects := claims{}, claims{}
	var out []user
	for _, source := range byAge(usersOf(in)) {
		u := user{Object: describe(source), source: source}
		u.Username = source.Username()
		u.Verdict = admits(source.Namespace)
		if u.Verdict.Accepted() {
			u.Verdict = claim(in.Broker, names, subjects, source)
			u.holds = names[u.Username] == u.Key && before.had(u.Username)
		}
		if u.Admitted = u.Verdict.Accepted(); u.Admitted {
			u.render(in)
		}
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b user) int { return compareKeys(a.Key, b.Key) })
	return out, nil
}

// suspended is what the configuration has of a user that is.
func (u *user) suspended() config.Suspended {
	out := config.Suspended{Username: u.Username}
	if u.names {
		out.ClientIDs = clientIDs(u.source)
	}
	return out
}

func clientIDs(u *v1alpha1.MQTTUser) []string { return slices.Sorted(slices.Values(u.Spec.ClientIDs)) }

// render renders an admitted user, or says why it cannot.
func (u *user) render(in Input) {
	spec := u.source.Spec
	out := &config.User{
		Username:  u.Username,
		Source:    u.Key.String(),
		ClientIDs: clientIDs(u.source),
		Limits:    limits(spec.Limits),
	}
	u.Verdict = u.readCredentials(in, out)
	if spec.Disabled {
		u.Pending = false
		u.Verdict = Verdict{Reason: v1alpha1.ReasonDisabled, Message: "disabled: nobody connects as this user"}
		return
	}
	if u.Verdict.Accepted() {
		u.rendered = out
	}
}

// claims holds what was claimed first: the object by the claimed name.
type claims map[string]types.NamespacedName

// take claims name and returns who had it before, if anybody.
func (c claims) take(name string, by types.NamespacedName) (holder types.NamespacedName, taken bool) {
	if holder, taken = c[name]; !taken {
		c[name] = by
	}
	return holder, taken
}

// claim claims the names of a user, which come in the order of their age.
func claim(b *v1alpha1.Broker, names, subjects claims, u *v1alpha1.MQTTUser) Verdict {
	key := types.NamespacedName{Namespace: u.Namespace, Name: u.Name}
	if holder, taken := names.take(u.Username(), key); taken {
		return rejected(v1alpha1.ReasonUsernameTaken, "%s is older and has the username %q", nameFor(u.Namespace, v1alpha1.KindMQTTUser, holder), u.Username())
	}
	commonName := u.CommonName()
	if commonName == "" || u.Spec.Disabled {
		return accepted("")
	}
	ca, _ := b.ClientCAOf(u)
	if holder, taken := subjects.take(ca+"/"+commonName, key); taken {
		return rejected(v1alpha1.ReasonCommonNameTaken, "%s is older and has the common name %q", nameFor(u.Namespace, v1alpha1.KindMQTTUser, holder), commonName)
	}
	return accepted("")
}

func usersOf(in Input) []*v1alpha1.MQTTUser {
	var out []*v1alpha1.MQTTUser
	for i := range in.Users {
		u := &in.Users[i]
		if u.BrokerKey() == keyOf(in.Broker) && u.DeletionTimestamp.IsZero() {
			out = append(out, u)
		}
	}
	return out
}

// byAge sorts the oldest first; objects of the same age by namespace and name.
func byAge(users []*v1alpha1.MQTTUser) []*v1alpha1.MQTTUser {
	slices.SortFunc(users, func(a, b *v1alpha1.MQTTUser) int {
		return cmp.Or(
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			compareKeys(keyOf(a), keyOf(b)),
		)
	})
	return users
}

func limits(l v1alpha1.UserLimits) config.UserLimits {
	return config.UserLimits{
		MaxConnections:        number(l.MaxConnections),
		PublishRate:           number(l.PublishRate),
		PublishBytesPerSecond: quantity(l.PublishBytesPerSecond),
		MaxPacketSize:         quantity(l.MaxPacketSize),
		MaxQueuedMessages:     number(l.MaxQueuedMessages),
		MaxSubscriptions:      number(l.MaxSubscriptions),
		MaxSessions:           number(l.MaxSessions),
		MaxRetainedMessages:   number(l.MaxRetainedMessages),
		MaxRetainedBytes:      quantity(l.MaxRetainedBytes),
	}
}

func quantity(q *resource.Quantity) int64 {
	if q == nil {
		return 0
	}
	return q.Value()
}

// describe begins the Object of o.
func describe(o metav1.Object) Object {
	return Object{Key: keyOf(o), UID: o.GetUID(), Generation: o.GetGeneration()}
}

// digest names a generation and what was rendered of it.
func digest(generation int64, rendered any) string {
	// Types of package config always encode.
	encoded, _ := json.Marshal(rendered)
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", generation, encoded))
	return hex.EncodeToString(sum[:16])
}

func keyOf(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

func compareKeys(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
