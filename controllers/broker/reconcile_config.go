package broker

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/lookup"
	"github.com/godwit-mqtt/godwit/controllers/render"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// reconcileConfig renders the configuration and applies the children that hold
// it.
func (r *Reconciler) reconcileConfig(ctx context.Context, s *scope) error {
	before, err := r.publishedAccess(ctx, s)
	if err != nil {
		return err
	}
	in, err := r.renderInput(ctx, s)
	if err != nil {
		return err
	}
	readErr := r.readSecrets(ctx, &in)
	in.Previous = before.files
	hurry, cancel := context.WithTimeout(ctx, hashFor)
	defer cancel()
	in.Hurry = hurry.Done()
	out, err := render.Render(in)
	if err != nil {
		s.stall(v1alpha1.ReasonConfigRejected, err.Error())
		return nil
	}
	s.rendered = out
	accessErr := r.applyAccess(ctx, s, before, out.Access)
	settingsErr := r.apply(ctx, s, resource.SettingsConfigMap(s.desired, out.Settings))
	s.configWritten = accessErr == nil && settingsErr == nil
	if s.configWritten && out.Unhashed > 0 {
		s.again(whileHashing)
	}
	return errors.Join(readErr, accessErr, settingsErr)
}

// renderInput gathers what the configuration depends on, but for Secrets and what
// was rendered before.
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
	in.Namespaces, err = r.namespaceLabels(ctx, s)
	return in, err
}

// maxFailedReads is after how many Secrets that could not be read a pass reads no
// more, unless it was not allowed to read them.
const maxFailedReads = 3

// readSecrets reads the Secrets that the passwords of admitted users are in. One
// that cannot be read keeps no other from the pods.
func (r *Reconciler) readSecrets(ctx context.Context, in *render.Input) error {
	in.Secrets, in.Unread = map[types.NamespacedName]*corev1.Secret{}, map[types.NamespacedName]bool{}
	admits := in.Admits()
	var failed []error
	var forbidden error // one for all
	for i := range in.Users {
		u := &in.Users[i]
		key, ok := u.SecretKey()
		if !ok || in.Secrets[key] != nil || in.Unread[key] || u.Spec.Authentication.Certificate != nil || !admits(u.Namespace) {
			continue
		}
		if len(failed) >= maxFailedReads {
			in.Unread[key] = true
			continue
		}
		secret, err := r.Secrets.Get(ctx, key)
		switch {
		case apierrors.IsForbidden(err):
			in.Unread[key] = true
			forbidden = err
		case err != nil:
			in.Unread[key] = true
			failed = append(failed, err)
		case secret != nil:
			in.Secrets[key] = secret
		}
	}
	return errors.Join(append(failed, forbidden)...)
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
