package retain

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// checkList holds a list against what its comments promise.
func checkList(t *testing.T, l *list[int]) {
	t.Helper()
	var names []string
	for i, chunk := range l.chunks {
		if len(chunk) == 0 || len(chunk) > chunkMost {
			t.Fatalf("chunk %d of %d has %d items", i, len(l.chunks), len(chunk))
		}
		for _, it := range chunk {
			names = append(names, it.name)
		}
	}
	if len(names) != l.length || !slices.IsSorted(names) {
		t.Fatalf("%d items, length %d, sorted: %t", len(names), l.length, slices.IsSorted(names))
	}
}

// Chunks are filled and joined, so that a list of n items never has many more chunks than it needs,
// however it came to be.
func TestChunksStayFull(t *testing.T) {
	const n = 5000
	name := func(i int) string { return fmt.Sprintf("t/%05d", i) }
	ascending := make([]int, n)
	for i := range ascending {
		ascending[i] = i
	}
	descending := slices.Clone(ascending)
	slices.Reverse(descending)
	shuffled := rand.New(rand.NewPCG(1, 1)).Perm(n)
	for what, order := range map[string][]int{"ascending": ascending, "descending": descending, "shuffled": shuffled} {
		t.Run(what, func(t *testing.T) {
			var x Index[int]
			for step, i := range order {
				x.Set(name(i), i)
				if step%97 == 0 {
					checkList(t, &x.list)
				}
			}
			checkList(t, &x.list)
			// Halves of full chunks at worst, and full ones where names come in their order.
			most := n/(chunkMost/2) + 1
			if what == "ascending" {
				most = n/chunkMost + 1
			}
			if len(x.list.chunks) > most {
				t.Errorf("%d chunks hold %d items, want %d at most", len(x.list.chunks), n, most)
			}
			for step, i := range order {
				x.Delete(name(i))
				if step%97 == 0 {
					checkList(t, &x.list)
					checkJoined(t, &x.list)
				}
			}
			if len(x.list.chunks) != 0 || cap(x.list.chunks) > 64 {
				t.Errorf("%d chunks are left, with room for %d", len(x.list.chunks), cap(x.list.chunks))
			}
		})
	}
}

// checkJoined: two neighbours of which one has become small are longer together than one chunk
// that is left room to grow.
func checkJoined(t *testing.T, l *list[int]) {
	t.Helper()
	for i := range len(l.chunks) - 1 {
		a, b := len(l.chunks[i]), len(l.chunks[i+1])
		if min(a, b) < chunkMost/4 && a+b <= chunkJoin {
			t.Fatalf("chunks of %d and %d items stand side by side", a, b)
		}
	}
}

// Readers wait for a writer, and a writer for readers: the lock is held for so many matches and so
// many names that do not match, and no more.
func TestTheLockIsHeldForFewNames(t *testing.T) {
	var x Index[int]
	for i := range 2000 {
		x.Set(fmt.Sprintf("%04d/a", i), i)
	}
	batch := make([]item[int], batchMost)
	for filter, want := range map[string]struct {
		matches int
		next    string // where the scan goes on
	}{
		"+/a": {batchMost, fmt.Sprintf("%04d/a", batchMost)},
		"+/b": {0, fmt.Sprintf("%04d/a", looksMost)},
	} {
		s := scan{filter: filter}
		s.start()
		n := x.collect(&s, batch)
		p, _ := seek(&x.list, s.from)
		if n != want.matches || s.done || x.list.at(p).name != want.next {
			t.Errorf("%q: %d matches, done %t, goes on at %q, want %d and %q", filter, n, s.done, x.list.at(p).name, want.matches, want.next)
		}
	}
}

// A page ends where it is full, and says where the next one begins.
func TestPageSaysWhereTheNextOneBegins(t *testing.T) {
	var x Index[int]
	for i, name := range []string{"a", "b", "c"} {
		x.Set(name, i)
	}
	for _, tc := range []struct {
		from string
		n    int
		want []int
		next string
	}{
		{"", 0, nil, "a"}, {"", 1, []int{0}, "b"}, {"", 3, []int{0, 1, 2}, ""}, {"b", 1, []int{1}, "c"},
		{"bb", 5, []int{2}, ""}, {"c", 1, []int{2}, ""}, {"d", 1, nil, ""},
	} {
		var got []int
		if next := x.Page(tc.from, tc.n, func(_ string, m int) { got = append(got, m) }); next != tc.next || !slices.Equal(got, tc.want) {
			t.Errorf("from %q: %v, the next begins at %q; want %v and %q", tc.from, got, next, tc.want, tc.next)
		}
	}
}
