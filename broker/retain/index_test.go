package retain

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/topic"
)

func TestSetGetDelete(t *testing.T) {
	var x Index[int]
	if _, ok := x.Get("a"); ok {
		t.Error("the zero value is not empty")
	}
	if _, had := x.Set("a", 1); had {
		t.Error("the first Set replaced something")
	}
	if old, had := x.Set("a", 2); !had || old != 1 {
		t.Errorf("the second Set replaced %v, %v", old, had)
	}
	if m, ok := x.Get("a"); !ok || m != 2 {
		t.Errorf("got %v, %v", m, ok)
	}
	if _, had := x.Delete("b"); had {
		t.Error("deleted what is not there")
	}
	if old, had := x.Delete("a"); !had || old != 2 {
		t.Errorf("deleted %v, %v", old, had)
	}
	if x.Len() != 0 {
		t.Errorf("length %d", x.Len())
	}
}

func TestMatch(t *testing.T) {
	names := []string{
		"$SYS/a", "$SYS/b/c", "/", "//", "/a", "a", "a!", "a!/b", "a/", "a/b", "a/b!", "a/b!/c", "a/b/c", "a/b0", "a0", "b", "b/b", "b/b/c",
	}
	tests := []struct {
		behaviour, filter, want string
	}{
		{"a name alone", "a/b", "a/b"},
		{"a name that is not there", "a/c", ""},
		{"everything but dollar topics", "#", "/ // /a a a! a!/b a/ a/b a/b! a/b!/c a/b/c a/b0 a0 b b/b b/b/c"},
		{"a dollar topic by name", "$SYS/#", "$SYS/a $SYS/b/c"},
		{"a first wildcard leaves dollar topics out", "+/b/c", "a/b/c b/b/c"},
		{"the parent, its children, no namesakes", "a/#", "a a/ a/b a/b! a/b!/c a/b/c a/b0"},
		{"one level", "+", "a a! a0 b"},
		{"one level below", "a/+", "a/ a/b a/b! a/b0"},
		{"a level below any", "+/b", "a!/b a/b b/b"},
		{"empty levels", "/+", "/ /a"},
		{"two empty levels", "//", "//"},
		{"a wildcard between", "a/+/c", "a/b!/c a/b/c"},
		{"parents below any", "+/b/#", "a!/b a/b a/b/c b/b b/b/c"},
	}
	var x Index[int]
	for i, n := range names {
		x.Set(n, i)
	}
	for _, tt := range tests {
		t.Run(tt.behaviour, func(t *testing.T) {
			var got []string
			x.Match(tt.filter, func(name string, m int) bool {
				if names[m] != name {
					t.Errorf("%q has the message of %q", name, names[m])
				}
				got = append(got, name)
				return true
			})
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestMatchStopsWhenToldTo(t *testing.T) {
	var x Index[int]
	for i := range 1000 {
		x.Set(fmt.Sprintf("a/%03d", i), i)
	}
	for _, stop := range []int{1, batchMost, batchMost + 1, 500} {
		calls := 0
		x.Match("a/+", func(string, int) bool {
			calls++
			return calls < stop
		})
		if calls != stop {
			t.Errorf("%d calls, want %d", calls, stop)
		}
	}
}

func TestYieldMayChangeTheIndex(t *testing.T) {
	var x Index[int]
	for i := range 1000 {
		x.Set(fmt.Sprintf("a/%03d", i), i)
	}
	var got []int
	x.Match("#", func(name string, m int) bool {
		got = append(got, m)
		x.Delete(name)
		x.Set("0/"+name, m) // comes before, so it is not seen
		return true
	})
	if len(got) != 1000 || !slices.IsSorted(got) || x.Len() != 1000 {
		t.Errorf("got %d messages, %d are left", len(got), x.Len())
	}
}

// TestMatchLooksOnlyAtWhatCanMatch counts the names that a scan looks at.
func TestMatchLooksOnlyAtWhatCanMatch(t *testing.T) {
	var x Index[int]
	for i := range 100 {
		for j := range 100 {
			for _, leaf := range []string{"a", "b", "c", "d"} {
				x.Set(fmt.Sprintf("site/%02d/dev/%02d/%s", i, j, leaf), 0)
			}
		}
	}
	tests := []struct {
		filter  string
		matches int
		most    int
	}{
		{"site/07/dev/12/b", 1, 2},
		{"site/07/dev/12/+", 4, 5},
		{"site/07/#", 400, 401},
		{"site/07/dev/+/b", 100, 301},
		{"site/+/dev/12/b", 100, 301},
		{"site/+/none/#", 0, 201},
		{"none/#", 0, 1},
		{"#", 40000, 40000},
	}
	for _, tt := range tests {
		t.Run(tt.filter, func(t *testing.T) {
			s := scan{filter: tt.filter}
			s.start()
			looks, matches := 0, 0
			p, _ := seek(&x.list, s.from)
			for it := x.list.at(p); it != nil && !s.done; it = x.list.at(p) {
				looks++
				if s.check(it.name) {
					matches++
				}
				p = x.list.advance(p, s.from)
			}
			if matches != tt.matches || looks > tt.most {
				t.Errorf("%d matches, %d looks", matches, looks)
			}
		})
	}
}

// The bytes around '/' and '$' are those that order and nesting disagree about.
var alphabet = []string{"", "a", "b", "a!", "a0", "$", "$x", "%", "b.", "0", "ab"}

func randomTopic(r *rand.Rand, levels []string) string {
	for {
		parts := make([]string, 1+r.IntN(4))
		for i := range parts {
			parts[i] = levels[r.IntN(len(levels))]
		}
		if s := strings.Join(parts, "/"); topic.ValidateFilter(s) == nil {
			return s
		}
	}
}

// TestIndexBehavesLikeTheModel compares with a map and topic.Match while the
// index grows and shrinks.
func TestIndexBehavesLikeTheModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var x Index[int]
	model := map[string]int{}
	wild := append([]string{"+", "+", "#"}, alphabet...)
	for step := range 40000 {
		name := randomTopic(r, alphabet)
		_, want := model[name]
		if (step/8000%2 == 0) != (r.IntN(5) == 0) {
			if old, had := x.Set(name, step); had != want || old != model[name] {
				t.Fatalf("Set(%q) = %v, %v", name, old, had)
			}
			model[name] = step
		} else {
			if old, had := x.Delete(name); had != want || old != model[name] {
				t.Fatalf("Delete(%q) = %v, %v", name, old, had)
			}
			delete(model, name)
		}
		if x.Len() != len(model) {
			t.Fatalf("length %d, want %d", x.Len(), len(model))
		}
		if step%100 == 0 {
			compare(t, &x, model, randomTopic(r, wild))
		}
	}
	for name := range model {
		x.Delete(name)
	}
	if x.Len() != 0 || len(x.list.chunks) != 0 {
		t.Errorf("length %d, %d chunks", x.Len(), len(x.list.chunks))
	}
}

func compare(t *testing.T, x *Index[int], model map[string]int, filter string) {
	t.Helper()
	var got, want []string
	x.Match(filter, func(name string, m int) bool {
		if m != model[name] {
			t.Errorf("%q has %d, want %d", name, m, model[name])
		}
		got = append(got, name)
		return true
	})
	for name := range model {
		if topic.Match(filter, name) {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("Match(%q)\ngot  %q\nwant %q", filter, got, want)
	}
	compareFrom(t, x, filter, want)
}

// compareFrom begins the match of filter, which finds all, in many places.
func compareFrom(t *testing.T, x *Index[int], filter string, all []string) {
	t.Helper()
	places := []string{"", "\xff", filter}
	for _, name := range all[:min(len(all), 50)] {
		places = append(places, name, name+"\x00")
	}
	for _, from := range places {
		var got []string
		x.MatchFrom(filter, from, func(name string, _ int) bool {
			got = append(got, name)
			return true
		})
		first, _ := slices.BinarySearch(all, from)
		if want := all[first:]; !slices.Equal(got, want) {
			t.Fatalf("MatchFrom(%q, %q)\ngot  %q\nwant %q", filter, from, got, want)
		}
	}
}

// TestReadersSeeWhatStays lets readers match while writers set and delete.
func TestReadersSeeWhatStays(t *testing.T) {
	var x Index[int]
	const fixed = 300
	for i := range fixed {
		x.Set(fmt.Sprintf("dev/%03d/fixed", i), i)
	}
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range max(2, runtime.GOMAXPROCS(0)) {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				last, next := "", 0
				x.Match("dev/#", func(name string, m int) bool {
					if name <= last {
						t.Errorf("%q comes after %q", name, last)
					}
					if last = name; strings.HasSuffix(name, "fixed") {
						if m != next {
							t.Errorf("got %d, want %d", m, next)
						}
						next++
					}
					return true
				})
				if next != fixed {
					t.Errorf("saw %d messages", next)
				}
			}
		})
	}
	for w := range 2 {
		r := rand.New(rand.NewPCG(uint64(w), 9))
		writers.Go(func() {
			for range 20000 {
				name := fmt.Sprintf("dev/%03d/moving/%d/%d", r.IntN(fixed), w, r.IntN(20))
				if r.IntN(2) == 0 {
					x.Set(name, r.Int())
				} else {
					x.Delete(name)
				}
				x.Get(name)
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}

func TestLookupsDoNotAllocate(t *testing.T) {
	var x Index[*int]
	m := new(int)
	for i := range 1000 {
		x.Set(fmt.Sprintf("a/%d", i), m)
	}
	if n := testing.AllocsPerRun(100, func() {
		x.Get("a/500")
		x.Set("a/501", m)
	}); n != 0 {
		t.Errorf("Get and Set of a known name: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		x.Match("a/#", func(string, *int) bool { return true })
	}); n > 4 {
		t.Errorf("Match of a thousand: %v allocations", n)
	}
}

// FuzzMatch reads its input as names, one a line, and a filter.
func FuzzMatch(f *testing.F) {
	f.Add("a\na/b\na!/b\n$x\n/", "a/#")
	f.Add("a/b/c\na/b0\n//\nb/b/c", "+/b/+")
	f.Fuzz(func(t *testing.T, names, filter string) {
		if topic.ValidateFilter(filter) != nil {
			return
		}
		var x Index[int]
		model := map[string]int{}
		for i, name := range strings.Split(names, "\n") {
			if topic.ValidateName(name) == nil {
				x.Set(name, i)
				model[name] = i
			}
		}
		compare(t, &x, model, filter)
	})
}

func TestPagesHaveEachMessageOnce(t *testing.T) {
	var x Index[string]
	const n = 1000
	for i := range n {
		name := fmt.Sprintf("t/%04d", i)
		x.Set(name, name)
	}
	for _, size := range []int{1, 7, n, n + 1} {
		var all []string
		for from := ""; ; {
			before := len(all)
			from = x.Page(from, size, func(name, m string) {
				if name != m {
					t.Errorf("%q has the message of %q", name, m)
				}
				all = append(all, m)
			})
			if n := len(all) - before; n > size {
				t.Fatalf("%d messages on a page of %d", n, size)
			}
			if from == "" {
				break
			}
		}
		if len(all) != n || !slices.IsSorted(all) {
			t.Errorf("%d messages on pages of %d, want %d in order", len(all), size, n)
		}
	}
}
