package auth

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
)

// Principal is who a connection or a session is. It is comparable and holds
// names, so that it outlives the snapshot that it was authenticated by.
type Principal struct {
	Username  string // empty if Anonymous
	Anonymous bool
	ClientID  string

	// proof is what the principal authenticated with; zero if anonymous, or if
	// the Principal was not made by an Authenticator.
	proof proof
}

// proof is a fingerprint of the password hash that verified, or of the subject of
// the certificate.
type proof [16]byte

func proofOfHash(hash string) proof { return newProof("hash:", hash) }

func proofOfSubject(s subject) proof {
	return newProof("subject:", fmt.Sprintf("%q %q", s.clientCA, s.commonName))
}

// IsCertified reports whether the principal authenticated with a certificate of this
// common name, by the CA of this name.
func (p Principal) IsCertified(clientCA, commonName string) bool {
	return p.proof == proofOfSubject(subject{clientCA, commonName})
}

// placeOf returns the place of a username: anywhere, and always the same.
func placeOf(username string) uint64 {
	p := newProof("place:", username)
	return binary.BigEndian.Uint64(p[:])
}

func newProof(kind, value string) proof {
	sum := sha256.Sum256([]byte(kind + value))
	return proof(sum[:])
}

// Placeholders of the username and the client identifier in rules.
const (
	placeholderUser   = "%u"
	placeholderClient = "%c"
)

func isPlaceholder(level string) bool {
	return level == placeholderUser || level == placeholderClient
}

// noLevel equals no level of a topic.
const noLevel = "/"

// levelOf returns the level that the placeholder of an identity stands for, and
// noLevel if rules that use it never match.
func levelOf(identity string) string {
	if identity == "" || !isPlain(identity) {
		return noLevel
	}
	return identity
}

// isPlain reports whether an identity holds nothing that a topic level cannot.
func isPlain(identity string) bool { return !strings.ContainsAny(identity, notInLevels) }

// notInLevels are the characters that end a topic level or are wildcards.
const notInLevels = "/+#"

// Expand puts the levels that %u and %c stand for into a topic that has them as
// whole levels. ok is false where one of them stands for nothing, as it never
// matches a rule then.
func (p Principal) Expand(template string) (name string, ok bool) {
	levels := strings.Split(template, "/")
	for i, level := range levels {
		switch level {
		case placeholderUser:
			levels[i] = levelOf(p.Username)
		case placeholderClient:
			levels[i] = levelOf(p.ClientID)
		}
		if levels[i] == noLevel {
			return "", false
		}
	}
	return strings.Join(levels, "/"), true
}

// allowsClientID says whether the patterns, in which a trailing '*' stands for
// any rest, admit the client identifier.
func allowsClientID(patterns []string, id string) bool {
	for _, p := range patterns {
		stem, wild := strings.CutSuffix(p, "*")
		if id == stem || wild && strings.HasPrefix(id, stem) {
			return true
		}
	}
	return len(patterns) == 0
}
