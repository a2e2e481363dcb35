package render

import (
	"cmp"
	"encoding/json"
	"slices"
	"sort"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// maxAccess is how large an access file may become, in bytes. The Secret that
// holds it may have 1 MiB, and one that is refused would keep every later change
// from the pods, a revocation too.
const maxAccess = 900 << 10

// applicant is an object that takes room in the access file.
type applicant struct {
	kind    string
	key     types.NamespacedName
	created time.Time
}

// fit renders the ACLs and refuses as many of the newest users and ACLs as it
// takes for the access file to stay within maxAccess. ACLs are rendered anew
// for each attempt, because they name the users that are left.
func fit(in Input, users []user) ([]user, []acl) {
	acls := renderACLs(in, users)
	if accessSize(users, acls) <= maxAccess {
		return users, acls
	}
	oldestFirst := applicants(in, users, acls)
	kept := sort.Search(len(oldestFirst), func(n int) bool {
		return accessSize(refuse(in, users, oldestFirst[n+1:])) > maxAccess
	})
	return refuse(in, users, oldestFirst[kept:])
}

// accessSize is the size of the access file in bytes.
func accessSize(users []user, acls []acl) int {
	// Types of package config always encode.
	encoded, _ := json.Marshal(access(users, acls))
	return len(encoded)
}

// applicants returns what was rendered, the oldest first; of the same age, by
// kind, namespace and name.
func applicants(in Input, users []user, acls []acl) []applicant {
	var out []applicant
	for _, u := range users {
		if u.rendered != nil {
			out = append(out, applicant{v1alpha1.KindMQTTUser, u.Key, u.source.CreationTimestamp.Time})
		}
	}
	created := map[types.NamespacedName]metav1.Time{}
	for i := range in.ACLs {
		created[keyOf(&in.ACLs[i])] = in.ACLs[i].CreationTimestamp
	}
	for _, a := range acls {
		if a.rendered != nil {
			out = append(out, applicant{v1alpha1.KindTopicACL, a.Key, created[a.Key].Time})
		}
	}
	slices.SortFunc(out, func(a, b applicant) int {
		return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.kind, b.kind), compareKeys(a.key, b.key))
	})
	return out
}

// refuse returns the users and ACLs as they are without the refused ones. It
// leaves those of the caller as they are.
func refuse(in Input, users []user, refused []applicant) ([]user, []acl) {
	names := map[string]map[types.NamespacedName]bool{v1alpha1.KindMQTTUser: {}, v1alpha1.KindTopicACL: {}}
	for _, r := range refused {
		names[r.kind][r.key] = true
	}
	users = slices.Clone(users)
	for i := range users {
		if u := &users[i]; names[v1alpha1.KindMQTTUser][u.Key] {
			u.rendered = nil
			u.noRoom(in.Broker)
		}
	}
	acls := renderACLs(in, users)
	for i := range acls {
		if a := &acls[i]; names[v1alpha1.KindTopicACL][a.Key] {
			a.rendered, a.MatchedUsers = nil, 0
			a.noRoom(in.Broker)
			a.Digest = digest(a.Generation, a.rendered)
		}
	}
	return users, acls
}

// noRoom refuses the object, of which nothing is rendered.
func (o *Object) noRoom(broker *v1alpha1.Broker) {
	o.Verdict = rejected(v1alpha1.ReasonBrokerFull,
		"older users and TopicACLs of Broker %s/%s fill the %d KiB that it can hold: delete or disable users, "+
			"give one TopicACL to many users by subjects.authenticated and %%u, or use a second Broker",
		broker.Namespace, broker.Name, maxAccess>>10)
}
