package server

import (
	"math/rand/v2"
	"testing"
)

// turn goes on by a second and returns whom the wheel has looked at.
func turn(w *wheel) (seen []*conn) {
	w.tick()
	for c := w.due(); c != nil; c = w.due() {
		seen = append(seen, c)
	}
	return seen
}

func TestWheelLooksInTime(t *testing.T) {
	for name, tc := range map[string]struct{ after, want uint32 }{
		"at once is the next second": {0, 1},
		"a second":                   {1, 1},
		"a minute":                   {60, 60},
		"the whole wheel":            {511, 511},
		"more than the wheel holds":  {100000, 511},
	} {
		t.Run(name, func(t *testing.T) {
			w, c := &wheel{now: 4000}, &conn{}
			w.add(c, tc.after)
			for second := uint32(1); second <= 600; second++ {
				if seen := turn(w); (len(seen) == 1) != (second == tc.want) {
					t.Fatalf("second %d: %d are due, want one in second %d", second, len(seen), tc.want)
				}
			}
		})
	}
}

func TestWheelHoldsAConnectionOnce(t *testing.T) {
	w, c := &wheel{}, &conn{}
	for range 100 {
		w.add(c, 5)
		w.add(c, 2)
	}
	turn(w)
	if seen := turn(w); len(seen) != 1 {
		t.Errorf("due %d times", len(seen))
	}
	for range 600 {
		if seen := turn(w); len(seen) != 0 {
			t.Fatal("due again")
		}
	}
}

// What is gone is not held until its time would have come.
func TestWheelForgetsWhatIsRemoved(t *testing.T) {
	var w wheel
	r := rand.New(rand.NewPCG(1, 2))
	conns := make([]conn, 200)
	for i := range conns {
		w.add(&conns[i], uint32(r.IntN(20)))
	}
	for _, i := range r.Perm(len(conns)) {
		w.remove(&conns[i])
		w.remove(&conns[i])
	}
	for i := range w.slots {
		if w.slots[i] != nil {
			t.Fatalf("slot %d is not empty", i)
		}
	}
}
