package broker

import (
	"context"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/controllers/lookup"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// prune deletes children of the kinds that come and go with the spec. Where a
// phase was held up, what it would have asked for is not known, and nothing is
// deleted.
func (r *Reconciler) prune(ctx context.Context, s *scope) error {
	if len(s.stalls) > 0 || len(s.failures) > 0 {
		return nil
	}
	lists := []client.ObjectList{
		&corev1.ServiceList{},
		&policyv1.PodDisruptionBudgetList{},
		&networkingv1.NetworkPolicyList{},
		lookup.SecretMetadataList(), // shards
	}
	if r.certificates.Watching() {
		lists = append(lists, &certmanagerv1.CertificateList{})
	}
	for _, list := range lists {
		if err := r.Applier.Prune(ctx, s.broker, list, resource.Selector(s.broker), s.wanted); err != nil {
			return err
		}
	}
	return nil
}
