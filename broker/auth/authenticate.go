package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/godwit-mqtt/godwit/broker/auth/password"
)

// Credentials are what a client presents when it connects.
type Credentials struct {
	// ClientID is the client identifier that the session will have: where the
	// client left it to the server, the one that the server assigned.
	ClientID    string
	Username    string
	HasUsername bool
	Password    []byte
	HasPassword bool
	// HasCertificate says that the client showed a certificate which the listener
	// verified, CommonName is that of its subject, and may be empty, and ClientCA the
	// name of the CA that it was verified by: config.TLS.ClientCA.
	HasCertificate       bool
	CommonName, ClientCA string
	// CertificateOnly says that the listener goes by the certificate alone: no
	// username or password is looked at.
	CertificateOnly bool
	RemoteAddr      netip.Addr
}

// Options of an Authenticator. The zero value is fit for use.
type Options struct {
	// Remember is the number of verified credentials that are kept at least; 0 is
	// 100,000, and that of usernames with an address that they have succeeded from.
	// Each costs about 60 bytes.
	Remember int
	// Now is the clock that failed logins are measured by; nil is time.Now.
	Now func() time.Time
}

// refuted is the number of wrong credentials that are remembered at least.
const refuted = 1 << 15

// Authenticator decides on logins, and remembers across configurations which
// credentials verified, which did not, and who failed. It may be used
// concurrently.
type Authenticator struct {
	key      []byte // of this process, for memory keys
	verified *memory
	refuted  *memory
	known    *memory // usernames and the addresses that they have succeeded from
	throttle *throttle

	succeeded, remembered, failed, throttled atomic.Uint64
}

// Stats counts logins with a username and password since the start.
type Stats struct {
	Succeeded  uint64 // by verifying a hash
	Remembered uint64 // by a credential that verified before
	Failed     uint64 // unknown user or wrong password, known to be wrong or not
	Throttled  uint64 // refused unseen, after too many failures
}

// NewAuthenticator returns an Authenticator that remembers nothing yet.
func NewAuthenticator(o Options) *Authenticator {
	if o.Remember == 0 {
		o.Remember = 100_000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &Authenticator{
		key:      make([]byte, 32),
		verified: newMemory(o.Remember), refuted: newMemory(refuted), known: newMemory(o.Remember), throttle: newThrottle(o.Now),
	}
	rand.Read(a.key) // never fails: it ends the process instead
	return a
}

// Stats returns the counters.
func (a *Authenticator) Stats() Stats {
	return Stats{
		Succeeded:  a.succeeded.Load(),
		Remembered: a.remembered.Load(),
		Failed:     a.failed.Load(),
		Throttled:  a.throttled.Load(),
	}
}

// Authenticate decides on a login. The error is an *Error.
//
// A client certificate whose common name a user has is that user's login, where the
// listener's CA is the one that counts for the user, unless the client presents
// another username, which counts for nothing where CertificateOnly is set. Over any
// certificate a username and its password are the login of their user. Whoever
// presents neither certificate nor username nor password is anonymous; a certificate
// that is nobody's makes nobody anonymous.
//
// Verifying a password takes tens of milliseconds and some MiB of memory, so
// that Authenticate belongs on a bounded pool; ask Cached first.
func (a *Authenticator) Authenticate(s *Snapshot, c Credentials) (Principal, error) {
	if p, decided, err := a.Cached(s, c); decided {
		return p, err
	}
	attempt, err := a.throttle.admit(c.RemoteAddr, c.Username)
	if err != nil {
		return Principal{}, a.refused(err)
	}
	u, exists := s.candidate(a.key, c.Username)
	i, ok := u.verify(c.Password)
	ok = ok && exists
	a.throttle.end(attempt, !ok)
	if !ok {
		a.failed.Add(1)
		a.refuted.add(a.refutedKey(u, exists, c))
		return Principal{}, ErrBadCredentials
	}
	a.succeeded.Add(1)
	a.verified.add(a.memoryKey(u, i, c.Password))
	a.known.add(a.knownKey(c))
	return u.admit(c.ClientID, u.proofs[i])
}

// Cached decides on a login where no password hash has to be computed for it:
// by certificate, anonymous, with a credential that is known to be right or to be
// wrong, or after too many failures. It takes a few microseconds. Where decided is
// false, Authenticate has to decide. The error is an *Error.
func (a *Authenticator) Cached(s *Snapshot, c Credentials) (p Principal, decided bool, err error) {
	if p, decided, err = s.admitWithoutPassword(c); decided {
		return p, true, err
	}
	u, exists := s.candidate(a.key, c.Username)
	if i, ok := a.recall(u, c.Password); ok && exists {
		a.remembered.Add(1)
		a.known.add(a.knownKey(c))
		p, err = u.admit(c.ClientID, u.proofs[i])
		return p, true, err
	}
	if a.refuted.has(a.refutedKey(u, exists, c)) {
		a.failed.Add(1)
		return Principal{}, true, ErrBadCredentials
	}
	if a.throttle.refuses(c.RemoteAddr, c.Username) {
		return Principal{}, true, a.refused(ErrThrottled)
	}
	return Principal{}, false, nil
}

// Knows reports whether a login with the username of c has succeeded from the
// address of c before, with whatever password.
func (a *Authenticator) Knows(c Credentials) bool { return a.known.has(a.knownKey(c)) }

func (a *Authenticator) knownKey(c Credentials) [sha256.Size]byte {
	address := Network(c.RemoteAddr).As16()
	return a.mac([]byte("known"), address[:], []byte(c.Username))
}

// refused counts a login that the throttle refused, and returns err.
func (a *Authenticator) refused(err error) error {
	if errors.Is(err, ErrThrottled) {
		a.throttled.Add(1)
	}
	return err
}

// admitWithoutPassword decides on logins that come without a password, or do not
// need it; done is false for the others.
func (s *Snapshot) admitWithoutPassword(c Credentials) (p Principal, done bool, err error) {
	if u := s.certifiedUser(c); u != nil {
		p, err = u.admit(c.ClientID, proofOfSubject(u.subject()))
		return p, true, err
	}
	switch {
	case c.CertificateOnly:
		return Principal{}, true, ErrCertificate
	case c.HasUsername && c.HasPassword && len(c.Password) <= password.MaxLength:
		return Principal{}, false, nil
	case c.HasUsername || c.HasPassword:
		return Principal{}, true, ErrBadCredentials
	case c.HasCertificate:
		return Principal{}, true, ErrCertificate
	case !s.anonymous:
		return Principal{}, true, ErrAnonymous
	}
	return Principal{Anonymous: true, ClientID: c.ClientID}, true, nil
}

// certifiedUser returns the user that the client is by its certificate, nil for none.
func (s *Snapshot) certifiedUser(c Credentials) *user {
	u := s.certified[subject{c.ClientCA, c.CommonName}]
	if u == nil || !c.HasCertificate || c.HasUsername && c.Username != u.Username && !c.CertificateOnly {
		return nil
	}
	return u
}

// admit is the last step of a login: the credential is right.
func (u *user) admit(clientID string, by proof) (Principal, error) {
	if !allowsClientID(u.ClientIDs, clientID) {
		return Principal{}, ErrClientID
	}
	return Principal{Username: u.Username, ClientID: clientID, proof: by}, nil
}

// recall finds which of the user's hashes is known to verify with the password.
func (a *Authenticator) recall(u *user, pass []byte) (hash int, ok bool) {
	for i := range u.proofs {
		if a.verified.has(a.memoryKey(u, i, pass)) {
			return i, true
		}
	}
	return 0, false
}

// verify finds which of the user's hashes the password verifies with.
func (u *user) verify(pass []byte) (hash int, ok bool) {
	for i, h := range u.PasswordHashes {
		if ok, err := password.Verify(h, pass); ok && err == nil {
			return i, true
		}
	}
	return 0, false
}

// memoryKey is what a verified credential is remembered by: it tells nothing
// without the key of the process, and is of no use once the hash is gone.
func (a *Authenticator) memoryKey(u *user, hash int, pass []byte) [sha256.Size]byte {
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(u.Username)))
	return a.mac(length[:], []byte(u.Username), u.proofs[hash][:], pass)
}

// refutedKey is what a wrong credential is remembered by. It is of no use once a
// hash of the user has changed, or the user has come or gone.
func (a *Authenticator) refutedKey(u *user, exists bool, c Credentials) [sha256.Size]byte {
	var lengths [17]byte
	binary.BigEndian.PutUint64(lengths[:], uint64(len(c.Username)))
	binary.BigEndian.PutUint64(lengths[8:], uint64(len(u.proofs)))
	if exists {
		lengths[16] = 1
	}
	parts := [][]byte{lengths[:], []byte(c.Username)}
	for i := range u.proofs {
		parts = append(parts, u.proofs[i][:])
	}
	return a.mac(append(parts, c.Password)...)
}

func (a *Authenticator) mac(parts ...[]byte) (sum [sha256.Size]byte) {
	m := hmac.New(sha256.New, a.key)
	for _, p := range parts {
		m.Write(p)
	}
	m.Sum(sum[:0])
	return sum
}
