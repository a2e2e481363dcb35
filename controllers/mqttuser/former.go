package mqttuser

import (
	"context"
	"fmt"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/certmanager"
	"github.com/godwit-mqtt/godwit/controllers/lookup"
)

// removeFormer deletes what was made for the user by an earlier spec, under the
// name of its status or under one that something else takes.
func (r *Reconciler) removeFormer(ctx context.Context, s *scope) error {
	user := s.user
	if user.Status.SecretName == "" || user.Status.ObservedGeneration == user.Generation {
		return nil
	}
	auth := user.Spec.Authentication
	former := types.NamespacedName{Namespace: user.Namespace, Name: user.Status.SecretName}
	if key, _ := user.SecretKey(); key != former || auth.Certificate != nil {
		if err := r.removeOwned(ctx, user, former, lookup.SecretMetadata()); err != nil {
			return err
		}
	}
	if auth.Certificate != nil && auth.Certificate.SecretName == former.Name {
		return nil
	}
	if installed, err := r.certificates.Ensure(); err != nil || !installed {
		return err
	}
	return r.removeOwned(ctx, user, former, &certmanagerv1.Certificate{})
}

// removeOwned deletes an object that the user controls, if it is there. It is
// read from the cache into obj.
func (r *Reconciler) removeOwned(ctx context.Context, user *v1alpha1.MQTTUser, key types.NamespacedName, obj client.Object) error {
	err := r.Client.Get(ctx, key, obj)
	if certmanager.IsAbsent(err) || err == nil && !metav1.IsControlledBy(obj, user) {
		return nil
	}
	if err == nil {
		err = r.Client.Delete(ctx, obj, client.Preconditions{UID: new(obj.GetUID())})
	}
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("remove %s, which the spec asks for no longer: %w", key.Name, err)
	}
	return nil
}
