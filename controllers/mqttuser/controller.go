// Package mqttuser reports on MQTTUsers. What is rendered of them, and why not,
// is decided with their Broker; this controller writes it to their status.
package mqttuser

import (
	"context"
	"fmt"

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
)

// Reconciler reports on MQTTUsers.
type Reconciler struct {
	Client client.Client
	Ledger *enforcement.Ledger
}

//+kubebuilder:rbac:groups=mqtt.godwit.io,resources=mqttusers/status,verbs=update;patch

// SetupWithManager adds the controller to the manager. It is woken by its own
// objects and by the ledger, which knows when Brokers come and go.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	changed := handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, key types.NamespacedName) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: key}}
	})
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.MQTTUser{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Channel(r.Ledger.Users(), changed)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(r)
}

// Reconcile writes what is known of one MQTTUser to its status.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	user := &v1alpha1.MQTTUser{}
	if err := r.Client.Get(ctx, req.NamespacedName, user); err != nil || !user.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	state, known, err := r.state(ctx, user)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !known && user.Status.ObservedGeneration == user.Generation {
		return ctrl.Result{}, nil // said before, and nobody knows better yet
	}
	return ctrl.Result{}, r.updateStatus(ctx, user, state)
}

// state is what is to be said of the user; known is false while nobody has
// judged this generation.
func (r *Reconciler) state(ctx context.Context, user *v1alpha1.MQTTUser) (_ enforcement.State, known bool, err error) {
	if state, ok := r.Ledger.User(user); ok {
		return state, true, nil
	}
	err = r.Client.Get(ctx, user.BrokerKey(), &v1alpha1.Broker{})
	if apierrors.IsNotFound(err) {
		return enforcement.BrokerNotFound(user.BrokerKey()), true, nil
	}
	return enforcement.Pending(), false, err
}

func (r *Reconciler) updateStatus(ctx context.Context, user *v1alpha1.MQTTUser, state enforcement.State) error {
	before := user.DeepCopy()
	user.Status.ObservedGeneration = user.Generation
	user.Status.Username = user.Username()
	conditions.Set(&user.Status.Conditions, user.Generation,
		state.Accepted, state.Programmed, conditions.Ready(state.Accepted, state.Programmed))
	if equality.Semantic.DeepEqual(before.Status, user.Status) {
		return nil
	}
	if err := r.Client.Status().Patch(ctx, user, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("update status of MQTTUser: %w", err)
	}
	return nil
}
