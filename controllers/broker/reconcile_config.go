package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/controllers/lookup"
	"github.com/godwit-mqtt/godwit/controllers/render"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// reconcileConfig renders the configuration and applies the children that hold
// it.
func (r *Reconciler) reconcileConfig(ctx context.Context, s *scope) error {
	in, err := r.renderInput(ctx, s)
	if err != nil {
		return err
	}
	out, err := render.Render(in)
	if err != nil {
		s.stall(v1alpha1.ReasonConfigRejected, err.Error())
		return nil
	}
	s.rendered = out
	accessErr := r.apply(ctx, s, resource.AccessSecret(s.desired, out.Access))
	if accessErr == nil {
		r.previous.put(s.key(), out.Access)
	}
	settingsErr := r.apply(ctx, s, resource.SettingsConfigMap(s.desired, out.Settings))
	s.configWritten = accessErr == nil && settingsErr == nil
	return errors.Join(accessErr, settingsErr, r.shadows.add(s.key(), out))
}

// renderInput gathers what the configuration depends on.
func (r *Reconciler) renderInput(ctx context.Context, s *scope) (render.Input, error) {
	in := render.Input{
		Broker:    s.desired,
		Paths:     render.Paths{TLS: resource.TLSDir, ClientCA: resource.ClientCADir},
		Passwords: r.Passwords,
	}
	var users v1alpha1.MQTTUserList
	if err := r.Client.List(ctx, &users, lookup.OfBroker(s.key())); err != nil {
		return in, fmt.Errorf("list MQTTUsers: %w", err)
	}
	var acls v1alpha1.TopicACLList
	if err := r.Client.List(ctx, &acls, lookup.OfBroker(s.key())); err != nil {
		return in, fmt.Errorf("list TopicACLs: %w", err)
	}
	in.Users, in.ACLs = users.Items, acls.Items
	var err error
	if in.Secrets, err = r.secretsOf(ctx, users.Items); err != nil {
		return in, err
	}
	if in.Namespaces, err = r.namespaceLabels(ctx, s); err != nil {
		return in, err
	}
	in.Previous, err = r.previousAccess(ctx, s)
	return in, err
}

// secretsOf reads the Secrets that users' passwords are in.
func (r *Reconciler) secretsOf(ctx context.Context, users []v1alpha1.MQTTUser) (map[types.NamespacedName]*corev1.Secret, error) {
	secrets := map[types.NamespacedName]*corev1.Secret{}
	for i := range users {
		key, ok := users[i].SecretKey()
		if !ok || secrets[key] != nil || users[i].Spec.Authentication.Certificate != nil {
			continue
		}
		secret, err := r.Secrets.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		if secret != nil {
			secrets[key] = secret
		}
	}
	return secrets, nil
}

// namespaceLabels reads the labels of namespaces where the Broker chooses by
// them.
func (r *Reconciler) namespaceLabels(ctx context.Context, s *scope) (map[string]map[string]string, error) {
	if s.desired.Spec.AllowedUsers.Namespaces.From != v1alpha1.FromSelector {
		return nil, nil
	}
	list := lookup.NamespaceMetadataList()
	if err := r.Client.List(ctx, list); err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	labels := make(map[string]map[string]string, len(list.Items))
	for _, n := range list.Items {
		labels[n.Name] = n.Labels
	}
	return labels, nil
}

// previousAccess returns the access file that was rendered last: from memory,
// because the cache may lag behind what was just written, or from the Secret
// after a restart.
func (r *Reconciler) previousAccess(ctx context.Context, s *scope) ([]byte, error) {
	if access, ok := r.previous.get(s.key()); ok {
		return access, nil
	}
	secret := &corev1.Secret{}
	key := types.NamespacedName{Namespace: s.broker.Namespace, Name: resource.AccessName(s.broker)}
	if err := r.Live.Get(ctx, key, secret); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("read the configuration before: %w", err)
	}
	return secret.Data[config.AccessFile], nil
}

// previousAccess remembers the access file of each Broker.
type previousAccess struct{ files sync.Map }

func (p *previousAccess) get(broker types.NamespacedName) ([]byte, bool) {
	file, ok := p.files.Load(broker)
	if !ok {
		return nil, false
	}
	return file.([]byte), true
}

func (p *previousAccess) put(broker types.NamespacedName, access []byte) {
	p.files.Store(broker, access)
}

func (p *previousAccess) forget(broker types.NamespacedName) { p.files.Delete(broker) }
