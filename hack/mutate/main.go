// Mutate puts small faults into packages, one at a time, and tells which of them the
// package's own tests do not notice. `make mutate` runs it.
//
// A fault is a change of one operator, constant, condition, returned value or statement. Most are
// built into one program, in which the environment chooses one of them; each of the others gets a
// program of its own. The source files stay as they are: the go command is given the changed ones
// as an overlay. Which faults are tried is chosen by -seed; the same seed chooses the same faults for as long as the
// code around them is the same. A fault that does not compile is none, and the next one takes
// its place.
//
// Faults that change nothing that a test could see are listed, with the reason, in the file of
// -accepted. They are left out of the account. An entry that fits no fault any longer is an error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

func main() {
	var o options
	o.register(flag.CommandLine)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx, flag.Args()); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// options of a run.
type options struct {
	seed      uint64
	faults    int
	threshold int // percent
	parallel  int
	at        string
	accepted  string
	list      bool
	quick     bool
	verbose   bool
}

func (o *options) register(flags *flag.FlagSet) {
	flags.Uint64Var(&o.seed, "seed", 1, "chooses the faults")
	flags.IntVar(&o.faults, "n", 100, "faults to try in each package; 0 is all")
	flags.IntVar(&o.threshold, "threshold", 95, "percent of the faults of each package that must be noticed")
	flags.IntVar(&o.parallel, "parallel", runtime.GOMAXPROCS(0), "faults to try side by side")
	flags.StringVar(&o.at, "at", "", "try the faults of these places alone, all of them: FILE:LINE,... with the end of the file's path")
	flags.StringVar(&o.accepted, "accepted", "hack/mutate/accepted.txt", "the list of faults that change nothing")
	flags.BoolVar(&o.quick, "quick", false, "leave out the faults that take a build of their own: changes of what has to be constant, for the most part")
	flags.BoolVar(&o.list, "list", false, "list the faults and try none")
	flags.BoolVar(&o.verbose, "v", false, "tell of the faults that were noticed as well, and by what")
}

// run tries each package that the patterns name.
func (o *options) run(ctx context.Context, patterns []string) error {
	if len(patterns) == 0 {
		return errors.New("name packages, as ./broker/topic")
	}
	list, err := readAccepted(o.accepted)
	if err != nil {
		return err
	}
	targets, err := findTargets(ctx, patterns)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var failed []string
	for _, t := range targets {
		ok, err := o.try(ctx, t, list.of(t.name), dir)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		if !ok {
			failed = append(failed, t.name)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("fewer than %d %% of the faults were noticed in %s", o.threshold, strings.Join(failed, ", "))
	}
	return nil
}

// try puts faults into one package and prints what came of it. ok is false below the threshold.
func (o *options) try(ctx context.Context, t target, list accepted, dir string) (ok bool, err error) {
	files, err := t.sources()
	if err != nil {
		return false, err
	}
	all := faults(files)
	if err := list.apply(all); err != nil {
		return false, err
	}
	chosen := at(inOrder(all, o.seed), o.at)
	if o.list {
		for _, f := range chosen {
			fmt.Print(f)
		}
		return true, nil
	}
	count := o.faults
	if count == 0 || o.at != "" {
		count = len(chosen)
	}
	likely := chosen[:min(len(chosen), 2*count)] // some do not compile, some are accepted
	l, err := newLab(ctx, t, dir, files, likely)
	if err != nil {
		return false, err
	}
	if o.quick {
		chosen = slices.DeleteFunc(likely, func(f *fault) bool { return l.ids[f] == 0 })
	}
	r := report{of: len(all), seed: o.seed, verbose: o.verbose, out: os.Stdout}
	if err := l.tryAll(ctx, chosen, count, o.parallel, r.add); err != nil {
		return false, err
	}
	r.summary(t.name)
	return r.percent() >= float64(o.threshold), nil
}
