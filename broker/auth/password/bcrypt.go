package password

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

const (
	bcryptLength      = 60 // of the whole hash
	bcryptMaxPassword = 72 // bytes that bcrypt takes into account
	bcryptMinCost     = 4
	bcryptMaxCost     = 14 // about a second
)

const bcryptAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// bcryptHash is a hash in the form $2y$cost$salt-and-key.
type bcryptHash string

func parseBcrypt(hash string) (verifier, error) {
	if len(hash) != bcryptLength || hash[6] != '$' {
		return nil, fmt.Errorf("bcrypt hash is not %d characters long; it was cut or extended", bcryptLength)
	}
	cost, err := strconv.ParseUint(hash[4:6], 10, 8)
	if err != nil || cost < bcryptMinCost || cost > bcryptMaxCost {
		return nil, fmt.Errorf("the cost of the bcrypt hash is not a number from %d to %d", bcryptMinCost, bcryptMaxCost)
	}
	if strings.Trim(hash[7:], bcryptAlphabet) != "" {
		return nil, errors.New("bcrypt hash holds a character that is not of its alphabet")
	}
	return bcryptHash(hash), nil
}

// verify never accepts a password longer than bcrypt can tell apart, but takes
// the same time for it.
func (h bcryptHash) verify(password []byte) bool {
	within := password[:min(len(password), bcryptMaxPassword)]
	same := bcrypt.CompareHashAndPassword([]byte(h), within) == nil
	return same && len(within) == len(password)
}
