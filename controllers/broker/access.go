package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// published is what the Secrets of a Broker hold of its access files. It is never
// changed.
type published struct {
	// files are those that AccessFile names, and it.
	files config.Files
	// shards is the content of the Secrets with shards.
	shards [config.MaxShards]config.Files
}

// applyAccess brings the access files to the Secrets. Pods that start at any
// moment between find one whole set: the Secrets with shards come first and keep
// what AccessFile names yet, and the one with AccessFile comes last.
func (r *Reconciler) applyAccess(ctx context.Context, s *scope, before *published, files config.Files) error {
	after := &published{files: files, shards: before.shards}
	old := before.files.Shards()
	var failed []error
	for number, name := range files.Shards() {
		if _, there := before.shards[number][name]; !there {
			shard := config.Files{name: files[name]}
			if number < len(old) {
				shard[old[number]] = before.files[old[number]]
			}
			after.shards[number] = shard
		}
		failed = append(failed, r.apply(ctx, s, resource.ShardSecret(s.desired, number, after.shards[number])))
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	if err := r.apply(ctx, s, resource.AccessSecret(s.desired, files[config.AccessFile])); err != nil {
		return err
	}
	// Secrets with shards that are no longer named are pruned.
	clear(after.shards[len(files.Shards()):])
	r.access.put(s.key(), after)
	return nil
}

// publishedAccess returns what was applied last: from memory, because the cache
// may lag behind what was just written, or from the Secrets after a restart.
func (r *Reconciler) publishedAccess(ctx context.Context, s *scope) (*published, error) {
	if p := r.access.get(s.key()); p != nil {
		return p, nil
	}
	p := &published{files: config.Files{}}
	if err := r.readFiles(ctx, s.broker, resource.AccessName(s.broker), p.files); err != nil {
		return nil, err
	}
	for number, name := range p.files.Shards() {
		p.shards[number] = config.Files{}
		if err := r.readFiles(ctx, s.broker, resource.ShardName(s.broker, number), p.shards[number]); err != nil {
			return nil, err
		}
		if content, there := p.shards[number][name]; there {
			p.files[name] = content
		}
	}
	return p, nil
}

// readFiles reads the content of a Secret of the Broker; nothing where there is
// none.
func (r *Reconciler) readFiles(ctx context.Context, b *v1alpha1.Broker, name string, into config.Files) error {
	secret := &corev1.Secret{}
	key := types.NamespacedName{Namespace: b.Namespace, Name: name}
	if err := r.Live.Get(ctx, key, secret); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read the configuration before: %w", err)
	}
	maps.Copy(into, secret.Data)
	return nil
}

// accessMemory remembers what was published of each Broker.
type accessMemory struct{ brokers sync.Map }

func (m *accessMemory) get(broker types.NamespacedName) *published {
	if p, ok := m.brokers.Load(broker); ok {
		return p.(*published)
	}
	return nil
}

func (m *accessMemory) put(broker types.NamespacedName, p *published) { m.brokers.Store(broker, p) }

func (m *accessMemory) forget(broker types.NamespacedName) { m.brokers.Delete(broker) }
