// Package enforcement keeps the record of what the pods of each Broker enforce.
// The controller of Brokers publishes what it rendered and what its pods
// answered; those of MQTTUsers and TopicACLs read what is to be said of their
// objects, and are told when that changes.
//
// The record lives in memory. After a restart it is filled again as Brokers are
// reconciled; until then Look finds nothing, and statuses stay as they are.
package enforcement

import (
	"context"
	"reflect"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/render"
)

// Pod is a running pod of a Broker and its answer.
type Pod struct {
	Name string
	// Instance names the run of the broker's container: one that restarts has
	// answered nothing.
	Instance string
	// Revision that it answered that it enforces; empty where it did not answer.
	Revision string
	// Problem says why it did not take newer files, or did not answer.
	Problem string
}

// State is what is to be said of one object.
type State struct {
	UID          types.UID
	Generation   int64
	Accepted     metav1.Condition
	Programmed   metav1.Condition
	MatchedUsers int32 // of a TopicACL
	// ShadowedRules of a TopicACL.
	ShadowedRules []v1alpha1.ShadowedRule
	// Admitted and SecretVersion of a MQTTUser: see render.Object.
	Admitted      bool
	SecretVersion string
}

// States by the object's namespace and name.
type States map[types.NamespacedName]State

// Change is an object of which something else is to be said now.
type Change = event.TypedGenericEvent[types.NamespacedName]

// Ledger is the record. It may be used by many goroutines.
type Ledger struct {
	mu      sync.Mutex
	brokers map[types.NamespacedName]*record

	users, acls chan Change
}

// NewLedger returns an empty record.
func NewLedger() *Ledger {
	return &Ledger{
		brokers: map[types.NamespacedName]*record{},
		users:   make(chan Change, 64),
		acls:    make(chan Change, 64),
	}
}

// Users says of which MQTTUsers something else is to be said. It has one reader.
func (l *Ledger) Users() <-chan Change { return l.users }

// ACLs says of which TopicACLs something else is to be said. It has one reader.
func (l *Ledger) ACLs() <-chan Change { return l.acls }

// User returns what is to be said of this generation of a MQTTUser; ok is false
// where that is not known.
func (l *Ledger) User(u *v1alpha1.MQTTUser) (State, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.brokers[u.BrokerKey()]; r != nil {
		return r.users.of(u)
	}
	return State{}, false
}

// ACL returns what is to be said of this generation of a TopicACL; ok is false
// where that is not known.
func (l *Ledger) ACL(a *v1alpha1.TopicACL) (State, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r := l.brokers[a.BrokerKey()]; r != nil {
		return r.acls.of(a)
	}
	return State{}, false
}

// Publish records what was rendered for a Broker and what its running pods
// answered, and announces the objects of which something else is to be said. It
// waits for the readers, or for ctx.
func (l *Ledger) Publish(ctx context.Context, broker types.NamespacedName, out *render.Output, pods []Pod) {
	l.mu.Lock()
	r := l.brokers[broker]
	if r == nil {
		r = newRecord()
		l.brokers[broker] = r
	}
	users, acls := r.users, r.acls
	r.update(out, pods)
	changedUsers, changedACLs := users.changes(r.users), acls.changes(r.acls)
	l.mu.Unlock()

	announce(ctx, l.users, changedUsers)
	announce(ctx, l.acls, changedACLs)
}

// Forget drops the record of a Broker that is gone, and announces its objects.
func (l *Ledger) Forget(ctx context.Context, broker types.NamespacedName) {
	l.mu.Lock()
	r := l.brokers[broker]
	delete(l.brokers, broker)
	l.mu.Unlock()
	if r != nil {
		announce(ctx, l.users, r.users.changes(nil))
		announce(ctx, l.acls, r.acls.changes(nil))
	}
}

func announce(ctx context.Context, to chan<- Change, keys []types.NamespacedName) {
	for _, key := range keys {
		select {
		case to <- Change{Object: key}:
		case <-ctx.Done():
			return
		}
	}
}

// of returns the state of this generation of an object.
func (s States) of(o metav1.Object) (State, bool) {
	state, ok := s[types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}]
	return state, ok && state.UID == o.GetUID() && state.Generation == o.GetGeneration()
}

// changes returns the keys whose states differ from those of other.
func (s States) changes(other States) []types.NamespacedName {
	var keys []types.NamespacedName
	for key, state := range other {
		if !reflect.DeepEqual(s[key], state) {
			keys = append(keys, key)
		}
	}
	for key := range s {
		if _, ok := other[key]; !ok {
			keys = append(keys, key)
		}
	}
	return keys
}
