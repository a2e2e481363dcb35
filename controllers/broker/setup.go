package broker

import (
	"cmp"
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/certmanager"
	"github.com/godwit-mqtt/godwit/controllers/lookup"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// SetupWithManager adds the controller to a manager whose cache was made with
// lookup.CacheOptions and has the indexes of lookup.AddIndexes.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	specOrLabels := builder.WithPredicates(predicate.Or(
		predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}))
	c, err := ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.Broker{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&appsv1.StatefulSet{}).
		Owns(&corev1.Service{}).
		Owns(&corev1.ConfigMap{}).
		Owns(&corev1.ServiceAccount{}).
		Owns(&policyv1.PodDisruptionBudget{}).
		Owns(&networkingv1.NetworkPolicy{}).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(brokerOfPod)).
		Watches(&v1alpha1.MQTTUser{}, handler.EnqueueRequestsFromMapFunc(brokerOfUser), specOrLabels).
		Watches(&v1alpha1.TopicACL{}, handler.EnqueueRequestsFromMapFunc(brokerOfACL), specOrLabels).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.brokersOfSecret)).
		WatchesMetadata(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.brokersOfNamespace),
			builder.WithPredicates(predicate.LabelChangedPredicate{})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: cmp.Or(r.Options.Workers, 4),
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](5*time.Millisecond, whileWaiting),
		}).
		Build(r)
	if err != nil {
		return fmt.Errorf("set up the controller of Brokers: %w", err)
	}
	r.certificates = certmanager.NewWatch(mgr, c, &v1alpha1.Broker{})
	return nil
}

func brokerOfPod(_ context.Context, o client.Object) []reconcile.Request {
	name := o.GetLabels()[resource.LabelBroker]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}}
}

func brokerOfUser(_ context.Context, o client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: o.(*v1alpha1.MQTTUser).BrokerKey()}}
}

func brokerOfACL(_ context.Context, o client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: o.(*v1alpha1.TopicACL).BrokerKey()}}
}

// brokersOfSecret finds the Brokers that a Secret concerns: its owner, those
// that mount it, and those of the users that refer to it.
func (r *Reconciler) brokersOfSecret(ctx context.Context, o client.Object) []reconcile.Request {
	found := map[types.NamespacedName]bool{}
	if owner := metav1.GetControllerOf(o); owner != nil && owner.Kind == v1alpha1.KindBroker {
		found[types.NamespacedName{Namespace: o.GetNamespace(), Name: owner.Name}] = true
	}
	var brokers v1alpha1.BrokerList
	if err := r.Client.List(ctx, &brokers, lookup.OfSecret(o)); err == nil {
		for i := range brokers.Items {
			found[client.ObjectKeyFromObject(&brokers.Items[i])] = true
		}
	}
	var users v1alpha1.MQTTUserList
	if err := r.Client.List(ctx, &users, lookup.OfSecret(o)); err == nil {
		for i := range users.Items {
			found[users.Items[i].BrokerKey()] = true
		}
	}
	var requests []reconcile.Request
	for key := range found {
		requests = append(requests, reconcile.Request{NamespacedName: key})
	}
	return requests
}

// brokersOfNamespace finds the Brokers that choose namespaces by their labels.
func (r *Reconciler) brokersOfNamespace(ctx context.Context, _ client.Object) []reconcile.Request {
	var brokers v1alpha1.BrokerList
	if err := r.Client.List(ctx, &brokers); err != nil {
		return nil
	}
	var requests []reconcile.Request
	for i := range brokers.Items {
		b := &brokers.Items[i]
		if b.Spec.AllowedUsers.Namespaces.From == v1alpha1.FromSelector {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(b)})
		}
	}
	return requests
}
