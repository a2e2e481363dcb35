package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Parameters of the hashes that Hash makes: 7 MiB, so that many logins at a
// time fit into a small pod.
const (
	argon2Memory  = 7168 // KiB
	argon2Passes  = 5
	argon2Threads = 1
	argon2Salt    = 16 // bytes
	argon2Key     = 32 // bytes
)

// Bounds of the hashes that Verify accepts.
const (
	argon2MaxMemory  = 64 << 10 // KiB
	argon2MaxPasses  = 64
	argon2MaxThreads = 16
	argon2MaxWork    = 512 << 10 // KiB times passes: about a second
	argon2MinSalt    = 8         // bytes
	argon2MaxSalt    = 64
	argon2MinKey     = 16
	argon2MaxKey     = 128
)

// argon2idHash is a hash in the form $argon2id$v=19$m=7168,t=5,p=1$salt$key.
type argon2idHash struct {
	memory, passes uint32 // memory in KiB
	threads        uint8
	salt, key      []byte
}

func hashArgon2id(password []byte) string {
	salt := make([]byte, argon2Salt)
	rand.Read(salt) // never fails: it ends the process instead
	key := argon2.IDKey(password, salt, argon2Passes, argon2Memory, argon2Threads, argon2Key)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version,
		argon2Memory, argon2Passes, argon2Threads, b64.EncodeToString(salt), b64.EncodeToString(key))
}

func parseArgon2id(rest string) (verifier, error) {
	fields := strings.Split(rest, "$")
	if len(fields) != 4 {
		return nil, errors.New("argon2id hash is not of the form $argon2id$v=19$m=memory,t=passes,p=lanes$salt$hash")
	}
	if fields[0] != "v=19" {
		return nil, errors.New("argon2id hash is not of version 19 (v=19)")
	}
	h := &argon2idHash{}
	if err := h.parseParameters(fields[1]); err != nil {
		return nil, fmt.Errorf("argon2id hash: %w", err)
	}
	if err := h.parseBytes(fields[2], fields[3]); err != nil {
		return nil, fmt.Errorf("argon2id hash: %w", err)
	}
	return h, nil
}

func (h *argon2idHash) parseParameters(s string) error {
	fields := strings.Split(s, ",")
	if len(fields) != 3 {
		return errors.New("its parameters are not of the form m=memory,t=passes,p=lanes")
	}
	memory, err := parseParameter(fields[0], "m=", argon2MaxMemory)
	if err != nil {
		return err
	}
	passes, err := parseParameter(fields[1], "t=", argon2MaxPasses)
	if err != nil {
		return err
	}
	threads, err := parseParameter(fields[2], "p=", argon2MaxThreads)
	switch {
	case err != nil:
		return err
	case memory < 8*threads:
		return errors.New("its memory (m) is less than 8 KiB for each of its lanes (p)")
	case memory*passes > argon2MaxWork:
		return fmt.Errorf("memory times passes (m times t) is more than %d; make the hash with smaller parameters", argon2MaxWork)
	}
	h.memory, h.passes, h.threads = uint32(memory), uint32(passes), uint8(threads)
	return nil
}

func (h *argon2idHash) parseBytes(salt, key string) (err error) {
	b64 := base64.RawStdEncoding.Strict()
	h.salt, err = b64.DecodeString(salt)
	if err != nil || len(h.salt) < argon2MinSalt || len(h.salt) > argon2MaxSalt {
		return fmt.Errorf("its salt is not unpadded base64 of %d to %d bytes", argon2MinSalt, argon2MaxSalt)
	}
	h.key, err = b64.DecodeString(key)
	if err != nil || len(h.key) < argon2MinKey || len(h.key) > argon2MaxKey {
		return fmt.Errorf("its hash is not unpadded base64 of %d to %d bytes", argon2MinKey, argon2MaxKey)
	}
	return nil
}

func (h *argon2idHash) verify(password []byte) bool {
	key := argon2.IDKey(password, h.salt, h.passes, h.memory, h.threads, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1
}

func parseParameter(s, name string, most uint64) (uint64, error) {
	digits, ok := strings.CutPrefix(s, name)
	if !ok {
		return 0, errors.New("its parameters are not of the form m=memory,t=passes,p=lanes")
	}
	n, err := parseNumber(digits, most)
	if err != nil {
		return 0, fmt.Errorf("its parameter %q is %w", name[:1], err)
	}
	return n, nil
}

// parseNumber parses a decimal number from 1 to most, without sign or leading zero.
func parseNumber(s string, most uint64) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || s[0] == '0' || n > most {
		return 0, fmt.Errorf("not a number from 1 to %d", most)
	}
	return n, nil
}
