package render

import (
	"cmp"
	"slices"
	"time"

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
	envelope = 128
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

// fit renders the ACLs, and refuses what has no room in its shard, of which none
// becomes larger than maxShard. What is denied is placed first. Users and what is
// allowed follow, the oldest first: where a shard is full, the newer ones that need
// room in it are refused, and nobody else. Size never loosens access: an ACL that is
// refused keeps its denials, and where even these have no room, the clients that
// they are for are not admitted. It returns what is left, and the room that it takes.
func fit(in Input, users []user) ([]user, []acl, *room) {
	acls := renderACLs(in, users)
	r := newRoom(in, acls)
	oldestFirst := applicants(in, users, r.acls)
	for _, a := range oldestFirst {
		if a.acl != nil {
			r.deny(a.acl)
		}
	}
	refused := verdicts{}
	for _, a := range oldestFirst {
		if v := r.place(a); !v.Accepted() {
			refused[a.object] = v
		}
	}
	if len(refused) > 0 {
		users, acls = r.refuse(in, users, refused)
	}
	r.suspend(users)
	return users, acls, r
}

// suspend places users as whom nobody may connect, as far as there is room: the names
// of all first, and then their clientIds.
func (r *room) suspend(users []user) {
	for i := range users {
		if u := &users[i]; u.holds && u.rendered == nil {
			var need sizes
			need.add(u.Username, encodedSize(u.suspended()))
			u.holds = r.take(need)
		}
	}
	for i := range users {
		if u := &users[i]; u.holds && u.rendered == nil && len(u.source.Spec.ClientIDs) > 0 {
			var need sizes
			need.add(u.Username, encodedSize(clientIDs(u.source))+len(`"clientIDs":`))
			u.names = r.take(need)
		}
	}
}

// applicant is an object that takes room in the access files.
type applicant struct {
	object
	created time.Time
	user    *user // or
	acl     *aclRecord
}

// object tells applicants apart.
type object struct {
	kind string
	key  types.NamespacedName
}

// verdicts on those that are refused.
type verdicts map[object]Verdict

// applicants returns what was rendered, the oldest first; of the same age, by
// kind, namespace and name.
func applicants(in Input, users []user, acls []*aclRecord) []applicant {
	var out []applicant
	for i := range users {
		if u := &users[i]; u.rendered != nil {
			out = append(out, applicant{object{v1alpha1.KindMQTTUser, u.Key}, u.source.CreationTimestamp.Time, u, nil})
		}
	}
	created := map[types.NamespacedName]time.Time{}
	for i := range in.ACLs {
		created[keyOf(&in.ACLs[i])] = in.ACLs[i].CreationTimestamp.Time
	}
	for _, a := range acls {
		out = append(out, applicant{object{v1alpha1.KindTopicACL, a.Key}, created[a.Key], nil, a})
	}
	slices.SortFunc(out, func(a, b applicant) int {
		return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.kind, b.kind), compareKeys(a.key, b.key))
	})
	return out
}

// refuse returns the users and ACLs as they are without what was refused. It leaves
// those of the caller as they are.
func (r *room) refuse(in Input, users []user, refused verdicts) ([]user, []acl) {
	users = slices.Clone(users)
	for i := range users {
		u := &users[i]
		if v, ok := refused[object{v1alpha1.KindMQTTUser, u.Key}]; ok {
			u.rendered, u.Verdict, u.Pending, u.holds = nil, v, false, false
		}
	}
	placed := map[types.NamespacedName]bool{}
	for _, a := range r.acls {
		placed[a.Key] = a.placed
	}
	acls := renderACLs(in, users)
	for i := range acls {
		a := &acls[i]
		if v, ok := refused[object{v1alpha1.KindTopicACL, a.Key}]; ok {
			a.refuse(v, placed[a.Key])
		}
	}
	return users, acls
}

// refuse leaves nothing of the ACL in force but its denials, if they have room.
func (a *acl) refuse(v Verdict, denied bool) {
	a.Verdict = v
	if a.rendered == nil {
		return
	}
	left := *a.rendered
	if left.Rules = denials(left.Rules); !denied {
		left.Rules = nil
	}
	a.render(left)
	a.Digest = digest(a.Generation, a.rendered)
}

func (r *room) noRoom() Verdict {
	return rejected(v1alpha1.ReasonBrokerFull,
		"other users and TopicACLs of Broker %s fill its shard, one of %d, of %d KiB each: delete or disable users, "+
			"give one TopicACL to many users by subjects.authenticated and %%u, or use a second Broker",
		r.broker, config.MaxShards, maxShard>>10)
}

func tooLarge() Verdict {
	return rejected(v1alpha1.ReasonBrokerFull,
		"it takes more than the %d KiB that a Broker has for one object: split it into several", maxShard>>10)
}

// keeping says of a verdict on the ACL what stays in force of it.
func (a *aclRecord) keeping(v Verdict) Verdict {
	if a.placed {
		v.Message += "; until then nothing of it is allowed, and what it denies stays denied"
	}
	return v
}

// exposing is the verdict on an ACL whose denials have no room.
func (a *aclRecord) exposing() Verdict {
	return rejected(v1alpha1.ReasonBrokerFull, "what it denies takes %d KiB, which its shard of %d KiB has no room for: "+
		"split it into several or make its rules fewer; until then the clients that it is for are not admitted",
		a.denials>>10, maxShard>>10)
}

// exposed is the verdict on a user of such an ACL, for eyes of the user's namespace.
func exposed(acl types.NamespacedName, namespace string) Verdict {
	return rejected(v1alpha1.ReasonBrokerFull, "the Broker has no room for what %s denies to this user: "+
		"split that TopicACL into several or make its rules fewer", nameFor(namespace, v1alpha1.KindTopicACL, acl))
}
