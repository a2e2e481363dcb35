package topic

import (
	"fmt"
	"runtime"
	"testing"
)

// TestJoinAndLeaveCostTheSameWhateverTheNumber: what they copy is what they cost
// under the index's lock.
func TestJoinAndLeaveCostTheSameWhateverTheNumber(t *testing.T) {
	const many, rounds, most = 10_000, 1000, 8 << 10
	for name, filter := range map[string]func(i int) string{
		"members of one group":    func(int) string { return "$share/g/t" },
		"groups of one filter":    func(i int) string { return fmt.Sprintf("$share/g%d/t", i) },
		"groups of a wild filter": func(i int) string { return fmt.Sprintf("$share/g%d/t/#", i) },
	} {
		t.Run(name, func(t *testing.T) {
			x := NewIndex[int]()
			for i := range many {
				x.Subscribe(filter(i), i, Options{})
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for i := range rounds {
				x.Subscribe(filter(many), many, Options{})
				x.SetOnline(filter(i), i, false)
				x.Unsubscribe(filter(many), many)
			}
			runtime.ReadMemStats(&after)
			if each := (after.TotalAlloc - before.TotalAlloc) / rounds; each > most {
				t.Errorf("a member that comes and goes takes %d bytes, want %d at most", each, most)
			}
		})
	}
}

// TestRostersHoldEveryMemberOnce: in the one that it belongs to, whoever comes,
// goes and moves.
func TestRostersHoldEveryMemberOnce(t *testing.T) {
	x := NewIndex[int]()
	x.Subscribe("$share/g/t", -1, Options{})
	var m Matches[int]
	x.Match([]byte("t"), &m)
	g, online := m.Shared[0], map[int]bool{-1: true}
	for i := range 5000 {
		who := i * 7919 % 97
		switch i % 5 {
		case 0, 1:
			x.Subscribe("$share/g/t", who, Options{QoS: byte(i % 3)})
			if _, known := online[who]; !known {
				online[who] = true
			}
		case 2:
			x.Unsubscribe("$share/g/t", who)
			delete(online, who)
		default:
			x.SetOnline("$share/g/t", who, i%2 == 0)
			if _, known := online[who]; known {
				online[who] = i%2 == 0
			}
		}
		seen := map[int]bool{}
		for at, r := range []*Roster[int]{g.Online(), g.Offline()} {
			for n := range r.Len() {
				e := r.At(n)
				if e == nil || online[e.Subscriber] != (at == 0) || seen[e.Subscriber] {
					t.Fatalf("step %d: roster %d has %v at %d", i, at, e, n)
				}
				seen[e.Subscriber] = true
			}
		}
		if len(seen) != len(online) {
			t.Fatalf("step %d: %d members, want %d", i, len(seen), len(online))
		}
	}
}
