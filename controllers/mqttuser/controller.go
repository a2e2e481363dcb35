// Package mqttuser reconciles MQTTUsers: it makes the credentials that they ask
// for, and reports on them. What brokers are told of a user, and why not, is
// decided with its Broker.
package mqttuser

import (
	"context"
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/apply"
	"github.com/godwit-mqtt/godwit/controllers/certmanager"
	"github.com/godwit-mqtt/godwit/controllers/enforcement"
	"github.com/godwit-mqtt/godwit/controllers/lookup"
)

// How soon a user is looked at again.
const (
	// whileLeftover: what belonged to a deleted user is being collected.
	whileLeftover = time.Second
	// whileWaiting: something is missing that is not watched.
	whileWaiting = 10 * time.Second
)

// Reconciler reconciles MQTTUsers.
type Reconciler struct {
	Client  client.Client
	Live    client.Reader // reads past the cache
	Events  events.EventRecorder
	Applier *apply.Applier
	Secrets *lookup.Secrets
	Ledger  *enforcement.Ledger
	// Stopwatch measures how long changes take to be enforced.
	Stopwatch *enforcement.Stopwatch

	certificates *certmanager.Watch
	applied      sync.Map // the apply.Child of a user, by the user's key
}

//+kubebuilder:rbac:groups=mqtt.godwit.io,resources=mqttusers/status,verbs=update;patch
//+kubebuilder:rbac:groups=mqtt.godwit.io,resources=mqttusers/finalizers,verbs=update

// Reconcile brings the credentials of one MQTTUser to what its spec says, and
// writes what is known of it to its status.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (_ ctrl.Result, err error) {
	user := &v1alpha1.MQTTUser{}
	if err := r.Client.Get(ctx, req.NamespacedName, user); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if ending, err := lookup.IsEnding(ctx, r.Client, user); ending || err != nil {
		return ctrl.Result{}, err
	}
	r.Stopwatch.See(user, user.Status.Conditions, time.Now())
	s := newScope(user)
	if err := errors.Join(r.readBroker(ctx, s), r.removeFormer(ctx, s)); err != nil {
		return ctrl.Result{}, err
	}
	defer func() { err = errors.Join(err, r.updateStatus(ctx, s)) }()
	if s.mayHaveCredentials() {
		err = s.judge(r.reconcileCredentials(ctx, s))
	}
	return ctrl.Result{RequeueAfter: s.requeue}, err
}

// readBroker reads the Broker and what is to be said of the user.
func (r *Reconciler) readBroker(ctx context.Context, s *scope) error {
	broker := &v1alpha1.Broker{}
	err := r.Client.Get(ctx, s.user.BrokerKey(), broker)
	if err == nil {
		broker.Default()
		s.broker = broker
	}
	s.state, s.known = r.Ledger.User(s.user)
	if apierrors.IsNotFound(err) && !s.known {
		s.state, s.known = enforcement.BrokerNotFound(s.user.BrokerKey()), true
	}
	return client.IgnoreNotFound(err)
}

// reconcileCredentials makes what the spec asks for, and looks whether clients
// can connect with it.
func (r *Reconciler) reconcileCredentials(ctx context.Context, s *scope) error {
	switch auth := s.user.Spec.Authentication; {
	case auth.Generate != nil:
		return r.reconcileGenerated(ctx, s)
	case auth.Certificate != nil:
		s.checkListeners()
		return r.reconcileCertificate(ctx, s)
	case auth.X509 != nil:
		s.checkListeners()
	}
	return nil
}

// forget drops what is remembered of a user that is gone, and whose Certificate
// is collected by Kubernetes.
func (r *Reconciler) forget(user types.NamespacedName) {
	r.Stopwatch.Forget(user)
	if child, ok := r.applied.LoadAndDelete(user); ok {
		r.Applier.Forget(func(c apply.Child) bool { return c == child })
	}
}
