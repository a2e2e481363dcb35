package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/godwit-mqtt/godwit/broker/bench"
)

// curve is a table of how figures grow with the size of something: a row for
// each broker and size.
type curve struct {
	kind    kind
	title   string
	size    string // heading of what grows
	figures []figure
}

// figure is one column. Zero is shown as unknown.
type figure struct {
	heading string
	of      func(s scenario, r *bench.Result) float64
	format  func(float64) string
}

var curves = []curve{
	{durableRate, "Durable messages at a fixed rate: latency in us of PUBACK and of the delivery, the broker's CPU time for each in us, and bytes written to disk", "messages/s", []figure{
		{"PUBACK p50", plain(func(r *bench.Result) float64 { return r.AckLatency.P50 }), whole},
		{"p99", plain(func(r *bench.Result) float64 { return r.AckLatency.P99 }), whole},
		{"delivery p50", plain(p50), whole},
		{"p99", plain(p99), whole},
		{"CPU", plain(cpu), number},
		{"to disk", plain(written), whole},
		{"sent/s", plain(func(r *bench.Result) float64 { return r.SentPerSecond }), count},
	}},
	{scaleConnections, "Connections, each with a session and a subscription: bytes of memory each, CPU time in us of connecting and of a PINGREQ", "connections", []figure{
		{"bytes", plain(memory), whole},
		{"connects/s", plain(connects), count},
		{"CPU connect", plain(cpuConnect), number},
		{"CPU ping", pingCost, number},
	}},
	{scaleSpread, "10,000 messages/s of QoS 1 over ever more pairs of connections: CPU time in us for each, and latency in us", "pairs", []figure{
		{"CPU", plain(cpu), number},
		{"p50", plain(p50), whole},
		{"p99", plain(p99), whole},
		{"sent/s", plain(func(r *bench.Result) float64 { return r.SentPerSecond }), count},
	}},
	{scaleSubscriptions, "Subscriptions with wildcards, 100 clients: bytes of memory each, CPU time in us of subscribing, and of a message that matches one of them", "subscriptions", []figure{
		{"bytes", perSize(memory), whole},
		{"CPU subscribe", perSize(cpuConnect), number},
		{"CPU message", plain(cpu), number},
		{"messages/s", plain(rate), count},
	}},
	{scaleFanOut, "Fan-out of messages to ever more subscribers, QoS 0: CPU time in us of a delivery", "subscribers", fanOutFigures},
	{scaleFanOutSingle, "The same, one message at a time: what is sent is not batched", "subscribers", fanOutFigures},
	{scaleRetained, "Retained messages, each of its own topic, stored with QoS 1 and read by a wildcard: bytes of memory and on disk each, CPU time in us", "messages", backlogFigures},
	{scaleOffline, "Messages of QoS 1 that wait for an offline session: bytes of memory and on disk each, CPU time in us", "messages", backlogFigures},
	{scaleLogin, "Clients that log in with username and password for the first time, 50 a second: CPU time in us", "clients", loginFigures},
	{scaleLoginAgain, "The same clients at once, once they have been disconnected", "clients", loginFigures},
}

var loginFigures = []figure{
	{"CPU login", plain(cpuConnect), number},
	{"logins/s", plain(connects), count},
	{"p50", plain(func(r *bench.Result) float64 { return r.Connections.Latency.P50 }), whole},
	{"p99", plain(func(r *bench.Result) float64 { return r.Connections.Latency.P99 }), whole},
}

var fanOutFigures = []figure{
	{"CPU delivery", plain(cpu), number},
	{"deliveries/s", plain(rate), count},
}

var backlogFigures = []figure{
	{"bytes", backlog(func(b *bench.Backlog) float64 { return b.Resident }), whole},
	{"on disk", backlog(func(b *bench.Backlog) float64 { return b.Disk }), whole},
	{"stored/s", backlog(func(b *bench.Backlog) float64 { return b.Store.PerSecond }), count},
	{"CPU store", backlog(func(b *bench.Backlog) float64 { return b.Store.CPUMicros }), number},
	{"read/s", backlog(func(b *bench.Backlog) float64 { return b.Read.PerSecond }), count},
	{"CPU read", backlog(func(b *bench.Backlog) float64 { return b.Read.CPUMicros }), number},
}

func plain(value func(*bench.Result) float64) func(scenario, *bench.Result) float64 {
	return func(_ scenario, r *bench.Result) float64 { return value(r) }
}

func backlog(value func(*bench.Backlog) float64) func(scenario, *bench.Result) float64 {
	return func(_ scenario, r *bench.Result) float64 {
		if r.Backlog == nil {
			return 0
		}
		return value(r.Backlog)
	}
}

// perSize is a figure of each connection, told of what grows instead.
func perSize(value func(*bench.Result) float64) func(scenario, *bench.Result) float64 {
	return func(s scenario, r *bench.Result) float64 {
		return value(r) * float64(r.Connections.Opened) / s.size
	}
}

// pingCost is the CPU time of a PINGREQ, where there is nothing else to do.
func pingCost(s scenario, r *bench.Result) float64 {
	return ofBroker(r, func(b *bench.Broker) float64 { return b.CPUPercent / 100 * 1e6 * pingInterval / s.size })
}

func (c curve) write(out io.Writer, runs []run, selected []scenario, brokers []broker) {
	var rows strings.Builder
	for _, b := range brokers {
		for _, s := range selected {
			if s.kind == c.kind && s.suits(b) {
				c.writeRow(&rows, runs, s, b)
			}
		}
	}
	if rows.Len() == 0 {
		return
	}
	columns := []string{"broker", c.size}
	for _, f := range c.figures {
		columns = append(columns, f.heading)
	}
	writeHead(out, c.title, 1, strings.Join(columns, " | ")+" |")
	fmt.Fprint(out, rows.String())
}

func (c curve) writeRow(out io.Writer, runs []run, s scenario, b broker) {
	fmt.Fprintf(out, "| %s | %s |", b.name, s.title+problems(runs, s, b.name))
	all := resultsOf(runs, s, b.name)
	for _, f := range c.figures {
		cell := "-"
		if v := f.median(s, all); v != 0 {
			cell = f.format(v)
		}
		fmt.Fprintf(out, " %s |", cell)
	}
	fmt.Fprintln(out)
}

func (f figure) median(s scenario, all results) float64 {
	return all.median(func(r *bench.Result) float64 { return f.of(s, r) })
}

func whole(v float64) string { return fmt.Sprintf("%.0f", v) }

// thousands writes 10000 as "10,000".
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
