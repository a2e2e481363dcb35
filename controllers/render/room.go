package render

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/broker/config"
)

// aclRecord is the room that a TopicACL takes of which something is rendered.
type aclRecord struct {
	*acl
	// whole and denials are the sizes of its policy, without the names of its
	// users, with all of its rules and with those that deny; 0 where none does.
	whole, denials int
	// placed says that its denials have their room, or all of it.
	placed bool
	// listed holds the shards that have a list of its users.
	listed [config.MaxShards]bool
}

func newACLRecord(a *acl) *aclRecord {
	policy := *a.rendered
	policy.Users = nil
	r := &aclRecord{acl: a, whole: encodedSize(policy)}
	all := len(policy.Rules)
	policy.Rules = denials(policy.Rules)
	switch len(policy.Rules) {
	case 0:
	case all:
		r.denials = r.whole
	default:
		r.denials = encodedSize(policy)
	}
	return r
}

// list returns the bytes that a name takes in the list of the ACL's users in the
// name's shard.
func (a *aclRecord) list(username string) int {
	bytes := encodedSize(username)
	if !a.listed[config.ShardOf(username, config.MaxShards)] {
		bytes += len(a.rendered.Source) + len(`"":[],`)
	}
	return bytes
}

// room adds up what the applicants need that were placed.
type room struct {
	sizes  sizes
	full   [config.MaxShards]bool // nothing is placed there any more
	broker types.NamespacedName
	acls   []*aclRecord
	// naming holds the ACLs that name a user, by username.
	naming map[string][]*aclRecord
	users  map[string]bool // placed
	// undenied holds by username an ACL whose denials for the user have no room;
	// everybody is one with denials for every user, and anonymous says that there
	// is one for clients without credentials.
	undenied  map[string]types.NamespacedName
	everybody *types.NamespacedName
	anonymous bool
}

func newRoom(in Input, acls []acl) *room {
	r := &room{
		broker: keyOf(in.Broker), naming: map[string][]*aclRecord{}, users: map[string]bool{},
		undenied: map[string]types.NamespacedName{},
	}
	for i := range acls {
		if a := &acls[i]; a.rendered != nil {
			record := newACLRecord(a)
			r.acls = append(r.acls, record)
			for _, username := range a.rendered.Users {
				r.naming[username] = append(r.naming[username], record)
			}
		}
	}
	return r
}

// ordinary is what most objects need at most, in bytes. A shard that has no room
// for so much is full; one that has no room for more only refuses what needs it.
const ordinary = 4 << 10

// take adds what is needed in each shard, unless one of them is full or would
// become too large.
func (r *room) take(need sizes) bool {
	ok := true
	for shard, bytes := range need {
		if bytes > 0 && (r.full[shard] || !r.has(shard, bytes)) {
			ok = false
			r.full[shard] = r.full[shard] || !r.has(shard, min(bytes, ordinary))
		}
	}
	if ok {
		for shard, bytes := range need {
			r.sizes[shard] += bytes
		}
	}
	return ok
}

// has says whether a shard has room for so many bytes more.
func (r *room) has(shard, bytes int) bool { return envelope+r.sizes[shard]+bytes <= maxShard }

// deny places the denials of an ACL, before there is any user. Where there is no
// room for them, it notes whom they are for.
func (r *room) deny(a *aclRecord) {
	shard := config.ShardOf(a.rendered.Source, config.MaxShards)
	if a.denials == 0 {
		return
	}
	if a.placed = r.has(shard, a.denials); a.placed {
		r.sizes[shard] += a.denials
		return
	}
	for _, username := range a.rendered.Users {
		r.undenied[username] = a.Key
	}
	if a.rendered.Authenticated {
		r.everybody = &a.Key
	}
	r.anonymous = r.anonymous || a.rendered.Anonymous
}

// place places a user, or what is left of an ACL, and says why it cannot.
func (r *room) place(a applicant) Verdict {
	if a.user != nil {
		return r.placeUser(a.user)
	}
	return r.placeACL(a.acl)
}

func (r *room) placeUser(u *user) Verdict {
	if acl, ok := r.exposedBy(u); ok {
		return exposed(acl, u.Key.Namespace)
	}
	size := encodedSize(u.rendered)
	if envelope+size > maxShard {
		return tooLarge()
	}
	for _, a := range r.naming[u.Username] {
		if a.placed {
			size += a.list(u.Username)
		}
	}
	var need sizes
	need.add(u.Username, size)
	if !r.take(need) {
		return r.noRoom()
	}
	r.users[u.Username] = true
	for _, a := range r.naming[u.Username] {
		if a.placed {
			a.listed[config.ShardOf(u.Username, config.MaxShards)] = true
		}
	}
	return accepted("")
}

// exposedBy returns an ACL whose denials for the user have no room.
func (r *room) exposedBy(u *user) (acl types.NamespacedName, ok bool) {
	if r.everybody != nil {
		return *r.everybody, true
	}
	acl, ok = r.undenied[u.Username]
	return acl, ok
}

func (r *room) placeACL(a *aclRecord) Verdict {
	switch {
	case a.denials > 0 && !a.placed:
		return a.exposing()
	case a.placed && a.whole == a.denials:
		return accepted("")
	case envelope+a.whole > maxShard:
		return a.keeping(tooLarge())
	}
	var need sizes
	need.add(a.rendered.Source, a.whole-a.denials)
	if !a.placed {
		for _, username := range a.rendered.Users {
			if r.users[username] {
				need.add(username, a.list(username))
				a.listed[config.ShardOf(username, config.MaxShards)] = true
			}
		}
	}
	if !r.take(need) {
		return a.keeping(r.noRoom())
	}
	a.placed = true
	return accepted("")
}

func encodedSize(record any) int {
	// Types of package config always encode.
	encoded, _ := json.Marshal(record)
	return len(encoded) + len(",")
}
