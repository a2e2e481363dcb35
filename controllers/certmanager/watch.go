package certmanager

import (
	"fmt"
	"sync"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// Kind of a Certificate.
var Kind = certmanagerv1.SchemeGroupVersion.WithKind(certmanagerv1.CertificateKind)

// Watch begins to watch Certificates when the cluster first has the kind, so
// that cert-manager may be installed after the operator.
type Watch struct {
	manager    ctrl.Manager
	controller controller.Controller
	owner      client.Object

	mu      sync.Mutex
	started bool
}

// NewWatch wakes a controller for Certificates that objects of owner's kind
// control.
func NewWatch(mgr ctrl.Manager, c controller.Controller, owner client.Object) *Watch {
	return &Watch{manager: mgr, controller: c, owner: owner}
}

// Ensure says whether the cluster has the kind, and if so, that it is watched.
func (w *Watch) Ensure() (installed bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started {
		return true, nil
	}
	mapper := w.manager.GetRESTMapper()
	_, err = mapper.RESTMapping(Kind.GroupKind(), Kind.Version)
	if meta.IsNoMatchError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for cert-manager: %w", err)
	}
	owner := handler.TypedEnqueueRequestForOwner[*certmanagerv1.Certificate](
		w.manager.GetScheme(), mapper, w.owner, handler.OnlyControllerOwner())
	if err := w.controller.Watch(source.Kind(w.manager.GetCache(), &certmanagerv1.Certificate{}, owner)); err != nil {
		return false, fmt.Errorf("watch Certificates: %w", err)
	}
	w.started = true
	return true, nil
}

// Watching says whether Certificates can be read from the cache.
func (w *Watch) Watching() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.started
}
