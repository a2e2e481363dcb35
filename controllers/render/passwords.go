package render

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
)

// maxVerified bounds the memory of Passwords, in entries of some 100 bytes.
const maxVerified = 1 << 17

// NewPassword returns a password of chance, with more than 128 bits of it and only
// letters and digits.
func NewPassword() []byte { return []byte(rand.Text()) }

// Passwords hashes passwords, and remembers which password verified against
// which hash, so that rendering a thousand users again costs no slow hashing.
// It remembers neither passwords nor hashes, but a MAC over both, whose key
// lives with the process. It may be used by many goroutines.
type Passwords struct {
	verify   func(hash string, password []byte) (bool, error)
	hash     func(password []byte) (string, error)
	validate func(hash string) error

	key      [sha256.Size]byte
	mu       sync.Mutex
	verified map[[sha256.Size]byte]struct{}
}

// NewPasswords takes the functions of the engine's password package: verify
// compares, hash makes a new hash, and validate says what is wrong with a hash
// that somebody brings.
func NewPasswords(
	verify func(hash string, password []byte) (bool, error),
	hash func(password []byte) (string, error),
	validate func(hash string) error,
) *Passwords {
	p := &Passwords{verify: verify, hash: hash, validate: validate, verified: map[[sha256.Size]byte]struct{}{}}
	_, _ = rand.Read(p.key[:]) // never fails, says its documentation
	return p
}

// Hash returns a hash of the password: one of previous where the password
// verifies against it, so that an unchanged password changes nothing, and else
// a new one. A hash that cannot be read does not verify.
func (p *Passwords) Hash(password []byte, previous []string) (string, error) {
	for _, hash := range previous {
		if p.knows(p.mac(hash, password)) {
			return hash, nil
		}
	}
	for _, hash := range previous {
		if ok, err := p.verify(hash, password); ok && err == nil {
			p.remember(p.mac(hash, password))
			return hash, nil
		}
	}
	hash, err := p.hash(password)
	if err != nil {
		return "", err
	}
	p.remember(p.mac(hash, password))
	return hash, nil
}

func (p *Passwords) knows(mac [sha256.Size]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, known := p.verified[mac]
	return known
}

func (p *Passwords) remember(mac [sha256.Size]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.verified) >= maxVerified {
		clear(p.verified)
	}
	p.verified[mac] = struct{}{}
}

func (p *Passwords) mac(hash string, password []byte) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, p.key[:])
	_ = binary.Write(h, binary.BigEndian, uint64(len(hash)))
	h.Write([]byte(hash))
	h.Write(password)
	h.Sum(sum[:0])
	return sum
}
