package broker

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/controllers/render"
)

// shadows remembers the shadowed rules of each Broker's last configuration, so
// that they are not looked for in one that has not changed.
type shadows struct{ brokers sync.Map }

type knownShadows struct {
	revision string
	render.Shadows
}

// add tells each TopicACL of the configuration its shadowed rules.
func (x *shadows) add(broker types.NamespacedName, out *render.Output) error {
	known := knownShadows{}
	if last, ok := x.brokers.Load(broker); ok {
		known = last.(knownShadows)
	}
	if known.revision != out.Revision {
		found, err := render.FindShadows(out)
		if err != nil {
			return err
		}
		known = knownShadows{out.Revision, found}
		x.brokers.Store(broker, known)
	}
	for i := range out.ACLs {
		out.ACLs[i].ShadowedRules = known.Shadows[out.ACLs[i].Key.String()]
	}
	return nil
}

// forget drops the memory of a Broker that is gone.
func (x *shadows) forget(broker types.NamespacedName) { x.brokers.Delete(broker) }
