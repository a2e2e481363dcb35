package enforcement

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// programming is one for the process, as is the registry.
var programming = prometheus.NewHistogramVec(prometheus.HistogramOpts{
	Name: "godwit_programming_seconds",
	Help: "Time from when the operator first sees a generation of an object until it reports that every running pod enforces it. " +
		"Objects that wait for somebody meanwhile, and those that were on their way when the operator started, do not count.",
	Buckets: []float64{.05, .1, .25, .5, 1, 2, 3, 4, 5, 10, 30, 60},
}, []string{"kind"})

func init() { metrics.Registry.MustRegister(programming) }

// Stopwatch measures how long changes of the objects of one kind take to be
// enforced. It may be used by many goroutines.
type Stopwatch struct {
	took prometheus.Observer

	mu   sync.Mutex
	runs map[types.NamespacedName]run
}

// run is the measurement of one generation of an object.
type run struct {
	uid        types.UID
	generation int64
	since      time.Time // zero where it is not measured, or over
}

// NewStopwatch returns one for a kind.
func NewStopwatch(kind string) *Stopwatch { return newStopwatch(programming.WithLabelValues(kind)) }

func newStopwatch(took prometheus.Observer) *Stopwatch {
	return &Stopwatch{took: took, runs: map[types.NamespacedName]run{}}
}

// See is told of an object and its conditions when it is read, and when its
// conditions were written.
func (s *Stopwatch) See(o metav1.Object, all []metav1.Condition, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
	accepted := conditionOf(o, all, v1alpha1.ConditionAccepted)
	programmed := conditionOf(o, all, v1alpha1.ConditionProgrammed)
	r := s.runs[key]
	if r.uid != o.GetUID() || r.generation != o.GetGeneration() {
		r = run{uid: o.GetUID(), generation: o.GetGeneration()}
		if programmed == nil { // nobody has seen this generation before
			r.since = now
		}
	}
	switch {
	case programmed != nil && programmed.Status == metav1.ConditionTrue:
		if !r.since.IsZero() {
			s.took.Observe(now.Sub(r.since).Seconds())
		}
		r.since = time.Time{}
	case waitsForSomebody(accepted, programmed):
		r.since = time.Time{}
	}
	s.runs[key] = r
}

// Forget drops the memory of an object that is gone.
func (s *Stopwatch) Forget(o types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.runs, o)
}

// conditionOf returns a condition that speaks of the object's generation, nil
// where there is none.
func conditionOf(o metav1.Object, all []metav1.Condition, kind string) *metav1.Condition {
	c := meta.FindStatusCondition(all, kind)
	if c == nil || c.ObservedGeneration != o.GetGeneration() {
		return nil
	}
	return c
}

// waitsForSomebody says that the time that passes is not that of programming: the
// object is not accepted, or no pod runs.
func waitsForSomebody(accepted, programmed *metav1.Condition) bool {
	return accepted != nil && accepted.Status == metav1.ConditionFalse ||
		programmed != nil && programmed.Reason == v1alpha1.ReasonNoRunningPods
}
