package broker

import (
	"fmt"
	"sync"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

var certificateKind = certmanagerv1.SchemeGroupVersion.WithKind(certmanagerv1.CertificateKind)

// certificateWatch begins to watch Certificates when the cluster first has the
// kind, so that cert-manager may be installed after the operator.
type certificateWatch struct {
	mapper     meta.RESTMapper
	cache      cache.Cache
	client     client.Client
	controller controller.Controller

	mu      sync.Mutex
	started bool
}

// ensure says whether the cluster has the kind, and if so, that it is watched.
func (w *certificateWatch) ensure() (installed bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started {
		return true, nil
	}
	_, err = w.mapper.RESTMapping(certificateKind.GroupKind(), certificateKind.Version)
	if meta.IsNoMatchError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for cert-manager: %w", err)
	}
	owner := handler.TypedEnqueueRequestForOwner[*certmanagerv1.Certificate](
		w.client.Scheme(), w.mapper, &v1alpha1.Broker{}, handler.OnlyControllerOwner())
	if err := w.controller.Watch(source.Kind(w.cache, &certmanagerv1.Certificate{}, owner)); err != nil {
		return false, fmt.Errorf("watch Certificates: %w", err)
	}
	w.started = true
	return true, nil
}

// watching says whether Certificates can be read from the cache.
func (w *certificateWatch) watching() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.started
}
