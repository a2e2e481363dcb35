package render

import (
	"cmp"
	"encoding/json"
	"slices"
	"sync"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// hashPasswords hashes the passwords of the users that are rendered still, as many
// as there is time for, and gives all users their digest. It returns how many it
// left out.
func hashPasswords(in Input, users []user, previous map[string]config.User) (unhashed int) {
	rest := sideBySide(slow(in, users, previous), in.Hurry, func(u *user) {
		u.hash(in.Passwords, previous[u.Username].PasswordHashes)
	})
	for _, u := range rest {
		u.Pending = true
	}
	for i := range users {
		u := &users[i]
		if u.Pending && u.rendered != nil {
			u.postpone(previous[u.Username])
		}
		u.Digest = digest(u.Generation, u.rendered)
	}
	return len(rest)
}

// slow completes the users whose passwords are known, and returns the others in
// the order in which they are to be hashed.
func slow(in Input, users []user, previous map[string]config.User) []*user {
	var out []*user
	for i := range users {
		u := &users[i]
		if u.rendered != nil && u.plain != nil && !u.recall(in.Passwords, previous[u.Username].PasswordHashes) {
			out = append(out, u)
		}
	}
	turn := func(u *user) int {
		_, held := previous[u.Username]
		switch {
		case held && u.SecretVersion != u.source.Status.ObservedSecretVersion:
			return 0 // a password that was changed, maybe to lock somebody out
		case held:
			return 1
		default:
			return 2
		}
	}
	slices.SortStableFunc(out, func(a, b *user) int { return cmp.Compare(turn(a), turn(b)) })
	return out
}

// sideBySide does the work for one user after the other, several at a time, until
// hurry is closed. It returns the users that are left.
func sideBySide(users []*user, hurry <-chan struct{}, work func(*user)) (rest []*user) {
	var wg sync.WaitGroup
	defer wg.Wait()
	turns := make(chan struct{}, maxHashers)
	for i, u := range users {
		turns <- struct{}{}
		if i > 0 && isClosed(hurry) {
			return users[i:]
		}
		wg.Go(func() {
			defer func() { <-turns }()
			work(u)
		})
	}
	return nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// recall fills in the hashes of passwords that are known, or says that it takes
// hash.
func (u *user) recall(passwords *Passwords, previous []string) bool {
	known := make([]string, len(u.plain))
	for i, plain := range u.plain {
		var ok bool
		if known[i], ok = passwords.Recall(u.Key.String(), plain, previous); !ok {
			return false
		}
	}
	copy(u.rendered.PasswordHashes, known)
	return true
}

// hash hashes the user's passwords, keeping hashes that fit.
func (u *user) hash(passwords *Passwords, previous []string) {
	for i, plain := range u.plain {
		hash, err := passwords.Hash(u.Key.String(), plain, previous)
		if err != nil {
			u.rendered, u.Verdict = nil, rejected(v1alpha1.ReasonInvalidCredentials, "the password: %v", err)
			return
		}
		u.rendered.PasswordHashes[i] = hash
	}
}

// postpone leaves the hashes as they are until there is time, where they are those
// of a user of this namespace and name, and else leaves the user out.
func (u *user) postpone(previous config.User) {
	if previous.Source == u.rendered.Source && len(previous.PasswordHashes) > 0 {
		u.rendered.PasswordHashes = previous.PasswordHashes
		return
	}
	u.rendered, u.Verdict = nil, rejected(v1alpha1.ReasonPending, "its password has yet to be read and hashed")
}

// previous is what access files hold of users.
type previous struct {
	rendered  map[string]config.User // by username
	suspended map[string]bool
}

// had reports whether a user of the name may have sessions.
func (p previous) had(username string) bool {
	_, rendered := p.rendered[username]
	return rendered || p.suspended[username]
}

// previousUsers reads the users of access files. What cannot be read holds none.
func previousUsers(files config.Files) previous {
	out := previous{map[string]config.User{}, map[string]bool{}}
	for _, name := range append(files.Shards(), config.AccessFile) {
		var content struct {
			Users     []config.User
			Suspended []config.Suspended
		}
		if json.Unmarshal(files[name], &content) != nil {
			continue
		}
		for _, u := range content.Users {
			out.rendered[u.Username] = u
		}
		for _, u := range content.Suspended {
			out.suspended[u.Username] = true
		}
	}
	return out
}
