package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// buildGodwit builds the program that is tortured, without the race detector,
// which would make its start a large part of the time.
func buildGodwit(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "godwit")
	if out, err := exec.Command("go", "build", "-o", path, "github.com/godwit-mqtt/godwit").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// The program itself, killed and started over and over.
func TestTheProgram(t *testing.T) {
	godwit := buildGodwit(t)
	t.Run("nothing that it acknowledges is lost", func(t *testing.T) {
		o := defaults()
		o.godwit, o.duration, o.killEvery, o.rate, o.progress = godwit, 10*time.Second, time.Second, 500, t.Output()
		result, err := o.run(t.Context())
		if err != nil {
			t.Error(err)
		}
		t.Log(result)
		if result == nil || !result.passed() {
			t.Fatal("promises were broken")
		}
		c := result.counts
		if len(c.Kills) == 0 || c.Acknowledged[1] == 0 || c.Delivered == 0 || c.Resumed == 0 || c.Retained == 0 {
			t.Errorf("nothing was tried: %+v", c)
		}
	})
	t.Run("its start is measured", func(t *testing.T) {
		var out strings.Builder
		if err := measureStart(t.Context(), &out, godwit, amounts{sessions: 10, queued: 30, retained: 20, size: 10}); err != nil {
			t.Fatal(err)
		}
		for _, row := range []string{"| nothing on disk |", "| after an orderly end |", "| after a kill |"} {
			if !strings.Contains(out.String(), row) {
				t.Errorf("no %q in\n%s", row, &out)
			}
		}
	})
}

func TestABrokerThatEndsByItselfIsToldOf(t *testing.T) {
	o := defaults()
	o.dir = t.TempDir()
	var err error
	if o.godwit, err = exec.LookPath("false"); err != nil {
		t.Skip(err)
	}
	if _, err := o.run(t.Context()); err == nil || !strings.Contains(err.Error(), "the broker ended by itself") {
		t.Errorf("the run ends with %v", err)
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	for name, change := range map[string]func(*options){
		"sync":        func(o *options) { o.sync = "sometimes" },
		"publishers":  func(o *options) { o.publishers = 0 },
		"subscribers": func(o *options) { o.subscribers = 0 },
		"rate":        func(o *options) { o.rate = 0 },
		"window":      func(o *options) { o.window = 0 },
		"sizes":       func(o *options) { o.smallest = o.largest + 1 },
		"kills":       func(o *options) { o.killEvery = 0 },
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

func TestListsAreChosenFromByName(t *testing.T) {
	l := list[packet.Version]{versions, versions}
	if got := l.String(); got != "3.1.1,5.0" {
		t.Errorf("all are %q", got)
	}
	if err := l.Set("5.0,3.1.1,5.0"); err != nil || l.turn(0) != packet.V5 || l.turn(1) != packet.V311 || l.turn(5) != packet.V5 {
		t.Errorf("%v, chosen %v", err, &l)
	}
	if err := l.Set("5.0,6"); err == nil {
		t.Error("version 6 is accepted")
	}
}

func TestPayloadsAreChecked(t *testing.T) {
	for _, size := range []int{1, 2, len(pattern), len(pattern) + 1, 3*len(pattern) + 7} {
		b := payload("someone", 42, size)
		if publisher, seq, ok := parsePayload(b); publisher != "someone" || seq != 42 || !ok {
			t.Errorf("size %d: %q, %d, %t", size, publisher, seq, ok)
		}
		for _, at := range []int{len(b) / 2, len(b) - 1} {
			b[at] ^= 1
			if _, _, ok := parsePayload(b); ok && at >= len("someone 42 ") {
				t.Errorf("size %d: byte %d is changed, and nobody notices", size, at)
			}
			b[at] ^= 1
		}
		if _, _, ok := parsePayload(b[:len(b)-1]); ok {
			t.Errorf("size %d: a byte is missing, and nobody notices", size)
		}
	}
}
