package main

import (
	"strconv"
	"strings"
	"testing"
)

// guardedText builds the faults of a function's body in, numbered from 1 in their order, and
// returns the body.
func guardedText(t *testing.T, results, body string) string {
	t.Helper()
	all := faultsOf(t, "package p\nfunc f() "+results+" {\n"+body+"\n}\n")
	numbered := make(map[int]*fault)
	for i, f := range all {
		if f.guard != nil {
			f.guard.before = strings.Replace(f.guard.before, "TYPE", "int", 1)
			numbered[i+1] = f
		}
	}
	text, places := all[0].file.guarded(numbered)
	for id, f := range numbered {
		if piece := string(text[places[id][0]:places[id][1]]); !strings.HasPrefix(piece, strings.ReplaceAll(f.guard.before, "ID", strconv.Itoa(id))) {
			t.Errorf("fault %d is said to be %q", id, piece)
		}
	}
	lines := strings.Split(string(text), "\n")
	return strings.Join(lines[2:len(lines)-2], "\n")
}

func TestFaultsAreBuiltIn(t *testing.T) {
	for _, tc := range []struct{ name, results, body, want string }{
		{"comparison", "", "x := a < b", "x := (mutate(2) != (mutateLess(1, a , b)))"},
		{"equality", "", "x := a == b", "x := (mutate(1) != (a == b))"},
		{"conjunction", "", "x := a && b", "x := mutateAnd(1, a , func() bool { return ( b) })"},
		{"nested", "", "x := a && b && c",
			"x := mutateAnd(2, mutateAnd(1, a , func() bool { return ( b ) }), func() bool { return ( c) })"},
		{"negation", "", "x := !a", "x := (mutate(1) != (!a))"},
		{"arithmetic without spaces", "", "x := a+b", "x := mutateAdd(1, a,b)"},
		{"constant", "", "x := 3", "x := mutateConst[int](1, mutateConst[int](2, 3, 2), 4)"},
		{"boolean", "", "x := true", "x := (mutate(1) != (true))"},
		{"statement", "", "g()", "if !mutate(1) { g() }"},
		{"condition", "", "if a {}", "if (mutate(1) != (a)) {}"},
		{"check of an error", "", "if err != nil {}", "if (!mutate(1) && ((mutate(2) != (err != nil)))) {}"},
		{"returned error", "error", "return err", "return mutateError(1, err)"},
		{"returned boolean", "bool", "return x", "return (mutate(1) != (x))"},
		{"declared constant", "", "const x = 3", "const x = 3"},
		{"step of a loop", "", "for ; ; i++ {}", "for ; ; i++ {}"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// Space within a line says nothing.
			squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
			if got := guardedText(t, tc.results, tc.body); squeeze(got) != squeeze(tc.want) {
				t.Errorf("%q is built as\n%q, want\n%q", tc.body, got, tc.want)
			}
		})
	}
}
