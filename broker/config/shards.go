package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"slices"
	"strings"
)

// MaxShards is the number of files that the users and policies may be spread over
// besides AccessFile.
const MaxShards = 16

// ErrIncomplete says that AccessFile names a shard that is not there, or is
// another one: the files are of different moments.
var ErrIncomplete = errors.New("the access files do not belong together")

// Files is the content of the access directory by file name. A small Access is
// AccessFile alone. A large one is spread over shards, and AccessFile holds their
// names. A shard is named after its content, so that AccessFile alone says what
// the whole is, and files of different moments are never taken for one.
type Files map[string][]byte

// index is the content of AccessFile: all there is, or the names of the shards.
type index struct {
	Access
	Shards []string `json:"shards,omitempty"`
}

// shard is the content of a shard: users, policies without the names of their
// users, and these names, so that a user that comes or goes changes one shard.
type shard struct {
	Users    []User   `json:"users,omitempty"`
	Policies []Policy `json:"policies,omitempty"`
	// Members are the usernames of this shard that a policy names, by its source.
	Members   map[string][]string `json:"members,omitempty"`
	Suspended []Suspended         `json:"suspended,omitempty"`
}

// ShardOf is the shard, of a power of two of them, that a user is in by username,
// and a policy by source.
func ShardOf(name string, shards int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	sum := h.Sum32()
	return int(sum>>16^sum&0xffff) & (shards - 1)
}

// shardName names a shard by its number and content.
func shardName(number int, content []byte) string {
	sum := sha256.Sum256(content)
	return fmt.Sprintf("access-%d-%s.json", number, hex.EncodeToString(sum[:16]))
}

var shardNames = regexp.MustCompile(`^access-([0-9]|1[0-5])-[0-9a-f]{32}\.json$`)

// Shards returns the names of the shards, in their order; none where AccessFile
// is all there is, or cannot be read.
func (f Files) Shards() []string {
	var names struct {
		Shards []string `json:"shards"`
	}
	if json.Unmarshal(f[AccessFile], &names) != nil {
		return nil
	}
	if i := (index{Shards: names.Shards}); i.validate() != nil {
		return nil
	}
	return names.Shards
}

func (i *index) validate() error {
	if len(i.Shards) > MaxShards {
		return fmt.Errorf("%s: %d shards are more than %d", AccessFile, len(i.Shards), MaxShards)
	}
	for number, name := range i.Shards {
		if !shardNames.MatchString(name) || !strings.HasPrefix(name, fmt.Sprintf("access-%d-", number)) {
			return fmt.Errorf("%s: shards[%d]: %q is no name of this shard", AccessFile, number, name)
		}
	}
	return nil
}

// Encode returns the files of a, spread over a power of two of shards; 1 is
// AccessFile alone. The same content gives the same bytes.
func (a *Access) Encode(shards int) (Files, error) {
	if shards == 1 {
		content, err := json.Marshal(a)
		return Files{AccessFile: content}, err
	}
	files, names := Files{}, index{Access: Access{DecoyKey: a.DecoyKey}}
	for number, s := range a.split(shards) {
		content, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		name := shardName(number, content)
		files[name], names.Shards = content, append(names.Shards, name)
	}
	content, err := json.Marshal(names)
	files[AccessFile] = content
	return files, err
}

func (a *Access) split(shards int) []shard {
	out := make([]shard, shards)
	for _, u := range a.Users {
		s := &out[ShardOf(u.Username, shards)]
		s.Users = append(s.Users, u)
	}
	for _, u := range a.Suspended {
		s := &out[ShardOf(u.Username, shards)]
		s.Suspended = append(s.Suspended, u)
	}
	for _, p := range a.Policies {
		for _, username := range p.Users {
			s := &out[ShardOf(username, shards)]
			if s.Members == nil {
				s.Members = map[string][]string{}
			}
			s.Members[p.Source] = append(s.Members[p.Source], username)
		}
		p.Users = nil
		s := &out[ShardOf(p.Source, shards)]
		s.Policies = append(s.Policies, p)
	}
	return out
}

// decode reads what Encode has written, strictly.
func (f Files) decode() (Access, error) {
	content := f[AccessFile]
	var i index
	if err := decode(AccessFile, content, &i); err != nil {
		return Access{}, err
	}
	if err := i.validate(); err != nil {
		return Access{}, err
	}
	if len(i.Shards) > 0 && len(i.Users)+len(i.Policies)+len(i.Suspended) > 0 {
		return Access{}, fmt.Errorf("%s: users and policies stand in the shards where there are any", AccessFile)
	}
	var read []shard
	for number, name := range i.Shards {
		content, ok := f[name]
		if !ok || shardName(number, content) != name {
			return Access{}, fmt.Errorf("%w: %s names %s, which is not there", ErrIncomplete, AccessFile, name)
		}
		var s shard
		if err := decode(name, content, &s); err != nil {
			return Access{}, err
		}
		read = append(read, s)
	}
	return i.joined(read)
}

// joined puts the shards together, and gives the policies their users back.
func (i *index) joined(shards []shard) (Access, error) {
	if len(shards) == 0 {
		return i.Access, nil
	}
	a := Access{DecoyKey: i.DecoyKey}
	for _, s := range shards {
		a.Users = append(a.Users, s.Users...)
		a.Policies = append(a.Policies, s.Policies...)
		a.Suspended = append(a.Suspended, s.Suspended...)
	}
	bySource := make(map[string]*Policy, len(a.Policies))
	for p := range a.Policies {
		source := a.Policies[p].Source
		if bySource[source] != nil {
			return Access{}, fmt.Errorf("%s: two policies have the source %q", AccessFile, source)
		}
		bySource[source] = &a.Policies[p]
	}
	for number, s := range shards {
		for source, usernames := range s.Members {
			p := bySource[source]
			if p == nil {
				return Access{}, fmt.Errorf("%s: members: there is no policy %q", i.Shards[number], source)
			}
			p.Users = append(p.Users, usernames...)
		}
	}
	slices.SortFunc(a.Users, func(x, y User) int { return cmp.Compare(x.Username, y.Username) })
	slices.SortFunc(a.Policies, func(x, y Policy) int { return cmp.Compare(x.Source, y.Source) })
	slices.SortFunc(a.Suspended, func(x, y Suspended) int { return cmp.Compare(x.Username, y.Username) })
	for p := range a.Policies {
		slices.Sort(a.Policies[p].Users)
	}
	return a, nil
}
