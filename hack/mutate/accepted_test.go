package main

import (
	"strings"
	"testing"
)

const acceptedText = `# A comment.

broker/p f
- x := a < b
+ x := a <= b
They are never
the same.

broker/q g
- g()
- a dash in a reason is none
Only once.
`

func TestAcceptedFaultsAreMarked(t *testing.T) {
	list, err := parseAccepted(acceptedText)
	if err != nil {
		t.Fatal(err)
	}
	if got := list[0].reason; got != "They are never the same." {
		t.Errorf("the reason is %q", got)
	}
	all := faultsOf(t, "package p\nfunc f() {\n\tx := a < b\n}\n")
	if err := list.of("broker/p").apply(all); err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.accepted != (f.with == "<=") {
			t.Errorf("accepted is %v of %s", f.accepted, f)
		}
	}
}

func TestAcceptedEntryThatFitsNothingIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"another line":     "package p\nfunc f() {\n\tx := a < c\n}\n",
		"another function": "package p\nfunc g() {\n\tx := a < b\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			list, err := parseAccepted(acceptedText)
			if err != nil {
				t.Fatal(err)
			}
			err = list.of("broker/p").apply(faultsOf(t, text))
			if err == nil || !strings.Contains(err.Error(), "line 3 ") {
				t.Errorf("the error is %v, want one that names line 3", err)
			}
		})
	}
}

func TestAcceptedEntryThatIsThereTwiceIsAnError(t *testing.T) {
	list, err := parseAccepted(acceptedText + acceptedText)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.of("broker/p").apply(faultsOf(t, "package p\nfunc f() {\n\tx := a < b\n}\n")); err == nil {
		t.Error("no error")
	}
}

func TestAcceptedEntryIsComplete(t *testing.T) {
	for name, text := range map[string]string{
		"no reason":   "broker/p f\n- a\n+ b\n",
		"no lines":    "broker/p f\nBecause.\n",
		"no function": "broker/p\n- a\n+ b\nBecause.\n",
	} {
		if _, err := parseAccepted("\n" + text); err == nil || !strings.HasPrefix(err.Error(), "2: ") {
			t.Errorf("%s: the error is %v, want one of line 2", name, err)
		}
	}
}

// The entries of the list itself fit the code.
func TestAcceptedFaultsOfThisModuleExist(t *testing.T) {
	list, err := readAccepted("accepted.txt")
	if err != nil {
		t.Fatal(err)
	}
	done := make(map[string]bool)
	for _, e := range list {
		if done[e.pkg] {
			continue
		}
		done[e.pkg] = true
		targets, err := findTargets(t.Context(), []string{"github.com/godwit-mqtt/godwit/" + e.pkg})
		if err != nil {
			t.Fatal(err)
		}
		files, err := targets[0].sources()
		if err != nil {
			t.Fatal(err)
		}
		if err := list.of(e.pkg).apply(faults(files)); err != nil {
			t.Error(err)
		}
	}
}
