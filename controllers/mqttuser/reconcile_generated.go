package mqttuser

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/apply"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

var secretKind = corev1.SchemeGroupVersion.WithKind("Secret")

// caKey is where a Secret of TLS has the certificate of its CA.
const caKey = "ca.crt"

// reconcileGenerated makes the user's password and its Secret, mends what was
// changed of it, and makes the next password when its time has come.
func (r *Reconciler) reconcileGenerated(ctx context.Context, s *scope) error {
	key, _ := s.user.SecretKey()
	secret, err := r.Secrets.Get(ctx, key)
	if err != nil {
		return err
	}
	wanted, _, err := r.wantedSecret(ctx, s, secret)
	if err != nil {
		return err
	}
	if secret != nil && holds(secret, wanted) {
		return nil
	}
	// The cache may be behind, and a password must not be made twice.
	if secret, err = r.Secrets.Latest(ctx, key); err != nil {
		return err
	}
	wanted, what, err := r.wantedSecret(ctx, s, secret)
	if err != nil || secret != nil && holds(secret, wanted) {
		return err
	}
	if err := r.writeSecret(ctx, s, secret, wanted); err != nil {
		return err
	}
	r.announcePassword(s, what)
	return nil
}

// wantedSecret is what the Secret should be, nil being none yet, and what became
// of the password. It notes in the scope when to look again.
func (r *Reconciler) wantedSecret(ctx context.Context, s *scope, secret *corev1.Secret) (*corev1.Secret, change, error) {
	var generated resource.Generated
	var ca []byte
	if secret != nil {
		if err := r.Applier.CheckOwner(secretKind, secret, s.user); err != nil {
			return nil, kept, err
		}
		generated, ca = resource.ReadGenerated(secret), secret.Data[caKey]
	}
	spec, now := s.user.Spec.Authentication.Generate, time.Now()
	generated, what := advance(generated, spec, now)
	s.password = rotationStatus(generated, spec)
	for _, at := range []*metav1.Time{s.password.NextAt, s.password.PreviousUntil} {
		if at != nil {
			s.again(at.Sub(now))
		}
	}
	endpoint := resource.EndpointOf(s.broker)
	ca, err := r.ca(ctx, s, endpoint, ca)
	return resource.CredentialsSecret(s.user, generated, endpoint, ca), what, err
}

// ca holds the CAs of the endpoint's certificates, each once; nothing where the
// first has none, which the system's own CAs vouch for then. While one of these
// certificates is not there it is what it was before, and the user waits where that
// was nothing.
func (r *Reconciler) ca(ctx context.Context, s *scope, e resource.Endpoint, before []byte) ([]byte, error) {
	var all []byte
	for i, name := range e.TLSSecrets {
		secret, err := r.Secrets.Get(ctx, types.NamespacedName{Namespace: s.broker.Namespace, Name: name})
		if err != nil {
			return nil, err
		}
		if secret == nil {
			if len(before) == 0 {
				s.waitFor(v1alpha1.ReasonWaitingForCertificate,
					fmt.Sprintf("listener %s of the Broker has no certificate yet, whose CA clients need", e.Listener))
			}
			return before, nil
		}
		if all = appendCA(all, secret.Data[caKey]); i == 0 && len(all) == 0 {
			return nil, nil
		}
	}
	return all, nil
}

// appendCA appends the PEM of a CA to that of others, unless it is there.
func appendCA(all, ca []byte) []byte {
	if len(all) == 0 || len(ca) == 0 {
		return append(all, ca...)
	}
	if bytes.Contains(all, bytes.TrimSpace(ca)) {
		return all
	}
	all = append(bytes.TrimRight(all, "\n"), '\n')
	return append(all, ca...)
}

// holds says that the Secret is as wanted. What others have added to it does not
// count.
func holds(secret, wanted *corev1.Secret) bool {
	for _, key := range []string{v1alpha1.PreviousPasswordKey, caKey} {
		if _, want := wanted.Data[key]; !want && secret.Data[key] != nil {
			return false
		}
	}
	for key, value := range wanted.Data {
		if !bytes.Equal(secret.Data[key], value) {
			return false
		}
	}
	return contains(secret.Labels, wanted.Labels) && contains(secret.Annotations, wanted.Annotations)
}

func contains(all, some map[string]string) bool {
	for key, value := range some {
		if all[key] != value {
			return false
		}
	}
	return true
}

// writeSecret creates the Secret, or changes it if it is still what was read.
// Neither overwrites what somebody else has made meanwhile.
func (r *Reconciler) writeSecret(ctx context.Context, s *scope, secret, wanted *corev1.Secret) error {
	if secret == nil {
		if err := controllerutil.SetControllerReference(s.user, wanted, r.Client.Scheme()); err != nil {
			return err
		}
		if err := r.Client.Create(ctx, wanted, client.FieldOwner(apply.FieldOwner)); err != nil {
			return fmt.Errorf("create Secret %s: %w", wanted.Name, err)
		}
		return nil
	}
	changed := secret.DeepCopy()
	delete(changed.Data, v1alpha1.PreviousPasswordKey)
	delete(changed.Data, caKey)
	if changed.Data == nil {
		changed.Data = map[string][]byte{}
	}
	maps.Copy(changed.Data, wanted.Data)
	for key, value := range wanted.Labels {
		metav1.SetMetaDataLabel(&changed.ObjectMeta, key, value)
	}
	for key, value := range wanted.Annotations {
		metav1.SetMetaDataAnnotation(&changed.ObjectMeta, key, value)
	}
	patch := client.MergeFromWithOptions(secret, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, changed, patch, client.FieldOwner(apply.FieldOwner)); err != nil {
		return fmt.Errorf("change Secret %s: %w", wanted.Name, err)
	}
	return nil
}

// announcePassword tells that there is a new password, and nothing of it.
func (r *Reconciler) announcePassword(s *scope, what change) {
	name := s.user.Spec.Authentication.Generate.SecretName
	switch until := s.password.PreviousUntil; {
	case what == made:
		r.Events.Eventf(s.user, nil, corev1.EventTypeNormal, "Generated", "Generate", "a new password is in Secret %s", name)
	case what == rotated && until == nil:
		r.Events.Eventf(s.user, nil, corev1.EventTypeNormal, "Rotated", "Rotate", "the next password is in Secret %s", name)
	case what == rotated:
		r.Events.Eventf(s.user, nil, corev1.EventTypeNormal, "Rotated", "Rotate",
			"the next password is in Secret %s; the one before is valid until %s", name, until.UTC().Format(time.RFC3339))
	}
}
