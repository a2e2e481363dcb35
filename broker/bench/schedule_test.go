package bench

import (
	"slices"
	"testing"
)

func TestScheduleHasEveryMessageOnTime(t *testing.T) {
	const start, seconds = 1_000_000, 1000
	for _, rate := range []float64{0.5, 3, 1000, 999_983} {
		s := newSchedule(rate, start, start+seconds*1e9)
		if got, want := s.due(uint64(rate*seconds)), int64(start+seconds*1e9); got < want-2 || got > want+2 {
			t.Errorf("rate %v: the last message is due at %d, want %d", rate, got, want)
		}
	}
}

// A loop that comes late finds all messages that were due, at the times when
// they were due: this is what keeps coordinated omission out.
func TestScheduleIsNotMovedByALateLoop(t *testing.T) {
	s := newSchedule(1000, 0, 5e6)
	var times []int64
	for _, now := range []int64{0, 100, 3_500_000, 9_000_000} {
		for {
			k, at, ok := s.take(now)
			if !ok {
				break
			}
			if k != uint64(len(times)) {
				t.Fatalf("message %d after %d", k, len(times)-1)
			}
			times = append(times, at)
		}
	}
	if want := []int64{0, 1e6, 2e6, 3e6, 4e6}; !slices.Equal(times, want) {
		t.Errorf("due at %v, want %v", times, want)
	}
}

func TestScheduleTellsHowLongToWait(t *testing.T) {
	s := newSchedule(1000, 0, 2e6)
	s.take(0)
	for now, want := range map[int64]int64{0: 100_000, 950_000: 50_000, 1_000_000: 0, 1_500_000: 0} {
		if got := s.wait(now, 100_000); got != want {
			t.Errorf("at %d it waits %d, want %d", now, got, want)
		}
	}
	s.take(1e6)
	if got := s.wait(1e6, 100_000); got != 100_000 {
		t.Errorf("after the last message it waits %d", got)
	}
}

func TestPacerSkipsNothing(t *testing.T) {
	p := pacer{interval: 10}
	var taken int
	for _, now := range []int64{100, 105, 110, 145} {
		for {
			n, ok := p.take(now)
			if !ok {
				break
			}
			if n != uint64(taken) {
				t.Fatalf("%d after %d", n, taken-1)
			}
			taken++
		}
	}
	if taken != 4 {
		t.Errorf("%d were taken in 45 after the first look, want 4", taken)
	}
}
