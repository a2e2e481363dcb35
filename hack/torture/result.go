package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/godwit-mqtt/godwit/hack/torture/history"
)

// result of a run.
type result struct {
	options    options
	took       time.Duration
	counts     *history.Counts
	violations []history.Violation
	complaints []string // of the broker, in its log
}

// passed reports whether every promise was kept.
func (r *result) passed() bool {
	return len(r.complaints) == 0 && !slices.ContainsFunc(r.violations, func(v history.Violation) bool { return !v.Excused })
}

// shown is the number of violations of a kind that are printed.
const shown = 10

func (r *result) String() string {
	var b strings.Builder
	c := r.counts
	fmt.Fprintf(&b, "seed %d, sync %s, %d publishers, %d subscribers, %.0f s under load, %.0f s in all\n", r.options.seed, r.options.sync,
		r.options.publishers, r.options.subscribers, r.options.duration.Seconds(), r.took.Seconds())
	for _, how := range slices.Sorted(maps.Keys(c.Kills)) {
		fmt.Fprintf(&b, "%8d kills: %s\n", c.Kills[how], how)
	}
	for q, n := range c.Published {
		fmt.Fprintf(&b, "%8d messages published at QoS %d", n, q)
		if q > 0 {
			fmt.Fprintf(&b, ", %d acknowledged", c.Acknowledged[q])
		}
		fmt.Fprintln(&b)
	}
	fmt.Fprintf(&b, "%8d delivered, %d of them repeats that are allowed\n", c.Delivered, c.Repeated)
	fmt.Fprintf(&b, "%8d wills published\n", c.Wills)
	fmt.Fprintf(&b, "%8d sessions resumed\n", c.Resumed)
	fmt.Fprintf(&b, "%8d retained messages looked at\n", c.Retained)
	r.appendViolations(&b)
	return b.String()
}

// lastMoment is how long before a kill the earliest message was acknowledged that
// is lost without a promise being broken.
func (r *result) lastMoment() (longest time.Duration) {
	for _, v := range r.violations {
		if v.Excused {
			longest = max(longest, v.Before)
		}
	}
	return longest
}

func (r *result) appendViolations(b *strings.Builder) {
	counts, kinds := map[history.Kind]int{}, []history.Kind{history.Lost, history.Repeated, history.Disorder}
	for _, v := range r.violations {
		counts[v.Kind]++
		if !slices.Contains(kinds, v.Kind) {
			kinds = append(kinds, v.Kind)
		}
	}
	for _, k := range kinds {
		fmt.Fprintf(b, "%8d %s\n", counts[k], k)
	}
	if last := r.lastMoment(); last > 0 {
		fmt.Fprintf(b, "What is lost was acknowledged %v before a kill, or later.\n", last.Round(100*time.Microsecond))
	}
	if n := len(r.complaints); n > 0 {
		fmt.Fprintf(b, "%8d errors in the log\n", n)
	}
	for _, line := range r.complaints[:min(shown, len(r.complaints))] {
		fmt.Fprintln(b, line)
	}
	printed := map[history.Kind]int{}
	for _, v := range r.violations {
		if printed[v.Kind]++; printed[v.Kind] <= shown {
			fmt.Fprintln(b, v)
		}
	}
	if !r.passed() {
		fmt.Fprintf(b, "log, data and account: %s\n", r.options.dir)
	}
}
