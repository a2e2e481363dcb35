package mqttuser

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/certmanager"
	"github.com/godwit-mqtt/godwit/controllers/lookup"
)

// SetupWithManager adds the controller to a manager whose cache was made with
// lookup.CacheOptions and has the indexes of lookup.AddIndexes. It is woken by
// its own objects, by what credentials are made of, by Brokers that come and go,
// and by the ledger.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	changed := handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, key types.NamespacedName) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: key}}
	})
	c, err := ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.MQTTUser{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.Broker{}, handler.EnqueueRequestsFromMapFunc(r.usersOfBroker), builder.WithPredicates(lookup.ComingsAndGoings)).
		Watches(&v1alpha1.Broker{}, handler.EnqueueRequestsFromMapFunc(r.dependentsOfBroker), builder.WithPredicates(endpointChanged)).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.usersOfSecret)).
		WatchesRawSource(source.Channel(r.Ledger.Users(), changed)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Build(r)
	if err != nil {
		return fmt.Errorf("set up the controller of MQTTUsers: %w", err)
	}
	r.certificates = certmanager.NewWatch(mgr, c, &v1alpha1.MQTTUser{})
	return nil
}

// endpointChanged lets pass what may change where clients connect.
var endpointChanged = predicate.Or(predicate.GenerationChangedPredicate{}, predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.Broker), e.ObjectNew.(*v1alpha1.Broker)
		return !equality.Semantic.DeepEqual(before.Status.Listeners, after.Status.Listeners)
	},
})

// usersOfBroker finds the users that name a Broker.
func (r *Reconciler) usersOfBroker(ctx context.Context, broker client.Object) []reconcile.Request {
	return r.usersWhere(ctx, broker, func(*v1alpha1.MQTTUser) bool { return true })
}

// dependentsOfBroker finds the users of a Broker whose credentials depend on it.
func (r *Reconciler) dependentsOfBroker(ctx context.Context, broker client.Object) []reconcile.Request {
	return r.usersWhere(ctx, broker, func(u *v1alpha1.MQTTUser) bool { return u.Spec.Authentication.Password == nil })
}

func (r *Reconciler) usersWhere(ctx context.Context, broker client.Object, concerned func(*v1alpha1.MQTTUser) bool) []reconcile.Request {
	var users v1alpha1.MQTTUserList
	if err := r.Client.List(ctx, &users, lookup.OfBroker(client.ObjectKeyFromObject(broker))); err != nil {
		return nil
	}
	var requests []reconcile.Request
	for i := range users.Items {
		if concerned(&users.Items[i]) {
			requests = append(requests, request(&users.Items[i]))
		}
	}
	return requests
}

// usersOfSecret finds the users that a Secret concerns: those whose credentials
// are in it, and those of Brokers that mount it for TLS.
func (r *Reconciler) usersOfSecret(ctx context.Context, secret client.Object) []reconcile.Request {
	var requests []reconcile.Request
	var users v1alpha1.MQTTUserList
	if err := r.Client.List(ctx, &users, lookup.OfSecret(secret)); err == nil {
		for i := range users.Items {
			requests = append(requests, request(&users.Items[i]))
		}
	}
	var brokers v1alpha1.BrokerList
	if err := r.Client.List(ctx, &brokers, lookup.OfSecret(secret)); err == nil {
		for i := range brokers.Items {
			requests = append(requests, r.dependentsOfBroker(ctx, &brokers.Items[i])...)
		}
	}
	return requests
}

func request(o client.Object) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKeyFromObject(o)}
}
