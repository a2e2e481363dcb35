package broker

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/apply"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

var statefulSetKind = appsv1.SchemeGroupVersion.WithKind("StatefulSet")

// reconcileStatefulSet applies the StatefulSet when all that its pods mount is
// there. One that runs meanwhile goes on as it is.
func (r *Reconciler) reconcileStatefulSet(ctx context.Context, s *scope) error {
	s.wanted[apply.Child{Kind: statefulSetKind, NamespacedName: s.key()}] = true
	if err := r.apply(ctx, s, resource.ServiceAccount(s.desired)); err != nil {
		return err
	}
	image := s.desired.Spec.Image
	if image == "" {
		image = r.Options.Image
	}
	switch {
	case image == "":
		s.stall(v1alpha1.ReasonInvalidChild, "no image: set spec.image, or the operator's --broker-image")
	case !s.tlsReady():
		s.waitFor(v1alpha1.ReasonWaitingForTLS, s.tls.Message, whileWaiting)
	case !s.configWritten:
		s.waitFor(v1alpha1.ReasonFailed, "the configuration is not written", whileWaiting)
	default:
		if err := r.apply(ctx, s, resource.StatefulSet(s.desired, image)); err != nil {
			return err
		}
	}
	live := &appsv1.StatefulSet{}
	err := r.Client.Get(ctx, s.key(), live)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read StatefulSet: %w", err)
	}
	s.set = live
	return nil
}
