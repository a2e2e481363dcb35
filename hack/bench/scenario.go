package main

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind says what is of interest in a scenario.
type kind int

const (
	throughput  kind = iota
	latency          // at a fixed rate
	idle             // connections
	secure           // over TLS
	durable          // to persistent sessions
	durableRate      // to persistent sessions, at a fixed rate
	// Those of scaleScenarios, in which the size is what grows.
	scaleConnections
	scaleSpread // messages over many connections
	scaleSubscriptions
	scaleFanOut
	scaleFanOutSingle // one message at a time
	scaleRetained
	scaleOffline
	scaleLogin      // with username and password
	scaleLoginAgain // of clients that have logged in before
)

// scenario is one load, and what the engine is to achieve under it.
type scenario struct {
	name, title string
	kind        kind
	args        string // of godwit bench
	relay       string // the relay's mode; empty where it has nothing to say
	floor       string // of godwit bench with the relay, if other than args
	// target is the CPU time of a message that is allowed, as a multiple of the
	// relay's; in the kind secure in microseconds. In the kind durable it is the
	// multiple of Mosquitto's messages a second that is to be reached.
	target float64
	size   float64 // of what grows, in the scale's kinds
}

// secure says that the load comes over TLS.
func (s scenario) secure() bool { return strings.Contains(s.args, "--insecure") }

// persistent says that subscribers have sessions which outlive connections.
func (s scenario) persistent() bool { return strings.Contains(s.args, "--persistent") }

// login says that clients have a username and a password.
func (s scenario) login() bool { return s.kind == scaleLogin || s.kind == scaleLoginAgain }

// suits says that a broker takes part.
func (s scenario) suits(b broker) bool { return !b.floor || s.relay != "" }

// The flags of the scenarios with 50 pairs of clients.
const pairs = "pair --connections 50 "

// Messages that a broker which keeps its promises has on disk before PUBACK.
const lasting = pairs + "--qos 1 --persistent"

// The relay knows no topics. What it has to do for as many clients and messages
// of the same size is to pass each on to one of them.
const floorOfWildcard = "pair --connections 100 --topic bench/r%i/state/000000 --qos 0"

var scenarios = []scenario{
	{"pair-q0", "50 pairs, QoS 0", throughput, pairs + "--qos 0", "pair", "", 2.5, 0},
	{"pair-q1", "50 pairs, QoS 1", throughput, pairs + "--qos 1", "pair", "", 2.5, 0},
	{"pair-q2", "50 pairs, QoS 2", throughput, pairs + "--qos 2", "pair", "", 2.5, 0},
	{"single-q0", "50 pairs, one in flight, QoS 0", throughput, pairs + "--qos 0 --window 1", "pair", "", 1.15, 0},
	{"single-q1", "50 pairs, one in flight, QoS 1", throughput, pairs + "--qos 1 --window 1", "pair", "", 1.25, 0},
	{"fanin-q0", "fan-in 100 to 1, QoS 0", throughput, "fanin --publishers 100 --qos 0", "all", "", 3, 0},
	{"fanin-q1", "fan-in 100 to 1, QoS 1", throughput, "fanin --publishers 100 --qos 1", "all", "", 5, 0},
	{"fanout-q0", "fan-out 1 to 500, QoS 0", throughput, "fanout --subscribers 500 --window 50 --qos 0", "all", "", 1.7, 0},
	{"fanout-q1", "fan-out 1 to 500, QoS 1", throughput, "fanout --subscribers 500 --window 50 --qos 1", "all", "", 2.5, 0},
	{"large-q0", "50 pairs, 16 KiB, QoS 0", throughput, pairs + "--size 16384 --window 8 --qos 0", "pair", "", 1.5, 0},
	{"wildcard-q0", "20,000 wildcard filters, QoS 0", throughput, "wildcard --connections 100 --filters 20000 --qos 0", "pair", floorOfWildcard, 8, 0},
	{"rate-q1", "50 pairs, 10,000 messages/s, QoS 1", latency, pairs + "--rate 10000 --window 1000 --qos 1", "pair", "", 1.2, 0},
	{"idle", "10,000 idle connections", idle, "idle --connections 10000", "pair", "", 0, 0},
	{"tls-q0", "50 pairs, TLS, QoS 0", secure, pairs + "--qos 0 --insecure", "", "", 0.5, 0},
	{"tls-q1", "50 pairs, TLS, QoS 1", secure, pairs + "--qos 1 --insecure", "", "", 0.8, 0},
	{"durable-q1", "50 pairs, persistent sessions, QoS 1", durable, lasting, "", "", 5, 0},
	{"durable-1k", "1,000", durableRate, lasting + " --rate 1000", "", "", 0, 1000},
	{"durable-10k", "10,000", durableRate, lasting + " --rate 10000", "", "", 0, 10000},
	{"durable-50k", "50,000", durableRate, lasting + " --rate 50000", "", "", 0, 50000},
}

// selectScenarios takes those of a suite that names, separated by commas, begin;
// all if there are none.
func selectScenarios(suite []scenario, names string) (selected []scenario, unknown string) {
	if names == "" {
		return suite, ""
	}
	for name := range strings.SplitSeq(names, ",") {
		before := len(selected)
		for _, s := range suite {
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

// arguments of godwit bench for a broker that runs. Flags of the scenario come
// last but for more, and so prevail.
func (s scenario) arguments(b broker, p *process, duration time.Duration, more ...string) []string {
	scheme := "mqtt"
	if s.secure() {
		scheme = "mqtts"
	}
	load := strings.Fields(s.args)
	if b.floor && s.floor != "" {
		load = strings.Fields(s.floor)
	}
	args := []string{
		"bench", load[0], "--json", "--quiet", "--keep-alive", "10m", "--warm-up", "1s", "--duration", duration.String(),
		"--url", scheme + "://127.0.0.1:" + strconv.Itoa(p.port), "--broker-pid", strconv.Itoa(p.cmd.Process.Pid),
		"--broker-dir", filepath.Join(p.dir, dataDir),
	}
	return slices.Concat(args, load[1:], more)
}
