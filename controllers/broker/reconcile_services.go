package broker

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// reconcileServices applies the Services and reads those of clients back, for
// their addresses.
func (r *Reconciler) reconcileServices(ctx context.Context, s *scope) error {
	if err := r.apply(ctx, s, resource.HeadlessService(s.desired)); err != nil {
		return err
	}
	for _, service := range resource.ClientServices(s.desired) {
		if err := r.apply(ctx, s, service); err != nil {
			return err
		}
		live := &corev1.Service{}
		err := r.Client.Get(ctx, client.ObjectKeyFromObject(service), live)
		if apierrors.IsNotFound(err) {
			continue // the cache has yet to hear of it
		}
		if err != nil {
			return fmt.Errorf("read Service %s: %w", service.Name, err)
		}
		s.services[service.Name] = live
	}
	return nil
}
