package render

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"runtime"
	"sync"
)

// maxVerified bounds the memory of Passwords, in entries of some 300 bytes.
const maxVerified = 1 << 17

// NewPassword returns a password of chance, with more than 128 bits of it and only
// letters and digits.
func NewPassword() []byte { return []byte(rand.Text()) }

// maxHashers bounds the passwords that are hashed side by side, by all Brokers:
// each takes some MiB of memory.
const maxHashers = 8

// Passwords hashes passwords, and remembers which password verified against
// which hash, so that rendering a thousand users again costs no slow hashing.
// It remembers no passwords, but a MAC over them, whose key lives with the
// process. It may be used by many goroutines.
type Passwords struct {
	verify   func(hash string, password []byte) (bool, error)
	hash     func(password []byte) (string, error)
	validate func(hash string) error

	turns chan struct{} // of those who hash
	key   [sha256.Size]byte
	mu    sync.Mutex
	// verified says of hashes with passwords whether they fit; made holds the hash
	// that was made for a user and a password, which may not be in a configuration
	// yet.
	verified map[[sha256.Size]byte]bool
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
	p := &Passwords{
		verify: verify, hash: hash, validate: validate,
		turns: make(chan struct{}, min(runtime.GOMAXPROCS(0), maxHashers)),
	}
	p.forget()
	_, _ = rand.Read(p.key[:]) // never fails, says its documentation
	return p
}

// Recall returns the hash that Hash would, if that is quick: one of previous that
// the password is known to fit, or the one that was made before for the user where
// it is known to fit none. The user is a MQTTUser, "namespace/name".
func (p *Passwords) Recall(user string, password []byte, previous []string) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	unknown := false
	for _, hash := range previous {
		fits, known := p.verified[p.mac(hash, password)]
		if fits {
			return hash, true
		}
		unknown = unknown || !known
	}
	hash, known := p.made[p.mac(user, password)]
	return hash, known && !unknown
}

// Hash returns a hash of the user's password: one of previous where the password
// verifies against it, so that an unchanged password changes nothing, and else
// a new one. A hash that cannot be read does not verify. It waits for its turn.
func (p *Passwords) Hash(user string, password []byte, previous []string) (string, error) {
	p.turns <- struct{}{}
	defer func() { <-p.turns }()
	for _, hash := range previous {
		ok, err := p.verify(hash, password)
		ok = ok && err == nil
		p.remember(p.mac(hash, password), ok)
		if ok {
			return hash, nil
		}
	}
	if hash, ok := p.Recall(user, password, previous); ok {
		return hash, nil
	}
	hash, err := p.hash(password)
	if err != nil {
		return "", err
	}
	p.remember(p.mac(hash, password), true)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made[p.mac(user, password)] = hash
	return hash, nil
}

func (p *Passwords) remember(mac [sha256.Size]byte, fits bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.verified) >= maxVerified {
		p.forget()
	}
	p.verified[mac] = fits
}

func (p *Passwords) forget() {
	p.verified, p.made = map[[sha256.Size]byte]bool{}, map[[sha256.Size]byte]string{}
}

// mac is over a hash or a user, of which neither can be the other, and a password.
func (p *Passwords) mac(name string, password []byte) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, p.key[:])
	_ = binary.Write(h, binary.BigEndian, uint64(len(name)))
	h.Write([]byte(name))
	h.Write(password)
	h.Sum(sum[:0])
	return sum
}
