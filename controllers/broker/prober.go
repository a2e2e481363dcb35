package broker

import (
	"context"
	"fmt"
	"net"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/godwit-mqtt/godwit/broker/admin/client"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// PodProber asks a broker pod for its state.
type PodProber interface {
	Status(ctx context.Context, pod *corev1.Pod) (client.Status, error)
}

// AdminProber asks the admin endpoint at the pod's address.
type AdminProber struct{ Client client.Client }

// Status asks the pod.
func (p *AdminProber) Status(ctx context.Context, pod *corev1.Pod) (client.Status, error) {
	if pod.Status.PodIP == "" {
		return client.Status{}, fmt.Errorf("pod %s has no address: %w", pod.Name, client.ErrUnreachable)
	}
	address := net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(resource.AdminPort))
	return p.Client.Status(ctx, "http://"+address)
}
