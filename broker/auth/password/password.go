// Package password makes and verifies password hashes: bcrypt, argon2id, the
// PBKDF2-SHA512 that mosquitto_passwd writes, and SCRAM-SHA-256 verifiers.
//
// A hash is untrusted input: it may come from another team's Secret. What it
// asks for, memory, passes, iterations, lengths, is bounded before any work is
// done, so that the worst hash that Validate accepts costs about a second and
// 64 MiB.
package password

import (
	"errors"
	"fmt"
	"strings"
)

// MaxLength of a password in bytes. A longer one is never hashed and never
// verifies.
const MaxLength = 1024

// maxHashLength in bytes, above anything that the supported forms need.
const maxHashLength = 512

// Reasons for which Hash refuses a password.
var (
	ErrEmpty   = errors.New("password is empty")
	ErrTooLong = fmt.Errorf("password is longer than %d bytes", MaxLength)
)

// verifier is a parsed hash whose cost is within bounds.
type verifier interface {
	// verify reports whether the password is the one that was hashed, in a
	// time that does not depend on where the two differ.
	verify(password []byte) bool
}

// Verify reports whether hash was made of password. It takes as long as the
// hash asks for, and may be called concurrently. The error is that of Validate.
func Verify(hash string, password []byte) (bool, error) {
	v, err := parse(hash)
	if err != nil {
		return false, err
	}
	return len(password) <= MaxLength && v.verify(password), nil
}

// Validate reports whether Verify can use the hash, and if not, what is wrong
// with it. The text never holds any part of the hash.
func Validate(hash string) error {
	_, err := parse(hash)
	return err
}

// Hash returns a new argon2id hash of the password, with a random salt, as a
// PHC string.
func Hash(password []byte) (string, error) {
	if err := check(password); err != nil {
		return "", err
	}
	return hashArgon2id(password), nil
}

func check(password []byte) error {
	switch {
	case len(password) == 0:
		return ErrEmpty
	case len(password) > MaxLength:
		return ErrTooLong
	}
	return nil
}

func parse(hash string) (verifier, error) {
	if err := checkShape(hash); err != nil {
		return nil, err
	}
	if rest, ok := strings.CutPrefix(hash, scramKind); ok {
		return parseSCRAM(rest)
	}
	kind, rest, _ := strings.Cut(hash[1:], "$")
	switch kind {
	case "2a", "2b", "2y":
		return parseBcrypt(hash)
	case "argon2id":
		return parseArgon2id(rest)
	case "7":
		return parsePBKDF2(rest)
	case "argon2i", "argon2d":
		return nil, fmt.Errorf("%s is not supported; hash the password with argon2id", kind)
	case "6":
		return nil, errors.New("SHA-512 with one iteration ($6$) is not supported; " +
			"make the hash with mosquitto_passwd -H sha512-pbkdf2")
	}
	return nil, errors.New("unknown kind of password hash; use bcrypt ($2a$, $2b$, $2y$), " +
		"argon2id ($argon2id$), PBKDF2-SHA512 as mosquitto_passwd writes it ($7$) or SCRAM-SHA-256$")
}

// checkShape finds the mistakes that are made when a hash is copied.
func checkShape(hash string) error {
	switch {
	case hash == "":
		return errors.New("password hash is empty")
	case len(hash) > maxHashLength:
		return fmt.Errorf("password hash is longer than %d bytes", maxHashLength)
	case strings.ContainsFunc(hash, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("password hash holds a space, a line break or a character outside of ASCII; " +
			"give the hash alone")
	case strings.HasPrefix(hash, scramKind):
		return nil
	case hash[0] != '$' && strings.Contains(hash, ":$"):
		return errors.New("this is a line of a password file; give only the hash, the part after the colon")
	case hash[0] != '$':
		return errors.New("this is not a password hash: it does not begin with '$'; " +
			"a plain password does not belong here")
	}
	return nil
}
