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
	hash, err, warning := unhashed, CheckPassword(value), ""
	if ref.Key == v1alpha1.PasswordHashKey {
		hash = string(bytes.TrimSpace(value))
		err = in.Passwords.validate(hash)
	} else {
		u.plain = [][]byte{value}
		warning = doubt(ref.Name, ref.Key, value)
	}
	if err != nil {
		return rejected(v1alpha1.ReasonInvalidCredentials, "Secret %q, key %q: %v", ref.Name, ref.Key, err)
	}
	out.PasswordHashes = []string{hash}
	return accepted(warning)
}

// doubt warns of a plain password that may be a slip: it is legal, and clients have
// to send every byte of it. It is empty where there is nothing to say.
func doubt(secret, key string, value []byte) string {
	switch {
	case bytes.HasSuffix(value, []byte("\n")), bytes.HasSuffix(value, []byte("\r")):
		return fmt.Sprintf("warning: the password in Secret %q, key %q, ends in a line break, and clients that do not send it are refused: "+
			"write the Secret without it, as by printf %%s", secret, key)
	case looksLikeHash(string(value)):
		return fmt.Sprintf("warning: what is in Secret %q, key %q, looks like the hash of a password, and is taken for the password itself: "+
			"put a hash into the key %s", secret, key, v1alpha1.PasswordHashKey)
	}
	return ""
}

// looksLikeHash tells hashes as tools write them.
func looksLikeHash(value string) bool {
	for _, prefix := range []string{"$2a$", "$2b$", "$2y$", "$argon2id$", "$7$", "$6$"} {
		if strings.HasPrefix(value, prefix) {
			return true
		}
	}
	return false
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
	return accepted(doubt(name, v1alpha1.PasswordKey, value))
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
