package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// result of an attack.
type result struct {
	attack  attack
	try     int
	factor  float64
	short   bool
	memory  int64  // limit in bytes
	cage    string // what holds it
	account account

	before, during, after latencies

	resident int64 // bytes, the most that there were
	files    int   // open descriptors, the most that there were
	counts   map[string]float64
	cpu      time.Duration
	told     map[string]int
	beside   error
	probes   []string // those that failed
	died     string   // how the process ended; empty: it has not
}

// slow says where the pair was too slow; empty: nowhere.
func (r *result) slow() string {
	limit := time.Duration(r.factor * float64(r.before.p99))
	var all []string
	for _, phase := range []struct {
		name string
		latencies
	}{{"during", r.during}, {"after", r.after}} {
		if phase.p99 > limit {
			all = append(all, fmt.Sprintf("p99 %s is %.1f times that before", phase.name, ratio(phase.p99, r.before.p99)))
		}
	}
	return strings.Join(all, ", ")
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(max(b, 1)) }

// broken are the bounds that did not hold, but for the pair's latency.
func (r *result) broken() (all []string) {
	add := func(broken bool, format string, args ...any) {
		if broken {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	a := r.account
	add(r.died != "", "%s", r.died)
	add(a.lost > 0, "%d messages lost", a.lost)
	add(a.refused > 0 && !r.attack.refuses, "%d messages refused", a.refused)
	add(a.unanswered > 0, "%d messages without an answer", a.unanswered)
	add(a.ended > 0, "the pair was disconnected %d times", a.ended)
	add(len(a.faults) > 0, "%d faults, the first: %v", len(a.faults), first(a.faults))
	add(r.resident > r.memory, "%d MiB resident", r.resident>>20)
	add(len(r.probes) > 0, "%d probes failed, the first: %v", len(r.probes), first(r.probes))
	add(r.beside != nil, "%v", r.beside)
	for name, most := range r.attack.bounds {
		add(r.counts[name] > most.of(r.short), "%s is %v, more than %v", name, r.counts[name], most.of(r.short))
	}
	for _, want := range r.attack.told {
		add(!heard(r.told, want), "nobody was told %s", want)
	}
	return all
}

func first[T any](all []T) (v T) {
	if len(all) > 0 {
		v = all[0]
	}
	return v
}

// heard reports whether one of the spellings was told.
func heard(told map[string]int, spellings string) bool {
	return slices.ContainsFunc(strings.Split(spellings, "|"), func(s string) bool { return told[s] > 0 })
}

func (r *result) passed() bool { return r.slow() == "" && len(r.broken()) == 0 }

// onlySlow reports whether nothing but the latency is too much.
func (r *result) onlySlow() bool { return r.slow() != "" && len(r.broken()) == 0 }

// verdict is "pass", or what is wrong.
func (r *result) verdict() string {
	wrong := r.broken()
	if s := r.slow(); s != "" {
		wrong = append(wrong, s)
	}
	if len(wrong) == 0 {
		return "pass"
	}
	return "FAIL: " + strings.Join(wrong, "; ")
}

// summary is a line about the attack.
func (r *result) summary() string {
	return fmt.Sprintf("%4d MiB %6.1f s CPU, p99 %s, %s ms (longest %s ms), lost %d, told %s: %s", r.resident>>20, r.cpu.Seconds(),
		milliseconds(r.before.p99), strings.Join([]string{milliseconds(r.during.p99), milliseconds(r.after.p99)}, ", "),
		milliseconds(max(r.during.worst, r.after.worst)), r.account.lost, r.hearsay(), r.verdict())
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond))
}

// hearsay is what the attackers were told, and how often.
func (r *result) hearsay() string {
	var all []string
	for _, what := range slices.Sorted(maps.Keys(r.told)) {
		all = append(all, fmt.Sprintf("%s × %d", what, r.told[what]))
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, ", ")
}
