package acl

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// FromCluster reads the objects of one Broker: by "name" in the namespace, by
// "namespace/name", or where the name is empty the only one of the namespace. It
// reads MQTTUsers and TopicACLs of all namespaces where the Broker admits them,
// and no Secrets.
func FromCluster(ctx context.Context, c client.Reader, namespace, broker string) (Objects, error) {
	var o Objects
	var err error
	if o.Broker, err = findBroker(ctx, c, namespace, broker); err != nil {
		return o, err
	}
	from := o.Broker.Spec.AllowedUsers.Namespaces.From
	var where []client.ListOption
	if from == v1alpha1.FromSame || from == "" {
		where = append(where, client.InNamespace(o.Broker.Namespace))
	}
	var users v1alpha1.MQTTUserList
	if err := c.List(ctx, &users, where...); err != nil {
		return o, fmt.Errorf("list MQTTUsers: %w", err)
	}
	var acls v1alpha1.TopicACLList
	if err := c.List(ctx, &acls, where...); err != nil {
		return o, fmt.Errorf("list TopicACLs: %w", err)
	}
	o.Users, o.ACLs = users.Items, acls.Items
	if from == v1alpha1.FromSelector {
		o.Namespaces, err = namespaceLabels(ctx, c)
	}
	return o, err
}

func findBroker(ctx context.Context, c client.Reader, namespace, name string) (*v1alpha1.Broker, error) {
	if ns, rest, ok := strings.Cut(name, "/"); ok {
		namespace, name = ns, rest
	}
	if name != "" {
		b := &v1alpha1.Broker{}
		if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, b); err != nil {
			return nil, fmt.Errorf("read Broker %s/%s: %w", namespace, name, err)
		}
		return b, nil
	}
	var list v1alpha1.BrokerList
	if err := c.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list Brokers of namespace %s: %w", namespace, err)
	}
	var names []string
	for _, b := range list.Items {
		names = append(names, b.Name)
	}
	switch len(names) {
	case 1:
		return &list.Items[0], nil
	case 0:
		return nil, fmt.Errorf("no Broker in namespace %s: name one with --broker, or its namespace with --namespace", namespace)
	default:
		return nil, fmt.Errorf("more than one Broker in namespace %s: choose with --broker one of %s", namespace, strings.Join(names, ", "))
	}
}

func namespaceLabels(ctx context.Context, c client.Reader) (map[string]map[string]string, error) {
	var list corev1.NamespaceList
	if err := c.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("list namespaces, whose labels the Broker chooses by: %w", err)
	}
	labels := make(map[string]map[string]string, len(list.Items))
	for _, n := range list.Items {
		labels[n.Name] = n.Labels
	}
	return labels, nil
}
