package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/cmd"
)

// TestMain lets the test's program be the attacker, and the broker as well: so
// both are built as the test is, with the race detector or without.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "broker" {
		cmd.Execute()
		return
	}
	role := flag.String("attacker", "", "be this attacker")
	flag.Parse()
	if *role == "" {
		os.Exit(m.Run())
	}
	if err := beAttacker(context.Background(), *role, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// shortly are the options of small attacks, whose latency means nothing: all who
// take part share a machine with other tests.
func shortly(t *testing.T) options {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := defaults()
	o.godwit, o.dir, o.short, o.memory, o.rate = self, t.TempDir(), true, 4096, 200
	o.duration, o.quiet, o.progress = settling, 0, t.Output()
	return o
}

// Every attack, on a small scale, against the program itself.
func TestAttacks(t *testing.T) {
	for _, a := range attacks {
		if a.volume > 0 && os.Getuid() != 0 {
			continue // only root may make a small volume
		}
		t.Run(a.name, func(t *testing.T) {
			r, err := shortly(t).run(t.Context(), a, 1)
			if err != nil {
				t.Fatal(err)
			}
			for _, wrong := range r.broken() {
				t.Error(wrong)
			}
			if r.account.sent == 0 || r.cpu == 0 {
				t.Errorf("nothing was tried: %+v, %v", r.account, r.cpu)
			}
			t.Logf("told %s", r.hearsay())
		})
	}
}

func TestAttacksHaveNamesOfTheirOwn(t *testing.T) {
	names := map[string]bool{}
	for _, a := range attacks {
		if names[a.name] || a.what == "" || a.run == nil {
			t.Errorf("there are two of %s, or it is nothing", a.name)
		}
		names[a.name] = true
	}
}

func TestAttacksAreSelectedByTheirBeginnings(t *testing.T) {
	for names, want := range map[string]int{"": len(attacks), "connections": 2, "connections-one,connections": 2, "deaf,expiry": 2, "none": 0} {
		o := options{attacks: names}
		chosen, err := o.selected()
		if len(chosen) != want || (err != nil) != (want == 0) {
			t.Errorf("%q selects %d, %v", names, len(chosen), err)
		}
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	for name, change := range map[string]func(*options){
		"duration": func(o *options) { o.duration = settling },
		"quiet":    func(o *options) { o.quiet = 0 },
		"memory":   func(o *options) { o.memory = 0 },
		"rate":     func(o *options) { o.rate = 0 },
		"factor":   func(o *options) { o.factor = 0.5 },
		"tries":    func(o *options) { o.tries = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			o := defaults()
			if err := o.validate(); err != nil {
				t.Fatal(err)
			}
			change(&o)
			if o.validate() == nil {
				t.Error("they are accepted")
			}
		})
	}
}

func TestLatencyIsTheMedianOverSlices(t *testing.T) {
	p := &pair{began: time.Now()}
	const perSlice = 100
	for slice := range 5 {
		for i := range perSlice {
			due := time.Duration(slice)*sliceLength + time.Duration(i)*sliceLength/perSlice
			took := time.Duration(slice+1) * time.Millisecond
			if slice == 4 && i == 0 {
				took = time.Second
			}
			p.messages = append(p.messages, exchange{due: due, delivered: due + took, acked: true})
		}
	}
	l := p.within(span{0, 5 * sliceLength})
	if l.p99 != 3*time.Millisecond || l.worst != time.Second {
		t.Errorf("%+v", l)
	}
}

func TestTheAccountTellsWhatWasTakenAndIsMissing(t *testing.T) {
	p := &pair{messages: []exchange{{acked: true, delivered: 1}, {acked: true}, {refused: true}, {}, {delivered: 1}}}
	if a := p.account(); a.sent != 5 || a.lost != 1 || a.refused != 1 || a.unanswered != 2 || p.complete() {
		t.Errorf("%+v", a)
	}
}

// A result that is good, and everything that makes it bad.
func TestResultsFail(t *testing.T) {
	good := func() *result {
		return &result{
			attack: attack{told: []string{"closed|reset"}, bounds: map[string]bound{"n": {full: 2}}}, factor: 3, memory: 100,
			before: latencies{p99: 10}, during: latencies{p99: 30}, after: latencies{p99: 30}, told: map[string]int{"reset": 1},
			resident: 100, counts: map[string]float64{"n": 2},
		}
	}
	if r := good(); !r.passed() || r.verdict() != "pass" {
		t.Fatal(r.verdict())
	}
	for name, change := range map[string]func(*result){
		"lost":      func(r *result) { r.account.lost = 1 },
		"refused":   func(r *result) { r.account.refused = 1 },
		"answer":    func(r *result) { r.account.unanswered = 1 },
		"disconn":   func(r *result) { r.account.ended = 1 },
		"faults":    func(r *result) { r.account.faults = []error{os.ErrInvalid} },
		"resident":  func(r *result) { r.resident++ },
		"probes":    func(r *result) { r.probes = []string{"/probes"} },
		"beside":    func(r *result) { r.beside = fmt.Errorf("beside") },
		"ended":     func(r *result) { r.died = "ended" },
		"more than": func(r *result) { r.counts["n"] = 3 },
		"told":      func(r *result) { r.told = nil },
		"during":    func(r *result) { r.during.p99++ },
		"after":     func(r *result) { r.after.p99++ },
	} {
		r := good()
		change(r)
		if r.passed() || !strings.Contains(r.verdict(), name) || r.onlySlow() != (name == "during" || name == "after") {
			t.Errorf("%s: %s", name, r.verdict())
		}
	}
	r := good()
	r.attack.refuses, r.account.refused = true, 1
	if !r.passed() {
		t.Error(r.verdict())
	}
}

func TestTheTableHasARowForEachAttack(t *testing.T) {
	var b strings.Builder
	r := &result{attack: attack{name: "some"}, cage: "a cage", told: map[string]int{"closed": 3}, try: 2}
	printTable(&b, defaults(), []*result{r})
	if !slices.ContainsFunc(strings.Split(b.String(), "\n"), func(line string) bool {
		return strings.HasPrefix(line, "| some | 0 | 0.0 |") && strings.Contains(line, "closed × 3") && strings.HasSuffix(line, "pass (try 2) |")
	}) {
		t.Error(b.String())
	}
}
