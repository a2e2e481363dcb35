package testenv

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// Expect is what a condition is to be.
type Expect struct {
	Type   string
	Status metav1.ConditionStatus
	// Reason, where it matters, and a part of the message.
	Reason, Message string
}

// Ready expects the condition Ready.
var Ready = Expect{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue}

// WaitFor waits until the object has the conditions, of its current generation.
func (e *Env) WaitFor(t *testing.T, obj client.Object, expected ...Expect) {
	t.Helper()
	e.Eventually(t, func() error {
		if err := e.Client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
			return err
		}
		for _, want := range expected {
			if err := want.check(obj); err != nil {
				return fmt.Errorf("%T %s: %w", obj, obj.GetName(), err)
			}
		}
		return nil
	})
}

func (e Expect) check(obj client.Object) error {
	all := conditionsOf(obj)
	c := meta.FindStatusCondition(all, e.Type)
	switch {
	case c == nil:
		return fmt.Errorf("has no condition %s but %v", e.Type, all)
	case c.ObservedGeneration != obj.GetGeneration():
		return fmt.Errorf("%s is of generation %d, not %d", e.Type, c.ObservedGeneration, obj.GetGeneration())
	case c.Status != e.Status, e.Reason != "" && c.Reason != e.Reason, !strings.Contains(c.Message, e.Message):
		return fmt.Errorf("%s is %s, %s, %q; want %s, %s, %q", e.Type, c.Status, c.Reason, c.Message, e.Status, e.Reason, e.Message)
	}
	return nil
}

func conditionsOf(obj client.Object) []metav1.Condition {
	switch o := obj.(type) {
	case *v1alpha1.Broker:
		return o.Status.Conditions
	case *v1alpha1.MQTTUser:
		return o.Status.Conditions
	case *v1alpha1.TopicACL:
		return o.Status.Conditions
	default:
		return nil
	}
}
