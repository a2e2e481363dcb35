package bench

import (
	"math/rand/v2"
	"testing"
)

func TestSequenceTellsArrivalsApart(t *testing.T) {
	type step struct {
		number uint32
		want   arrival
		gap    uint32
	}
	tests := map[string]struct {
		first uint32
		steps []step
	}{
		"in order":         {0, []step{{0, inOrder, 0}, {1, inOrder, 0}, {2, inOrder, 0}}},
		"a gap":            {0, []step{{0, inOrder, 0}, {4, afterGap, 3}, {5, inOrder, 0}}},
		"a gap at first":   {0, []step{{2, afterGap, 2}, {0, late, 0}, {1, late, 0}, {0, duplicate, 0}}},
		"filled from amid": {0, []step{{5, afterGap, 5}, {2, late, 0}, {2, duplicate, 0}, {1, late, 0}, {4, late, 0}, {3, late, 0}, {0, late, 0}, {0, duplicate, 0}}},
		"a duplicate":      {0, []step{{0, inOrder, 0}, {0, duplicate, 0}, {1, inOrder, 0}, {0, duplicate, 0}}},
		"around the wrap":  {0xfffffffe, []step{{0xfffffffe, inOrder, 0}, {1, afterGap, 2}, {0, late, 0}, {0xffffffff, late, 0}, {0, duplicate, 0}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := sequence{next: test.first}
			for i, step := range test.steps {
				if a, gap := s.accept(step.number); a != step.want || gap != step.gap {
					t.Fatalf("step %d, message %d: %d with a gap of %d, want %d with %d", i, step.number, a, gap, step.want, step.gap)
				}
			}
		})
	}
}

// Whatever order messages come in, each counts once, and those that never come
// are missing.
func TestSequenceAgreesWithASet(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var s sequence
	seen := map[uint32]bool{}
	missing, next := 0, uint32(0)
	for range 50000 {
		number := next - min(next, 50) + random.Uint32N(60)
		a, gap := s.accept(number)
		if (a == duplicate) != seen[number] {
			t.Fatalf("message %d: arrival %d, and seen before is %v", number, a, seen[number])
		}
		seen[number] = true
		next = max(next, number+1)
		if missing += int(gap); a == late {
			missing--
		}
	}
	if want := int(next) - len(seen); missing != want {
		t.Errorf("%d missing, want %d", missing, want)
	}
}

func TestSequenceForgetsTheOldestGaps(t *testing.T) {
	var s sequence
	for i := range uint32(2 * maxSpans) {
		s.accept(2*i + 1)
	}
	if len(s.missing) != maxSpans {
		t.Errorf("%d spans are kept", len(s.missing))
	}
	if a, _ := s.accept(0); a != duplicate {
		t.Errorf("a message that was given up is %d", a)
	}
}

func TestNumbersWithoutAnOrderComeOnce(t *testing.T) {
	s := newUnordered(100)
	for _, step := range []struct {
		number uint32
		want   arrival
	}{{99, inOrder}, {0, inOrder}, {64, inOrder}, {63, inOrder}, {64, duplicate}, {99, duplicate}, {1, inOrder}, {500, duplicate}} {
		if a, gap := s.accept(step.number); a != step.want || gap != 0 {
			t.Errorf("%d is %d with a gap of %d", step.number, a, gap)
		}
	}
}
