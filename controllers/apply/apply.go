// Package apply writes the child objects of an owner by server-side apply under
// one field owner. It touches nothing that the owner does not control, writes
// nothing that has not changed, and removes children that are no longer wanted.
package apply

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

// FieldOwner of all that the operator writes.
const FieldOwner = "godwit"

// Child names an object that was applied.
type Child struct {
	Kind schema.GroupVersionKind
	types.NamespacedName
}

// NotOwnedError says that a child's name is taken by an object of somebody
// else, which is left as it is.
type NotOwnedError struct {
	Child Child
	// Holder is the controller of the object, "Kind/name"; empty where it has none.
	Holder string
}

func (e *NotOwnedError) Error() string {
	holder := "nothing"
	if e.Holder != "" {
		holder = e.Holder
	}
	return fmt.Sprintf("%s %q exists and belongs to %s: delete or rename it, the operator does not overwrite it",
		e.Child.Kind.Kind, e.Child.Name, holder)
}

// NotOwned is the error for an object that the owner of a child does not control.
func NotOwned(kind schema.GroupVersionKind, live metav1.Object) *NotOwnedError {
	e := &NotOwnedError{Child: Child{
		Kind: kind, NamespacedName: types.NamespacedName{Namespace: live.GetNamespace(), Name: live.GetName()},
	}}
	if holder := metav1.GetControllerOf(live); holder != nil {
		e.Holder = holder.Kind + "/" + holder.Name
	}
	return e
}

// LeftoverError says that a child of an owner that was deleted, and had the
// name of this one, is not collected yet. Trying again will help.
type LeftoverError struct{ Child Child }

func (e *LeftoverError) Error() string {
	return fmt.Sprintf("%s %q of the deleted object of the same name is not collected yet", e.Child.Kind.Kind, e.Child.Name)
}

// Applier applies children. It may be used by many goroutines.
type Applier struct {
	client client.Client
	live   client.Reader

	mu      sync.Mutex
	written map[Child]written
}

// written remembers what an object was after it had been applied.
type written struct {
	digest          [sha256.Size]byte
	uid             types.UID
	resourceVersion string
}

// New returns an Applier that reads from the cache of c, which may be limited to
// objects of the operator, and from live where the cache has nothing.
func New(c client.Client, live client.Reader) *Applier {
	return &Applier{client: c, live: live, written: map[Child]written{}}
}

// Apply makes the object as obj says and lets owner control it. Fields that
// others have set are kept, unless obj sets them. The error may be a
// *NotOwnedError or a *LeftoverError.
func (a *Applier) Apply(ctx context.Context, owner, obj client.Object) (Child, error) {
	gvk, err := apiutil.GVKForObject(obj, a.client.Scheme())
	if err != nil {
		return Child{}, err
	}
	child := Child{Kind: gvk, NamespacedName: client.ObjectKeyFromObject(obj)}
	config, digest, err := a.configuration(owner, obj, gvk)
	if err != nil {
		return child, fmt.Errorf("prepare %s %s: %w", gvk.Kind, child.Name, err)
	}
	live, err := a.current(ctx, child)
	if err != nil {
		return child, fmt.Errorf("read %s %s: %w", gvk.Kind, child.Name, err)
	}
	if live != nil {
		err = a.CheckOwner(child.Kind, live, owner)
	}
	if err != nil {
		return child, err
	}
	if live != nil && a.isWritten(child, live, digest) {
		return child, nil
	}
	err = a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(config), client.FieldOwner(FieldOwner), client.ForceOwnership)
	if err != nil {
		return child, fmt.Errorf("apply %s %s: %w", gvk.Kind, child.Name, err)
	}
	a.remember(child, config, digest)
	return child, nil
}

// configuration turns obj into what is sent: no status, and the owner.
func (a *Applier) configuration(owner, obj client.Object, gvk schema.GroupVersionKind) (*unstructured.Unstructured, [sha256.Size]byte, error) {
	var digest [sha256.Size]byte
	owned := obj.DeepCopyObject().(client.Object)
	if err := controllerutil.SetControllerReference(owner, owned, a.client.Scheme()); err != nil {
		return nil, digest, err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(owned)
	if err != nil {
		return nil, digest, err
	}
	config := &unstructured.Unstructured{Object: content}
	config.SetGroupVersionKind(gvk)
	unstructured.RemoveNestedField(content, "status")
	unstructured.RemoveNestedField(content, "metadata", "creationTimestamp")
	encoded, err := json.Marshal(content)
	return config, sha256.Sum256(encoded), err
}

// current returns the object as it is, nil where there is none.
func (a *Applier) current(ctx context.Context, child Child) (metav1.Object, error) {
	obj, err := a.cached(child.Kind)
	if err != nil {
		return nil, err
	}
	err = a.client.Get(ctx, child.NamespacedName, obj)
	if apierrors.IsNotFound(err) {
		obj = metadataOf(child.Kind)
		err = a.live.Get(ctx, child.NamespacedName, obj)
	}
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return obj, err
}

// cached returns an empty object of the form that the caches hold. Of Secrets
// that is only metadata.
func (a *Applier) cached(kind schema.GroupVersionKind) (client.Object, error) {
	if kind == corev1.SchemeGroupVersion.WithKind("Secret") {
		return metadataOf(kind), nil
	}
	obj, err := a.client.Scheme().New(kind)
	if err != nil {
		return nil, err
	}
	return obj.(client.Object), nil
}

func metadataOf(kind schema.GroupVersionKind) *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(kind)
	return m
}

// CheckOwner says whether owner controls an object of this kind. The error is a
// *NotOwnedError or a *LeftoverError.
func (a *Applier) CheckOwner(kind schema.GroupVersionKind, live metav1.Object, owner client.Object) error {
	if metav1.IsControlledBy(live, owner) {
		return nil
	}
	ownerKind, err := apiutil.GVKForObject(owner, a.client.Scheme())
	if err != nil {
		return err
	}
	notOwned := NotOwned(kind, live)
	if notOwned.Holder == ownerKind.Kind+"/"+owner.GetName() {
		return &LeftoverError{Child: notOwned.Child}
	}
	return notOwned
}

// isWritten says that nobody has changed the object since this very
// configuration was applied.
func (a *Applier) isWritten(child Child, live metav1.Object, digest [sha256.Size]byte) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.written[child] == written{digest: digest, uid: live.GetUID(), resourceVersion: live.GetResourceVersion()}
}

func (a *Applier) remember(child Child, result metav1.Object, digest [sha256.Size]byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.written[child] = written{digest: digest, uid: result.GetUID(), resourceVersion: result.GetResourceVersion()}
}

func (a *Applier) forget(child Child) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.written, child)
}
