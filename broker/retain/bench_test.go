package retain

import (
	"fmt"
	"runtime"
	"testing"
)

const million = 1_000_000

func nameOf(i int) string { return fmt.Sprintf("fleet/%d/dev/%d/state", i%1000, i) }

func filled(n int) *Index[*int] {
	var x Index[*int]
	m := new(int)
	for i := range n {
		x.Set(nameOf(i*7919%n), m)
	}
	return &x
}

func BenchmarkIndex(b *testing.B) {
	for _, n := range []int{1000, million} {
		x := filled(n)
		names := make([]string, 1024)
		for i := range names {
			names[i] = nameOf(i * 104729 % n)
		}
		m := new(int)
		b.Run(fmt.Sprintf("get/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				x.Get(names[i%len(names)])
			}
		})
		b.Run(fmt.Sprintf("set known/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				x.Set(names[i%len(names)], m)
			}
		})
		b.Run(fmt.Sprintf("delete and set/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				x.Delete(names[i%len(names)])
				x.Set(names[i%len(names)], m)
			}
		})
		for _, filter := range []string{nameOf(7), "fleet/7/dev/7/+", "fleet/7/dev/+/state", "fleet/+/dev/7/state", "fleet/7/#", "#"} {
			b.Run(fmt.Sprintf("match %s/%d", filter, n), func(b *testing.B) {
				b.ReportAllocs()
				matches := 0
				for range b.N {
					x.Match(filter, func(string, *int) bool { matches++; return true })
				}
				b.ReportMetric(float64(matches)/float64(b.N), "matches")
			})
		}
	}
}

// BenchmarkMemory reports what a topic costs without its name and its message;
// the time is that of filling the index.
func BenchmarkMemory(b *testing.B) {
	names := make([]string, million)
	for i := range names {
		names[i] = nameOf(i)
	}
	m := new(int)
	for _, order := range []struct {
		name string
		step int
	}{{"in order of creation", 1}, {"scattered", 7919}} {
		b.Run(order.name, func(b *testing.B) {
			for range b.N {
				before := heapInUse()
				var x Index[*int]
				for i := range million {
					x.Set(names[i*order.step%million], m)
				}
				b.ReportMetric(float64(heapInUse()-before)/million, "bytes/topic")
				runtime.KeepAlive(&x)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/million, "ns/topic")
		})
	}
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
