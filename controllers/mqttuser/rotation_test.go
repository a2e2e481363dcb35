package mqttuser

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

func TestAGeneratedPasswordInTime(t *testing.T) {
	begin := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	every := func(d time.Duration, overlap ...time.Duration) *v1alpha1.GeneratedPassword {
		g := &v1alpha1.GeneratedPassword{RotateEvery: &metav1.Duration{Duration: d}}
		for _, o := range overlap {
			g.Overlap = &metav1.Duration{Duration: o}
		}
		return g
	}
	alone := resource.Generated{Password: []byte("a"), MadeAt: begin}
	overlapping := resource.Generated{Password: []byte("a"), Previous: []byte("z"), MadeAt: begin}
	for name, tt := range map[string]struct {
		before   resource.Generated
		spec     *v1alpha1.GeneratedPassword
		after    time.Duration
		what     change
		previous string
	}{
		"none yet":                      {resource.Generated{}, every(time.Hour), 0, made, ""},
		"emptied, and the one before":   {resource.Generated{Previous: []byte("z")}, every(time.Hour), 0, made, ""},
		"never rotated":                 {alone, &v1alpha1.GeneratedPassword{}, 1e6 * time.Hour, kept, ""},
		"not due":                       {alone, every(time.Hour), time.Hour - 1, kept, ""},
		"due":                           {alone, every(time.Hour, time.Minute), time.Hour, rotated, "a"},
		"long due":                      {alone, every(time.Hour, time.Minute), 100 * time.Hour, rotated, "a"},
		"due without overlap":           {alone, every(time.Hour, 0), time.Hour, rotated, ""},
		"in the overlap":                {overlapping, every(time.Hour, time.Minute), time.Minute - 1, kept, "z"},
		"at the end of the overlap":     {overlapping, every(time.Hour, time.Minute), time.Minute, kept, ""},
		"overlap of a day by default":   {overlapping, every(100 * time.Hour), 24*time.Hour - 1, kept, "z"},
		"and no more":                   {overlapping, every(100 * time.Hour), 24 * time.Hour, kept, ""},
		"overlap as long as the period": {overlapping, every(time.Hour), time.Hour - 1, kept, "z"},
		"and then the next":             {overlapping, every(time.Hour), time.Hour, rotated, "a"},
		"the period was unset":          {overlapping, &v1alpha1.GeneratedPassword{}, 24 * time.Hour, kept, ""},
	} {
		t.Run(name, func(t *testing.T) {
			now := begin.Add(tt.after)
			got, what := advance(tt.before, tt.spec, now)
			if what != tt.what || string(got.Previous) != tt.previous {
				t.Errorf("change %d, previous %q; want %d, %q", what, got.Previous, tt.what, tt.previous)
			}
			isNew := string(got.Password) != string(tt.before.Password)
			if isNew != (what != kept) || isNew != got.MadeAt.Equal(now) || len(got.Password) == 0 {
				t.Errorf("password %q of %s", got.Password, got.MadeAt)
			}
			if again, what := advance(got, tt.spec, now); what != kept || string(again.Password) != string(got.Password) {
				t.Errorf("the same time again: change %d", what)
			}
		})
	}
}
