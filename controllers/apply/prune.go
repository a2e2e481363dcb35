package apply

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// Prune deletes the objects of the list's kind that carry the labels, are
// controlled by owner and are not in wanted. The list is read from the cache.
func (a *Applier) Prune(ctx context.Context, owner client.Object, list client.ObjectList, labels map[string]string, wanted map[Child]bool) error {
	if err := a.client.List(ctx, list, client.InNamespace(owner.GetNamespace()), client.MatchingLabels(labels)); err != nil {
		return fmt.Errorf("list children: %w", err)
	}
	return meta.EachListItem(list, func(item runtime.Object) error {
		obj := item.(client.Object)
		gvk, err := apiutil.GVKForObject(obj, a.client.Scheme())
		if err != nil {
			return err
		}
		child := Child{Kind: gvk, NamespacedName: client.ObjectKeyFromObject(obj)}
		if wanted[child] || !metav1.IsControlledBy(obj, owner) || !obj.GetDeletionTimestamp().IsZero() {
			return nil
		}
		return a.delete(ctx, child, obj)
	})
}

// delete removes the very object that was seen, not one that has taken its name.
func (a *Applier) delete(ctx context.Context, child Child, obj client.Object) error {
	err := a.client.Delete(ctx, obj, client.Preconditions{UID: new(obj.GetUID())},
		client.PropagationPolicy(metav1.DeletePropagationBackground))
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete %s %s: %w", child.Kind.Kind, child.Name, err)
	}
	a.forget(child)
	return nil
}

// Forget drops what is remembered of the children that match. It is for owners
// that are gone, whose children are collected.
func (a *Applier) Forget(match func(Child) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for child := range a.written {
		if match(child) {
			delete(a.written, child)
		}
	}
}
