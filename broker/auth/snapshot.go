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
	strangers     config.UserLimits // of anonymous principals
	defaultEffect config.Effect
	users         map[string]*user
	suspended     map[string][]string // client IDs by username, of users who keep their sessions
	certified     map[subject]*user
	decoys        []byte // the secret that decoys are chosen by; empty where there is none
	passwordUsers ring   // with a password hash
	scramUsers    ring   // with a SCRAM verifier
	preparedNames map[string]*user
	anonymousOnes standings
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
	audiencePlainAuthenticated // authenticated, with a plain identity
	audiencePlainAnonymous
	audiencePolicies // plus the index of the policy: the users that it names
)

// user is one identity of the configuration.
type user struct {
	*config.User
	place  uint64  // of the username in a ring
	proofs []proof // of PasswordHashes
	// scram is the first SCRAM verifier among them, nil where there is none, and
	// scramProof the proof of it.
	scram      *password.SCRAM
	scramProof proof
	standings
}

// standing says which rules are for a principal.
type standing struct {
	audiences []audience // sorted
	denies    scope
}

// standings are those of clients whose identity is plain, and of all others.
type standings struct{ plain, other standing }

// of returns the standing of a principal.
func (st *standings) of(p Principal) *standing {
	if isPlain(p.Username) && isPlain(p.ClientID) {
		return &st.plain
	}
	return &st.other
}

// join adds the audiences of clients of every identity, or of a plain one alone. They
// come in their order.
func (st *standings) join(plain bool, as ...audience) {
	st.plain.audiences = append(st.plain.audiences, as...)
	if !plain {
		st.other.audiences = append(st.other.audiences, as...)
	}
}

// Compile checks the configuration and compiles it. It fails as a whole, with
// every problem in the text, so that a bad rule never loosens access.
func Compile(c *config.Config) (*Snapshot, error) {
	if err := c.Access.Validate(); err != nil {
		return nil, err
	}
	s := &Snapshot{
		anonymous:     c.Settings.Anonymous,
		strangers:     c.Settings.AnonymousLimits,
		defaultEffect: cmp.Or(c.Settings.DefaultEffect, config.Deny),
		decoys:        c.Access.DecoyKey,
		policies:      c.Access.Policies,
		digests:       map[audience]digest{},
		denies:        map[audience]scope{},
		suspended:     make(map[string][]string, len(c.Access.Suspended)),
	}
	for _, u := range c.Access.Suspended {
		s.suspended[u.Username] = u.ClientIDs
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
	s.preparedNames = map[string]*user{}
	for i := range users {
		u := &user{User: &users[i]}
		for j, hash := range u.PasswordHashes {
			if err := password.Validate(hash); err != nil {
				return fmt.Errorf("access.users[%d] (%s).passwordHashes[%d]: %w", i, u.Username, j, err)
			}
			u.addHash(hash)
		}
		if len(u.proofs) > 0 {
			u.place = placeOf(u.Username)
			s.passwordUsers = append(s.passwordUsers, u)
		}
		if u.scram != nil {
			s.scramUsers = append(s.scramUsers, u)
			s.prepareName(u)
		}
		if u.CommonName != "" {
			s.certified[u.subject()] = u
		}
		s.users[u.Username] = u
	}
	s.passwordUsers.sort()
	s.scramUsers.sort()
	return nil
}

// addHash adds a hash that is valid to the proofs.
func (u *user) addHash(hash string) {
	p := proofOfHash(hash)
	u.proofs = append(u.proofs, p)
	if v, ok := password.ParseSCRAM(hash); ok && u.scram == nil {
		u.scram, u.scramProof = &v, p
	}
}

// assignAudiences tells everybody the audiences that it is of.
func (s *Snapshot) assignAudiences() {
	s.anonymousOnes.join(false, audienceAnonymous)
	s.anonymousOnes.join(true, audiencePlainAnonymous)
	for _, u := range s.users {
		u.join(false, audienceAuthenticated)
		u.join(true, audiencePlainAuthenticated)
	}
	for i := range s.policies {
		p := &s.policies[i]
		if p.Authenticated || len(p.Rules) == 0 {
			continue
		}
		a := audiencePolicies + audience(i)
		for _, name := range p.Users {
			u, ok := s.users[name]
			if ok && !slices.Contains(u.plain.audiences[len(u.plain.audiences)-1:], a) {
				u.join(p.PlainIdentities, a)
			}
		}
	}
	s.settle(&s.anonymousOnes)
	for _, u := range s.users {
		s.settle(&u.standings)
	}
}

// settle leaves out the audiences that nothing is said to, which every question
// would ask for.
func (s *Snapshot) settle(st *standings) {
	silent := func(a audience) bool {
		_, ok := s.digests[a]
		return !ok
	}
	for _, x := range []*standing{&st.plain, &st.other} {
		x.audiences = slices.Clip(slices.DeleteFunc(x.audiences, silent))
		x.denies = s.deniesFor(x.audiences)
	}
	if slices.Equal(st.plain.audiences, st.other.audiences) {
		st.other.audiences = st.plain.audiences // once in memory
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

// Limits returns those of the principal's user, or of anonymous principals; none for
// a user who is not there.
func (s *Snapshot) Limits(p Principal) config.UserLimits {
	if p.Anonymous {
		return s.strangers
	}
	if u, ok := s.users[p.Username]; ok {
		return u.Limits
	}
	return config.UserLimits{}
}

// Knows reports whether there is still somebody that a session of the principal
// belongs to: its user, who may be suspended, or clients without credentials where
// they are admitted.
func (s *Snapshot) Knows(p Principal) bool {
	if p.Anonymous {
		return s.anonymous
	}
	_, there := s.users[p.Username]
	_, suspended := s.suspended[p.Username]
	return there || suspended
}

// Claim is how strongly the client identifier of a principal is its own: the number
// of characters of it that the user's clientIds name, and one more where they name
// all of it. It is 0 for a user without clientIds, and for anonymous clients.
func (s *Snapshot) Claim(p Principal) int {
	if p.Anonymous {
		return 0
	}
	patterns := s.suspended[p.Username]
	if u, ok := s.users[p.Username]; ok {
		patterns = u.ClientIDs
	}
	strongest := 0
	for _, pattern := range patterns {
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
