package resource

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// ServiceAccount of the pods. It has no rights, and pods get no token of it.
func ServiceAccount(b *v1alpha1.Broker) *corev1.ServiceAccount {
	return &corev1.ServiceAccount{
		ObjectMeta:                   meta(b, b.Name),
		AutomountServiceAccountToken: new(false),
	}
}
