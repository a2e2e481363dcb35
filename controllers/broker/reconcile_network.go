package broker

import (
	"context"

	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// reconcileNetwork applies the NetworkPolicy where there is to be one.
func (r *Reconciler) reconcileNetwork(ctx context.Context, s *scope) error {
	if policy := resource.NetworkPolicy(s.desired, r.Options.Namespace); policy != nil {
		return r.apply(ctx, s, policy)
	}
	return nil
}
