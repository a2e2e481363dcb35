// Package acl answers what clients of a Broker may do, by Brokers, MQTTUsers and
// TopicACLs as they stand in files or in a cluster. It renders them as the
// operator does, and asks the rules as the engine does.
package acl

import (
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/auth/password"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/controllers/render"
)

// Objects are what the rights on one Broker follow from. Users and ACLs of other
// Brokers among them have no effect.
type Objects struct {
	Broker *v1alpha1.Broker
	Users  []v1alpha1.MQTTUser
	ACLs   []v1alpha1.TopicACL
	// Namespaces holds the labels of namespaces by name, where the Broker chooses
	// namespaces by label.
	Namespaces map[string]map[string]string
	// Notes are what a person should know of where the objects come from.
	Notes []string
}

// Rights are the rules of one Broker, compiled as its pods compile them.
type Rights struct {
	// Notes are what a person should know: objects that are not in force.
	Notes []string

	broker   string // "namespace/name"
	config   *config.Config
	snapshot *auth.Snapshot
	users    map[string]render.Object // by username
}

// New renders and compiles the objects. Credentials are taken on trust: whether
// a Secret is there has no influence on what its user may do.
func New(o Objects) (*Rights, error) {
	hash := sync.OnceValues(func() (string, error) { return password.Hash([]byte(anyPassword)) })
	in := render.Input{
		Broker: o.Broker, ACLs: o.ACLs, Namespaces: o.Namespaces,
		Passwords: render.NewPasswords(password.Verify, func([]byte) (string, error) { return hash() }, password.Validate),
	}
	in.Users, in.Secrets = trusted(o.Users)
	out, err := render.Render(in)
	if err != nil {
		return nil, err
	}
	r := &Rights{
		Notes:  slices.Concat(o.Notes, notes(out)),
		broker: o.Broker.Namespace + "/" + o.Broker.Name,
		users:  byUsername(out.Users),
	}
	if r.config, err = config.Parse(out.Settings, out.Access); err != nil {
		return nil, fmt.Errorf("configuration of Broker %s: %w", r.broker, err)
	}
	if r.snapshot, err = auth.Compile(r.config); err != nil {
		return nil, fmt.Errorf("configuration of Broker %s: %w", r.broker, err)
	}
	return r, nil
}

// anyPassword stands for every password. Nobody logs in here.
const anyPassword = "any"

// trusted returns the users with credentials that are there, and the Secrets of
// these.
func trusted(users []v1alpha1.MQTTUser) ([]v1alpha1.MQTTUser, map[types.NamespacedName]*corev1.Secret) {
	const name, key = "credentials", "password"
	secret := &corev1.Secret{Data: map[string][]byte{key: []byte(anyPassword)}}
	secrets := map[types.NamespacedName]*corev1.Secret{}
	users = slices.Clone(users)
	for i := range users {
		u := &users[i]
		switch a := u.Spec.Authentication; {
		case a.X509 != nil:
		case a.Certificate != nil:
			u.Spec.Authentication = v1alpha1.UserAuthentication{X509: &v1alpha1.X509Authentication{
				CommonName: u.Username(), CASecretName: a.Certificate.CASecretName,
			}}
		default:
			u.Spec.Authentication = v1alpha1.UserAuthentication{Password: &v1alpha1.PasswordAuthentication{
				SecretRef: v1alpha1.SecretKeyRef{Name: name, Key: key},
			}}
			secrets[types.NamespacedName{Namespace: u.Namespace, Name: name}] = secret
		}
	}
	return users, secrets
}

// notes names the objects that are not in force.
func notes(out *render.Output) []string {
	var all []string
	for _, list := range []struct {
		kind    string
		objects []render.Object
	}{{v1alpha1.KindMQTTUser, out.Users}, {v1alpha1.KindTopicACL, out.ACLs}} {
		for _, o := range list.objects {
			if !o.Verdict.Accepted() {
				all = append(all, fmt.Sprintf("%s %s is not in force: %s", list.kind, o.Key, o.Verdict.Message))
			}
		}
	}
	return all
}

// byUsername returns the users by name: of several of the same name, the one
// that holds it.
func byUsername(objects []render.Object) map[string]render.Object {
	users := make(map[string]render.Object, len(objects))
	for _, o := range objects {
		if _, taken := users[o.Username]; !taken || o.Verdict.Accepted() {
			users[o.Username] = o
		}
	}
	return users
}
