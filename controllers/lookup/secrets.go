package lookup

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// maxKept bounds the Secrets whose content is kept. Those of objects that are
// gone are forgotten with all others when it is reached.
const maxKept = 1 << 16

// Secrets reads Secrets that a Broker or a MQTTUser names. Of all Secrets the
// cache holds metadata only; the content of a named one is read directly, and
// again only when its metadata says that it has changed. It may be used by many
// goroutines.
type Secrets struct {
	metadata client.Reader // the cache
	live     client.Reader

	mu      sync.Mutex
	content map[types.NamespacedName]*corev1.Secret
}

// NewSecrets reads metadata from a cache and content past it.
func NewSecrets(cache, live client.Reader) *Secrets {
	return &Secrets{metadata: cache, live: live, content: map[types.NamespacedName]*corev1.Secret{}}
}

// Get returns a Secret, nil where there is none. It is shared: nobody changes
// it.
func (s *Secrets) Get(ctx context.Context, key types.NamespacedName) (*corev1.Secret, error) {
	meta := SecretMetadata()
	err := s.metadata.Get(ctx, key, meta)
	if apierrors.IsNotFound(err) {
		s.keep(key, nil)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	if known := s.known(key); known != nil && known.UID == meta.UID && known.ResourceVersion == meta.ResourceVersion {
		return known, nil
	}
	return s.Latest(ctx, key)
}

// Latest is Get past the cache, for those who are about to write the Secret and
// must not do so by what it was a moment ago.
func (s *Secrets) Latest(ctx context.Context, key types.NamespacedName) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := s.live.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		secret, err = nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	s.keep(key, secret)
	return secret, nil
}

// Version is the resource version of a Secret as the cache has it, empty where
// there is none.
func (s *Secrets) Version(ctx context.Context, key types.NamespacedName) (string, error) {
	meta := SecretMetadata()
	if err := s.metadata.Get(ctx, key, meta); client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("read Secret %s: %w", key, err)
	}
	return meta.ResourceVersion, nil
}

func (s *Secrets) known(key types.NamespacedName) *corev1.Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.content[key]
}

func (s *Secrets) keep(key types.NamespacedName, secret *corev1.Secret) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if secret == nil {
		delete(s.content, key)
		return
	}
	if len(s.content) >= maxKept {
		clear(s.content)
	}
	s.content[key] = secret
}
