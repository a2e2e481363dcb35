package server

import (
	"runtime"
	"testing"
	"time"
)

// While something computes there are as many threads more as there are cores, and
// a server that is made meanwhile does not count them.
func TestComputationsHaveThreadsOfTheirOwn(t *testing.T) {
	before := computing.processors()
	computing.begin()
	computing.begin()
	expect(t, "GOMAXPROCS", runtime.GOMAXPROCS(0), 2*before)
	expect(t, "processors", computing.processors(), before)
	computing.done()
	expect(t, "GOMAXPROCS", runtime.GOMAXPROCS(0), 2*before)
	computing.lower()
	expect(t, "GOMAXPROCS", runtime.GOMAXPROCS(0), 2*before)
	computing.done()
	awaitCalm(t, before)
}

// Handshakes that wait for each other are computations until none waits.
func TestCrowdedHandshakesHaveThreadsOfTheirOwn(t *testing.T) {
	before := computing.processors()
	h := newHandshakes(1)
	h.mu.Lock()
	h.free = 0 // one computes
	h.crowd()
	h.crowd()
	h.mu.Unlock()
	expect(t, "GOMAXPROCS", runtime.GOMAXPROCS(0), 2*before)
	h.rest()
	if h.crowded {
		t.Error("they still count as a computation")
	}
	awaitCalm(t, before)
}

func expect(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Fatalf("%s is %d, want %d", what, got, want)
	}
}

func awaitCalm(t *testing.T, want int) {
	t.Helper()
	for deadline := time.Now().Add(10 * calmAfter); runtime.GOMAXPROCS(0) != want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("GOMAXPROCS is %d, want %d", runtime.GOMAXPROCS(0), want)
		}
	}
}
