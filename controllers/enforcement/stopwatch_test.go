package enforcement

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/conditions"
)

// observed keeps what a Stopwatch measures.
type observed []float64

func (o *observed) Observe(seconds float64) { *o = append(*o, seconds) }

func TestStopwatch(t *testing.T) {
	accepted := conditions.True(v1alpha1.ConditionAccepted, v1alpha1.ReasonAccepted, "")
	refused := conditions.False(v1alpha1.ConditionAccepted, v1alpha1.ReasonWaitingForSecret, "")
	programmed := conditions.True(v1alpha1.ConditionProgrammed, v1alpha1.ReasonProgrammed, "")
	applying := conditions.False(v1alpha1.ConditionProgrammed, v1alpha1.ReasonApplying, "")
	noPods := conditions.False(v1alpha1.ConditionProgrammed, v1alpha1.ReasonNoRunningPods, "")
	type sight struct {
		generation, of int64 // of the object, and of its conditions
		conditions     []metav1.Condition
	}
	// Sights are a second apart.
	for name, tc := range map[string]struct {
		sights []sight
		want   []float64
	}{
		"a new object": {[]sight{{1, 0, nil}, {1, 1, []metav1.Condition{accepted, applying}}, {1, 1, []metav1.Condition{accepted, programmed}}},
			[]float64{2}},
		"a change": {[]sight{{1, 1, []metav1.Condition{accepted, programmed}}, {2, 1, []metav1.Condition{accepted, programmed}},
			{2, 2, []metav1.Condition{accepted, programmed}}}, []float64{1}},
		"a change upon a change": {[]sight{{1, 0, nil}, {2, 1, []metav1.Condition{accepted, applying}}, {2, 2, []metav1.Condition{accepted, programmed}}},
			[]float64{1}},
		"once for each generation": {[]sight{{1, 0, nil}, {1, 1, []metav1.Condition{accepted, programmed}},
			{1, 1, []metav1.Condition{accepted, applying}}, {1, 1, []metav1.Condition{accepted, programmed}}}, []float64{1}},
		"on its way at the start": {[]sight{{1, 1, []metav1.Condition{accepted, applying}}, {1, 1, []metav1.Condition{accepted, programmed}}}, nil},
		"done at the start":       {[]sight{{1, 1, []metav1.Condition{accepted, programmed}}}, nil},
		"waiting for a Secret": {[]sight{{1, 0, nil}, {1, 1, []metav1.Condition{refused, applying}}, {1, 1, []metav1.Condition{accepted, programmed}}},
			nil},
		"waiting for a pod": {[]sight{{1, 0, nil}, {1, 1, []metav1.Condition{accepted, noPods}}, {1, 1, []metav1.Condition{accepted, programmed}}},
			nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got observed
			s := newStopwatch(&got)
			now := time.Unix(1_000_000, 0)
			for _, x := range tc.sights {
				o := &metav1.ObjectMeta{Namespace: "iot", Name: "dev", UID: "1", Generation: x.generation}
				all := slices.Clone(x.conditions)
				for i := range all {
					all[i].ObservedGeneration = x.of
				}
				s.See(o, all, now)
				now = now.Add(time.Second)
			}
			if !slices.Equal([]float64(got), tc.want) {
				t.Errorf("measured %v, want %v", got, tc.want)
			}
			s.Forget(types.NamespacedName{Namespace: "iot", Name: "dev"})
			if len(s.runs) != 0 {
				t.Error("an object that is gone is remembered")
			}
		})
	}
}
