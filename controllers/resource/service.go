package resource

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// ServiceName is the name of the Service through which clients reach a
// listener: that of the Broker, unless the listener has a Service of its own.
func ServiceName(b *v1alpha1.Broker, l *v1alpha1.Listener) string {
	if l.Service == nil {
		return b.Name
	}
	return b.Name + "-" + l.Name
}

// ClientServices returns the Services through which clients connect: one named
// as the Broker for all listeners that say nothing else, and one for each that
// has its own.
func ClientServices(b *v1alpha1.Broker) []*corev1.Service {
	var shared *corev1.Service
	var out []*corev1.Service
	for i := range b.Spec.Listeners {
		l := &b.Spec.Listeners[i]
		if l.Service != nil {
			out = append(out, ownService(b, l))
			continue
		}
		if shared == nil {
			shared = service(b, b.Name)
			shared.Spec.Type = corev1.ServiceTypeClusterIP
			out = append(out, shared)
		}
		shared.Spec.Ports = append(shared.Spec.Ports, servicePort(l))
	}
	return out
}

func ownService(b *v1alpha1.Broker, l *v1alpha1.Listener) *corev1.Service {
	s := service(b, ServiceName(b, l))
	s.Annotations = l.Service.Annotations
	s.Spec.Type = l.Service.Type
	s.Spec.ExternalTrafficPolicy = l.Service.ExternalTrafficPolicy
	port := servicePort(l)
	if l.Service.NodePort != nil {
		port.NodePort = *l.Service.NodePort
	}
	s.Spec.Ports = []corev1.ServicePort{port}
	return s
}

// HeadlessService gives each pod a DNS name, from before it is ready.
func HeadlessService(b *v1alpha1.Broker) *corev1.Service {
	s := service(b, HeadlessName(b))
	s.Spec.ClusterIP = corev1.ClusterIPNone
	s.Spec.PublishNotReadyAddresses = true
	for i := range b.Spec.Listeners {
		s.Spec.Ports = append(s.Spec.Ports, servicePort(&b.Spec.Listeners[i]))
	}
	return s
}

func service(b *v1alpha1.Broker, name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: meta(b, name),
		Spec:       corev1.ServiceSpec{Selector: Selector(b)},
	}
}

func servicePort(l *v1alpha1.Listener) corev1.ServicePort {
	return corev1.ServicePort{
		Name:       l.Name,
		Port:       l.Port,
		Protocol:   corev1.ProtocolTCP,
		TargetPort: intstr.FromInt32(l.Port),
	}
}
