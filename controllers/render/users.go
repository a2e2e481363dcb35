package render

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// maxPassword is the longest password that CONNECT can carry, in bytes.
const maxPassword = 65535

// user is what became of a MQTTUser: rendered is nil where nobody may connect
// as this user.
type user struct {
	Object
	source   *v1alpha1.MQTTUser
	rendered *config.User
}

// renderUsers judges the MQTTUsers of the Broker, sorted by namespace and name.
func renderUsers(in Input) ([]user, error) {
	admits, err := admission(in)
	if err != nil {
		return nil, err
	}
	previous := previousHashes(in.Previous)
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
			u.rendered, u.Verdict = renderUser(in, source, previous[u.Username])
		}
		u.Digest = digest(u.Generation, u.rendered)
		out = append(out, u)
	}
	slices.SortFunc(out, func(a, b user) int { return compareKeys(a.Key, b.Key) })
	return out, nil
}

// renderUser renders an admitted user, or says why it cannot.
func renderUser(in Input, u *v1alpha1.MQTTUser, previous []string) (*config.User, Verdict) {
	hashes, verdict := credentials(in, u, previous)
	if !verdict.Accepted() || u.Spec.Disabled {
		return nil, verdict
	}
	out := &config.User{
		Username:       u.Username(),
		Source:         u.Namespace + "/" + u.Name,
		PasswordHashes: hashes,
		ClientIDs:      slices.Sorted(slices.Values(u.Spec.ClientIDs)),
		Limits:         limits(u.Spec.Limits),
	}
	if x := u.Spec.Authentication.X509; x != nil {
		out.CommonName = x.CommonName
	}
	return out, verdict
}

// credentials returns the password hashes of a user; none for one that
// authenticates by certificate.
func credentials(in Input, u *v1alpha1.MQTTUser, previous []string) ([]string, Verdict) {
	auth := u.Spec.Authentication
	switch {
	case auth.Generate != nil:
		return nil, unsupportedUser("generate")
	case auth.Certificate != nil:
		return nil, unsupportedUser("certificate")
	case u.Spec.Disabled:
		return nil, accepted("disabled: nobody connects as this user")
	case auth.Password != nil:
		return passwordHashes(in, u, previous)
	default:
		return nil, accepted("clients connect with a certificate of this common name")
	}
}

func unsupportedUser(field string) Verdict {
	return rejected(v1alpha1.ReasonNotSupported,
		"spec.authentication.%s is not supported in this version: use password or x509", field)
}

func passwordHashes(in Input, u *v1alpha1.MQTTUser, previous []string) ([]string, Verdict) {
	ref := u.Spec.Authentication.Password.SecretRef
	if ref.Key == "" {
		ref.Key = "password"
	}
	secret := in.Secrets[types.NamespacedName{Namespace: u.Namespace, Name: ref.Name}]
	if secret == nil {
		return nil, rejected(v1alpha1.ReasonWaitingForSecret, "Secret %q does not exist", ref.Name)
	}
	value, ok := secretValue(secret, ref.Key)
	if !ok {
		return nil, rejected(v1alpha1.ReasonWaitingForSecret, "Secret %q has no key %q", ref.Name, ref.Key)
	}
	hash, err := hashOf(in.Passwords, ref.Key, value, previous)
	if err != nil {
		return nil, rejected(v1alpha1.ReasonInvalidCredentials, "Secret %q, key %q: %v", ref.Name, ref.Key, err)
	}
	return []string{hash}, accepted("")
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

// hashOf returns the hash that stands in a Secret, or one of the plain password
// that does.
func hashOf(p *Passwords, key string, value []byte, previous []string) (string, error) {
	if key == v1alpha1.PasswordHashKey {
		hash := string(bytes.TrimSpace(value))
		return hash, p.validate(hash)
	}
	switch {
	case len(value) == 0:
		return "", fmt.Errorf("the password is empty")
	case len(value) > maxPassword:
		return "", fmt.Errorf("the password is longer than %d bytes, which MQTT cannot carry", maxPassword)
	}
	return p.Hash(value, previous)
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
