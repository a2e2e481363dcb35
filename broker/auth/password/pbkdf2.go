package password

import (
	"crypto/pbkdf2"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const (
	pbkdf2MaxIterations = 1_000_000 // about a second
	pbkdf2MinSalt       = 8         // bytes; mosquitto_passwd makes 12, later 64
	pbkdf2MaxSalt       = 64
)

// pbkdf2Hash is a hash in the form $7$iterations$salt$key.
type pbkdf2Hash struct {
	iterations int
	salt, key  []byte
}

func parsePBKDF2(rest string) (verifier, error) {
	fields := strings.Split(rest, "$")
	if len(fields) != 3 {
		return nil, errors.New("PBKDF2-SHA512 hash is not of the form $7$iterations$salt$hash")
	}
	iterations, err := parseNumber(fields[0], pbkdf2MaxIterations)
	if err != nil {
		return nil, fmt.Errorf("the iterations of the PBKDF2-SHA512 hash are %w", err)
	}
	salt, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	if err != nil || len(salt) < pbkdf2MinSalt || len(salt) > pbkdf2MaxSalt {
		return nil, fmt.Errorf("the salt of the PBKDF2-SHA512 hash is not base64 of %d to %d bytes", pbkdf2MinSalt, pbkdf2MaxSalt)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(fields[2])
	if err != nil || len(key) != sha512.Size {
		return nil, fmt.Errorf("the hash in the PBKDF2-SHA512 hash is not base64 of %d bytes", sha512.Size)
	}
	return &pbkdf2Hash{iterations: int(iterations), salt: salt, key: key}, nil
}

func (h *pbkdf2Hash) verify(password []byte) bool {
	key, err := pbkdf2.Key(sha512.New, string(password), h.salt, h.iterations, len(h.key))
	return err == nil && subtle.ConstantTimeCompare(key, h.key) == 1
}
