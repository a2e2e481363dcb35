package main

import (
	"fmt"
	"io"
	"runtime"
)

// printTable prints a table in Markdown, as docs/limits.md has it.
func printTable(w io.Writer, o options, results []*result) {
	if len(results) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%d cores; %v under each attack, beside %d messages a second of QoS 1; %d MiB, by %s.\n", runtime.NumCPU(), o.duration,
		o.rate, o.memory, results[0].cage)
	fmt.Fprintf(w, "p99 in ms, the median over slices of %v; it may grow to %v times what it was before.\n\n", sliceLength, o.factor)
	fmt.Fprintln(w, "| Attack | MiB | CPU s | p99 before | during | after | longest | lost | told | |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|---|---|")
	for _, r := range results {
		try := ""
		if r.try > 1 {
			try = fmt.Sprintf(" (try %d)", r.try)
		}
		fmt.Fprintf(w, "| %s | %d | %.1f | %s | %s (×%.1f) | %s (×%.1f) | %s | %d | %s | %s%s |\n", r.attack.name, r.resident>>20, r.cpu.Seconds(),
			milliseconds(r.before.p99), milliseconds(r.during.p99), ratio(r.during.p99, r.before.p99),
			milliseconds(r.after.p99), ratio(r.after.p99, r.before.p99), milliseconds(max(r.during.worst, r.after.worst)),
			r.account.lost, r.hearsay(), r.verdict(), try)
	}
}
