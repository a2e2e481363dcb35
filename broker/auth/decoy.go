package auth

import (
	"cmp"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/godwit-mqtt/godwit/broker/auth/password"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// A username that nobody has is answered by what a real user has, its decoy: always
// the same one for the same name, for as long as it is there. Which one it is, and
// what is made up, follows from a secret that the configuration holds, so that it is
// the same after a restart and in every pod, and that no client can know.

// ring holds users by their places.
type ring []*user

func (r ring) sort() {
	slices.SortFunc(r, func(a, b *user) int { return cmp.Compare(a.place, b.place) })
}

// next returns the user at a place, or the first one after it; nil if there is none.
func (r ring) next(place uint64) *user {
	if len(r) == 0 {
		return nil
	}
	i, _ := slices.BinarySearchFunc(r, place, func(u *user, n uint64) int { return cmp.Compare(u.place, n) })
	return r[i%len(r)]
}

// decoyKey is the secret that decoys are chosen by: that of the configuration or,
// where it has none, the given one.
func (s *Snapshot) decoyKey(otherwise []byte) []byte {
	if len(s.decoys) > 0 {
		return s.decoys
	}
	return otherwise
}

// decoyPlace is where the decoy of a username is looked for.
func decoyPlace(key []byte, username string) uint64 {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("place:" + username))
	return binary.BigEndian.Uint64(m.Sum(nil))
}

// candidate returns the user whose hashes the password is tried on. For a
// username that does not exist or has no password that is a decoy, on whom the same
// work is done in vain: with hashes of several kinds, and several of them a user, a
// refusal then takes as long as one of another user does. As with other users, what
// is known to be wrong stays so until a hash changes.
func (s *Snapshot) candidate(key []byte, username string) (u *user, exists bool) {
	place := decoyPlace(s.decoyKey(key), username)
	if u, ok := s.users[username]; ok && len(u.proofs) > 0 {
		return u, true
	}
	if u := s.passwordUsers.next(place); u != nil {
		return u, false
	}
	return decoy, false
}

// decoy stands in where no user has a password.
var decoy = newDecoy()

func newDecoy() *user {
	const hash = "$argon2id$v=19$m=7168,t=5,p=1$c29tZXNhbHRzb21lc2FsdA$Ab6+sBE+Tsn+6D2ktLNSwf7zGnZPIzn8umPKJj3WcwM"
	return &user{
		User:   &config.User{PasswordHashes: []string{hash}},
		proofs: []proof{proofOfHash(hash)},
	}
}

// madeUpSalt is the length of a salt where no user has one.
const madeUpSalt = 16

// madeUp are the SCRAM parameters of a username that has none: the iterations of its
// decoy, and a salt of the same length that changes with the iterations, as that of a
// user does.
func (s *Snapshot) madeUp(key []byte, username string) password.SCRAM {
	key = s.decoyKey(key)
	v := password.SCRAM{Iterations: password.DefaultSCRAMIterations, Salt: make([]byte, madeUpSalt)}
	if u := s.scramUsers.next(decoyPlace(key, username)); u != nil {
		v = *u.scram
	}
	info := fmt.Sprintf("SCRAM:%d:%d:%s", v.Iterations, len(v.Salt), username)
	// It fails for nothing shorter than 255 times the hash.
	derived, _ := hkdf.Expand(sha256.New, key, info, len(v.Salt)+sha256.Size)
	v.Salt = derived[:len(v.Salt)]
	v.StoredKey = derived[len(v.Salt):]
	v.ServerKey = v.StoredKey
	return v
}
