package server

import (
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/router"
)

// groupWithLoad returns a group of two loops that have been busy for these shares
// of the time that has passed since the group looked.
func groupWithLoad(passed time.Duration, shares ...float64) *loopGroup {
	begin := time.Now()
	g := &loopGroup{pace: usualPace, looked: begin}
	for _, share := range shares {
		l := &loop{worker: &router.Worker{Now: begin.Add(passed)}}
		l.count(time.Duration(share * float64(passed)))
		g.loops = append(g.loops, l)
	}
	g.first = g.loops[0]
	return g
}

func TestLoopsPartWhereOneProcessorIsNotEnough(t *testing.T) {
	for name, test := range map[string]struct {
		passed  time.Duration
		shares  []float64
		crowded bool
	}{
		"idle":                   {time.Second, []float64{0, 0}, false},
		"half of the time":       {time.Second, []float64{0.5, 0}, false},
		"all the time":           {time.Second, []float64{0.95, 0}, true},
		"all of a moment":        {time.Millisecond, []float64{1, 0}, false},
		"one loop has no others": {time.Second, []float64{1}, false},
	} {
		if got := groupWithLoad(test.passed, test.shares...).crowded(); got != test.crowded {
			t.Errorf("%s: crowded is %t", name, got)
		}
	}
}

func TestLoopsComeTogetherWhereOneProcessorIsEnough(t *testing.T) {
	for name, test := range map[string]struct {
		passed time.Duration
		shares []float64
		calm   bool
	}{
		"idle":               {time.Minute, []float64{0, 0}, true},
		"little to do":       {time.Second, []float64{0.2, 0.3}, true},
		"enough to do":       {time.Second, []float64{0.4, 0.4}, false},
		"a moment's rest":    {time.Millisecond, []float64{0, 0}, false},
		"one loop is rushed": {time.Second, []float64{0, 0.8}, false},
	} {
		if got := groupWithLoad(test.passed, test.shares...).calm(); got != test.calm {
			t.Errorf("%s: calm is %t", name, got)
		}
	}
}

func TestALoadIsLookedAtOnce(t *testing.T) {
	g := groupWithLoad(time.Second, 1, 1)
	if load, ok := g.load(time.Second); !ok || load != 2 {
		t.Errorf("load %v, %t", load, ok)
	}
	g.first.worker.Now = g.first.worker.Now.Add(time.Second)
	if load, ok := g.load(time.Second); !ok || load != 0 {
		t.Errorf("load %v, %t after a second without work", load, ok)
	}
}

func TestGroupsAreNotTooLarge(t *testing.T) {
	for n, want := range map[int][]int{groupSize: {groupSize}, groupSize + 1: {groupSize, 1}} {
		groups := groupLoops(nil, make([]*loop, n))
		for i, g := range groups {
			if len(groups) != len(want) || len(g.loops) != want[i] {
				t.Errorf("%d loops: group %d of %d has %d", n, i, len(groups), len(g.loops))
			}
		}
	}
}
