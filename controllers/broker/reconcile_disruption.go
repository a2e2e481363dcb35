package broker

import (
	"context"

	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// reconcileDisruption applies the PodDisruptionBudget where there is to be one.
func (r *Reconciler) reconcileDisruption(ctx context.Context, s *scope) error {
	if budget := resource.PodDisruptionBudget(s.desired); budget != nil {
		return r.apply(ctx, s, budget)
	}
	return nil
}
