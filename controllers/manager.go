// Package controllers puts the controllers of the operator together.
package controllers

import (
	"context"
	"errors"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/apply"
	"github.com/godwit-mqtt/godwit/controllers/broker"
	"github.com/godwit-mqtt/godwit/controllers/enforcement"
	"github.com/godwit-mqtt/godwit/controllers/lookup"
	"github.com/godwit-mqtt/godwit/controllers/mqttuser"
	"github.com/godwit-mqtt/godwit/controllers/render"
	"github.com/godwit-mqtt/godwit/controllers/topicacl"
)

// Scheme holds every kind that the operator reads or writes.
func Scheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	return scheme, errors.Join(
		clientgoscheme.AddToScheme(scheme),
		v1alpha1.AddToScheme(scheme),
		certmanagerv1.AddToScheme(scheme),
	)
}

// Add adds the controllers to a manager that was made with Scheme and with
// lookup.CacheOptions.
func Add(ctx context.Context, mgr ctrl.Manager, passwords *render.Passwords, options broker.Options) error {
	if err := lookup.AddIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	ledger := enforcement.NewLedger()
	events := mgr.GetEventRecorder("godwit")
	applier := apply.New(mgr.GetClient(), mgr.GetAPIReader())
	secrets := lookup.NewSecrets(mgr.GetCache(), mgr.GetAPIReader())
	brokers := &broker.Reconciler{
		Client:    mgr.GetClient(),
		Live:      mgr.GetAPIReader(),
		Events:    events,
		Applier:   applier,
		Secrets:   secrets,
		Ledger:    ledger,
		Prober:    &broker.AdminProber{},
		Passwords: passwords,
		Options:   options,
	}
	users := &mqttuser.Reconciler{
		Client:    mgr.GetClient(),
		Live:      mgr.GetAPIReader(),
		Events:    events,
		Applier:   applier,
		Secrets:   secrets,
		Ledger:    ledger,
		Stopwatch: enforcement.NewStopwatch(v1alpha1.KindMQTTUser),
	}
	acls := &topicacl.Reconciler{
		Client:    mgr.GetClient(),
		Ledger:    ledger,
		Stopwatch: enforcement.NewStopwatch(v1alpha1.KindTopicACL),
	}
	return errors.Join(brokers.SetupWithManager(mgr), users.SetupWithManager(mgr), acls.SetupWithManager(mgr))
}
