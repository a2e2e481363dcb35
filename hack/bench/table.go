package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/godwit-mqtt/godwit/broker/bench"
)

// String is the line that tells of a run when it is over.
func (r run) String() string {
	s := fmt.Sprintf("%d %-22s %-10s", r.Round, r.Scenario, r.Broker)
	if r.Error != "" {
		return s + " " + r.Error
	}
	x := &r.Result
	if b := x.Backlog; b != nil {
		return s + fmt.Sprintf(" stored %.0f/s, read %.0f/s, %.0f bytes each, lost %d",
			b.Store.PerSecond, b.Read.PerSecond, b.Resident, x.Messages.Lost)
	}
	if b := x.Broker; b != nil && x.Scenario == bench.Idle {
		return s + fmt.Sprintf(" %7.0f connects/s, %.0f bytes each", x.Connections.PerSecond, b.BytesPerConnection)
	}
	return s + fmt.Sprintf(" %9.0f/s, CPU %.2f us, generator %.0f%%, machine %.0f%%, lost %d",
		rate(x), cpu(x), x.Generator.LoopPercent, x.Generator.MachinePercent, x.Messages.Lost)
}

// Figures of a result.

func rate(r *bench.Result) float64     { return r.ReceivedPerSecond }
func connects(r *bench.Result) float64 { return r.Connections.PerSecond }
func p50(r *bench.Result) float64      { return r.Latency.P50 }
func p99(r *bench.Result) float64      { return r.Latency.P99 }

func cpu(r *bench.Result) float64 {
	return ofBroker(r, func(b *bench.Broker) float64 { return b.CPUMicros })
}

func cpuConnect(r *bench.Result) float64 {
	return ofBroker(r, func(b *bench.Broker) float64 { return b.CPUMicrosConnect })
}

func memory(r *bench.Result) float64 {
	return ofBroker(r, func(b *bench.Broker) float64 { return b.BytesPerConnection })
}

func written(r *bench.Result) float64 {
	return ofBroker(r, func(b *bench.Broker) float64 { return b.Written })
}

func ofBroker(r *bench.Result, figure func(*bench.Broker) float64) float64 {
	if r.Broker == nil {
		return 0
	}
	return figure(r.Broker)
}

// results of one broker under one load.
type results []*bench.Result

func resultsOf(runs []run, s scenario, broker string) (all results) {
	for i := range runs {
		if r := &runs[i]; r.Scenario == s.name && r.Broker == broker && r.Error == "" {
			all = append(all, &r.Result)
		}
	}
	return all
}

// median of a figure; zero if there is none.
func (all results) median(figure func(*bench.Result) float64) float64 {
	var values []float64
	for _, r := range all {
		values = append(values, figure(r))
	}
	return median(values)
}

func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	slices.Sort(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// ratio is the median over the rounds of a broker's figure as a multiple of
// another one's in the same round: the machine changes less within a round than
// between them.
func ratio(runs []run, s scenario, figure func(*bench.Result) float64, broker, to string) float64 {
	rounds := map[int]map[string]float64{}
	for i := range runs {
		r := &runs[i]
		if r.Scenario != s.name || r.Error != "" {
			continue
		}
		if rounds[r.Round] == nil {
			rounds[r.Round] = map[string]float64{}
		}
		rounds[r.Round][r.Broker] = figure(&r.Result)
	}
	var ratios []float64
	for _, of := range rounds {
		if of[to] > 0 && of[broker] > 0 {
			ratios = append(ratios, of[broker]/of[to])
		}
	}
	return median(ratios)
}

// table of the scenarios of one kind: a cell for each broker, and what its CPU
// time comes to.
type table struct {
	kind    kind
	title   string
	cell    func(results) string
	verdict func(runs []run, s scenario) string
	heading string // of the verdict
}

var tables = []table{
	{throughput, "Throughput: messages received a second, and the broker's CPU time for each, in us", throughputCell, multiples, multiplesHeading},
	{latency, "At a fixed rate: latency p50 / p99, and the broker's CPU time for each message, in us", latencyCell, multiples, multiplesHeading},
	{idle, "Idle connections: bytes each, connects a second, and the broker's CPU time for each in us", idleCell, nil, ""},
	{secure, "TLS: messages received a second, and the broker's CPU time for each, in us", throughputCell, allowed, " target |"},
	{durable, "To persistent sessions: messages received a second, the broker's CPU time for each in us, and bytes written to disk; Mosquitto keeps nothing on disk", durableCell, reached, " godwit / mosquitto, messages | target |"},
}

func writeTables(out io.Writer, runs []run, selected []scenario, brokers []broker) {
	for _, t := range tables {
		var rows []scenario
		for _, s := range selected {
			if s.kind == t.kind {
				rows = append(rows, s)
			}
		}
		if len(rows) > 0 {
			t.write(out, runs, rows, brokers)
		}
	}
	for _, c := range curves {
		c.write(out, runs, selected, brokers)
	}
	fmt.Fprint(out, footnotes)
}

const footnotes = `
A ">" says that the load generator used 90 % of its core or more: the broker may do more than this. "lost" counts messages that did not come, "failed" runs without a result.
`

func (t table) write(out io.Writer, runs []run, rows []scenario, brokers []broker) {
	suited := slices.DeleteFunc(slices.Clone(brokers), func(b broker) bool { return !rows[0].suits(b) })
	columns := []string{"scenario"}
	for _, b := range suited {
		columns = append(columns, b.name)
	}
	heading := t.heading + compared(brokers, func(b broker) string { return b.name + " / godwit" })
	writeHead(out, t.title, 1, strings.Join(columns, " | ")+" |"+heading)
	for _, s := range rows {
		fmt.Fprintf(out, "| %s |", s.title)
		for _, b := range suited {
			fmt.Fprintf(out, " %s |", t.cell(resultsOf(runs, s, b.name))+problems(runs, s, b.name))
		}
		if t.verdict != nil {
			fmt.Fprint(out, t.verdict(runs, s))
		}
		fmt.Fprintln(out, compared(brokers, func(b broker) string { return number(ratio(runs, s, cost(s), b.name, "godwit")) }))
	}
}

// writeHead writes a table's title and its first lines, of columns that each end
// in "|". The first ones, text of them, hold text and the others figures.
func writeHead(out io.Writer, title string, text int, columns string) {
	figures := strings.Count(columns, "|") - text
	fmt.Fprintf(out, "\n%s\n\n| %s\n|%s%s\n", title, columns, strings.Repeat("---|", text), strings.Repeat("---:|", figures))
}

// compared has a cell for each variant of godwit.
func compared(brokers []broker, cell func(broker) string) (cells string) {
	for _, b := range brokers {
		if b.variant {
			cells += " " + cell(b) + " |"
		}
	}
	return cells
}

// cost is the CPU time by which variants are compared.
func cost(s scenario) func(*bench.Result) float64 {
	if s.kind == idle {
		return cpuConnect
	}
	return cpu
}

const multiplesHeading = " godwit / relay | target | mosquitto / relay |"

// multiples of the relay's CPU time.
func multiples(runs []run, s scenario) string {
	ours, target := ratio(runs, s, cpu, "godwit", "relay"), number(s.target)
	if ours > s.target {
		target += ", missed"
	}
	return fmt.Sprintf(" %s | %s | %s |", number(ours), target, number(ratio(runs, s, cpu, "mosquitto", "relay")))
}

// reached is the multiple of Mosquitto's messages.
func reached(runs []run, s scenario) string {
	ours, target := ratio(runs, s, rate, "godwit", "mosquitto"), number(s.target)
	if ours > 0 && ours < s.target {
		target += ", missed"
	}
	return fmt.Sprintf(" %s | %s |", number(ours), target)
}

// allowed is a target in microseconds.
func allowed(runs []run, s scenario) string {
	if resultsOf(runs, s, "godwit").median(cpu) > s.target {
		return fmt.Sprintf(" %s us, missed |", number(s.target))
	}
	return fmt.Sprintf(" %s us |", number(s.target))
}

func throughputCell(all results) string {
	if len(all) == 0 {
		return "-"
	}
	limited := ""
	if all.median(func(r *bench.Result) float64 { return r.Generator.LoopPercent }) >= 90 {
		limited = "> "
	}
	return fmt.Sprintf("%s%s (%s)", limited, count(all.median(rate)), number(all.median(cpu)))
}

func durableCell(all results) string {
	cell := throughputCell(all)
	if bytes := all.median(written); bytes > 0 {
		cell += fmt.Sprintf(", %.0f B", bytes)
	}
	return cell
}

func latencyCell(all results) string {
	if len(all) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f / %.0f (%s)", all.median(p50), all.median(p99), number(all.median(cpu)))
}

func idleCell(all results) string {
	if len(all) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f, %s/s (%s)", all.median(memory), count(all.median(connects)), number(all.median(cpuConnect)))
}

// problems of the runs of a cell.
func problems(runs []run, s scenario, broker string) (text string) {
	var lost uint64
	failed := 0
	for i := range runs {
		r := &runs[i]
		if r.Scenario != s.name || r.Broker != broker {
			continue
		}
		lost += r.Result.Messages.Lost
		if r.Error != "" {
			failed++
		}
	}
	if lost > 0 {
		text += fmt.Sprintf(", %s lost", count(float64(lost)))
	}
	if failed > 0 {
		text += fmt.Sprintf(", %d failed", failed)
	}
	return text
}

// number with two or three significant digits.
func number(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

func count(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.2fM", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.0fk", v/1e3)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

// machine tells what the figures were taken on.
func machine() string {
	cpuName := "unknown CPU"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range bytes.Lines(info) {
		if name, found := bytes.CutPrefix(line, []byte("model name")); found {
			cpuName = strings.TrimSpace(strings.TrimLeft(string(name), "\t :"))
			break
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%s, %d CPUs, Linux %s, %s", cpuName, runtime.NumCPU(), strings.TrimSpace(string(kernel)), runtime.Version())
}
