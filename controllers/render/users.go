package render

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/auth/password"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// unhashed stands for the hash of a password that is not hashed yet, and is as
// long as one: hashing is slow, and not done for users that are refused.
var unhashed = strings.Repeat("?", 97)

// user is what became of a MQTTUser: rendered is nil where nobody may connect
// as this user.
type user struct {
	Object
	source   *v1alpha1.MQTTUser
	rendered *config.User
	// plain is the password for whose hash unhashed stands in rendered; nil where
	// it does not.
	plain []byte
}

// renderUsers judges the MQTTUsers of the Broker, sorted by namespace and name.
// hashPasswords completes them.
func renderUsers(in Input) ([]user, error) {
	admits, err := admission(in)
	if err != nil {
		return nil, err
	}
	names, commonNames := claims{}, claims{}
	var out []user
	for _, source := range byAge(usersOf(in)) {
		u := user{Object: describe(source), source: source}
		u.Username = source.Username()
		u.Verdict = admits(source.Namespace)
		if u.Verdict.Accepted() {
			u.Verdict = claim(names, commonNames, source)
		}
		if u.Verdict.Accepted() {
			u.render(in)
		}
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b user) int { return compareKeys(a.Key, b.Key) })
	return out, nil
}

// render renders an admitted user, or says why it cannot.
func (u *user) render(in Input) {
	spec := u.source.Spec
	out := &config.User{
		Username:  u.Username,
		Source:    u.Key.String(),
		ClientIDs: slices.Sorted(slices.Values(spec.ClientIDs)),
		Limits:    limits(spec.Limits),
	}
	auth := spec.Authentication
	switch {
	case auth.Generate != nil:
		u.Verdict = unsupportedUser("generate")
	case auth.Certificate != nil:
		u.Verdict = unsupportedUser("certificate")
	case spec.Disabled:
		u.Verdict = accepted("disabled: nobody connects as this user")
	case auth.Password != nil:
		u.Verdict = u.readPassword(in, out)
	default:
		u.Verdict = accepted("clients connect with a certificate of this common name")
	}
	if auth.X509 != nil {
		out.CommonName = auth.X509.CommonName
	}
	if u.Verdict.Accepted() && !spec.Disabled {
		u.rendered = out
	}
}

func unsupportedUser(field string) Verdict {
	return rejected(v1alpha1.ReasonNotSupported,
		"spec.authentication.%s is not supported in this version: use password or x509", field)
}

// readPassword reads the hash, or the password that is to be hashed, from the
// user's Secret.
func (u *user) readPassword(in Input, out *config.User) Verdict {
	ref := u.source.Spec.Authentication.Password.SecretRef
	if ref.Key == "" {
		ref.Key = "password"
	}
	secret := in.Secrets[types.NamespacedName{Namespace: u.Key.Namespace, Name: ref.Name}]
	if secret == nil {
		return rejected(v1alpha1.ReasonWaitingForSecret, "Secret %q does not exist", ref.Name)
	}
	value, ok := secretValue(secret, ref.Key)
	if !ok {
		return rejected(v1alpha1.ReasonWaitingForSecret, "Secret %q has no key %q", ref.Name, ref.Key)
	}
	hash, err := unhashed, checkPlain(value)
	if ref.Key == v1alpha1.PasswordHashKey {
		hash = string(bytes.TrimSpace(value))
		err = in.Passwords.validate(hash)
	} else {
		u.plain = value
	}
	if err != nil {
		return rejected(v1alpha1.ReasonInvalidCredentials, "Secret %q, key %q: %v", ref.Name, ref.Key, err)
	}
	out.PasswordHashes = []string{hash}
	return accepted("")
}

// hashPasswords hashes the passwords of the users that are rendered still, and
// gives all users their digest.
func hashPasswords(in Input, users []user) {
	previous := previousHashes(in.Previous)
	for i := range users {
		u := &users[i]
		if u.rendered != nil && u.plain != nil {
			hash, err := in.Passwords.Hash(u.plain, previous[u.Username])
			if err != nil {
				u.rendered, u.Verdict = nil, rejected(v1alpha1.ReasonInvalidCredentials, "the password: %v", err)
			} else {
				u.rendered.PasswordHashes = []string{hash}
			}
		}
		u.Digest = digest(u.Generation, u.rendered)
	}
}

// secretValue reads a key, also of a manifest that has it in stringData, which
// the API server would have moved to data.
func secretValue(s *corev1.Secret, key string) ([]byte, bool) {
	if v, ok := s.StringData[key]; ok {
		return []byte(v), true
	}
	v, ok := s.Data[key]
	return v, ok
}

// checkPlain says what is wrong with a password.
func checkPlain(value []byte) error {
	switch {
	case len(value) == 0:
		return errors.New("the password is empty")
	case len(value) > password.MaxLength:
		return fmt.Errorf("the password is longer than %d bytes", password.MaxLength)
	}
	return nil
}

// claims holds what was claimed first: the object by the claimed name.
type claims map[string]types.NamespacedName

// take claims name and returns who had it before, if anybody.
func (c claims) take(name string, by types.NamespacedName) (holder types.NamespacedName, taken bool) {
	if holder, taken = c[name]; !taken {
		c[name] = by
	}
	return holder, taken
}

// claim claims the names of a user, which come in the order of their age.
func claim(names, commonNames claims, u *v1alpha1.MQTTUser) Verdict {
	key := types.NamespacedName{Namespace: u.Namespace, Name: u.Name}
	if holder, taken := names.take(u.Username(), key); taken {
		return rejected(v1alpha1.ReasonUsernameTaken, "MQTTUser %s is older and has the username %q", holder, u.Username())
	}
	x := u.Spec.Authentication.X509
	if x == nil || u.Spec.Disabled {
		return accepted("")
	}
	if holder, taken := commonNames.take(x.CommonName, key); taken {
		return rejected(v1alpha1.ReasonCommonNameTaken, "MQTTUser %s is older and has the common name %q", holder, x.CommonName)
	}
	return accepted("")
}

func usersOf(in Input) []*v1alpha1.MQTTUser {
	var out []*v1alpha1.MQTTUser
	for i := range in.Users {
		u := &in.Users[i]
		if u.BrokerKey() == keyOf(in.Broker) && u.DeletionTimestamp.IsZero() {
			out = append(out, u)
		}
	}
	return out
}

// byAge sorts the oldest first; objects of the same age by namespace and name.
func byAge(users []*v1alpha1.MQTTUser) []*v1alpha1.MQTTUser {
	slices.SortFunc(users, func(a, b *v1alpha1.MQTTUser) int {
		return cmp.Or(
			a.CreationTimestamp.Compare(b.CreationTimestamp.Time),
			compareKeys(keyOf(a), keyOf(b)),
		)
	})
	return users
}

// previousHashes reads the hashes by username from an access file. One that
// cannot be read counts as empty: passwords are then hashed anew.
func previousHashes(file []byte) map[string][]string {
	var access config.Access
	if len(file) == 0 || json.Unmarshal(file, &access) != nil {
		return nil
	}
	out := make(map[string][]string, len(access.Users))
	for _, u := range access.Users {
		out[u.Username] = u.PasswordHashes
	}
	return out
}

func limits(l v1alpha1.UserLimits) config.UserLimits {
	return config.UserLimits{
		MaxConnections:        number(l.MaxConnections),
		PublishRate:           number(l.PublishRate),
		PublishBytesPerSecond: quantity(l.PublishBytesPerSecond),
		MaxPacketSize:         quantity(l.MaxPacketSize),
		MaxQueuedMessages:     number(l.MaxQueuedMessages),
		MaxSubscriptions:      number(l.MaxSubscriptions),
	}
}

func quantity(q *resource.Quantity) int64 {
	if q == nil {
		return 0
	}
	return q.Value()
}

// describe begins the Object of o.
func describe(o metav1.Object) Object {
	return Object{Key: keyOf(o), UID: o.GetUID(), Generation: o.GetGeneration()}
}

// digest names a generation and what was rendered of it.
func digest(generation int64, rendered any) string {
	// Types of package config always encode.
	encoded, _ := json.Marshal(rendered)
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", generation, encoded))
	return hex.EncodeToString(sum[:16])
}

func keyOf(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

func compareKeys(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
