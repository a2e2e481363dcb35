package broker

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// Names of the indexes.
const (
	indexBroker = "broker"
	indexSecret = "secret"
)

// CacheOptions limits the cache to what the operator made, except of its own
// kinds, and to bare metadata of Secrets and namespaces. Children's kinds are
// limited by default, not by name: that of cert-manager may not exist yet.
func CacheOptions() cache.Options {
	all := cache.ByObject{Label: labels.Everything()}
	bare := cache.ByObject{Label: labels.Everything(), Transform: stripMetadata}
	return cache.Options{
		DefaultLabelSelector: labels.SelectorFromSet(labels.Set{resource.LabelManagedBy: resource.ManagedBy}),
		DefaultTransform:     cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&v1alpha1.Broker{}:   all,
			&v1alpha1.MQTTUser{}: all,
			&v1alpha1.TopicACL{}: all,
			&corev1.Secret{}:     bare,
			&corev1.Namespace{}:  bare,
		},
	}
}

// stripMetadata leaves of an object that is cached as metadata only what is
// read: identity, version, owners, labels.
func stripMetadata(o any) (any, error) {
	if m, ok := o.(*metav1.PartialObjectMetadata); ok {
		m.ManagedFields = nil
		m.Annotations = nil
	}
	return o, nil
}

// AddIndexes makes the indexes that the controllers list by.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	for _, index := range []struct {
		obj     client.Object
		name    string
		extract client.IndexerFunc
	}{
		{&v1alpha1.MQTTUser{}, indexBroker, func(o client.Object) []string {
			return []string{o.(*v1alpha1.MQTTUser).BrokerKey().String()}
		}},
		{&v1alpha1.TopicACL{}, indexBroker, func(o client.Object) []string {
			return []string{o.(*v1alpha1.TopicACL).BrokerKey().String()}
		}},
		{&v1alpha1.MQTTUser{}, indexSecret, userSecrets},
		{&v1alpha1.Broker{}, indexSecret, brokerSecrets},
	} {
		if err := indexer.IndexField(ctx, index.obj, index.name, index.extract); err != nil {
			return fmt.Errorf("index %T by %s: %w", index.obj, index.name, err)
		}
	}
	return nil
}

func userSecrets(o client.Object) []string {
	if key, ok := o.(*v1alpha1.MQTTUser).SecretKey(); ok {
		return []string{key.String()}
	}
	return nil
}

func brokerSecrets(o client.Object) []string {
	broker := o.(*v1alpha1.Broker).DeepCopy()
	broker.Default()
	var keys []string
	for _, s := range resource.TLSSecrets(broker) {
		keys = append(keys, types.NamespacedName{Namespace: broker.Namespace, Name: s.Name}.String())
	}
	return keys
}

// ofBroker lists the objects that name a Broker.
func ofBroker(broker types.NamespacedName) client.ListOption {
	return client.MatchingFields{indexBroker: broker.String()}
}

// ofSecret lists the objects that name a Secret.
func ofSecret(secret client.Object) client.ListOption {
	return client.MatchingFields{indexSecret: client.ObjectKeyFromObject(secret).String()}
}

func namespaceMetadata() *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return m
}

func namespaceMetadataList() *metav1.PartialObjectMetadataList {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	return list
}
