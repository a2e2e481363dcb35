package dev

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/cmd/dev/manifest"
	"github.com/godwit-mqtt/godwit/controllers/render"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// credentialsDir is where the keys of a Secret are that a user's credentials are
// made into, a file each.
func (w *Workspace) credentialsDir(secret types.NamespacedName) string {
	return filepath.Join(w.dir, "credentials", secret.Namespace, secret.Name)
}

// withGenerated returns the Secrets of the manifests and those with the passwords
// that the operator would generate. A password that was made before is kept.
func (w *Workspace) withGenerated(set *manifest.Set, broker *v1alpha1.Broker) map[types.NamespacedName]*corev1.Secret {
	secrets := maps.Clone(set.Secrets)
	for _, u := range usersOf(set, broker) {
		key, _ := u.SecretKey()
		if u.Spec.Authentication.Generate == nil || secrets[key] != nil {
			continue
		}
		password, err := os.ReadFile(filepath.Join(w.credentialsDir(key), v1alpha1.PasswordKey))
		if err != nil || render.CheckPassword(password) != nil {
			password = render.NewPassword()
		}
		secrets[key] = &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: key.Namespace, Name: key.Name,
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(u, v1alpha1.GroupVersion.WithKind(v1alpha1.KindMQTTUser))},
			},
			Data: map[string][]byte{v1alpha1.PasswordKey: password},
		}
	}
	return secrets
}

func usersOf(set *manifest.Set, broker *v1alpha1.Broker) []*v1alpha1.MQTTUser {
	key := types.NamespacedName{Namespace: broker.Namespace, Name: broker.Name}
	var users []*v1alpha1.MQTTUser
	for i := range set.Users {
		if u := &set.Users[i]; u.BrokerKey() == key {
			users = append(users, u)
		}
	}
	return users
}

// writeCredentials writes what the operator and cert-manager would write for
// users that are in force.
func (w *Workspace) writeCredentials(set *manifest.Set, b *Build, secrets map[types.NamespacedName]*corev1.Secret) error {
	for _, u := range usersOf(set, b.Broker) {
		key, _ := u.SecretKey()
		inForce := b.inForce(u.Username(), key.Namespace+"/"+u.Name)
		var err error
		switch auth := u.Spec.Authentication; {
		case inForce && auth.Generate != nil:
			err = w.writeGenerated(b, u, secrets[key])
		case inForce && auth.Certificate != nil:
			err = w.issueToUser(u, key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inForce says that the configuration holds a user that comes from an object,
// "namespace/name".
func (b *Build) inForce(username, source string) bool {
	for _, u := range b.Config.Access.Users {
		if u.Username == username {
			return u.Source == source
		}
	}
	return false
}

func (w *Workspace) writeGenerated(b *Build, u *v1alpha1.MQTTUser, secret *corev1.Secret) error {
	reached := b.Broker.DeepCopy()
	for _, l := range b.Config.Settings.Listeners {
		reached.Status.Listeners = append(reached.Status.Listeners, v1alpha1.ListenerStatus{Name: l.Name, Address: host(l)})
	}
	endpoint := resource.EndpointOf(reached)
	var ca []byte
	if endpoint.TLS {
		var err error
		if ca, err = os.ReadFile(b.CAFiles[endpoint.Listener]); err != nil {
			return fmt.Errorf("read the CA of listener %s: %w", endpoint.Listener, err)
		}
	}
	password := resource.Generated{Password: secret.Data[v1alpha1.PasswordKey]}
	b.Secrets[u.Username()] = string(password.Password)
	key := types.NamespacedName{Namespace: secret.Namespace, Name: secret.Name}
	return w.writeKeys(key, resource.CredentialsSecret(u, password, endpoint, ca).Data)
}

// issueToUser writes a client certificate of the local CA, unless a good one is
// there.
func (w *Workspace) issueToUser(u *v1alpha1.MQTTUser, key types.NamespacedName) error {
	ca, err := openAuthority(w.dir, w.now())
	if err != nil {
		return err
	}
	current, err := os.ReadFile(filepath.Join(w.credentialsDir(key), corev1.TLSCertKey))
	if err == nil && ca.admits(current, u.CommonName(), w.now()) {
		return nil
	}
	cert, private, err := ca.issueToClient(u.CommonName(), w.now())
	if err != nil {
		return err
	}
	return w.writeKeys(key, map[string][]byte{corev1.TLSPrivateKeyKey: private, corev1.TLSCertKey: cert, caFileName: ca.pem})
}

func (w *Workspace) writeKeys(secret types.NamespacedName, keys map[string][]byte) error {
	for name, value := range keys {
		if err := writeFile(filepath.Join(w.credentialsDir(secret), name), value); err != nil {
			return err
		}
	}
	return nil
}
