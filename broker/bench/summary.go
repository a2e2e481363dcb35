package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// WriteSummary writes the result for people to read.
func (r *Result) WriteSummary(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { _, _ = fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	line("scenario", "%s, %d publishers, %d subscribers, QoS %d, %d bytes, MQTT %s", r.Scenario, r.Publishers, r.Subscribers, r.QoS, r.Size, r.Version)
	if r.Persistent {
		line("", "sessions of subscribers outlive their connections")
	}
	line("load", "%s, measured for %.1f s", r.load(), r.Seconds)
	line("connections", "%d in %.2f s (%s/s); %s", r.Connections.Opened, r.Connections.Seconds, short(r.Connections.PerSecond), r.Connections.Latency.text())
	if r.Scenario != Idle {
		r.writeMessages(line)
	}
	line("this program", "%.0f%% of a core, its event loop %.0f%%; the machine %.0f%%", r.Generator.CPUPercent, r.Generator.LoopPercent, r.Generator.MachinePercent)
	if b := r.Broker; b != nil {
		line("broker", "%.0f%% of a core, %.2f us a message, %.0f us a connection; %.1f MiB resident, %.0f bytes a connection; %.0f bytes to disk a message",
			b.CPUPercent, b.CPUMicros, b.CPUMicrosConnect, float64(b.Resident)/(1<<20), b.BytesPerConnection, b.Written)
	}
	for _, warning := range r.Warnings {
		line("note", "%s", warning)
	}
	return w.Flush()
}

func (r *Result) load() string {
	switch {
	case r.Scenario == Idle || r.Scenario == Subscribe:
		return "none of its own"
	case r.Backlog != nil:
		return fmt.Sprintf("stored and then read, %d on their way for each publisher", r.Window)
	case r.Rate > 0:
		return fmt.Sprintf("%s messages/s on a schedule", short(r.Rate))
	default:
		return fmt.Sprintf("as fast as the broker takes it, %d on their way for each publisher", r.Window)
	}
}

func (r *Result) writeMessages(line func(name, format string, args ...any)) {
	m := &r.Messages
	if b := r.Backlog; b != nil {
		line("stored", "%s; %.0f bytes of memory and %.0f on disk for each", b.Store.text(), b.Resident, b.Disk)
		line("read", "%s", b.Read.text())
	} else {
		line("throughput", "%s/s sent, %s/s received, %.1f MB/s of payload received", short(r.SentPerSecond), short(r.ReceivedPerSecond), r.BytesPerSecond/1e6)
	}
	if r.Latency.Count > 0 {
		line("latency", "%s", r.Latency.text())
	}
	if r.AckLatency.Count > 0 {
		line("acknowledged", "%s", r.AckLatency.text())
	}
	line("messages", "%d sent, %d of %d deliveries", m.Sent, m.Delivered, m.Expected)
	line("", "%d lost, %d duplicates, %d out of order, %d foreign, %d refused, %d unanswered", m.Lost, m.Duplicates, m.Late, m.Foreign, m.Refused, m.Unanswered)
}

func (l Latency) text() string {
	at := func(micros float64) string { return rounded(int64(micros * 1e3)).String() }
	return fmt.Sprintf("p50 %s, p90 %s, p99 %s, p99.9 %s, max %s", at(l.P50), at(l.P90), at(l.P99), at(l.P999), at(l.Max))
}

func (t Transfer) text() string {
	return fmt.Sprintf("%d in %.2f s (%s/s), %.2f us of the broker and %.0f bytes to disk a message", t.Messages, t.Seconds, short(t.PerSecond), t.CPUMicros, t.Written)
}
