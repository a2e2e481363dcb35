package broker

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// secretReader reads Secrets that a Broker or a MQTTUser names. Of all Secrets
// the cache holds metadata only; the content of a named one is read directly,
// and again only when its metadata says that it has changed.
type secretReader struct {
	metadata client.Reader // the cache
	live     client.Reader

	mu      sync.Mutex
	content map[types.NamespacedName]*corev1.Secret
}

func newSecretReader(metadata, live client.Reader) *secretReader {
	return &secretReader{metadata: metadata, live: live, content: map[types.NamespacedName]*corev1.Secret{}}
}

// Get returns a Secret, nil where there is none. It is shared: nobody changes
// it.
func (r *secretReader) Get(ctx context.Context, key types.NamespacedName) (*corev1.Secret, error) {
	meta := secretMetadata()
	err := r.metadata.Get(ctx, key, meta)
	if apierrors.IsNotFound(err) {
		r.keep(key, nil)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	if known := r.known(key); known != nil && known.UID == meta.UID && known.ResourceVersion == meta.ResourceVersion {
		return known, nil
	}
	secret := &corev1.Secret{}
	err = r.live.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		secret, err = nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	r.keep(key, secret)
	return secret, nil
}

func (r *secretReader) known(key types.NamespacedName) *corev1.Secret {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.content[key]
}

func (r *secretReader) keep(key types.NamespacedName, secret *corev1.Secret) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if secret == nil {
		delete(r.content, key)
		return
	}
	r.content[key] = secret
}

func secretMetadata() *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return m
}
