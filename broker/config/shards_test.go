package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// fleet is an Access of n users, sorted as Parse sorts it, with a policy that
// names half of them, one that names nobody, and one that is for everybody.
func fleet(n int) Access {
	rules := []Rule{{Effect: Allow, Actions: []Action{ActionAll}, Topics: []string{"a/%u"}}}
	half := Policy{Source: "iot/half", Rules: rules}
	a := Access{DecoyKey: []byte("sixteen bytes or more")}
	for i := range n {
		u := User{Username: fmt.Sprintf("user-%05d", i), Source: "iot/u", PasswordHashes: []string{"hash"}}
		a.Users = append(a.Users, u)
		if i%2 == 0 {
			half.Users = append(half.Users, u.Username)
		}
	}
	for i := range n / 4 {
		name := fmt.Sprintf("suspended-%05d", i)
		a.Suspended = append(a.Suspended, Suspended{Username: name, ClientIDs: []string{name + "*"}})
	}
	a.Policies = []Policy{{Source: "iot/everybody", Authenticated: true, Rules: rules}, half, {Source: "iot/nobody", Rules: rules}}
	return a
}

func mustEncode(t *testing.T, a Access, shards int) Files {
	t.Helper()
	files, err := a.Encode(shards)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestShardsHoldTheWhole(t *testing.T) {
	for _, shards := range []int{1, 2, 4, 8, 16} {
		for _, users := range []int{0, 1, 100} {
			want := fleet(users)
			files := mustEncode(t, want, shards)
			if names := files.Shards(); shards > 1 && len(names) != shards || shards == 1 && names != nil {
				t.Errorf("%d shards: names %q", shards, names)
			}
			c, err := Parse([]byte(minimalSettings), files)
			if err != nil {
				t.Fatalf("%d shards, %d users: %v", shards, users, err)
			}
			if !reflect.DeepEqual(c.Access, want) {
				t.Errorf("%d shards, %d users: read %+v", shards, users, c.Access)
			}
			if again := mustEncode(t, c.Access, shards); !reflect.DeepEqual(again, files) {
				t.Errorf("%d shards, %d users: the same content gives other bytes", shards, users)
			}
		}
	}
}

func TestAChangeOfAUserChangesOneShard(t *testing.T) {
	before, after := fleet(1000), fleet(1000)
	after.Users[7].PasswordHashes = []string{"another"}
	gone := fleet(1000)
	gone.Users = slices.Delete(gone.Users, 8, 9)
	gone.Policies[1].Users = slices.Delete(gone.Policies[1].Users, 4, 5)
	old := mustEncode(t, before, 16)
	for name, changed := range map[string]Access{"another password": after, "removed, with its membership": gone} {
		files := mustEncode(t, changed, 16)
		var written []string
		for file, content := range files {
			if string(old[file]) != string(content) {
				written = append(written, file)
			}
		}
		slices.Sort(written)
		if len(written) != 2 || written[1] != AccessFile {
			t.Errorf("%s: %q are written", name, written)
		}
	}
}

func TestUsersAreSpreadEvenly(t *testing.T) {
	var sizes [MaxShards]int
	for i := range 16000 {
		sizes[ShardOf(fmt.Sprintf("device-%d", i), MaxShards)]++
	}
	for number, size := range sizes {
		if size < 800 || size > 1200 {
			t.Errorf("shard %d has %d of 16000 users", number, size)
		}
	}
}

func TestAShardStaysTheSameOrSplitsInTwo(t *testing.T) {
	for i := range 1000 {
		name := fmt.Sprint(i)
		for shards := 2; shards <= MaxShards; shards *= 2 {
			if ShardOf(name, shards)%(shards/2) != ShardOf(name, shards/2) {
				t.Fatalf("%s is in %d of %d and in %d of %d", name, ShardOf(name, shards), shards, ShardOf(name, shards/2), shards/2)
			}
		}
	}
}

// A set of files that is half old and half new is one of the two, or none.
func TestFilesOfDifferentMomentsAreNotTakenForOne(t *testing.T) {
	before, after := fleet(40), fleet(40)
	for i := range after.Users {
		after.Users[i].PasswordHashes = []string{"changed"}
	}
	after.Policies[0].Rules = []Rule{{Effect: Allow, Actions: []Action{ActionAll}, Topics: []string{"#"}}}
	const shards = 4
	sets := [2]Files{mustEncode(t, before, shards), mustEncode(t, after, shards)}
	complete := 0
	for mix := range 1 << (shards + 1) {
		for kept := range 2 { // whether the shards of the other moment are there as well
			files := Files{AccessFile: sets[mix&1][AccessFile]}
			for number := range shards {
				from := sets[mix>>(number+1)&1]
				files[from.Shards()[number]] = from[from.Shards()[number]]
			}
			if kept == 1 {
				maps.Copy(files, without(sets[0], AccessFile))
				maps.Copy(files, without(sets[1], AccessFile))
			}
			c, err := Parse([]byte(minimalSettings), files)
			if err != nil {
				if !errors.Is(err, ErrIncomplete) || kept == 1 {
					t.Errorf("mix %b: %v", mix, err)
				}
				continue
			}
			complete++
			if want := [2]Access{before, after}[mix&1]; !reflect.DeepEqual(c.Access, want) {
				t.Errorf("mix %b: read %+v", mix, c.Access)
			}
		}
	}
	if complete != 2+1<<(shards+1) {
		t.Errorf("%d sets are complete", complete)
	}
}

func without(files Files, name string) Files {
	files = maps.Clone(files)
	delete(files, name)
	return files
}

func TestShardsThatAreWrongAreRefused(t *testing.T) {
	name := func(number int, content string) string { return shardName(number, []byte(content)) }
	indexOf := func(names ...string) string {
		content, err := json.Marshal(index{Shards: names})
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	for what, tt := range map[string]struct {
		index  string
		shards []string
		want   string
	}{
		"name with a path":       {indexOf("../access-0-" + strings.Repeat("0", 32) + ".json"), nil, "no name of this shard"},
		"number of another":      {indexOf(name(1, "{}")), nil, "no name of this shard"},
		"too many":               {indexOf(slices.Repeat([]string{name(0, "{}")}, 17)...), nil, "more than 16"},
		"users beside shards":    {`{"users":[{"username":"u"}],"shards":["` + name(0, "{}") + `"]}`, []string{"{}"}, "stand in the shards"},
		"missing":                {indexOf(name(0, "{}")), nil, "do not belong together"},
		"another content":        {indexOf(name(0, "{}")), []string{"{ }"}, "do not belong together"},
		"unknown field":          {indexOf(name(0, `{"user":[]}`)), []string{`{"user":[]}`}, `unknown field "user"`},
		"members of no policy":   {indexOf(name(0, `{"members":{"a/b":["u"]}}`)), []string{`{"members":{"a/b":["u"]}}`}, `no policy "a/b"`},
		"one policy twice":       {indexOf(name(0, `{"policies":[{"source":"a"},{"source":"a"}]}`)), []string{`{"policies":[{"source":"a"},{"source":"a"}]}`}, `two policies`},
		"one user in two":        {indexOf(name(0, `{"users":[{"username":"u"}]}`), name(1, `{"users":[{"username":"u"}]}`)), []string{`{"users":[{"username":"u"}]}`, `{"users":[{"username":"u"}]}`}, "must differ"},
		"user that is not valid": {indexOf(name(0, `{"users":[{"username":""}]}`)), []string{`{"users":[{"username":""}]}`}, "username"},
	} {
		t.Run(what, func(t *testing.T) {
			files := alone(tt.index)
			for number, content := range tt.shards {
				// Under the name that the index has for it.
				if names := files.Shards(); number < len(names) {
					files[names[number]] = []byte(content)
				}
			}
			if _, err := Parse([]byte(minimalSettings), files); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want one that says %q", err, tt.want)
			}
		})
	}
}

// texts are files for a mount.
func texts(files Files) map[string]string {
	out := make(map[string]string, len(files))
	for name, content := range files {
		out[name] = string(content)
	}
	return out
}

// halfWritten are files of a change that is under way: the new AccessFile, with
// the shards of before.
func halfWritten(before, after Files) map[string]string {
	torn := texts(before)
	torn[AccessFile] = string(after[AccessFile])
	return torn
}

func (f *fixture) users() int { return len(f.watcher.Current().Access.Users) }

func TestWatcherWaitsForAllShards(t *testing.T) {
	before, after := mustEncode(t, fleet(10), 2), mustEncode(t, fleet(20), 2)
	f := newFixture(t, texts(before))
	f.access.replace(halfWritten(before, after))
	f.watcher.check(f.sink.apply)
	if f.users() != 10 || f.watcher.Err() != nil || f.logs.count("refused") != 0 {
		t.Errorf("%d users; a change that is under way is told as %v", f.users(), f.watcher.Err())
	}
	f.access.replace(texts(after))
	f.watcher.check(f.sink.apply)
	if f.users() != 20 || f.watcher.Err() != nil {
		t.Errorf("%d users; %v", f.users(), f.watcher.Err())
	}
}

// TestWatcherSeesAShardThatIsSpoilt, although AccessFile is the same as before.
func TestWatcherSeesAShardThatIsSpoilt(t *testing.T) {
	access := mustEncode(t, fleet(10), 2)
	f := newFixture(t, texts(access))
	f.watcher.settling = 0
	spoilt := texts(access)
	spoilt[access.Shards()[1]] += " "
	f.access.replace(spoilt)
	f.watcher.check(f.sink.apply)
	if f.users() != 10 || !errors.Is(f.watcher.Err(), ErrIncomplete) {
		t.Errorf("%d users; %v", f.users(), f.watcher.Err())
	}
}

func TestWatcherTellsOfShardsThatStayApart(t *testing.T) {
	before, after := mustEncode(t, fleet(10), 2), mustEncode(t, fleet(20), 2)
	f := newFixture(t, texts(before))
	f.watcher.settling = 0
	f.access.replace(halfWritten(before, after))
	f.watcher.check(f.sink.apply)
	if f.users() != 10 || !errors.Is(f.watcher.Err(), ErrIncomplete) || f.logs.count("refused") != 1 {
		t.Errorf("%d users; %v", f.users(), f.watcher.Err())
	}
	f.access.replace(texts(before))
	f.watcher.check(f.sink.apply)
	if f.watcher.Err() != nil {
		t.Error(f.watcher.Err())
	}
}
