package bench

import (
	"fmt"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Result is what a run has measured. Rates and CPU times are those of the
// measured time, without warm-up and drain; Messages counts the whole run, so
// that nothing falls between.
type Result struct {
	Scenario    Scenario   `json:"scenario"`
	URL         string     `json:"url"`
	Version     string     `json:"version"` // of MQTT
	QoS         packet.QoS `json:"qos"`
	Size        int        `json:"size"` // of a payload, in bytes
	Publishers  int        `json:"publishers"`
	Subscribers int        `json:"subscribers"`
	Window      int        `json:"window"`
	Persistent  bool       `json:"persistent,omitempty"`
	Rate        float64    `json:"rate,omitempty"` // asked for, in messages a second; zero is a closed loop
	Seconds     float64    `json:"seconds"`        // that were measured

	Connections Connections `json:"connections"`
	Messages    Messages    `json:"messages"`
	// SentPerSecond and ReceivedPerSecond count PUBLISH packets of this side and
	// of the broker, BytesPerSecond the payloads of the latter.
	SentPerSecond     float64 `json:"sentPerSecond"`
	ReceivedPerSecond float64 `json:"receivedPerSecond"`
	BytesPerSecond    float64 `json:"bytesPerSecond"`
	// Latency of deliveries, and AckLatency of the broker's PUBACK, in QoS 2 of
	// its PUBCOMP: from when a message was due at a fixed rate, and else from when
	// it was sent.
	Latency    Latency   `json:"latency"`
	AckLatency Latency   `json:"ackLatency"`
	Backlog    *Backlog  `json:"backlog,omitempty"` // in Retained and Offline
	Generator  Generator `json:"generator"`
	Broker     *Broker   `json:"broker,omitempty"`
	// Warnings say what the figures do not show, and why.
	Warnings []string `json:"warnings,omitempty"`
}

// Connections tells how connecting went.
type Connections struct {
	Opened    int     `json:"opened"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"perSecond"`
	Lost      uint64  `json:"lost"` // afterwards
	Latency   Latency `json:"latency"`
}

// Messages are counted over the whole run.
type Messages struct {
	Sent       uint64 `json:"sent"`
	Expected   uint64 `json:"expected"`   // deliveries
	Delivered  uint64 `json:"delivered"`  // each once
	Lost       uint64 `json:"lost"`       // did not come before the end
	Late       uint64 `json:"late"`       // came after ones that were sent later
	Duplicates uint64 `json:"duplicates"` // came again
	Foreign    uint64 `json:"foreign"`    // not of this run, or for another subscriber
	Refused    uint64 `json:"refused"`    // acknowledged with a failure
	Unanswered uint64 `json:"unanswered"` // not acknowledged before the end
}

// Latency is a distribution, in microseconds.
type Latency struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`
}

// Generator tells how near the load generator was to its own limits.
type Generator struct {
	CPUPercent       float64 `json:"cpuPercent"`     // of one core
	LoopPercent      float64 `json:"loopCpuPercent"` // of the core that the event loop has
	CPUMicros        float64 `json:"cpuMicrosPerMessage"`
	MachinePercent   float64 `json:"machineCpuPercent"` // of all cores, all programs
	LatePercent      float64 `json:"latePercent"`       // messages seen over 1 ms after they were due
	WorstLagMicros   float64 `json:"worstLagMicros"`
	HeldBackPercent  float64 `json:"heldBackPercent"` // messages that had to wait for the broker
	UnsentByDeadline uint64  `json:"unsent"`          // due, and never sent
}

// Broker is the process that the options named.
type Broker struct {
	PID                int     `json:"pid"`
	CPUPercent         float64 `json:"cpuPercent"` // of one core
	CPUMicros          float64 `json:"cpuMicrosPerMessage"`
	CPUMicrosConnect   float64 `json:"cpuMicrosPerConnection"`
	Resident           int64   `json:"residentBytes"`
	BytesPerConnection float64 `json:"bytesPerConnection"` // by which it grew from the first to the last
	Written            float64 `json:"writtenBytesPerMessage"`
}

// sample is what has been used up by a moment.
type sample struct {
	at            int64
	count         count
	process, loop time.Duration
	machine, idle time.Duration
	broker        usage
	brokerErr     error
	directory     int64 // bytes
}

// usage is what a process has used up.
type usage struct {
	cpu      time.Duration
	resident int64 // bytes of memory
	written  int64 // bytes to disk, since it began
}

func (r *run) sample() sample {
	s := sample{at: r.clock.now(), count: r.count}
	s.process, s.loop = ownCPU()
	s.machine, s.idle = machineTime()
	if pid := r.options.BrokerPID; pid != 0 {
		s.broker, s.brokerErr = processUsage(pid)
	}
	if dir := r.options.BrokerDir; dir != "" {
		s.directory = directorySize(dir)
	}
	return s
}

// samples are taken at the turns of a run.
type samples struct {
	start, connected, ready, begin, end sample // ready is before anything is sent
	stored, settled, reading            sample // between begin and end, where messages are stored
}

func (r *run) result(s samples) *Result {
	o := &r.options
	seconds := float64(s.end.at-s.begin.at) / 1e9
	perSecond := func(from, to uint64) float64 { return ratio(float64(to-from), seconds) }
	result := &Result{
		Scenario: o.Scenario, URL: o.URL, Version: o.Version.String(), QoS: o.QoS, Size: o.Size,
		Publishers: o.Publishers, Subscribers: o.Subscribers, Window: o.Window, Persistent: o.Persistent, Rate: o.Rate, Seconds: seconds,
		Connections:       r.connections(s),
		Messages:          r.messages(),
		SentPerSecond:     perSecond(s.begin.count.sent, s.end.count.sent),
		ReceivedPerSecond: perSecond(s.begin.count.received, s.end.count.received),
		BytesPerSecond:    perSecond(s.begin.count.bytes, s.end.count.bytes),
		Latency:           latency(&r.latency),
		AckLatency:        latency(&r.acks),
		Backlog:           r.backlog(s),
		Generator:         r.generator(s),
		Broker:            r.broker(s),
	}
	result.Warnings = r.warnings(result, s)
	return result
}

func (r *run) connections(s samples) Connections {
	c := Connections{
		Opened: int(s.end.count.opened), Seconds: float64(s.connected.at-s.start.at) / 1e9,
		Lost: r.count.lostClients, Latency: latency(&r.connects),
	}
	c.PerSecond = ratio(float64(s.connected.count.opened), c.Seconds)
	return c
}

func (r *run) messages() Messages {
	n := &r.count
	m := Messages{
		Sent: n.sent, Expected: n.expected, Delivered: n.delivered, Lost: n.expected - n.delivered,
		Late: n.late, Duplicates: n.duplicates, Foreign: n.foreign, Refused: n.refused,
	}
	if r.options.Scenario == Subscribe { // who sends how much is not known here
		m.Expected, m.Lost = n.delivered+n.missing, n.missing
	}
	for _, c := range r.publishers {
		m.Unanswered += uint64(c.inflight)
	}
	return m
}

func latency(h *Histogram) Latency {
	micros := func(q float64) float64 { return float64(h.Quantile(q)) / 1e3 }
	return Latency{
		Count: h.Total(), P50: micros(.5), P90: micros(.9), P99: micros(.99), P999: micros(.999),
		Max: float64(h.Max()) / 1e3,
	}
}

func (r *run) generator(s samples) Generator {
	elapsed := float64(s.end.at - s.begin.at)
	sent := float64(s.end.count.sent - s.begin.count.sent)
	g := Generator{
		CPUPercent:      100 * ratio(float64(s.end.process-s.begin.process), elapsed),
		LoopPercent:     100 * ratio(float64(s.end.loop-s.begin.loop), elapsed),
		CPUMicros:       ratio(float64(s.end.process-s.begin.process)/1e3, s.messages()),
		LatePercent:     100 * ratio(float64(s.end.count.lateSends-s.begin.count.lateSends), sent),
		HeldBackPercent: 100 * ratio(float64(s.end.count.heldBack-s.begin.count.heldBack), sent),
		WorstLagMicros:  float64(r.lag.Max()) / 1e3,
	}
	if total := float64(s.end.machine - s.begin.machine); total > 0 {
		g.MachinePercent = 100 * (1 - float64(s.end.idle-s.begin.idle)/total)
	}
	for _, c := range r.publishers {
		g.UnsentByDeadline += uint64(c.due)
	}
	return g
}

// messages is the number that CPU time is divided by: what arrived, or what was
// sent if nothing arrives.
func (s samples) messages() float64 {
	if n := s.end.count.received - s.begin.count.received; n > 0 {
		return float64(n)
	}
	return float64(s.end.count.sent - s.begin.count.sent)
}

func (r *run) broker(s samples) *Broker {
	if r.options.BrokerPID == 0 || s.end.brokerErr != nil || s.start.brokerErr != nil {
		return nil
	}
	clients := float64(s.connected.count.opened)
	cpu := float64(s.end.broker.cpu - s.begin.broker.cpu)
	return &Broker{
		PID: r.options.BrokerPID, Resident: s.end.broker.resident,
		CPUPercent:         100 * ratio(cpu, float64(s.end.at-s.begin.at)),
		CPUMicros:          ratio(cpu/1e3, s.messages()),
		CPUMicrosConnect:   float64((s.connected.broker.cpu - s.start.broker.cpu).Microseconds()) / clients,
		BytesPerConnection: float64(s.ready.broker.resident-s.start.broker.resident) / clients,
		Written:            ratio(float64(s.end.broker.written-s.begin.broker.written), s.messages()),
	}
}

// ratio is zero where there is nothing to divide by.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// Limits from which on a result is told to be doubtful, in percent.
const (
	loopLimit    = 90
	machineLimit = 95
	lateLimit    = 1
)

// warnings tell where the figures are those of the generator, or of something
// else than the broker.
func (r *run) warnings(result *Result, s samples) (w []string) {
	g := &result.Generator
	add := func(format string, args ...any) { w = append(w, fmt.Sprintf(format, args...)) }
	if g.LoopPercent >= loopLimit {
		add("the load generator used %.0f%% of its core: the broker may be able to do more than this", g.LoopPercent)
	}
	if g.MachinePercent >= machineLimit {
		add("all cores of this machine were busy (%.0f%%): programs on it, this one included, got in each other's way", g.MachinePercent)
	}
	if g.LatePercent >= lateLimit {
		add("the load generator was late: it saw %.1f%% of the messages over 1 ms after they were due (%.0f us at worst), and their latency includes that", g.LatePercent, g.WorstLagMicros)
	}
	if g.HeldBackPercent >= lateLimit {
		add("%.1f%% of the messages waited for the broker to acknowledge or to read: the rate is more than it takes, or the window (%d) too small", g.HeldBackPercent, result.Window)
	}
	if g.UnsentByDeadline > 0 {
		add("%d messages were due and never sent", g.UnsentByDeadline)
	}
	if result.Connections.Lost > 0 {
		add("%d connections were lost, the first one because: %v", result.Connections.Lost, r.err)
	}
	if err := s.end.brokerErr; err != nil {
		add("the broker's process: %v", err)
	}
	return w
}
