package resource

import (
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// PodDisruptionBudget returns nil where the spec asks for none: a budget that a
// single pod could meet would keep its node from ever being drained.
func PodDisruptionBudget(b *v1alpha1.Broker) *policyv1.PodDisruptionBudget {
	budget := policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: Selector(b)}}
	if p := b.Spec.PodDisruptionBudget; p != nil {
		budget.MinAvailable, budget.MaxUnavailable = p.MinAvailable, p.MaxUnavailable
	}
	if budget.MinAvailable == nil && budget.MaxUnavailable == nil {
		if *b.Spec.Replicas <= 1 {
			return nil
		}
		budget.MaxUnavailable = new(intstr.FromInt32(1))
	}
	return &policyv1.PodDisruptionBudget{ObjectMeta: meta(b, b.Name), Spec: budget}
}
