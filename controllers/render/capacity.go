package render

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/config"
)

const (
	// maxShard is how large a shard of the access file may become, in bytes. A
	// Secret may have 1 MiB and holds two versions of a shard while a change is
	// under way; one that is refused would keep every later change from the pods, a
	// revocation too.
	maxShard = 450 << 10
	// splitAt is the size at which shards are split, while they may be: a change
	// writes a whole shard.
	splitAt = 256 << 10
	// envelope is what a file has around its records.
	envelope = 64
)

// sizes are those of the shards, as many as there may be, in bytes.
type sizes [config.MaxShards]int

func (s *sizes) add(name string, bytes int) { s[config.ShardOf(name, config.MaxShards)] += bytes }

// largest is the size of the largest shard where they are spread over fewer.
func (s *sizes) largest(shards int) int {
	folded := make([]int, shards)
	for number, size := range s {
		folded[number&(shards-1)] += size
	}
	return envelope + slices.Max(folded)
}

// fewest is the smallest number of shards none of which is larger than limit.
func (s *sizes) fewest(limit int) int {
	for shards := 1; shards < config.MaxShards; shards *= 2 {
		if s.largest(shards) <= limit {
			return shards
		}
	}
	return config.MaxShards
}

// shards is over how many shards an Access of these sizes is spread, where it was
// spread over so many before: as few as its size asks for, but fewer than before
// only where there is room to grow again.
func (s *sizes) shards(before int) int {
	return max(s.fewest(splitAt), min(before, s.fewest(splitAt/2)))
}

// applicant is an object that takes room in the access files.
type applicant struct {
	kind    string
	key     types.NamespacedName
	created time.Time
	user    *user // or
	acl     *acl
	refused Verdict
}

// fit renders the ACLs and refuses as many of the newest users and ACLs as it
// takes for every shard to stay within maxShard; one that is larger by itself is
// refused alone. It returns the sizes of what is left.
func fit(in Input, users []user) ([]user, []acl, sizes) {
	acls := renderACLs(in, users)
	r := newRoom(acls)
	oldestFirst := applicants(in, users, acls)
	var refused []applicant
	full := false
	for _, a := range oldestFirst {
		switch {
		case r.tooLarge(a):
			a.refused = tooLarge()
		case full || !r.take(a):
			full = true
			a.refused = noRoom(in.Broker)
		default:
			continue
		}
		refused = append(refused, a)
	}
	if len(refused) > 0 {
		users, acls = refuse(in, users, refused)
	}
	return users, acls, r.sizes
}

// room adds up what the applicants need that were taken.
type room struct {
	sizes sizes
	// naming holds the ACLs that name a user, by username.
	naming map[string][]*acl
	// users and acls were taken.
	users map[string]bool
	acls  map[*acl]bool
	// listed holds the shards that have a list of an ACL's users.
	listed map[*acl]*[config.MaxShards]bool
}

func newRoom(acls []acl) *room {
	r := &room{
		naming: map[string][]*acl{}, users: map[string]bool{}, acls: map[*acl]bool{}, listed: map[*acl]*[config.MaxShards]bool{},
	}
	for i := range acls {
		if a := &acls[i]; a.rendered != nil {
			r.listed[a] = &[config.MaxShards]bool{}
			for _, username := range a.rendered.Users {
				r.naming[username] = append(r.naming[username], a)
			}
		}
	}
	return r
}

// tooLarge says that the applicant has no place in a shard of its own.
func (r *room) tooLarge(a applicant) bool { return envelope+a.record() > maxShard }

// take adds what the applicant needs, unless a shard becomes too large by it.
func (r *room) take(a applicant) bool {
	before := r.sizes
	if a.user != nil {
		name := a.user.Username
		r.users[name] = true
		r.sizes.add(name, a.record())
		for _, acl := range r.naming[name] {
			r.list(acl, name)
		}
	} else {
		r.acls[a.acl] = true
		r.sizes.add(a.acl.rendered.Source, a.record())
		for _, name := range a.acl.rendered.Users {
			r.list(a.acl, name)
		}
	}
	if r.sizes.largest(config.MaxShards) <= maxShard {
		return true
	}
	r.sizes = before
	return false
}

// list adds a name to the list of an ACL's users in the name's shard, once both
// were taken.
func (r *room) list(a *acl, username string) {
	if !r.users[username] || !r.acls[a] {
		return
	}
	bytes := len(username) + len(`"",`)
	if listed := &r.listed[a][config.ShardOf(username, config.MaxShards)]; !*listed {
		*listed = true
		bytes += len(a.rendered.Source) + len(`"":[],`)
	}
	r.sizes.add(username, bytes)
}

// record is the size of what is rendered of the applicant, without the names of
// an ACL's users.
func (a applicant) record() int {
	if a.user != nil {
		return encodedSize(a.user.rendered)
	}
	policy := *a.acl.rendered
	policy.Users = nil
	return encodedSize(policy)
}

func encodedSize(record any) int {
	// Types of package config always encode.
	encoded, _ := json.Marshal(record)
	return len(encoded) + len(",")
}

// applicants returns what was rendered, the oldest first; of the same age, by
// kind, namespace and name.
func applicants(in Input, users []user, acls []acl) []applicant {
	var out []applicant
	for i := range users {
		if u := &users[i]; u.rendered != nil {
			out = append(out, applicant{kind: v1alpha1.KindMQTTUser, key: u.Key, created: u.source.CreationTimestamp.Time, user: u})
		}
	}
	created := map[types.NamespacedName]metav1.Time{}
	for i := range in.ACLs {
		created[keyOf(&in.ACLs[i])] = in.ACLs[i].CreationTimestamp
	}
	for i := range acls {
		if a := &acls[i]; a.rendered != nil {
			out = append(out, applicant{kind: v1alpha1.KindTopicACL, key: a.Key, created: created[a.Key].Time, acl: a})
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
	verdicts := map[string]map[types.NamespacedName]Verdict{v1alpha1.KindMQTTUser: {}, v1alpha1.KindTopicACL: {}}
	for _, r := range refused {
		verdicts[r.kind][r.key] = r.refused
	}
	users = slices.Clone(users)
	for i := range users {
		u := &users[i]
		if verdict, ok := verdicts[v1alpha1.KindMQTTUser][u.Key]; ok {
			u.rendered, u.Verdict = nil, verdict
		}
	}
	acls := renderACLs(in, users)
	for i := range acls {
		a := &acls[i]
		if verdict, ok := verdicts[v1alpha1.KindTopicACL][a.Key]; ok {
			a.rendered, a.MatchedUsers, a.Verdict = nil, 0, verdict
			a.Digest = digest(a.Generation, a.rendered)
		}
	}
	return users, acls
}

func noRoom(broker *v1alpha1.Broker) Verdict {
	return rejected(v1alpha1.ReasonBrokerFull,
		"older users and TopicACLs of Broker %s/%s fill the %d KiB that it can hold: delete or disable users, "+
			"give one TopicACL to many users by subjects.authenticated and %%u, or use a second Broker",
		broker.Namespace, broker.Name, config.MaxShards*maxShard>>10)
}

func tooLarge() Verdict {
	return rejected(v1alpha1.ReasonBrokerFull,
		"it takes more than the %d KiB that a Broker has for one object: split it into several", maxShard>>10)
}
