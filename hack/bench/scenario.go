package main

import (
	"strconv"
	"strings"
)

// kind says what is of interest in a scenario.
type kind int

const (
	throughput kind = iota
	latency         // at a fixed rate
	idle
	secure // over TLS, which the relay does not speak
)

// scenario is one load, and what the engine is to achieve under it.
type scenario struct {
	name, title string
	kind        kind
	args        string // of godwit bench
	relay       string // the relay's mode
	floor       string // of godwit bench with the relay, if other than args
	// target is the CPU time of a message that is allowed, as a multiple of the
	// relay's, and in the kind secure in microseconds.
	target float64
}

// The flags of the scenarios with 50 pairs of clients.
const pairs = "pair --connections 50 "

// The relay knows no topics. What it has to do for as many clients and messages
// of the same size is to pass each on to one of them.
const floorOfWildcard = "pair --connections 100 --topic bench/r%i/state/000000 --qos 0"

var scenarios = []scenario{
	{"pair-q0", "50 pairs, QoS 0", throughput, pairs + "--qos 0", "pair", "", 2.5},
	{"pair-q1", "50 pairs, QoS 1", throughput, pairs + "--qos 1", "pair", "", 2.5},
	{"pair-q2", "50 pairs, QoS 2", throughput, pairs + "--qos 2", "pair", "", 2.5},
	{"single-q0", "50 pairs, one in flight, QoS 0", throughput, pairs + "--qos 0 --window 1", "pair", "", 1.15},
	{"single-q1", "50 pairs, one in flight, QoS 1", throughput, pairs + "--qos 1 --window 1", "pair", "", 1.25},
	{"fanin-q0", "fan-in 100 to 1, QoS 0", throughput, "fanin --publishers 100 --qos 0", "all", "", 3},
	{"fanin-q1", "fan-in 100 to 1, QoS 1", throughput, "fanin --publishers 100 --qos 1", "all", "", 5},
	{"fanout-q0", "fan-out 1 to 500, QoS 0", throughput, "fanout --subscribers 500 --window 50 --qos 0", "all", "", 1.7},
	{"fanout-q1", "fan-out 1 to 500, QoS 1", throughput, "fanout --subscribers 500 --window 50 --qos 1", "all", "", 2.5},
	{"large-q0", "50 pairs, 16 KiB, QoS 0", throughput, pairs + "--size 16384 --window 8 --qos 0", "pair", "", 1.5},
	{"wildcard-q0", "20,000 wildcard filters, QoS 0", throughput, "wildcard --connections 100 --filters 20000 --qos 0", "pair", floorOfWildcard, 8},
	{"rate-q1", "50 pairs, 10,000 messages/s, QoS 1", latency, pairs + "--rate 10000 --window 1000 --qos 1", "pair", "", 1.2},
	{"idle", "10,000 idle connections", idle, "idle --connections 10000", "pair", "", 0},
	{"tls-q0", "50 pairs, TLS, QoS 0", secure, pairs + "--qos 0 --insecure", "", "", 0.5},
	{"tls-q1", "50 pairs, TLS, QoS 1", secure, pairs + "--qos 1 --insecure", "", "", 0.8},
}

// selectScenarios takes those that names, separated by commas, begin; all if
// there are none.
func selectScenarios(names string) (selected []scenario, unknown string) {
	if names == "" {
		return scenarios, ""
	}
	for name := range strings.SplitSeq(names, ",") {
		before := len(selected)
		for _, s := range scenarios {
			if strings.HasPrefix(s.name, name) {
				selected = append(selected, s)
			}
		}
		if len(selected) == before {
			return nil, name
		}
	}
	return selected, ""
}

// arguments of godwit bench for a broker at a port.
func (s scenario) arguments(b broker, port, pid int, seconds string) []string {
	scheme := "mqtt"
	if s.kind == secure {
		scheme = "mqtts"
	}
	load := s.args
	if b.floor && s.floor != "" {
		load = s.floor
	}
	args := append([]string{"bench"}, strings.Fields(load)...)
	return append(args, "--json", "--quiet", "--keep-alive", "10m", "--warm-up", "1s", "--duration", seconds,
		"--url", scheme+"://127.0.0.1:"+strconv.Itoa(port), "--broker-pid", strconv.Itoa(pid))
}
