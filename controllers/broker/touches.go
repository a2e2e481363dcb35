package broker

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// remindAfter is how long a pod has to take up new files before its kubelet is
	// reminded, which may have looked before it heard of them. Each further
	// reminder waits twice as long.
	remindAfter  = 2 * time.Second
	maxReminders = 5 // doublings
	// patience is how long a pod is asked at short intervals.
	patience = time.Minute
	// whileStubborn is the interval after that.
	whileStubborn = 5 * time.Second
)

// touches remembers since when each pod that is not up to date has been told.
type touches struct {
	mu   sync.Mutex
	pods map[types.NamespacedName]map[types.UID]*touch
}

type touch struct {
	since, last time.Time
	reminders   int
}

// begin notes that a pod was told of new files.
func (t *touches) begin(broker types.NamespacedName, pod types.UID, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.set(broker, pod, now)
}

// due says that a pod is to be reminded, and counts on its being done. A pod
// that was told before anybody remembers has its time from now on.
func (t *touches) due(broker types.NamespacedName, pod types.UID, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	told := t.pods[broker][pod]
	if told == nil {
		t.set(broker, pod, now)
		return false
	}
	if now.Sub(told.last) < remindAfter<<min(told.reminders, maxReminders) {
		return false
	}
	told.last = now
	told.reminders++
	return true
}

// pace says when a pod that is not up to date is asked again.
func (t *touches) pace(broker types.NamespacedName, pod types.UID, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if told := t.pods[broker][pod]; told != nil && now.Sub(told.since) > patience {
		return whileStubborn
	}
	return whileApplying
}

func (t *touches) forget(broker types.NamespacedName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.pods, broker)
}

func (t *touches) set(broker types.NamespacedName, pod types.UID, now time.Time) {
	if t.pods == nil {
		t.pods = map[types.NamespacedName]map[types.UID]*touch{}
	}
	if t.pods[broker] == nil {
		t.pods[broker] = map[types.UID]*touch{}
	}
	t.pods[broker][pod] = &touch{since: now, last: now}
}
