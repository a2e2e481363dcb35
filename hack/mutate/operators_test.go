package main

import (
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// find returns the faults of the body of a function f with the given results, as the lines that
// they put there.
func find(t *testing.T, results, body string) []string {
	t.Helper()
	var made []string
	for _, f := range faultsOf(t, "package p\nfunc f() "+results+" {\n"+body+"\n}\n") {
		_, with := f.diff()
		made = append(made, strings.Join(with, " "))
	}
	return made
}

func faultsOf(t *testing.T, text string) []*fault {
	t.Helper()
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "p.go", text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return faults([]*sourceFile{{pkg: "broker/p", name: "broker/p/p.go", path: "/p.go", text: []byte(text), set: set, tree: file}})
}

func TestFaultsOfStatements(t *testing.T) {
	for _, tc := range []struct {
		name, results, body string
		want                []string
	}{
		{"comparison", "", "x := a < b", []string{"x := a <= b", "x := a >= b"}},
		{"equality", "", "x := a == b", []string{"x := a != b"}},
		{"both sides of a conjunction", "", "x := a == b && c", []string{"x := a != b && c", "x := a == b || c"}},
		{"negation", "", "x := !a", []string{"x := a"}},
		{"arithmetic", "", "x := a + b", []string{"x := a - b"}},
		{"constant", "", "x := 0x10", []string{"x := 17", "x := 15"}},
		{"zero has no step down", "", "x := 0", []string{"x := 1"}},
		{"boolean", "", "x := true", []string{"x := false"}},
		{"text stays", "", `x := "a"`, nil},
		{"call", "", "g()", []string{""}},
		{"deferred call", "", "defer g()", []string{""}},
		{"assignment", "", "x = y", []string{""}},
		{"declaration stays", "", "x := y", nil},
		{"blank assignment stays", "", "_ = y", nil},
		{"assigning operator", "", "x += y", []string{"x -= y", ""}},
		{"increment", "", "x++", []string{"", "x--"}},
		{"early return", "", "return", []string{""}},
		{"condition", "", "if a {}", []string{"if !a {}"}},
		{"condition of two parts", "", "if a || b {}", []string{"if !(a || b) {}", "if a && b {}"}},
		{"negated condition", "", "if !a {}", []string{"if a {}"}},
		{"check of an error", "", "if err != nil {}", []string{"if false && err != nil {}", "if err == nil {}"}},
		{"check of a named error", "", "if serr != nil {}", []string{"if false && serr != nil {}", "if serr == nil {}"}},
		{"other check for nil", "", "if a != nil {}", []string{"if a == nil {}"}},
		{"returned error", "(int, error)", "return x, err", []string{"return x, nil"}},
		{"returned nil stays", "error", "return nil", nil},
		{"returned boolean", "(int, bool)", "return x, false", []string{"return x, true"}},
		{"returned name", "(ok bool)", "return ok", []string{"return !ok"}},
		{"returned comparison", "bool", "return a == b", []string{"return !(a == b)", "return a != b"}},
		{"results that share a type", "(a, b bool)", "return x, y", []string{"return !x, y", "return x, !y"}},
		{"results of a call", "(int, error)", "return g()", nil},
		{"literal's own results", "error", "h(func() bool { return x })", []string{"", "h(func() bool { return !x })"}},
		{"capacity of a slice", "", "x := make([]byte, 0, 10)", []string{"x := make([]byte, 1, 10)"}},
		{"size of a map", "", "x := make(map[int]int, 10)", nil},
		{"length of an array type", "", "var x [12]int", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := find(t, tc.results, tc.body); !sameLines(got, tc.want) {
				t.Errorf("faults of %q are %q, want %q", tc.body, got, tc.want)
			}
		})
	}
}

// sameLines compares the lines apart from those of the function around them, in any order.
func sameLines(got, want []string) bool {
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	return slices.Equal(got, want)
}

func TestFaultsNameTheirFunction(t *testing.T) {
	all := faultsOf(t, `package p
const size = 4
type x struct{}
func (t *x) method() { g() }
func plain() { h(func() { g() }) }
`)
	var names []string
	for _, f := range all {
		names = append(names, f.function)
	}
	names = slices.Compact(names)
	if want := []string{"size", "(*x).method", "plain"}; !slices.Equal(names, want) {
		t.Errorf("faults stand in %q, want %q", names, want)
	}
}

func TestFaultIsPutIntoTheFile(t *testing.T) {
	all := faultsOf(t, "package p\nfunc f() {\n\tx := a &&\n\t\tb\n}\n")
	if len(all) != 1 {
		t.Fatalf("%d faults, want 1", len(all))
	}
	f := all[0]
	if got, want := string(f.mutated()), "package p\nfunc f() {\n\tx := a ||\n\t\tb\n}\n"; got != want {
		t.Errorf("the file is %q, want %q", got, want)
	}
	if got, want := f.String(), "broker/p/p.go:3: operator exchanged\nbroker/p f\n- x := a &&\n+ x := a ||\n"; got != want {
		t.Errorf("the fault is told as %q, want %q", got, want)
	}
}

// A change of one function moves no fault of another: what a seed chose stays chosen.
func TestOrderDependsOnTheFaultAlone(t *testing.T) {
	const f, g = "func f() { a(); b(); c(); a() }\n", "func g() { x = 3 }\n"
	order := func(text string, seed uint64) []string {
		var keys []string
		for _, f := range inOrder(faultsOf(t, "package p\n"+text), seed) {
			if f.function == "f" {
				without, with := f.diff()
				keys = append(keys, strings.Join(slices.Concat(without, with), " "))
			}
		}
		return keys
	}
	if before, after := order(f, 1), order(g+f+g[:0], 1); !slices.Equal(before, after) {
		t.Errorf("the order was %q and is %q behind another function", before, after)
	}
	differs := false
	for seed := range uint64(10) {
		differs = differs || !slices.Equal(order(f, 1), order(f, seed))
	}
	if !differs {
		t.Error("ten seeds choose the same order")
	}
}

func TestPlacesChooseFaults(t *testing.T) {
	all := faultsOf(t, "package p\nfunc f() {\n\ta()\n\tb()\n}\n")
	for places, want := range map[string]int{
		"": 2, "p.go:3": 1, "broker/p/p.go:4": 1, "p.go:3,p.go:4": 2, "p.go:3, p.go:3": 1, "xp.go:3": 0, "p.go:9": 0,
	} {
		if got := at(all, places); len(got) != want {
			t.Errorf("%q chooses %d faults, want %d", places, len(got), want)
		}
	}
}
