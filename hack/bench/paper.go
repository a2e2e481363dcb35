package main

import (
	"fmt"
	"io"

	"github.com/godwit-mqtt/godwit/broker/bench"
)

// What writePaper reckons with.
const (
	paperConnections = 1e6
	paperCores       = 16
	paperUse         = 0.7 // part of the cores that the broker gets
	paperInterval    = 60  // seconds between two packets of a client
	paperRush        = 300 // seconds in which all connect
)

const paperAssumptions = `
On paper: 1,000,000 connections on a node with 16 cores, from the largest rows of godwit above. Assumed are memory and CPU time in proportion, on cores like the ones of this machine; that each client sends a PINGREQ every 60 s, and a message of QoS 1 every 60 s which one other client receives; and that the broker gets 70 % of the cores. The kernel's memory for sockets comes on top.

| | each | in all |
|---|---:|---:|
`

// writePaper tells what the measured costs come to where nobody has measured.
func writePaper(out io.Writer, runs []run, selected []scenario) {
	largest := func(k kind, tls bool, of func(scenario, *bench.Result) float64) float64 {
		return largestSize(runs, selected, k, tls, of)
	}
	bytes := largest(scaleConnections, false, plain(memory))
	ping := largest(scaleConnections, false, pingCost)
	connect := largest(scaleConnections, false, plain(cpuConnect))
	message := largest(scaleSpread, false, plain(cpu))
	if bytes == 0 || message == 0 {
		return
	}
	fmt.Fprint(out, paperAssumptions)
	memoryRow := func(name string, bytes float64) {
		if bytes > 0 {
			fmt.Fprintf(out, "| %s | %s B | %s GB |\n", name, thousands(int(bytes)), number(bytes*paperConnections/1e9))
		}
	}
	coresRow := func(name string, seconds, micros float64) {
		perSecond := paperConnections / seconds
		fmt.Fprintf(out, "| %s, %s/s | %s us | %s cores |\n", name, thousands(int(perSecond)), number(micros), number(perSecond*micros/1e6))
	}
	memoryRow("memory", bytes)
	memoryRow("memory, TLS", largest(scaleConnections, true, plain(memory)))
	coresRow("PINGREQ", paperInterval, ping)
	coresRow("messages", paperInterval, message)
	coresRow("all connect within 5 minutes", paperRush, connect)
	left := paperCores*paperUse - paperConnections/paperInterval*ping/1e6
	fmt.Fprintf(out, "| messages that the cores have time for | %s us | %s/s |\n", number(message), thousands(int(left/message*1e6)))
}

// largestSize is godwit's figure in the scenario of a kind in which most was
// measured, zero if there is none.
func largestSize(runs []run, selected []scenario, k kind, tls bool, of func(scenario, *bench.Result) float64) (value float64) {
	var size float64
	for _, s := range selected {
		all := resultsOf(runs, s, "godwit")
		if s.kind == k && s.secure() == tls && len(all) > 0 && s.size > size {
			size, value = s.size, figure{of: of}.median(s, all)
		}
	}
	return value
}
