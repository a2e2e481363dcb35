package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/controllers/apply"
)

// accessOf is an Access of n users that all have this hash.
func accessOf(n int, hash string) config.Access {
	var a config.Access
	for i := range n {
		a.Users = append(a.Users, config.User{Username: fmt.Sprintf("user-%03d", i), PasswordHashes: []string{hash}})
	}
	return a
}

// A pod may start after any write, and the operator may end there.
func TestPodsFindOneWholeSetAfterEachWrite(t *testing.T) {
	type step struct {
		access config.Access
		shards int
	}
	steps := []step{
		{accessOf(20, "a"), 1}, {accessOf(30, "a"), 4}, {accessOf(30, "b"), 4}, {accessOf(31, "b"), 4}, {accessOf(31, "c"), 8},
		{accessOf(31, "b"), 8}, {accessOf(20, "c"), 2}, {accessOf(20, "d"), 1}, {accessOf(0, ""), 1},
	}
	for endAfter := range 6 { // writes of each step, before the operator is another one
		t.Run(fmt.Sprintf("another operator after %d writes", endAfter), func(t *testing.T) {
			w := newWorld(t)
			before := config.Access{}
			for i, step := range steps {
				files, err := step.access.Encode(step.shards)
				if err != nil {
					t.Fatal(err)
				}
				w.allowed = []config.Access{before, step.access}
				w.left = endAfter
				if err := w.publish(files); err == nil && w.left > 0 {
					before = step.access
					continue
				}
				w.left = -1
				w.reconciler.access.forget(client.ObjectKeyFromObject(w.broker))
				if err := w.publish(files); err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
				w.allowed = w.allowed[1:]
				w.check()
				before = step.access
			}
		})
	}
}

// world is an API server with the Secrets of one Broker.
type world struct {
	t          *testing.T
	client     client.Client
	reconciler *Reconciler
	broker     *v1alpha1.Broker
	// left is the number of writes before they fail; negative for ever.
	left int
	// allowed are the contents that a pod may find.
	allowed []config.Access
}

var errEnded = errors.New("the operator has ended")

func newWorld(t *testing.T) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, broker: &v1alpha1.Broker{}, left: -1}
	w.broker.Namespace, w.broker.Name, w.broker.UID = "iot", "edge", "1"
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{Apply: w.apply}).Build()
	w.reconciler = &Reconciler{Client: w.client, Live: w.client, Applier: apply.New(w.client, w.client)}
	return w
}

// apply looks after each write at what a pod would find.
func (w *world) apply(ctx context.Context, c client.WithWatch, obj runtime.ApplyConfiguration, options ...client.ApplyOption) error {
	if w.left == 0 {
		return errEnded
	}
	w.left--
	if err := c.Apply(ctx, obj, options...); err != nil {
		return err
	}
	w.check()
	return nil
}

// check reads the files as a pod that starts now.
func (w *world) check() {
	w.t.Helper()
	var secrets corev1.SecretList
	if err := w.client.List(w.t.Context(), &secrets); err != nil {
		w.t.Fatal(err)
	}
	files := config.Files{}
	for _, s := range secrets.Items {
		maps.Copy(files, s.Data)
	}
	if files[config.AccessFile] == nil {
		return // no pod has started yet
	}
	c, err := config.Parse([]byte(`{"listeners":[{"name":"a","port":1}]}`), files)
	if err != nil {
		w.t.Error("a pod that starts finds:", err)
		return
	}
	for _, allowed := range w.allowed {
		if reflect.DeepEqual(c.Access, allowed) || len(c.Access.Users)+len(allowed.Users) == 0 {
			return
		}
	}
	w.t.Errorf("a pod that starts finds %d users of another moment", len(c.Access.Users))
}

func (w *world) publish(files config.Files) error {
	s := newScope(w.broker)
	before, err := w.reconciler.publishedAccess(w.t.Context(), s)
	if err != nil {
		return err
	}
	return w.reconciler.applyAccess(w.t.Context(), s, before, files)
}
