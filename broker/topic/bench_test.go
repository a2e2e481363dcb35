package topic

import (
	"fmt"
	"runtime"
	"testing"
)

var sizes = []int{1_000, 100_000, 1_000_000}

// populations are ways to spread n filters; filter gives the i-th and name a
// topic name that it matches.
var populations = []struct {
	name          string
	filter, topic func(i int) string
}{
	{
		"exact",
		func(i int) string { return fmt.Sprintf("fleet/%d/dev/%d/temperature", i%1000, i) },
		func(i int) string { return fmt.Sprintf("fleet/%d/dev/%d/temperature", i%1000, i) },
	},
	{
		"wildcard",
		func(i int) string { return fmt.Sprintf("fleet/%d/dev/%d/+", i%1000, i) },
		func(i int) string { return fmt.Sprintf("fleet/%d/dev/%d/temperature", i%1000, i) },
	},
	{
		"mixed",
		func(i int) string {
			return fmt.Sprintf([]string{
				"fleet/%d/dev/%d/temperature", "fleet/%d/dev/%d/+", "fleet/%d/dev/%d/#", "fleet/%d/+/%d/state",
			}[i%4], i%1000, i)
		},
		func(i int) string { return fmt.Sprintf("fleet/%d/dev/%d/temperature", i%1000, i) },
	},
	{
		"one level",
		func(i int) string { return fmt.Sprintf("cmd/%d", i) },
		func(i int) string { return fmt.Sprintf("cmd/%d", i) },
	},
}

// BenchmarkMatch looks 1024 names up in turn that are spread over the filters.
func BenchmarkMatch(b *testing.B) {
	for _, p := range populations {
		for _, n := range sizes {
			b.Run(fmt.Sprintf("%s/%d", p.name, n), func(b *testing.B) {
				x := NewIndex[*int]()
				for i := range n {
					x.Subscribe(p.filter(i), new(int), Options{})
				}
				benchmarkMatch(b, x, func(i int) string { return p.topic(i * 7919 % n) })
			})
		}
	}
}

// BenchmarkMatchManyWildcards has a subscriber for each of 20,000 filters with
// wildcards in different levels; one of them matches each name.
func BenchmarkMatchManyWildcards(b *testing.B) {
	x := NewIndex[*int]()
	for i := range 20_000 {
		format := []string{"site/%d/+/%d/#", "site/+/line/%[2]d/+", "site/%[1]d/line/%[2]d/#", "+/line/%[2]d/state"}[i%4]
		x.Subscribe(fmt.Sprintf(format, i%100, i), new(int), Options{})
	}
	benchmarkMatch(b, x, func(i int) string {
		i = i * 7919 % 20_000
		return fmt.Sprintf("site/%d/line/%d/state", i%100, i)
	})
}

func benchmarkMatch(b *testing.B, x *Index[*int], topic func(i int) string) {
	b.Helper()
	names := make([][]byte, 1024)
	for i := range names {
		names[i] = []byte(topic(i))
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		var m Matches[*int]
		for i := 0; pb.Next(); i++ {
			x.Match(names[i%len(names)], &m)
		}
	})
}

func BenchmarkMatchFanOut(b *testing.B) {
	for _, n := range []int{10, 10_000, 1_000_000} {
		for _, overlap := range []int{0, 1, n / 2} {
			b.Run(fmt.Sprintf("%d subscribers %d twice", n, overlap), func(b *testing.B) {
				x := NewIndex[*int]()
				for i := range n {
					s := new(int)
					x.Subscribe("news/#", s, Options{})
					if i < overlap {
						x.Subscribe("news/today", s, Options{})
					}
				}
				x.Subscribe("#", new(int), Options{})
				var m Matches[*int]
				name := []byte("news/today")
				x.Match(name, &m)
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					x.Match(name, &m)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(m.Entries)), "ns/entry")
			})
		}
	}
}

func BenchmarkChurn(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("distinct filters/%d", n), func(b *testing.B) {
			x := NewIndex[*int]()
			for i := range n {
				x.Subscribe(fmt.Sprintf("fleet/%d/dev/%d/+", i%1000, i), new(int), Options{})
			}
			benchmarkChurn(b, x, func(i int) string { return fmt.Sprintf("fleet/%d/dev/%d/+", i%1000, n+i) })
		})
		b.Run(fmt.Sprintf("one filter/%d", n), func(b *testing.B) {
			x := NewIndex[*int]()
			for range n {
				x.Subscribe("news/#", new(int), Options{})
			}
			benchmarkChurn(b, x, func(int) string { return "news/#" })
		})
	}
}

// benchmarkChurn subscribes 256 more and unsubscribes them again.
func benchmarkChurn(b *testing.B, x *Index[*int], filter func(i int) string) {
	b.Helper()
	filters, subscribers := make([]string, 256), make([]*int, 256)
	for i := range filters {
		filters[i], subscribers[i] = filter(i), new(int)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		k := i / 2 % len(filters)
		if i%2 == 0 {
			x.Subscribe(filters[k], subscribers[k], Options{})
		} else {
			x.Unsubscribe(filters[k], subscribers[k])
		}
	}
}

// BenchmarkMemory reports what a subscription costs; the time is that of
// filling the index.
func BenchmarkMemory(b *testing.B) {
	filters := map[string]func(i int) string{
		"one filter":     func(int) string { return "news/#" },
		"one group":      func(i int) string { return fmt.Sprintf("$share/g/news/%d", i/1000) },
		"exact fan-in 4": func(i int) string { return fmt.Sprintf("fleet/%d/%d", i/4, i%4) },
	}
	for _, p := range populations {
		filters[p.name] = p.filter
	}
	const n = 1_000_000
	subscribers := make([]*int, n)
	for i := range subscribers {
		subscribers[i] = new(int)
	}
	for name, filter := range filters {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				before := heapInUse()
				x := NewIndex[*int]()
				for i := range n {
					x.Subscribe(filter(i), subscribers[i], Options{})
				}
				b.ReportMetric(float64(heapInUse()-before)/n, "bytes/subscription")
				runtime.KeepAlive(x)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/subscription")
		})
	}
}
