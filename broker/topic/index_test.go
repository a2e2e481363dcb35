package topic

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// sub is one call of Subscribe.
type sub struct {
	filter, s string
	Options
}

func TestMatchMergesOverlappingSubscriptions(t *testing.T) {
	tests := []struct {
		behaviour string
		subs      []sub
		want      Entry[string]
		ids       []uint32
	}{
		{
			"a single subscription stays as it is",
			[]sub{{"a/b", "s", Options{QoS: 1, NoLocal: true, ID: 7}}},
			Entry[string]{"s", Options{QoS: 1, NoLocal: true, ID: 7}}, []uint32{7},
		},
		{
			"the maximum QoS counts",
			[]sub{{"a/b", "s", Options{QoS: 1}}, {"a/+", "s", Options{QoS: 2}}, {"#", "s", Options{}}},
			Entry[string]{"s", Options{QoS: 2}}, nil,
		},
		{
			"no local only if all of them say so",
			[]sub{{"a/b", "s", Options{NoLocal: true}}, {"a/+", "s", Options{}}},
			Entry[string]{"s", Options{}}, nil,
		},
		{
			"no local if all of them say so",
			[]sub{{"a/b", "s", Options{NoLocal: true}}, {"a/b/#", "s", Options{NoLocal: true}}},
			Entry[string]{"s", Options{NoLocal: true}}, nil,
		},
		{
			"retain as published if one of them says so",
			[]sub{{"a/b", "s", Options{}}, {"a/+", "s", Options{RetainAsPublished: true}}},
			Entry[string]{"s", Options{RetainAsPublished: true}}, nil,
		},
		{
			"all identifiers, even equal ones",
			[]sub{
				{"a/b", "s", Options{ID: 3}},
				{"+/b", "s", Options{ID: 5}},
				{"a/#", "s", Options{ID: 3}},
				{"#", "s", Options{}},
			},
			Entry[string]{"s", Options{}}, []uint32{3, 3, 5},
		},
	}
	for _, tt := range tests {
		t.Run(tt.behaviour, func(t *testing.T) {
			x := indexOfSubs(tt.subs)
			var m Matches[string]
			x.Match([]byte("a/b"), &m)
			if len(m.Entries) != 1 {
				t.Fatalf("got %v", m.Entries)
			}
			if ids := idsOf(&m.Result, 0); !slices.Equal(ids, tt.ids) {
				t.Errorf("got identifiers %v, want %v", ids, tt.ids)
			}
			got := m.Entries[0]
			if len(tt.ids) != 1 {
				got.ID = 0
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestSubscribeReplacesAndReports(t *testing.T) {
	for _, filter := range []string{"a/b", "a/+", "#", "$share/g/a/b", "$share/g/#"} {
		t.Run(filter, func(t *testing.T) {
			x := NewIndex[string]()
			step := func(what string, got, want bool, changed bool, before uint64) {
				t.Helper()
				if got != want {
					t.Errorf("%s: existed is %v", what, got)
				}
				if (x.Generation() != before) != changed {
					t.Errorf("%s: the generation went from %d to %d", what, before, x.Generation())
				}
			}
			g := x.Generation()
			step("unsubscribe from nothing", x.Unsubscribe(filter, "s"), false, false, g)
			step("first", x.Subscribe(filter, "s", Options{}), false, true, g)
			g = x.Generation()
			step("same again", x.Subscribe(filter, "s", Options{}), true, false, g)
			step("other options", x.Subscribe(filter, "s", Options{QoS: 1}), true, true, g)
			g = x.Generation()
			step("unsubscribe another", x.Unsubscribe(filter, "other"), false, false, g)
			if x.Len() != 1 {
				t.Errorf("length %d", x.Len())
			}
			step("unsubscribe", x.Unsubscribe(filter, "s"), true, true, g)
			step("unsubscribe again", x.Unsubscribe(filter, "s"), false, false, x.Generation())
			if x.Len() != 0 || !x.root.empty() {
				t.Errorf("length %d and nodes left: %v", x.Len(), !x.root.empty())
			}
		})
	}
}

func TestSharedGroupsAreOneEachForNameAndFilter(t *testing.T) {
	x := indexOfSubs([]sub{
		{"$share/g/a/+", "1", Options{QoS: 1}},
		{"$share/g/a/+", "2", Options{QoS: 2}},
		{"$share/h/a/+", "1", Options{}},
		{"$share/g/#", "3", Options{}},
		{"$share/g/b", "3", Options{}},
		{"a/b", "1", Options{}},
	})
	var m Matches[string]
	x.Match([]byte("a/b"), &m)
	if len(m.Entries) != 1 {
		t.Errorf("got entries %v", m.Entries)
	}
	want := []string{"g # 3", "g a/+ 1 2", "h a/+ 1"}
	if got := describeGroups(m.Shared); !slices.Equal(got, want) {
		t.Errorf("got groups %q, want %q", got, want)
	}
	x.Unsubscribe("$share/g/a/+", "1")
	x.Unsubscribe("$share/h/a/+", "1")
	x.Match([]byte("a/b"), &m)
	if got, want := describeGroups(m.Shared), []string{"g # 3", "g a/+ 2"}; !slices.Equal(got, want) {
		t.Errorf("after unsubscribing got groups %q, want %q", got, want)
	}
}

func TestSharedGroupTakesTurns(t *testing.T) {
	x := indexOfSubs([]sub{{"$share/g/a", "1", Options{}}, {"$share/g/a", "2", Options{}}, {"$share/g/a", "3", Options{}}})
	var m Matches[string]
	x.Match([]byte("a"), &m)
	g := m.Shared[0]
	var got strings.Builder
	for range 7 {
		members := membersOf(g)
		got.WriteString(members[int(g.Next())%len(members)].Subscriber)
	}
	if got.String() != "1231231" {
		t.Errorf("got %s", got.String())
	}
	for _, s := range []string{"1", "2", "3"} {
		x.Unsubscribe("$share/g/a", s)
	}
	if len(membersOf(g)) != 0 {
		t.Errorf("a dissolved group has members %v", membersOf(g))
	}
}

func TestCloneOutlivesTheNextMatch(t *testing.T) {
	x := indexOfSubs([]sub{
		{"a", "1", Options{ID: 1}}, {"#", "1", Options{ID: 2}}, {"a", "2", Options{}},
		{"$share/g/a", "3", Options{}},
		{"b", "4", Options{}}, {"$share/h/b", "5", Options{}},
	})
	var m, again Matches[string]
	x.Match([]byte("a"), &m)
	kept := m.Clone()
	x.Match([]byte("b"), &m)
	x.Match([]byte("a"), &again)
	if !reflect.DeepEqual(kept, again.Result) {
		t.Errorf("got %+v, want %+v", kept, again.Result)
	}
}

func TestMatchForgetsFormerSubscribers(t *testing.T) {
	x := NewIndex[string]()
	for i := range 100 {
		x.Subscribe("a", fmt.Sprint(i), Options{})
		x.Subscribe("+", fmt.Sprint(i), Options{})
	}
	x.Subscribe("b/#", "b", Options{})
	var m Matches[string]
	x.Match([]byte("a"), &m)
	x.Match([]byte("b/c"), &m)
	for _, e := range m.Entries[1:cap(m.Entries)] {
		if e.Subscriber != "" {
			t.Fatalf("the memory of the matches still holds %q", e.Subscriber)
		}
	}
}

func TestDeepTopics(t *testing.T) {
	x := NewIndex[int]()
	name := strings.Repeat("/", MaxLen)
	filters := []string{
		name,
		"#",
		"+/#",
		strings.Repeat("/", MaxLen-1) + "#",
		strings.Repeat("/", MaxLen-1) + "+",
		strings.Repeat("+/", MaxLen/2) + "#",
		strings.Repeat("+/", MaxLen/2) + "+",
	}
	for i, f := range filters {
		x.Subscribe(f, i, Options{})
	}
	var m Matches[int]
	x.Match([]byte(name), &m)
	var got []int
	for _, e := range m.Entries {
		got = append(got, e.Subscriber)
	}
	slices.Sort(got)
	// The fifth ends one level, the last half of all levels too early.
	if want := []int{0, 1, 2, 3, 5}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for i, f := range filters {
		x.Unsubscribe(f, i)
	}
	if !x.root.empty() {
		t.Error("nodes are left")
	}
}

// model is the index as one would write it without a thought for its cost.
type model map[[2]string]Options // by filter and subscriber

func (mo model) match(name string) []string {
	type merged struct {
		Options
		ids []uint32
	}
	by := map[string]*merged{}
	groups := map[string][]string{}
	for k, o := range mo {
		group, rest := cutShared(k[0])
		if !matchLevels(rest, name) {
			continue
		}
		if group != "" {
			groups[group+" "+rest] = append(groups[group+" "+rest], k[1])
			continue
		}
		e := by[k[1]]
		if e == nil {
			e = &merged{Options: Options{NoLocal: true}}
			by[k[1]] = e
		}
		e.QoS = max(e.QoS, o.QoS)
		e.NoLocal = e.NoLocal && o.NoLocal
		e.RetainAsPublished = e.RetainAsPublished || o.RetainAsPublished
		if o.ID != 0 {
			e.ids = append(e.ids, o.ID)
		}
	}
	var all []string
	for s, e := range by {
		all = append(all, describe(s, e.Options, e.ids))
	}
	for g, members := range groups {
		slices.Sort(members)
		all = append(all, g+" "+strings.Join(members, " "))
	}
	slices.Sort(all)
	return all
}

func describe(s string, o Options, ids []uint32) string {
	slices.Sort(ids)
	return fmt.Sprint(s, " ", o.QoS, o.NoLocal, o.RetainAsPublished, ids)
}

func describeResult(r *Result[string]) []string {
	all := describeGroups(r.Shared)
	for i, e := range r.Entries {
		all = append(all, describe(e.Subscriber, e.Options, idsOf(r, i)))
	}
	slices.Sort(all)
	return all
}

// membersOf returns all members of a group, those who are online first.
func membersOf[S comparable](g *SharedGroup[S]) (all []Entry[S]) {
	for _, r := range []*Roster[S]{g.Online(), g.Offline()} {
		for i := range r.Len() {
			if e := r.At(i); e != nil {
				all = append(all, *e)
			}
		}
	}
	return all
}

func describeGroups(groups []*SharedGroup[string]) []string {
	var all []string
	for _, g := range groups {
		line := g.Name() + " " + g.Filter()
		members := membersOf(g)
		slices.SortFunc(members, func(a, b Entry[string]) int { return cmp.Compare(a.Subscriber, b.Subscriber) })
		for _, e := range members {
			line += " " + e.Subscriber
		}
		all = append(all, line)
	}
	slices.Sort(all)
	return all
}

func idsOf(r *Result[string], i int) []uint32 {
	ids := r.AppendIDs(nil, i)
	slices.Sort(ids)
	return ids
}

func indexOfSubs(subs []sub) *Index[string] {
	x := NewIndex[string]()
	for _, s := range subs {
		x.Subscribe(s.filter, s.s, s.Options)
	}
	return x
}

// randomTopic joins one to most of the levels.
func randomTopic(r *rand.Rand, levels []string, most int) string {
	parts := make([]string, 1+r.IntN(most))
	for i := range parts {
		parts[i] = levels[r.IntN(len(levels))]
	}
	return strings.Join(parts, "/")
}

func randomFilter(r *rand.Rand, levels []string) string {
	for {
		f := randomTopic(r, append([]string{"+", "#", "+"}, levels...), 4)
		if ValidateFilter(f) != nil {
			continue
		}
		if r.IntN(8) == 0 {
			f = fmt.Sprintf("$share/g%d/%s", r.IntN(2), f)
		}
		return f
	}
}

func randomOptions(r *rand.Rand) Options {
	o := Options{QoS: byte(r.IntN(3)), NoLocal: r.IntN(2) == 0, RetainAsPublished: r.IntN(2) == 0}
	if r.IntN(2) == 0 {
		o.ID = uint32(1 + r.IntN(5))
	}
	return o
}

// TestIndexBehavesLikeTheModel runs through populations of different shapes:
// few levels make crowded nodes, many make large tables; growing and shrinking
// alternate.
func TestIndexBehavesLikeTheModel(t *testing.T) {
	shapes := []struct {
		levels, subscribers int
	}{{2, 5}, {3, 60}, {1, 600}, {400, 3}, {12, 12}}
	for i, shape := range shapes {
		t.Run(fmt.Sprintf("%d levels %d subscribers", shape.levels, shape.subscribers), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			levels := []string{"", "$x"}
			for l := range shape.levels {
				levels = append(levels, fmt.Sprint("l", l))
			}
			x, mo := NewIndex[string](), model{}
			for step := range 6000 {
				growing := step/1500%2 == 0
				stepBoth(t, r, x, mo, randomFilter(r, levels), fmt.Sprint(r.IntN(shape.subscribers)), growing)
				if step%20 == 0 {
					compareMatch(t, x, mo, randomTopic(r, levels, 5))
				}
				if x.Len() != len(mo) {
					t.Fatalf("step %d: length %d, want %d", step, x.Len(), len(mo))
				}
			}
			for k := range mo {
				if !x.Unsubscribe(k[0], k[1]) {
					t.Fatalf("%q is not subscribed to %q", k[1], k[0])
				}
			}
			if !x.root.empty() {
				t.Error("nodes are left in an empty index")
			}
		})
	}
}

// stepBoth changes index and model alike, mostly towards growing or shrinking.
func stepBoth(t *testing.T, r *rand.Rand, x *Index[string], mo model, filter, s string, growing bool) {
	t.Helper()
	k := [2]string{filter, s}
	if growing != (r.IntN(8) == 0) {
		o := randomOptions(r)
		_, had := mo[k]
		mo[k] = o
		if got := x.Subscribe(filter, s, o); got != had {
			t.Fatalf("Subscribe(%q, %q) = %v", filter, s, got)
		}
		return
	}
	for known := range mo { // any one that exists
		k = known
		break
	}
	_, had := mo[k]
	delete(mo, k)
	if got := x.Unsubscribe(k[0], k[1]); got != had {
		t.Fatalf("Unsubscribe(%q, %q) = %v", k[0], k[1], got)
	}
}

func compareMatch(t *testing.T, x *Index[string], mo model, name string) {
	t.Helper()
	if name == "" {
		return
	}
	var m Matches[string]
	x.Match([]byte(name), &m)
	if got, want := describeResult(&m.Result), mo.match(name); !slices.Equal(got, want) {
		t.Fatalf("Match(%q)\ngot  %q\nwant %q", name, got, want)
	}
}

func TestMatchesIsReusedForAnyName(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	levels := []string{"", "$x", "a", "b"}
	x, mo := NewIndex[string](), model{}
	for range 2000 {
		stepBoth(t, r, x, mo, randomFilter(r, levels), fmt.Sprint(r.IntN(300)), true)
	}
	var m Matches[string]
	for range 2000 {
		name := randomTopic(r, levels, 5)
		if name == "" {
			continue
		}
		x.Match([]byte(name), &m)
		if got, want := describeResult(&m.Result), mo.match(name); !slices.Equal(got, want) {
			t.Fatalf("Match(%q)\ngot  %q\nwant %q", name, got, want)
		}
	}
}

// TestReadersLoseNothing lets readers match while a writer turns everything
// around them upside down. What the writer does not touch must always be
// there, what it changes must be there in an old or new form, and nothing else
// may come.
func TestReadersLoseNothing(t *testing.T) {
	const fixed, moving = 40, 400
	levels := []string{"", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"}
	r := rand.New(rand.NewPCG(5, 5))
	x := NewIndex[int]()
	filters := map[int]string{} // of the subscribers that stay
	for s := range fixed {
		filters[s] = strings.TrimPrefix(randomFilter(r, levels), "$share/")
		x.Subscribe(filters[s], s, Options{QoS: 2})
	}
	x.Subscribe("$share/g/#", 0, Options{QoS: 2})
	var done atomic.Bool
	var wg sync.WaitGroup
	for range max(2, runtime.GOMAXPROCS(0)) {
		seed := r.Uint64()
		wg.Go(func() { readWhile(t, &done, seed, x, levels, filters) })
	}
	for range 60000 {
		s := fixed + r.IntN(moving)
		filter := randomFilter(r, levels)
		if s%2 == 0 { // these crowd a few filters
			filter = []string{"#", "a/#", "+", "a/b", "$share/g/#"}[r.IntN(5)]
		}
		if r.IntN(2) == 0 {
			x.Subscribe(filter, s, Options{QoS: byte(r.IntN(2))})
		} else {
			x.Unsubscribe(filter, s)
		}
	}
	done.Store(true)
	wg.Wait()
}

func readWhile(t *testing.T, done *atomic.Bool, seed uint64, x *Index[int], levels []string, filters map[int]string) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 0))
	var m Matches[int]
	for !done.Load() {
		name := randomTopic(r, levels, 5)
		if name == "" {
			continue
		}
		x.Match([]byte(name), &m)
		qos := map[int]byte{}
		for _, e := range m.Entries {
			if _, twice := qos[e.Subscriber]; twice {
				t.Errorf("%q: subscriber %d stands there twice", name, e.Subscriber)
			}
			qos[e.Subscriber] = e.QoS
		}
		for s, f := range filters {
			if q, ok := qos[s]; ok != Match(f, name) || ok && q != 2 {
				t.Errorf("%q: subscriber %d of %q: found %v with QoS %d", name, s, f, ok, q)
				return
			}
			delete(qos, s)
		}
		for s, q := range qos {
			if s < len(filters) || q > 1 {
				t.Errorf("%q: subscriber %d with QoS %d is not possible", name, s, q)
			}
		}
		checkFixedMember(t, &m)
	}
}

// checkFixedMember looks for the member of $share/g/# that never leaves.
func checkFixedMember(t *testing.T, m *Matches[int]) {
	t.Helper()
	for _, g := range m.Shared {
		if g.Filter() == "#" && g.Name() == "g" && indexOf(membersOf(g), 0) >= 0 {
			return
		}
	}
	t.Error("a shared group lost a member")
}

func TestGenerationTellsThatACachedResultIsOld(t *testing.T) {
	x := NewIndex[int]()
	var latest atomic.Int64 // the QoS that was subscribed before the last return
	x.Subscribe("a", 1, Options{ID: 1})
	latest.Store(1)
	var wg sync.WaitGroup
	wg.Go(func() {
		for id := uint32(2); id < 20000; id++ {
			x.Subscribe("a", 1, Options{ID: id})
			latest.Store(int64(id))
		}
	})
	var m Matches[int]
	for latest.Load() < 19999 {
		generation := x.Generation()
		x.Match([]byte("a"), &m)
		before := latest.Load()
		if x.Generation() == generation && int64(m.Entries[0].ID) < before {
			t.Fatalf("the result has %d, %d was subscribed, and the generation is the same", m.Entries[0].ID, before)
		}
	}
	wg.Wait()
}

func TestMatchDoesNotAllocateInSteadyState(t *testing.T) {
	x := NewIndex[*int]()
	subscribers := make([]*int, 2000)
	for i := range subscribers {
		subscribers[i] = new(int)
		x.Subscribe("fleet/+/dev/#", subscribers[i], Options{ID: 1})
		x.Subscribe("fleet/7/dev/+", subscribers[i/2], Options{ID: 2})
		x.Subscribe(fmt.Sprintf("fleet/7/dev/%d", i), subscribers[i], Options{ID: 3})
		x.Subscribe("$share/g/fleet/#", subscribers[i], Options{})
	}
	x.Subscribe("few/#", subscribers[0], Options{ID: 1})
	x.Subscribe("few/+", subscribers[0], Options{ID: 1})
	for _, name := range []string{"fleet/7/dev/12", "few/a", "fleet/8/dev/12", "none"} {
		var m Matches[*int]
		b := []byte(name)
		x.Match(b, &m)
		if n := testing.AllocsPerRun(20, func() { x.Match(b, &m) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestMemoryComesBackUnderChurn(t *testing.T) {
	x := NewIndex[int]()
	churn := func(round int) {
		for i := range 5000 {
			x.Subscribe(fmt.Sprintf("fleet/%d/dev/%d/+", i%50, round*5000+i), i, Options{})
			x.Subscribe("all/#", i, Options{})
			x.Subscribe("$share/g/all", i%100, Options{})
		}
		for i := range 5000 {
			x.Unsubscribe(fmt.Sprintf("fleet/%d/dev/%d/+", i%50, round*5000+i), i)
			x.Unsubscribe("all/#", i)
			x.Unsubscribe("$share/g/all", i%100)
		}
	}
	churn(0)
	before := heapInUse()
	for round := range 5 {
		churn(round + 1)
	}
	if grown := heapInUse() - before; grown > 256<<10 {
		t.Errorf("%d bytes more after five rounds that left nothing", grown)
	}
	if !x.root.empty() {
		t.Error("nodes are left in an empty index")
	}
	runtime.KeepAlive(x)
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// FuzzIndex reads its input as a list of filters, one a line, and a name.
func FuzzIndex(f *testing.F) {
	f.Add("a/+\n#\n$share/g/a/#\n+/b", "a/b")
	f.Add("$x/#\n+/+\n/\n//#", "$x")
	f.Fuzz(func(t *testing.T, filters, name string) {
		if ValidateName(name) != nil {
			return
		}
		x, mo := NewIndex[string](), model{}
		for i, filter := range strings.Split(filters, "\n") {
			if _, _, _, err := ParseShared(filter); err != nil {
				continue
			}
			s, o := fmt.Sprint(i%3), Options{QoS: byte(i % 3), ID: uint32(i % 2)}
			mo[[2]string{filter, s}] = o
			x.Subscribe(filter, s, o)
		}
		compareMatch(t, x, mo, name)
		for k := range mo {
			x.Unsubscribe(k[0], k[1])
		}
		if !x.root.empty() || x.Len() != 0 {
			t.Errorf("nodes are left in an empty index")
		}
	})
}
