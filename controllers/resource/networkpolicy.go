package resource

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// NetworkPolicy opens the listeners to all, and the admin port to the operator
// and to whom the spec names. The broker opens no connections. An operator that
// does not run in the cluster, and has no namespace, leaves the admin port open.
// It returns nil where the spec wants none.
func NetworkPolicy(b *v1alpha1.Broker, operatorNamespace string) *networkingv1.NetworkPolicy {
	if !*b.Spec.NetworkPolicy.Enabled {
		return nil
	}
	clients := networkingv1.NetworkPolicyIngressRule{}
	for _, l := range b.Spec.Listeners {
		clients.Ports = append(clients.Ports, policyPort(l.Port))
	}
	admin := networkingv1.NetworkPolicyIngressRule{Ports: []networkingv1.NetworkPolicyPort{policyPort(AdminPort)}}
	if operatorNamespace != "" {
		admin.From = append([]networkingv1.NetworkPolicyPeer{namespacePeer(operatorNamespace)}, b.Spec.NetworkPolicy.MetricsFrom...)
	}
	return &networkingv1.NetworkPolicy{
		ObjectMeta: meta(b, b.Name),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: Selector(b)},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{clients, admin},
		},
	}
}

func namespacePeer(name string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: name}},
	}
}

func policyPort(port int32) networkingv1.NetworkPolicyPort {
	return networkingv1.NetworkPolicyPort{Protocol: new(corev1.ProtocolTCP), Port: new(intstr.FromInt32(port))}
}
