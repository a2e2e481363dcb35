// Hostile attacks a broker in every way that a client has, one after the other,
// and measures what a healthy pair of clients notices of it. `make hostile` runs
// it.
//
// The broker is the program itself, with the files that the operator would render
// from manifests with nothing but defaults, a memory limit, and its data on disk.
// Beside each attack a publisher and a durable subscriber exchange messages of
// QoS 1 at a constant rate, as users of their own. An attack passes if the pair
// loses nothing and stays within a multiple of its undisturbed latency, the memory
// stays below its limit, the process goes on and answers its probes, and the
// attacker is told why it is refused.
//
// The attackers are a process of their own with the lowest priority: on a machine
// of its own, an attacker would take no time from the broker but by what it sends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	o := defaults()
	o.register(flag.CommandLine)
	role := flag.String("attacker", "", "be the attacker of this name, as standard input says; for the program itself")
	list := flag.Bool("list", false, "list the attacks, and do nothing else")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	do := func() error { return hostile(ctx, o) }
	switch {
	case *role != "":
		do = func() error { return beAttacker(ctx, *role, os.Stdin, os.Stdout) }
	case *list:
		do = func() error { return listAttacks(os.Stdout) }
	}
	if err := do(); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// options of a run.
type options struct {
	godwit   string
	dir      string
	attacks  string
	duration time.Duration
	quiet    time.Duration
	memory   int64 // MiB
	rate     int
	factor   float64
	tries    int
	short    bool // attacks are small, and the limits that they meet as well
	progress io.Writer
}

// defaults are those of `make hostile`.
func defaults() options {
	return options{
		godwit: "bin/godwit", duration: 15 * time.Second, quiet: 5 * time.Second, memory: 512,
		rate: 2000, factor: 3, tries: 3, progress: os.Stderr,
	}
}

func (o *options) register(f *flag.FlagSet) {
	f.StringVar(&o.godwit, "godwit", o.godwit, "godwit program")
	f.StringVar(&o.dir, "dir", o.dir, "directory for logs and data; one of its own, which is removed if all went well, if empty")
	f.StringVar(&o.attacks, "attacks", o.attacks, "attacks by their names' beginnings, separated by commas; all, if empty (-list shows them)")
	f.DurationVar(&o.duration, "duration", o.duration, "time under each attack")
	f.DurationVar(&o.quiet, "quiet", o.quiet, "time before and after each attack in which the pair is measured undisturbed")
	f.Int64Var(&o.memory, "memory", o.memory, "memory limit of the broker, in MiB")
	f.IntVar(&o.rate, "rate", o.rate, "messages a second of the healthy pair")
	f.Float64Var(&o.factor, "factor", o.factor, "how much the pair's p99 may grow")
	f.IntVar(&o.tries, "tries", o.tries, "times that an attack is tried which fails by the pair's latency alone, with which all that runs on the machine is measured")
}

// validate refuses what makes no sense.
func (o *options) validate() error {
	switch {
	case o.duration < 2*settling || o.quiet < 2*sliceLength:
		return fmt.Errorf("-duration has to be %v or longer, and -quiet %v", 2*settling, 2*sliceLength)
	case o.memory < 1 || o.rate < 1 || o.tries < 1 || o.factor < 1:
		return errors.New("-memory, -rate, -tries and -factor have to be 1 or more")
	}
	return nil
}

// selected are the attacks that are asked for.
func (o *options) selected() (chosen []attack, err error) {
	if o.attacks == "" {
		return attacks, nil
	}
	for name := range strings.SplitSeq(o.attacks, ",") {
		n := len(chosen)
		for _, a := range attacks {
			if strings.HasPrefix(a.name, name) && !slices.ContainsFunc(chosen, func(c attack) bool { return c.name == a.name }) {
				chosen = append(chosen, a)
			}
		}
		if len(chosen) == n {
			return nil, fmt.Errorf("there is no attack %q: -list shows them", name)
		}
	}
	return chosen, nil
}

func hostile(ctx context.Context, o options) error {
	if err := o.validate(); err != nil {
		return err
	}
	chosen, err := o.selected()
	if err != nil {
		return err
	}
	preferMeasuring()
	own := o.dir == ""
	if own {
		if o.dir, err = os.MkdirTemp("", "godwit-hostile-"); err != nil {
			return err
		}
	}
	results, err := o.runAll(ctx, chosen)
	printTable(os.Stdout, o, results)
	if err == nil && slices.ContainsFunc(results, func(r *result) bool { return !r.passed() }) {
		err = errors.New("attacks have gone past their bounds; logs and data: " + o.dir)
	}
	if err == nil && own {
		err = os.RemoveAll(o.dir)
	}
	return err
}

// runAll runs attacks one after the other, and returns what came of those that
// were run.
func (o options) runAll(ctx context.Context, chosen []attack) (results []*result, err error) {
	var r *result
	for i, a := range chosen {
		for try := 1; try <= o.tries; try++ {
			if r, err = o.run(ctx, a, try); ctx.Err() != nil {
				return results, ctx.Err()
			}
			if err != nil {
				r = &result{attack: a, try: try, died: err.Error()}
			}
			fmt.Fprintf(o.progress, "%2d/%d %-24s %s\n", i+1, len(chosen), a.name, r.summary())
			if !r.onlySlow() {
				break
			}
		}
		results = append(results, r)
	}
	return results, nil
}

func listAttacks(w io.Writer) error {
	for _, a := range attacks {
		if _, err := fmt.Fprintf(w, "%-24s %s\n", a.name, a.what); err != nil {
			return err
		}
	}
	return nil
}
