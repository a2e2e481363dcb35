package bench

import (
	"fmt"
	"time"
)

// Progress is how a run stands, and what happened since the last one.
type Progress struct {
	Elapsed   time.Duration // since Run was called
	Phase     string        // one of the stages
	Connected int
	Clients   int

	Sent, Received float64       // messages a second
	P50, P99       time.Duration // of deliveries, or else of acknowledgements
	Missing        uint64        // in total, and so is Lost
	Lost           uint64        // connections
}

// String is a line for a terminal.
func (p Progress) String() string {
	s := fmt.Sprintf("%4.0fs %-8s %d/%d clients", p.Elapsed.Seconds(), p.Phase, p.Connected, p.Clients)
	if p.Phase != stageConnect {
		s += fmt.Sprintf("  sent %s/s  received %s/s", short(p.Sent), short(p.Received))
	}
	if p.P99 > 0 {
		s += fmt.Sprintf("  p50 %v  p99 %v", p.P50, p.P99)
	}
	if p.Missing > 0 {
		s += fmt.Sprintf("  missing %d", p.Missing)
	}
	return s
}

// short writes a number with three digits or so.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.2fM", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.0fk", v/1e3)
	case v >= 1e3:
		return fmt.Sprintf("%.2fk", v/1e3)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

// ticker says when progress is due, and what it was the last time.
type ticker struct {
	next    int64
	at      int64
	count   count
	latency Histogram
}

// progress reports once a second.
func (r *run) progress() {
	t := &r.ticker
	if r.report == nil || r.now < t.next {
		return
	}
	seconds := float64(r.now-t.at) / 1e9
	timed := r.timed()
	recent := timed.Since(&t.latency)
	r.report(Progress{
		Elapsed: time.Duration(r.now - r.clock.unix), Phase: r.stage,
		Connected: r.ready, Clients: len(r.clients),
		Sent:     float64(r.count.sent-t.count.sent) / seconds,
		Received: float64(r.count.received-t.count.received) / seconds,
		P50:      rounded(recent.Quantile(.5)), P99: rounded(recent.Quantile(.99)),
		Missing: r.count.missing, Lost: r.count.lostClients,
	})
	t.at, t.count, t.latency = r.now, r.count, *timed
	t.next = r.now + oncePerTick
}

// timed is the latency to show: of acknowledgements where deliveries have none.
func (r *run) timed() *Histogram {
	if len(r.publishers) > 0 && (r.copies == 0 || r.options.stores()) {
		return &r.acks
	}
	return &r.latency
}

// The stages of a run.
const (
	stageConnect = "connect"
	stageWarmUp  = "warm up"
	stageMeasure = "measure"
	stageDrain   = "drain"
	stageStore   = "store"
	stageRead    = "read"
)

// rounded keeps a duration readable.
func rounded(ns int64) time.Duration {
	d := time.Duration(ns)
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond)
	default:
		return d.Round(time.Microsecond)
	}
}
