// Package broker reconciles Brokers: their children, their configuration, and
// what their pods enforce of it.
package broker

import (
	"context"
	"errors"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/apply"
	"github.com/godwit-mqtt/godwit/controllers/certmanager"
	"github.com/godwit-mqtt/godwit/controllers/enforcement"
	"github.com/godwit-mqtt/godwit/controllers/lookup"
	"github.com/godwit-mqtt/godwit/controllers/render"
)

// How soon a Broker is looked at again.
const (
	// whileHashing: passwords have yet to be hashed.
	whileHashing = time.Millisecond
	// whileApplying: pods have yet to answer the newest revision.
	whileApplying = 500 * time.Millisecond
	// whileLeftover: a child of a deleted Broker is being collected.
	whileLeftover = time.Second
	// whileWaiting: something is missing that is not watched.
	whileWaiting = 10 * time.Second
	// whileReady: the number of clients is refreshed.
	whileReady = 30 * time.Second
)

// hashFor bounds how long one pass hashes passwords, so that a thousand new users do
// not keep a revocation from the pods.
const hashFor = time.Second

// Options of the operator that concern every Broker.
type Options struct {
	// Image of brokers that name none.
	Image string
	// ClusterDomain of the DNS names in certificates; empty leaves out the names
	// that would hold it.
	ClusterDomain string
	// Namespace of the operator; empty where it does not run in the cluster.
	Namespace string
	// Workers is the number of Brokers that are reconciled at a time; 0 is 4.
	Workers int
}

// Reconciler reconciles Brokers.
type Reconciler struct {
	Client    client.Client
	Live      client.Reader // reads past the cache
	Events    events.EventRecorder
	Applier   *apply.Applier
	Secrets   *lookup.Secrets
	Ledger    *enforcement.Ledger
	Prober    PodProber
	Passwords *render.Passwords
	Options   Options

	access       accessMemory
	certificates *certmanager.Watch
	touches      touches
	denials      denials
	shadows      shadows
}

//+kubebuilder:rbac:groups=mqtt.godwit.io,resources=brokers;mqttusers;topicacls,verbs=get;list;watch
//+kubebuilder:rbac:groups=mqtt.godwit.io,resources=brokers/status,verbs=update;patch
//+kubebuilder:rbac:groups=mqtt.godwit.io,resources=brokers/finalizers,verbs=update
//+kubebuilder:rbac:groups="",resources=configmaps;secrets;services;serviceaccounts,verbs=get;list;watch;create;patch;delete
//+kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;patch
//+kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
//+kubebuilder:rbac:groups=apps,resources=statefulsets,verbs=get;list;watch;create;patch;delete
//+kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch;delete
//+kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;patch;delete
//+kubebuilder:rbac:groups=cert-manager.io,resources=certificates,verbs=get;list;watch;create;patch;delete
//+kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch

// The lease of the leader election, in the operator's namespace.
//+kubebuilder:rbac:groups=coordination.k8s.io,namespace=godwit-system,resources=leases,verbs=get;create;update;patch

// Reconcile brings one Broker nearer to its spec.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (_ ctrl.Result, err error) {
	broker := &v1alpha1.Broker{}
	if err := r.Client.Get(ctx, req.NamespacedName, broker); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(ctx, req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if ending, err := lookup.IsEnding(ctx, r.Client, broker); ending || err != nil {
		return ctrl.Result{}, err
	}
	s := newScope(broker)
	defer func() { err = errors.Join(err, r.updateStatus(ctx, s)) }()
	if broker.Spec.Paused {
		return ctrl.Result{}, nil
	}
	for _, phase := range r.phases() {
		s.judge(phase(ctx, s))
	}
	return s.result(ctx)
}

// phases in their order. Each may run again at any time, and reads what it needs
// of earlier ones from the scope. One that fails does not end the pass: what
// users may do is brought to the pods whatever else is the matter.
func (r *Reconciler) phases() []func(context.Context, *scope) error {
	return []func(context.Context, *scope) error{
		r.checkSupport,
		r.reconcileServices,
		r.reconcileTLS,
		r.reconcileConfig,
		r.reconcileStatefulSet,
		r.reconcileDisruption,
		r.reconcileNetwork,
		r.prune,
		r.reconcileProgramming,
	}
}

// checkSupport says what the spec asks for in vain. The rest is carried out.
func (r *Reconciler) checkSupport(_ context.Context, s *scope) error {
	if message := render.Unsupported(s.desired); message != "" {
		s.stall(v1alpha1.ReasonNotSupported, message)
	}
	return nil
}

// apply applies a child of the Broker and notes that it is wanted.
func (r *Reconciler) apply(ctx context.Context, s *scope, obj client.Object) error {
	child, err := r.Applier.Apply(ctx, s.broker, obj)
	s.wanted[child] = true
	return err
}

// forget drops all memory of a Broker that is gone. Its children are collected
// by Kubernetes.
func (r *Reconciler) forget(ctx context.Context, broker types.NamespacedName) {
	r.Ledger.Forget(ctx, broker)
	r.Applier.Forget(func(c apply.Child) bool {
		return c.Namespace == broker.Namespace && (c.Name == broker.Name || strings.HasPrefix(c.Name, broker.Name+"-"))
	})
	r.access.forget(broker)
	r.touches.forget(broker)
	r.denials.forget(broker)
	r.shadows.forget(broker)
}

// judge notes what an error of a phase means: that a person has to help, or
// time, or that a call is to be tried again.
func (s *scope) judge(err error) {
	var notOwned *apply.NotOwnedError
	var leftover *apply.LeftoverError
	switch {
	case err == nil:
	case errors.As(err, &notOwned):
		s.stall(v1alpha1.ReasonNotOwned, notOwned.Error())
	case errors.As(err, &leftover):
		s.waitFor(v1alpha1.ReasonWaitingForPods, leftover.Error(), whileLeftover)
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err):
		s.stall(v1alpha1.ReasonInvalidChild, err.Error())
	default:
		s.fail(err)
		s.incomplete = true
	}
}

// result says when to look again. A failure is tried again ever less often, up
// to whileWaiting, but no later than pods are asked that are not up to date.
func (s *scope) result(ctx context.Context) (ctrl.Result, error) {
	err := s.failure()
	if err != nil && (s.requeue == 0 || s.requeue >= whileWaiting) {
		return ctrl.Result{}, err
	}
	if err != nil {
		log.FromContext(ctx).Error(err, "tried again when the pods are asked again")
	}
	return ctrl.Result{RequeueAfter: s.requeueAfter()}, nil
}
