package topic

import (
	"slices"
	"strings"
	"testing"
)

//mqtt:3.1.1 4.7.2-1 4.7.3-4
//mqtt:5.0 4.7.2-1 4.7.3-4
func TestMatch(t *testing.T) {
	tests := []struct {
		filter, name string
		want         bool
	}{
		// The examples of sections 4.7.1 and 4.7.2.
		{"sport/tennis/player1/#", "sport/tennis/player1", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
		{"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/tennis/player1/#", "sport/tennis/player11", false},
		{"sport/#", "sport", true},
		{"#", "sport/tennis", true},
		{"sport/tennis/+", "sport/tennis/player1", true},
		{"sport/tennis/+", "sport/tennis/player1/ranking", false},
		{"sport/+", "sport", false},
		{"sport/+", "sport/", true},
		{"+/+", "/finance", true},
		{"/+", "/finance", true},
		{"+", "/finance", false},
		{"#", "$SYS/monitor/Clients", false},
		{"+/monitor/Clients", "$SYS/monitor/Clients", false},
		{"$SYS/#", "$SYS/monitor/Clients", true},
		{"$SYS/monitor/+", "$SYS/monitor/Clients", true},
		// Others.
		{"a/b", "a/b", true},
		{"a/b", "a/B", false},
		{"a/b", "a/b/", false},
		{"a/b/", "a/b", false},
		{"a", "aa", false},
		{"aa", "a", false},
		{"+/#", "a", true},
		{"+/+/#", "a", false},
		{"/#", "/", true},
		{"/#", "a", false},
		{"a/+/c", "a//c", true},
		{"a/+/#", "a/$x", true},
		{"+/$x", "a/$x", true},
		{"#", "/", true},
		{"#", "a$", true},
	}
	for _, tt := range tests {
		t.Run(tt.filter+" on "+tt.name, func(t *testing.T) {
			if got := Match(tt.filter, tt.name); got != tt.want {
				t.Errorf("got %v", got)
			}
			if got := Match(tt.filter, []byte(tt.name)); got != tt.want {
				t.Errorf("got %v for bytes", got)
			}
			if got := matchLevels(tt.filter, tt.name); got != tt.want {
				t.Errorf("the oracle says %v", got)
			}
		})
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	name := []byte("fleet/7/dev/12/state")
	if n := testing.AllocsPerRun(100, func() { Match("fleet/+/dev/#", name) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestCovers(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"#", "a/+/#", true},
		{"#", "+", true},
		{"#", "$SYS/a", false},
		{"#", "$SYS/#", false},
		{"+/#", "$SYS/#", false},
		{"$SYS/#", "$SYS/+/a", true},
		{"$SYS/#", "#", false},
		{"+/#", "#", true},
		{"+/+/#", "#", false},
		{"a/+/#", "a/#", false},
		{"a/#", "a/+/#", true},
		{"a/#", "a", true},
		{"a/#", "b", false},
		{"a/+", "a/b", true},
		{"a/+", "a/$b", true},
		{"a/b", "a/+", false},
		{"a/+", "a/#", false},
		{"a/+", "a", false},
		{"a", "a/+", false},
		{"a/b", "a/b", true},
		{"+/b", "a/b", true},
		{"+/+", "+/b", true},
		{"+/b", "+/+", false},
	}
	for _, tt := range tests {
		t.Run(tt.a+" over "+tt.b, func(t *testing.T) {
			if got := Covers(tt.a, tt.b); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestOverlaps(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"#", "a", true},
		{"#", "$SYS/a", false},
		{"+/a", "$SYS/a", false},
		{"$SYS/+", "$SYS/a", true},
		{"a/#", "a", true},
		{"a/#", "+", true},
		{"a/#", "+/b/#", true},
		{"a/#", "b/#", false},
		{"a/+", "+/b", true},
		{"a/+", "a", false},
		{"+", "/", false},
		{"a/+/#", "a", false},
		{"a/b/c", "a/+/d", false},
	}
	for _, tt := range tests {
		t.Run(tt.a+" and "+tt.b, func(t *testing.T) {
			if got := Overlaps(tt.a, tt.b); got != tt.want {
				t.Errorf("got %v", got)
			}
			if got := Overlaps(tt.b, tt.a); got != tt.want {
				t.Errorf("got %v the other way round", got)
			}
		})
	}
}

// TestRelationsOverAllSmallFilters compares the relations with what they say,
// spelled out over every short topic name of a small alphabet. Names go one
// level deeper than filters and have levels that no filter has, so that they
// tell apart whatever filters of this size can.
func TestRelationsOverAllSmallFilters(t *testing.T) {
	names := sequences([]string{"", "a", "$", "$a", "z", "zz"}, 4)
	names = slices.DeleteFunc(names, func(s string) bool { return s == "" })
	filters := sequences([]string{"", "a", "$", "$a", "+", "#"}, 3)
	filters = slices.DeleteFunc(filters, func(s string) bool { return !levelsValid(s) })
	matched := make([][]bool, len(filters))
	for i, f := range filters {
		for _, n := range names {
			want := matchLevels(f, n)
			if got := Match(f, n); got != want {
				t.Fatalf("Match(%q, %q) = %v", f, n, got)
			}
			matched[i] = append(matched[i], want)
		}
	}
	for i, a := range filters {
		for j, b := range filters {
			covers, overlaps := true, false
			for k := range names {
				covers = covers && (matched[i][k] || !matched[j][k])
				overlaps = overlaps || matched[i][k] && matched[j][k]
			}
			if got := Covers(a, b); got != covers {
				t.Errorf("Covers(%q, %q) = %v", a, b, got)
			}
			if got := Overlaps(a, b); got != overlaps {
				t.Errorf("Overlaps(%q, %q) = %v", a, b, got)
			}
		}
	}
}

// sequences returns all topics of one to depth of the levels.
func sequences(levels []string, depth int) []string {
	all := slices.Clone(levels)
	last := all
	for range depth - 1 {
		var next []string
		for _, head := range last {
			for _, l := range levels {
				next = append(next, head+"/"+l)
			}
		}
		all = append(all, next...)
		last = next
	}
	return all
}

// matchLevels is section 4.7 word by word.
func matchLevels(filter, name string) bool {
	if strings.HasPrefix(name, "$") && strings.ContainsAny(filter[:1], "+#") {
		return false
	}
	f, n := strings.Split(filter, "/"), strings.Split(name, "/")
	for i, l := range f {
		if l == "#" {
			return true
		}
		if i == len(n) || l != "+" && l != n[i] {
			return i == len(n) && l == "#"
		}
	}
	return len(f) == len(n)
}

// FuzzRelations checks the relations on filters and a name made from the bytes
// of its input.
func FuzzRelations(f *testing.F) {
	f.Add("a/+", "a/#", "a/b")
	f.Add("+/#", "#", "$a/b")
	f.Add("$a/#", "+/b", "/")
	f.Fuzz(func(t *testing.T, a, b, name string) {
		if !levelsValid(a) || !levelsValid(b) || ValidateName(name) != nil {
			return
		}
		inA, inB := matchLevels(a, name), matchLevels(b, name)
		if Match(a, name) != inA || Match(a, []byte(name)) != inA {
			t.Errorf("Match(%q, %q) is not %v", a, name, inA)
		}
		if inB && !inA && Covers(a, b) {
			t.Errorf("Covers(%q, %q) despite %q", a, b, name)
		}
		if inA && inB && (!Overlaps(a, b) || !Overlaps(b, a)) {
			t.Errorf("Overlaps(%q, %q) is false despite %q", a, b, name)
		}
		if !Covers(a, a) || !Overlaps(a, a) {
			t.Errorf("%q does not cover and overlap itself", a)
		}
		if Covers(a, b) && !Overlaps(a, b) {
			t.Errorf("%q covers %q without an overlap", a, b)
		}
		if inA && !Covers(a, name) {
			t.Errorf("Match(%q, %q) but not Covers", a, name)
		}
	})
}
