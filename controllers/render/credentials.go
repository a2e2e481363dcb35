package render

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/auth/password"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// unhashed stands for the hash of a password that is not hashed yet, and is as
// long as one: hashing is slow, and not done for users that are refused.
var unhashed = strings.Repeat("?", 97)

// readCredentials fills in what the user authenticates with, or says in the
// verdict what is missing.
func (u *user) readCredentials(in Input, out *config.User) Verdict {
	auth := u.source.Spec.Authentication
	key, _ := u.source.SecretKey()
	switch {
	case auth.Certificate != nil:
		return u.readSubject(in.Broker, fmt.Sprintf("the certificate in Secret %q", key.Name), out)
	case auth.X509 != nil:
		return u.readSubject(in.Broker, "a certificate of this common name", out)
	}
	if in.Unread[key] {
		u.Pending = true
		out.PasswordHashes = []string{unhashed}
		return accepted("")
	}
	secret := in.Secrets[key]
	if secret != nil {
		u.SecretVersion = secret.ResourceVersion
	}
	if auth.Generate != nil {
		return u.readGenerated(key.Name, secret, out)
	}
	return u.readPassword(in, secret, out)
}

// readPassword reads the hash, or the password that is to be hashed, from the
// Secret that the user refers to.
func (u *user) readPassword(in Input, secret *corev1.Secret, out *config.User) Verdict {
	ref := u.source.Spec.Authentication.Password.SecretRef
	ref.Key = cmp.Or(ref.Key, v1alpha1.PasswordKey)
	if secret == nil {
		return rejected(v1alpha1.ReasonWaitingForSecret, "Secret %q does not exist", ref.Name)
	}
	value, ok := secretValue(secret, ref.Key)
	if !ok {
		return rejected(v1alpha1.ReasonWaitingForSecret, "Secret %q has no key %q", ref.Name, ref.Key)
	}
	hash, err := unhashed, CheckPassword(value)
	if ref.Key == v1alpha1.PasswordHashKey {
		hash = string(bytes.TrimSpace(value))
		err = in.Passwords.validate(hash)
	} else {
		u.plain = [][]byte{value}
	}
	if err != nil {
		return rejected(v1alpha1.ReasonInvalidCredentials, "Secret %q, key %q: %v", ref.Name, ref.Key, err)
	}
	out.PasswordHashes = []string{hash}
	return accepted("")
}

// readGenerated reads the password that was generated, and the one before while
// it is valid, from the user's own Secret.
func (u *user) readGenerated(name string, secret *corev1.Secret, out *config.User) Verdict {
	switch {
	case secret == nil:
		return rejected(v1alpha1.ReasonWaitingForSecret, "Secret %q is about to be made", name)
	case !metav1.IsControlledBy(secret, u.source):
		return rejected(v1alpha1.ReasonNotOwned,
			"Secret %q exists and does not belong to the MQTTUser: delete or rename it, or choose another secretName", name)
	}
	value, _ := secretValue(secret, v1alpha1.PasswordKey)
	if err := CheckPassword(value); err != nil {
		return rejected(v1alpha1.ReasonWaitingForSecret, "Secret %q is about to get a new password: %v", name, err)
	}
	u.plain = [][]byte{value}
	if before, ok := secretValue(secret, v1alpha1.PreviousPasswordKey); ok && CheckPassword(before) == nil && !bytes.Equal(before, value) {
		u.plain = append(u.plain, before)
	}
	for range u.plain {
		out.PasswordHashes = append(out.PasswordHashes, unhashed)
	}
	return accepted("")
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

// CheckPassword says what is wrong with a plain password.
func CheckPassword(value []byte) error {
	switch {
	case len(value) == 0:
		return errors.New("the password is empty")
	case len(value) > password.MaxLength:
		return fmt.Errorf("the password is longer than %d bytes", password.MaxLength)
	}
	return nil
}
