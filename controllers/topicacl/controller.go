// Package topicacl reports on TopicACLs. What is rendered of them, and why not,
// is decided with their Broker; this controller writes it to their status.
package topicacl

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/conditions"
	"github.com/godwit-mqtt/godwit/controllers/enforcement"
	"github.com/godwit-mqtt/godwit/controllers/lookup"
)

// Reconciler reports on TopicACLs.
type Reconciler struct {
	Client client.Client
	Ledger *enforcement.Ledger
	// Stopwatch measures how long changes take to be enforced.
	Stopwatch *enforcement.Stopwatch
}

//+kubebuilder:rbac:groups=mqtt.godwit.io,resources=topicacls/status,verbs=update;patch

// SetupWithManager adds the controller to the manager, which has the indexes of
// lookup.AddIndexes. It is woken by its own objects, by Brokers that come and go,
// and by the ledger.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	changed := handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, key types.NamespacedName) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: key}}
	})
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.TopicACL{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.Broker{}, handler.EnqueueRequestsFromMapFunc(r.aclsOfBroker), builder.WithPredicates(lookup.ComingsAndGoings)).
		WatchesRawSource(source.Channel(r.Ledger.ACLs(), changed)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(r)
}

// aclsOfBroker finds the TopicACLs that name a Broker.
func (r *Reconciler) aclsOfBroker(ctx context.Context, broker client.Object) []reconcile.Request {
	var acls v1alpha1.TopicACLList
	if err := r.Client.List(ctx, &acls, lookup.OfBroker(client.ObjectKeyFromObject(broker))); err != nil {
		return nil
	}
	requests := make([]reconcile.Request, 0, len(acls.Items))
	for i := range acls.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&acls.Items[i])})
	}
	return requests
}

// Reconcile writes what is known of one TopicACL to its status.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	acl := &v1alpha1.TopicACL{}
	if err := r.Client.Get(ctx, req.NamespacedName, acl); err != nil || !acl.DeletionTimestamp.IsZero() {
		if apierrors.IsNotFound(err) {
			r.Stopwatch.Forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	r.Stopwatch.See(acl, acl.Status.Conditions, time.Now())
	state, known, err := r.state(ctx, acl)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !known && acl.Status.ObservedGeneration == acl.Generation {
		return ctrl.Result{}, nil // said before, and nobody knows better yet
	}
	return ctrl.Result{}, r.updateStatus(ctx, acl, state)
}

// state is what is to be said of the TopicACL; known is false while nobody has
// judged this generation.
func (r *Reconciler) state(ctx context.Context, acl *v1alpha1.TopicACL) (_ enforcement.State, known bool, err error) {
	if state, ok := r.Ledger.ACL(acl); ok {
		return state, true, nil
	}
	err = r.Client.Get(ctx, acl.BrokerKey(), &v1alpha1.Broker{})
	if apierrors.IsNotFound(err) {
		return enforcement.BrokerNotFound(acl.BrokerKey()), true, nil
	}
	return enforcement.Pending(), false, err
}

func (r *Reconciler) updateStatus(ctx context.Context, acl *v1alpha1.TopicACL, state enforcement.State) error {
	before := acl.DeepCopy()
	acl.Status.ObservedGeneration = acl.Generation
	acl.Status.MatchedUsers = state.MatchedUsers
	acl.Status.ShadowedRules = state.ShadowedRules
	conditions.Set(&acl.Status.Conditions, acl.Generation,
		state.Accepted, state.Programmed, conditions.Ready(state.Accepted, state.Programmed))
	if equality.Semantic.DeepEqual(before.Status, acl.Status) {
		return nil
	}
	if err := r.Client.Status().Patch(ctx, acl, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("update status of TopicACL: %w", err)
	}
	r.Stopwatch.See(acl, acl.Status.Conditions, time.Now())
	return nil
}
