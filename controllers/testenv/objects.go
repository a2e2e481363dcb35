package testenv

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/render"
)

// Broker returns a Broker with one plain listener and no volume.
func Broker(namespace, name string, change ...func(*v1alpha1.Broker)) *v1alpha1.Broker {
	b := &v1alpha1.Broker{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
	for _, c := range change {
		c(b)
	}
	return b
}

// User returns a MQTTUser whose password is in the Secret of its name, under the
// key password.
func User(namespace, name, broker string, change ...func(*v1alpha1.MQTTUser)) *v1alpha1.MQTTUser {
	u := &v1alpha1.MQTTUser{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: v1alpha1.MQTTUserSpec{
			BrokerRef: v1alpha1.BrokerRef{Name: broker},
			Authentication: v1alpha1.UserAuthentication{Password: &v1alpha1.PasswordAuthentication{
				SecretRef: v1alpha1.SecretKeyRef{Name: name, Key: "password"},
			}},
		},
	}
	for _, c := range change {
		c(u)
	}
	return u
}

// ACL returns a TopicACL that lets a user publish to a topic filter.
func ACL(namespace, name, broker, user, filter string, change ...func(*v1alpha1.TopicACL)) *v1alpha1.TopicACL {
	a := &v1alpha1.TopicACL{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: v1alpha1.TopicACLSpec{
			BrokerRef: v1alpha1.BrokerRef{Name: broker},
			Subjects:  []v1alpha1.Subject{{User: user}},
			Rules: []v1alpha1.Rule{{
				Effect: v1alpha1.Allow, Actions: []v1alpha1.Action{v1alpha1.ActionPublish}, Topics: []string{filter},
			}},
		},
	}
	for _, c := range change {
		c(a)
	}
	return a
}

// Secret returns a Secret with one key.
func Secret(namespace, name, key, value string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Data:       map[string][]byte{key: []byte(value)},
	}
}

// NewPasswords hashes at once, with a salt as real hashes have.
func NewPasswords() *render.Passwords {
	sum := func(salt string, password []byte) string {
		s := sha256.Sum256(append([]byte(salt), password...))
		return "test$" + salt + "$" + hex.EncodeToString(s[:])
	}
	return render.NewPasswords(
		func(hash string, password []byte) (bool, error) {
			parts := strings.Split(hash, "$")
			return len(parts) == 3 && sum(parts[1], password) == hash, nil
		},
		func(password []byte) (string, error) { return sum(rand.Text(), password), nil },
		func(hash string) error {
			if !strings.HasPrefix(hash, "test$") {
				return errors.New("not a hash that is known")
			}
			return nil
		},
	)
}
