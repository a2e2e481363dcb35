package auth

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/godwit-mqtt/godwit/broker/auth/password"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// Snapshot is a configuration compiled for authentication and authorization. It
// is immutable: all of its methods may be called concurrently.
type Snapshot struct {
	anonymous     bool
	defaultEffect config.Effect
	users         map[string]*user
	suspended     map[string]bool // usernames, of users who keep their sessions
	certified     map[subject]*user
	passwordUsers []*user // with a password hash, by place
	policies      []config.Policy
	rules         []ruleRef
	digests       map[audience]digest
	denies        map[audience]scope // audiences that a Deny rule on Subscribe is for

	publish   tree // Allow and Deny
	subscribe scopedTree
	withhold  scopedTree // Deny on Subscribe
}

// scope says which rules there are: those that name topic filters, and those
// that name shared subscriptions.
type scope struct {
	plain, shared bool
}

// audience is a set of principals that rules apply to.
type audience uint32

const (
	audienceAuthenticated audience = iota
	audienceAnonymous
	audiencePolicies // plus the index of the policy: the users that it names
)

// user is one identity of the configuration.
type user struct {
	*config.User
	place     uint64     // of the username, where a decoy is looked for
	proofs    []proof    // of PasswordHashes
	audiences []audience // sorted
	denies    scope
}

// Compile checks the configuration and compiles it. It fails as a whole, with
// every problem in the text, so that a bad rule never loosens access.
func Compile(c *config.Config) (*Snapshot, error) {
	if err := c.Access.Validate(); err != nil {
		return nil, err
	}
	s := &Snapshot{
		anonymous:     c.Settings.Anonymous,
		defaultEffect: cmp.Or(c.Settings.DefaultEffect, config.Deny),
		policies:      c.Access.Policies,
		digests:       map[audience]digest{},
		denies:        map[audience]scope{},
		suspended:     map[string]bool{},
	}
	for _, username := range c.Access.Suspended {
		s.suspended[username] = true
	}
	if s.defaultEffect != config.Allow && s.defaultEffect != config.Deny {
		return nil, fmt.Errorf("settings.defaultEffect: %q is not known; use Allow, Deny", s.defaultEffect)
	}
	if err := s.compileUsers(c.Access.Users); err != nil {
		return nil, err
	}
	if err := s.compilePolicies(); err != nil {
		return nil, err
	}
	s.assignAudiences()
	return s, nil
}

func (s *Snapshot) compileUsers(users []config.User) error {
	s.users = make(map[string]*user, len(users))
	s.certified = map[subject]*user{}
	for i := range users {
		u := &user{User: &users[i]}
		for j, hash := range u.PasswordHashes {
			if err := password.Validate(hash); err != nil {
				return fmt.Errorf("access.users[%d] (%s).passwordHashes[%d]: %w", i, u.Username, j, err)
			}
			u.proofs = append(u.proofs, proofOfHash(hash))
		}
		if len(u.proofs) > 0 {
			u.place = placeOf(u.Username)
			s.passwordUsers = append(s.passwordUsers, u)
		}
		if u.CommonName != "" {
			s.certified[u.subject()] = u
		}
		s.users[u.Username] = u
	}
	slices.SortFunc(s.passwordUsers, func(a, b *user) int { return cmp.Compare(a.place, b.place) })
	return nil
}

// assignAudiences tells each user the audiences that it is of.
func (s *Snapshot) assignAudiences() {
	for _, u := range s.users {
		u.audiences = []audience{audienceAuthenticated}
	}
	for i := range s.policies {
		p := &s.policies[i]
		if p.Authenticated || len(p.Rules) == 0 {
			continue
		}
		a := audiencePolicies + audience(i)
		for _, name := range p.Users {
			u, ok := s.users[name]
			if ok && u.audiences[len(u.audiences)-1] != a {
				u.audiences = append(u.audiences, a)
			}
		}
	}
	for _, u := range s.users {
		u.audiences = slices.Clip(u.audiences)
		u.denies = s.deniesFor(u.audiences)
	}
}

func (s *Snapshot) deniesFor(audiences []audience) (found scope) {
	for _, a := range audiences {
		found.plain = found.plain || s.denies[a].plain
		found.shared = found.shared || s.denies[a].shared
	}
	return found
}

// User returns the configuration of a user, which nobody may change.
func (s *Snapshot) User(name string) (*config.User, bool) {
	u, ok := s.users[name]
	if !ok {
		return nil, false
	}
	return u.User, true
}

// Knows reports whether there is still somebody that a session of the principal
// belongs to: its user, who may be suspended, or clients without credentials where
// they are admitted.
func (s *Snapshot) Knows(p Principal) bool {
	if p.Anonymous {
		return s.anonymous
	}
	_, ok := s.users[p.Username]
	return ok || s.suspended[p.Username]
}

// Claim is how strongly the client identifier of a principal is its own: the number
// of characters of it that the user's clientIds name, and one more where they name
// all of it. It is 0 for a user without clientIds, and for anonymous clients.
func (s *Snapshot) Claim(p Principal) int {
	u, ok := s.users[p.Username]
	if !ok || p.Anonymous {
		return 0
	}
	strongest := 0
	for _, pattern := range u.ClientIDs {
		stem, wild := strings.CutSuffix(pattern, "*")
		switch {
		case pattern == p.ClientID:
			return len(pattern) + 1
		case wild && strings.HasPrefix(p.ClientID, stem):
			strongest = max(strongest, len(stem))
		}
	}
	return strongest
}

// Valid reports whether a principal that an earlier snapshot admitted would
// still be: the user is there, the credential that it used is still listed, the
// client identifier and anonymity are still allowed. A Principal that no
// Authenticator made is judged without its credential.
func (s *Snapshot) Valid(p Principal) bool {
	if p.Anonymous {
		return s.anonymous
	}
	u, ok := s.users[p.Username]
	return ok && allowsClientID(u.ClientIDs, p.ClientID) && u.accepts(p.proof)
}

func (u *user) accepts(p proof) bool {
	return p == proof{} || slices.Contains(u.proofs, p) ||
		u.CommonName != "" && p == proofOfSubject(u.subject())
}

// subject is what a client certificate says of whom it is for: the name of the CA
// that the listener knows it by, and the common name. A name that one CA gives is
// not the same name from another.
type subject struct{ clientCA, commonName string }

func (u *user) subject() subject { return subject{u.ClientCA, u.CommonName} }
