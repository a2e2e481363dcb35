package lookup

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// IsEnding says that an object, or its namespace, is being deleted. What it owns
// goes with it, and to make that anew would only keep it.
func IsEnding(ctx context.Context, cache client.Reader, o client.Object) (bool, error) {
	if !o.GetDeletionTimestamp().IsZero() {
		return true, nil
	}
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := cache.Get(ctx, types.NamespacedName{Name: o.GetNamespace()}, namespace)
	if apierrors.IsNotFound(err) {
		return false, nil // the cache has yet to hear of it
	}
	return !namespace.DeletionTimestamp.IsZero(), err
}
