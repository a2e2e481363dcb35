// Package metrics counts what the broker does, for Prometheus and for the
// broker's own $SYS topics, and keeps a sample of what the topic ACLs refused.
//
// An event loop counts in a Counts of its own with plain additions, and adds it
// to the totals once a round, so that counting costs a message next to nothing.
package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Counter names one of the totals.
type Counter int

// The totals.
const (
	BytesReceived Counter = iota
	BytesSent
	PacketsReceived
	PacketsSent
	PublishReceivedQoS0 // + 1, + 2 for the other qualities of service
	PublishReceivedQoS1
	PublishReceivedQoS2
	PublishRefused
	PublishSentQoS0 // + 1, + 2 for the other qualities of service
	PublishSentQoS1
	PublishSentQoS2
	DroppedQueueFull
	DroppedSlowConsumer
	DroppedTooLarge
	DroppedExpired
	DroppedUnauthorized
	DroppedRetainedFull
	DroppedLost
	ConnectionsAccepted
	ConnectionsRefused
	ConnectionsDisplaced
	ConnectionsClosed
	ProtocolErrors
	PublishThrottled
	StoreDelayed
	FailedProxyHeaders
	FailedUpgrades
	PacketsTooLarge
	SessionsShed
	ConnectionsShed
	counters
)

// Counts are the additions of one event loop since it last told Metrics.
type Counts [counters]uint64

// Gauges are read when somebody asks.
type Gauges struct {
	Connections, Sessions, Subscriptions, Retained, RetainedBytes func() float64
	StoredMessages, StoreHealthy, StoreDamaged, StoreBytes        func() float64
	StoreBacklog, StoreFree                                       func() float64
	HandshakesWaiting, LoginsWaiting                              func() float64
}

// Metrics holds the totals of one broker. It is a prometheus.Collector.
type Metrics struct {
	totals [counters]atomic.Uint64
	gauges atomic.Pointer[Gauges]
	denied *prometheus.CounterVec
	unkept *prometheus.CounterVec
	logins *prometheus.CounterVec
	ended  *prometheus.CounterVec
	// handshakes of TLS that failed
	handshakes *prometheus.CounterVec

	denials denials
}

// New returns metrics that are all zero.
func New() *Metrics {
	return &Metrics{
		denied: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "godwit_authorization_denied_total",
			Help: "Publishes, subscriptions and wills refused by the topic ACLs, by user; beyond 1000 users the others count as (other).",
		}, []string{"user", "action"}),
		unkept: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "godwit_not_retained_total",
			Help: "Messages that were delivered, but not retained, for a limit or because the store takes nothing new, by user; beyond 1000 users the others count as (other).",
		}, []string{"user"}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "godwit_connect_refused_total",
			Help: "CONNECT packets refused, by the reason of the answer.",
		}, []string{"reason"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "godwit_clients_disconnected_total",
			Help: "Clients that the broker has disconnected, by its reason.",
		}, []string{"reason"}),
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "godwit_tls_handshakes_failed_total",
			Help: "TLS handshakes that failed, by listener and reason.",
		}, []string{"listener", "reason"}),
		denials: newDenials(),
	}
}

// Add takes over c and empties it.
func (m *Metrics) Add(c *Counts) {
	for i, n := range c {
		if n != 0 {
			m.totals[i].Add(n)
			c[i] = 0
		}
	}
}

// Count adds n to one of the totals. Event loops use Counts.
func (m *Metrics) Count(c Counter, n int) { m.totals[c].Add(uint64(n)) }

// Total returns one of the totals.
func (m *Metrics) Total(c Counter) uint64 { return m.totals[c].Load() }

// SetGauges tells where the gauges are read.
func (m *Metrics) SetGauges(g Gauges) { m.gauges.Store(&g) }

// Refused counts a CONNECT that was refused.
func (m *Metrics) Refused(reason string) { m.logins.WithLabelValues(reason).Inc() }

// Disconnected counts a client that the broker has disconnected.
func (m *Metrics) Disconnected(reason string) { m.ended.WithLabelValues(reason).Inc() }

// HandshakeFailed counts a TLS handshake that failed. There are few listeners and
// reasons.
func (m *Metrics) HandshakeFailed(listener, reason string) {
	m.handshakes.WithLabelValues(listener, reason).Inc()
}
