package topic

import (
	"fmt"
	"hash/maphash"
	"strings"
	"testing"
)

// checkBucket holds a set against what bucket promises, and returns its depth.
func checkBucket(t *testing.T, b *bucket[int], isRoot bool) (depth int) {
	t.Helper()
	if b == nil {
		return 0
	}
	if b.kids == nil {
		if b.count != len(b.entries) || len(b.entries) == 0 || len(b.entries) > leafMost {
			t.Fatalf("a leaf counts %d of %d entries", b.count, len(b.entries))
		}
		return 1
	}
	sum := 0
	for _, kid := range b.kids {
		sum += kid.size()
		depth = max(depth, checkBucket(t, kid, false))
	}
	if b.entries != nil || sum != b.count || b.count < innerLeast {
		t.Fatalf("an inner bucket counts %d of %d entries, root: %t", b.count, sum, isRoot)
	}
	return depth + 1
}

// Leaves stay short, inner buckets go when they are not needed any more, and all entries are found
// on the way up and down.
func TestBucketsKeepTheirShape(t *testing.T) {
	seed := maphash.MakeSeed()
	const n = 3000
	var b *bucket[int]
	for i := range n {
		b = b.with(seed, Entry[int]{Subscriber: i, Options: Options{ID: uint32(i)}})
		if depth := checkBucket(t, b, true); (depth > 1) != (i+1 > leafMost) {
			t.Fatalf("%d entries are %d deep", i+1, depth)
		}
	}
	for i := range n { // replaced, not added
		b = b.with(seed, Entry[int]{Subscriber: i, Options: Options{ID: uint32(i + 1)}})
	}
	for left := n; left > 0; left-- {
		if checkBucket(t, b, true); b.size() != left {
			t.Fatalf("%d entries are left, want %d", b.size(), left)
		}
		gone := n - left
		if o, ok := b.get(seed, gone); !ok || o.ID != uint32(gone+1) {
			t.Fatalf("entry %d is %+v, %t", gone, o, ok)
		}
		b = b.without(seed, gone)
		if _, ok := b.get(seed, gone); ok {
			t.Fatalf("entry %d is still there", gone)
		}
	}
	if b != nil {
		t.Errorf("%d entries are left", b.size())
	}
}

// checkTable holds a table against its counts.
func checkTable(t *testing.T, table *table[int], live int) {
	t.Helper()
	nodes, used := 0, 0
	for at := range table.groups {
		g := &table.groups[at]
		tags := g.tags.Load()
		for slot := range groupSlots {
			tag := byte(tags >> (8 * slot))
			n := g.slots[slot].Load()
			if (n != nil) != (tag >= tagNode) {
				t.Fatalf("slot %d of group %d has tag %#x, a node: %t", slot, at, tag, n != nil)
			}
			if n != nil {
				nodes++
			}
			if tag != tagEmpty {
				used++
			}
		}
	}
	if nodes != live || table.live != live || table.used != used {
		t.Fatalf("%d nodes of %d, counted %d; %d slots in use, counted %d", nodes, live, table.live, used, table.used)
	}
}

// A table has room for what it is made for, and says when it is full and when it is too large.
func TestTablesFitTheirNodes(t *testing.T) {
	for _, tc := range []struct{ nodes, groups int }{
		{0, 1}, {1, 1}, {5, 1}, {6, 2}, {10, 2}, {11, 4}, {20, 4}, {21, 8}, {1000, 256},
	} {
		if got := len(newTable[int](tc.nodes).groups); got != tc.groups {
			t.Errorf("a table for %d nodes has %d groups, want %d", tc.nodes, got, tc.groups)
		}
	}
	seed := maphash.MakeSeed()
	table := newTable[int](1)
	var all []*node[int]
	add := func() {
		n := &node[int]{name: fmt.Sprint("level", len(all))}
		all = append(all, n)
		table.insert(hashLevel(seed, []byte(n.name)), n)
	}
	for range groupSlots {
		if table.full() {
			t.Fatalf("full with %d nodes", len(all))
		}
		add()
	}
	if !table.full() || table.sparse() {
		t.Error("a table of one group is not full, or too large")
	}
	table = table.resized(seed, 1)
	if len(table.groups) != 2 || table.full() {
		t.Fatalf("%d groups, full: %t", len(table.groups), table.full())
	}
	for !table.full() { // a search ends at an empty slot, of which there is one a group
		add()
	}
	if len(all) != 2*(groupSlots-1) {
		t.Errorf("two groups are full with %d nodes", len(all))
	}
	for i, n := range all {
		checkTable(t, table, len(all)-i)
		if got := table.find(hashLevel(seed, []byte(n.name)), []byte(n.name)); got != n {
			t.Fatalf("node %d is not found", i)
		}
		if want := len(all)-i <= 2; table.sparse() != want {
			t.Errorf("with %d nodes in two groups the table is too large: %t", len(all)-i, table.sparse())
		}
		table.remove(hashLevel(seed, []byte(n.name)), n)
		if got := table.find(hashLevel(seed, []byte(n.name)), []byte(n.name)); got != nil {
			t.Fatalf("node %d is found after it was removed", i)
		}
	}
	checkTable(t, table, 0)
}

// A long topic is cut in a message, and one that fits is not.
func TestErrorsQuoteTopicsUpToALength(t *testing.T) {
	for n, cut := range map[int]bool{127: false, 128: false, 129: true, 65535: true} {
		name := strings.Repeat("x", n-1) + "+"
		err := ValidateName(name)
		if err == nil || strings.Contains(err.Error(), `"...`) != cut || len(err.Error()) > 200 {
			t.Errorf("%d bytes: %v", n, err)
		}
		if !cut && !strings.Contains(err.Error(), name) {
			t.Errorf("%d bytes are not all there: %v", n, err)
		}
	}
}

// [MQTT-4.7.3-3]
func TestTopicsHaveAGreatestLength(t *testing.T) {
	longest, longer := strings.Repeat("x", 65535), strings.Repeat("x", 65536)
	if ValidateName(longest) != nil || ValidateFilter(longest) != nil || ValidateName(longer) == nil || ValidateFilter(longer) == nil {
		t.Error("the greatest length is another one")
	}
	shared := "$share/g/" + strings.Repeat("x", 65535-len("$share/g/"))
	if _, _, _, err := ParseShared(shared); err != nil {
		t.Error(err)
	}
	if group, rest, isShared, err := ParseShared(shared + "x"); err == nil || group != "" || rest != "" || !isShared {
		t.Errorf("%q, %d bytes, shared %t: %v", group, len(rest), isShared, err)
	}
}
