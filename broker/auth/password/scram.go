package password

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/xdg-go/stringprep"
)

const (
	scramKind          = "SCRAM-SHA-256$"
	scramMinIterations = 4096
	scramMaxIterations = 1_000_000
	scramSalt          = 16 // bytes
	scramMinSalt       = 8
	scramMaxSalt       = 64
)

// DefaultSCRAMIterations of the verifiers that HashSCRAM makes.
const DefaultSCRAMIterations = 15_000

// SCRAM is what a server keeps to let a client prove by SCRAM-SHA-256 (RFC 5802,
// RFC 7677) that it knows a password.
type SCRAM struct {
	Iterations                 int
	Salt, StoredKey, ServerKey []byte
}

// ParseSCRAM reads a verifier of the form that PostgreSQL writes,
// SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey. ok is false for a hash of
// another kind, and for one that Validate refuses.
func ParseSCRAM(hash string) (s SCRAM, ok bool) {
	if rest, is := strings.CutPrefix(hash, scramKind); is {
		v, err := parseSCRAM(rest)
		if err == nil {
			return v.SCRAM, true
		}
	}
	return SCRAM{}, false
}

// Prepare returns what clients make of a username or a password in an exchange: that
// of SASLprep (RFC 4013), or the same where it admits none.
func Prepare(s string) string {
	if prepared, err := stringprep.SASLprep.Prepare(s); err == nil {
		return prepared
	}
	return s
}

// HashSCRAM returns a new SCRAM-SHA-256 verifier of the password as clients prepare
// it, with a random salt. Verify takes it as well, for clients that send the password
// itself.
func HashSCRAM(password []byte) (string, error) {
	if err := check(password); err != nil {
		return "", err
	}
	s := SCRAM{Iterations: DefaultSCRAMIterations, Salt: make([]byte, scramSalt)}
	rand.Read(s.Salt) // never fails: it ends the process instead
	s.StoredKey, s.ServerKey = s.keys([]byte(Prepare(string(password))))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s%d:%s$%s:%s", scramKind, s.Iterations, b64(s.Salt), b64(s.StoredKey), b64(s.ServerKey)), nil
}

// keys derives the two keys of RFC 5802, section 3.
func (s *SCRAM) keys(password []byte) (stored, server []byte) {
	salted, err := pbkdf2.Key(sha256.New, string(password), s.Salt, s.Iterations, sha256.Size)
	if err != nil {
		return nil, nil // lengths out of range, which parsing has excluded
	}
	client := mac(salted, "Client Key")
	sum := sha256.Sum256(client)
	return sum[:], mac(salted, "Server Key")
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

type scramHash struct{ SCRAM }

func parseSCRAM(rest string) (*scramHash, error) {
	cost, keys, _ := strings.Cut(rest, "$")
	count, salt, _ := strings.Cut(cost, ":")
	stored, server, ok := strings.Cut(keys, ":")
	if !ok {
		return nil, errors.New("SCRAM verifier is not of the form SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey")
	}
	iterations, err := parseNumber(count, scramMaxIterations)
	if err != nil || iterations < scramMinIterations {
		return nil, fmt.Errorf("the iterations of the SCRAM verifier are not a number from %d to %d", scramMinIterations, scramMaxIterations)
	}
	h := &scramHash{SCRAM{Iterations: int(iterations)}}
	b64 := base64.StdEncoding.Strict()
	if h.Salt, err = b64.DecodeString(salt); err != nil || len(h.Salt) < scramMinSalt || len(h.Salt) > scramMaxSalt {
		return nil, fmt.Errorf("the salt of the SCRAM verifier is not base64 of %d to %d bytes", scramMinSalt, scramMaxSalt)
	}
	if h.StoredKey, err = b64.DecodeString(stored); err != nil || len(h.StoredKey) != sha256.Size {
		return nil, fmt.Errorf("the StoredKey of the SCRAM verifier is not base64 of %d bytes", sha256.Size)
	}
	if h.ServerKey, err = b64.DecodeString(server); err != nil || len(h.ServerKey) != sha256.Size {
		return nil, fmt.Errorf("the ServerKey of the SCRAM verifier is not base64 of %d bytes", sha256.Size)
	}
	return h, nil
}

// verify takes the password as clients prepare it, and as it stands, for verifiers
// that others have made.
func (h *scramHash) verify(password []byte) bool {
	prepared := Prepare(string(password))
	return h.fits([]byte(prepared)) || prepared != string(password) && h.fits(password)
}

func (h *scramHash) fits(password []byte) bool {
	stored, _ := h.keys(password)
	return subtle.ConstantTimeCompare(stored, h.StoredKey) == 1
}
