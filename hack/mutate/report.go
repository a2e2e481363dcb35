package main

import (
	"fmt"
	"io"
)

// report is the account of one package.
type report struct {
	of      int // faults that the package could have
	seed    uint64
	verbose bool
	out     io.Writer

	counts [nothingNew + 1]int
}

// add counts a result, and tells of a fault that was not noticed.
func (r *report) add(t trial) {
	r.counts[t.outcome]++
	switch {
	case t.outcome == unnoticed:
		fmt.Fprintf(r.out, "NOT NOTICED %s\n", t.fault)
	case !r.verbose:
	case t.outcome == noticed:
		fmt.Fprintf(r.out, "noticed by %s: %s\n", t.by, t.fault)
	case t.outcome == timedOut:
		fmt.Fprintf(r.out, "noticed since the tests did not end: %s\n", t.fault)
	case t.outcome == noFault:
		fmt.Fprintf(r.out, "does not compile: %s\n", t.fault)
	}
}

func (r *report) noticed() int { return r.counts[noticed] + r.counts[timedOut] }

// percent is how much of what was tried was noticed.
func (r *report) percent() float64 {
	tried := r.noticed() + r.counts[unnoticed]
	if tried == 0 {
		return 100
	}
	return 100 * float64(r.noticed()) / float64(tried)
}

// summary prints the last line of a package.
func (r *report) summary(name string) {
	fmt.Fprintf(r.out, "%s: %d faults of %d (seed %d), %d noticed (%d since the tests did not end), %d not noticed: %.0f %%; %d more are accepted\n",
		name, r.noticed()+r.counts[unnoticed], r.of, r.seed, r.noticed(), r.counts[timedOut],
		r.counts[unnoticed], r.percent(), r.counts[nothingNew])
}
