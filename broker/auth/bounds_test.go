package auth

import (
	"crypto/sha256"
	"testing"
	"time"
)

// So many failures are allowed at once, one more after each interval, and failures beyond what can
// be under way prolong nothing.
func TestAllowanceIsExact(t *testing.T) {
	f := newFailures(allowance{burst: 3, interval: time.Second, underWay: 2})
	allowed := func(at time.Duration, want bool) {
		t.Helper()
		if got := f.allow(1, at); got != want {
			t.Errorf("at %v an attempt is allowed: %t, want %t", at, got, want)
		}
	}
	for range 3 {
		allowed(0, true)
		f.add(1, 0)
	}
	allowed(0, false)
	allowed(time.Second-1, false)
	allowed(time.Second, true)
	f.add(1, time.Second)
	allowed(time.Second, false)
	allowed(2*time.Second, true)
	for range 10 { // of which the 3 at once and the 2 that may be under way count
		f.add(1, 10*time.Second)
	}
	allowed(12*time.Second-1, false)
	allowed(12*time.Second, true)
	if !f.allow(2, 0) {
		t.Error("another key pays for it")
	}
}

func TestAttemptsUnderWayAreCounted(t *testing.T) {
	f := newFailures(allowance{burst: 1, interval: time.Second, underWay: 2})
	for i := range 2 {
		if f.full(1) {
			t.Fatalf("full with %d under way", i)
		}
		f.began[1]++
	}
	if !f.full(1) || f.full(2) {
		t.Error("not exactly the key with two attempts under way is full")
	}
	f.end(1, false, 0)
	if f.full(1) || !f.allow(1, 0) {
		t.Error("an attempt that succeeded counts")
	}
	f.end(1, true, 0)
	if len(f.began) != 0 || f.allow(1, 0) {
		t.Errorf("%d are under way, and the failure is allowed: %t", len(f.began), f.allow(1, 0))
	}
}

// Of what was asked for lately nothing is forgotten, and of the rest two generations are kept.
func TestMemoryForgetsWhatWasNotAskedFor(t *testing.T) {
	key := func(i int) [sha256.Size]byte { return sha256.Sum256([]byte{byte(i)}) }
	m := newMemory(3)
	for i := range 3 {
		m.add(key(i))
	}
	for i := 3; i < 6; i++ { // the second generation, which the first key comes to as well
		if !m.has(key(0)) {
			t.Fatalf("the first of %d keys is forgotten", i)
		}
		m.add(key(i))
	}
	if n := len(m.young) + len(m.old); n > 6 {
		t.Errorf("%d keys are kept, want 6 at most", n)
	}
	if !m.has(key(0)) || !m.has(key(5)) || m.has(key(1)) || m.has(key(9)) {
		t.Errorf("kept: %t %t, forgotten or never there: %t %t", m.has(key(0)), m.has(key(5)), m.has(key(1)), m.has(key(9)))
	}
}
