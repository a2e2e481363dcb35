package lookup

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/resource"
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

// SecretMetadata is an empty Secret of the form that the cache holds.
func SecretMetadata() *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return m
}

// SecretMetadataList is an empty list of them.
func SecretMetadataList() *metav1.PartialObjectMetadataList {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	return list
}

// NamespaceMetadataList is an empty list of namespaces of the form that the
// cache holds.
func NamespaceMetadataList() *metav1.PartialObjectMetadataList {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	return list
}
