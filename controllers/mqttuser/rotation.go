package mqttuser

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/render"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// defaultOverlap is how long a password outlives its rotation where the spec
// does not say, or rotateEvery where that is shorter.
const defaultOverlap = 24 * time.Hour

// change is what became of a generated password.
type change int

const (
	kept change = iota
	made
	rotated
)

// advance says what a generated password has become at a time: the same, one
// made for the first time, or the next one. The one before is dropped at its end.
func advance(g resource.Generated, spec *v1alpha1.GeneratedPassword, now time.Time) (resource.Generated, change) {
	if render.CheckPassword(g.Password) != nil {
		return resource.Generated{Password: render.NewPassword(), MadeAt: seconds(now)}, made
	}
	if due := nextAt(g, spec); !due.IsZero() && !now.Before(due) {
		g = resource.Generated{Password: render.NewPassword(), Previous: g.Password, MadeAt: seconds(now)}
		if overlap(spec) == 0 {
			g.Previous = nil
		}
		return g, rotated
	}
	if end := previousUntil(g, spec); !end.IsZero() && !now.Before(end) {
		g.Previous = nil
	}
	return g, kept
}

// seconds is the time as a Secret tells it.
func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// nextAt is when the next password is made; zero for never.
func nextAt(g resource.Generated, spec *v1alpha1.GeneratedPassword) time.Time {
	if spec.RotateEvery == nil {
		return time.Time{}
	}
	return g.MadeAt.Add(spec.RotateEvery.Duration)
}

// previousUntil is when the password before ends; zero where there is none.
func previousUntil(g resource.Generated, spec *v1alpha1.GeneratedPassword) time.Time {
	if len(g.Previous) == 0 {
		return time.Time{}
	}
	return g.MadeAt.Add(overlap(spec))
}

func overlap(spec *v1alpha1.GeneratedPassword) time.Duration {
	switch {
	case spec.Overlap != nil:
		return spec.Overlap.Duration
	case spec.RotateEvery != nil:
		return min(defaultOverlap, spec.RotateEvery.Duration)
	default:
		return defaultOverlap
	}
}

// rotationStatus is what people are told of a generated password.
func rotationStatus(g resource.Generated, spec *v1alpha1.GeneratedPassword) *v1alpha1.GeneratedPasswordStatus {
	return &v1alpha1.GeneratedPasswordStatus{
		MadeAt:        metav1.NewTime(g.MadeAt),
		NextAt:        optional(nextAt(g, spec)),
		PreviousUntil: optional(previousUntil(g, spec)),
	}
}

func optional(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return new(metav1.NewTime(t))
}
