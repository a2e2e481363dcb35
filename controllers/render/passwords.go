package render

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
)

// maxVerified bounds the memory of Passwords, in entries of some 300 bytes.
const maxVerified = 1 << 17

// NewPassword returns a password of chance, with more than 128 bits of it and only
// letters and digits.
func NewPassword() []byte { return []byte(rand.Text()) }

// Passwords hashes passwords, and remembers which password verified against
// which hash, so that rendering a thousand users again costs no slow hashing.
// It remembers no passwords, but a MAC over them, whose key lives with the
// process. It may be used by many goroutines.
type Passwords struct {
	verify   func(hash string, password []byte) (bool, error)
	hash     func(password []byte) (string, error)
	validate func(hash string) error

	key [sha256.Size]byte
	mu  sync.Mutex
	// verified holds hashes with their passwords; made holds the hash that was made
	// for a user and a password, which may not be in the configuration yet.
	verified map[[sha256.Size]byte]struct{}
	made     map[[sha256.Size]byte]string
}

// NewPasswords takes the functions of the engine's password package: verify
// compares, hash makes a new hash, and validate says what is wrong with a hash
// that somebody brings.
func NewPasswords(
	verify func(hash string, password []byte) (bool, error),
	hash func(password []byte) (string, error),
	validate func(hash string) error,
) *Passwords {
	p := &Passwords{verify: verify, hash: hash, validate: validate}
	p.forget()
	_, _ = rand.Read(p.key[:]) // never fails, says its documentation
	return p
}

// Recall returns the hash that Hash would, if that is quick: one that the password
// is known to verify against, of previous or made before.
func (p *Passwords) Recall(username string, password []byte, previous []string) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, hash := range previous {
		if _, known := p.verified[p.mac(hash, password)]; known {
			return hash, true
		}
	}
	hash, known := p.made[p.mac(username, password)]
	return hash, known
}

// Hash returns a hash of the user's password: one of previous where the password
// verifies against it, so that an unchanged password changes nothing, and else
// a new one. A hash that cannot be read does not verify.
func (p *Passwords) Hash(username string, password []byte, previous []string) (string, error) {
	if hash, ok := p.Recall(username, password, previous); ok {
		return hash, nil
	}
	for _, hash := range previous {
		if ok, err := p.verify(hash, password); ok && err == nil {
			p.remember(username, password, hash)
			return hash, nil
		}
	}
	hash, err := p.hash(password)
	if err != nil {
		return "", err
	}
	p.remember(username, password, hash)
	return hash, nil
}

func (p *Passwords) remember(username string, password []byte, hash string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.verified) >= maxVerified {
		p.forget()
	}
	p.verified[p.mac(hash, password)] = struct{}{}
	p.made[p.mac(username, password)] = hash
}

func (p *Passwords) forget() {
	p.verified, p.made = map[[sha256.Size]byte]struct{}{}, map[[sha256.Size]byte]string{}
}

// mac is over a hash or a username, of which neither can be the other, and a
// password.
func (p *Passwords) mac(name string, password []byte) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, p.key[:])
	_ = binary.Write(h, binary.BigEndian, uint64(len(name)))
	h.Write([]byte(name))
	h.Write(password)
	h.Sum(sum[:0])
	return sum
}
