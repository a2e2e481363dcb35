package server

import (
	"math"
	"testing"
	"time"
)

func TestTheMemoryLimitIsThatOfTheControlGroup(t *testing.T) {
	const meminfo = "MemTotal:       16384 kB\nMemFree:        1024 kB\n"
	for name, tc := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing is known": {nil, 0},
		"no limit: half of the machine": {map[string]string{
			"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/\n",
		}, 8 << 20},
		"a container": {map[string]string{
			"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "1000000\n",
		}, 800000},
		"a process of the host: the least of those above": {map[string]string{
			"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max": "max\n",
			"/sys/fs/cgroup/a/memory.max": "1000000\n", "/sys/fs/cgroup/memory.max": "2000000\n",
		}, 800000},
		"the first version of control groups": {map[string]string{
			"/proc/meminfo": meminfo, "/proc/self/cgroup": "5:cpu:/x\n4:memory:/x\n",
			"/sys/fs/cgroup/memory/memory.limit_in_bytes": "1000000\n",
		}, 800000},
		"a limit above the machine's memory is none": {map[string]string{
			"/proc/meminfo": meminfo, "/proc/self/cgroup": "4:memory:/\n",
			"/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 8 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			if got := memoryLimit(func(name string) string { return tc.files[name] }); got != tc.want {
				t.Errorf("%d, want %d", got, tc.want)
			}
		})
	}
}

// TestAllQueuesTogetherFit: as many as there may be, each filled as far as it may
// when what is used is looked at after each step.
func TestAllQueuesTogetherFit(t *testing.T) {
	if got := (share{1 << 40, 0}).room(usable); got != math.MaxInt64 {
		t.Errorf("without a limit there is room for %d", got)
	}
	for _, queues := range []int{1, 10, 10000} {
		const limit, step = 1 << 30, 4 << 10
		held := make([]int64, queues)
		used := int64(0)
		for grew := true; grew; {
			grew = false
			for i := range held {
				if room := (share{used, limit}).room(usable); held[i]+step <= room {
					held[i], used, grew = held[i]+step, used+step, true
				}
			}
		}
		if float64(used) > usable*limit {
			t.Errorf("%d queues hold %d of %d", queues, used, limit)
		}
		if queues >= 100 && used < limit/2 {
			t.Errorf("%d queues may hold %d alone", queues, used)
		}
	}
}

// TestAMeasurementThatIsLongAgoIsRepeated: what was let go of meanwhile counts no
// more.
func TestAMeasurementThatIsLongAgoIsRepeated(t *testing.T) {
	now, repeated := time.Unix(1000, 0), false
	var cycles uint64
	g := gauge{read: func() (int64, uint64) {
		if repeated {
			return 10, cycles
		}
		return 80, cycles
	}}
	cycles = 1
	if got := g.used(now, 100); got != 80 {
		t.Fatalf("used %d", got)
	}
	repeated = true
	if got := g.used(now.Add(measureEvery), 100); got != 10 {
		t.Errorf("used %d", got)
	}
}
