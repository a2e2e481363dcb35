package broker

import (
	"context"
	"errors"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/apply"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

var statefulSetKind = appsv1.SchemeGroupVersion.WithKind("StatefulSet")

// reconcileStatefulSet applies the StatefulSet, and reads the one that runs also
// where that failed.
func (r *Reconciler) reconcileStatefulSet(ctx context.Context, s *scope) error {
	return errors.Join(r.applyStatefulSet(ctx, s), r.readStatefulSet(ctx, s))
}

// applyStatefulSet applies the StatefulSet when all that its pods mount is
// there. One that runs meanwhile goes on as it is.
func (r *Reconciler) applyStatefulSet(ctx context.Context, s *scope) error {
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
	case s.tls.Status == metav1.ConditionFalse:
		s.waitFor(v1alpha1.ReasonWaitingForTLS, s.tls.Message, whileWaiting)
	case s.tls.Status == metav1.ConditionUnknown, !s.configWritten:
		// What keeps it has been noted.
	default:
		return r.apply(ctx, s, resource.StatefulSet(s.desired, image))
	}
	return nil
}

// readStatefulSet reads the Broker's StatefulSet into the scope.
func (r *Reconciler) readStatefulSet(ctx context.Context, s *scope) error {
	live := &appsv1.StatefulSet{}
	err := r.Client.Get(ctx, s.key(), live)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read StatefulSet: %w", err)
	}
	if metav1.IsControlledBy(live, s.broker) {
		s.set = live
	}
	return nil
}
