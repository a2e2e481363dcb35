package metrics

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// gathered returns the samples of m by name and labels.
func gathered(t *testing.T, m *Metrics) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(m); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	samples := map[string]float64{}
	for _, f := range families {
		for _, x := range f.Metric {
			var labels []string
			for _, l := range x.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			samples[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = x.GetCounter().GetValue() + x.GetGauge().GetValue()
		}
	}
	return samples
}

func TestEveryCounterIsTold(t *testing.T) {
	m := New()
	var c Counts
	for i := range c {
		c[i] = uint64(i) + 1
	}
	m.Add(&c)
	if c != (Counts{}) {
		t.Error("what was added stays in the counts")
	}
	m.Add(&Counts{BytesSent: 100})
	m.Denied(noon, "ann", "publish", "t")
	m.Refused("not authorized")
	m.Disconnected("keep alive timeout")
	got := gathered(t, m)
	for name, want := range map[string]float64{
		"godwit_bytes_received_total{}":                                float64(BytesReceived) + 1,
		"godwit_bytes_sent_total{}":                                    float64(BytesSent) + 101,
		"godwit_messages_received_total{qos=2}":                        float64(PublishReceivedQoS2) + 1,
		"godwit_messages_sent_total{qos=0}":                            float64(PublishSentQoS0) + 1,
		"godwit_messages_dropped_total{reason=slow_consumer}":          float64(DroppedSlowConsumer) + 1,
		"godwit_protocol_errors_total{}":                               float64(ProtocolErrors) + 1,
		"godwit_authorization_denied_total{action=publish,user=ann}":   1,
		"godwit_connect_refused_total{reason=not authorized}":          1,
		"godwit_clients_disconnected_total{reason=keep alive timeout}": 1,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	for i, s := range totals {
		if s.desc == nil {
			t.Errorf("counter %d is told nowhere", i)
		}
	}
}

func TestGaugesAreReadWhenAsked(t *testing.T) {
	m, n := New(), 0.0
	read := func() float64 { n++; return n }
	m.SetGauges(Gauges{
		Connections: read, Sessions: read, Subscriptions: read, Retained: read, RetainedBytes: read,
		StoredMessages: read, StoreHealthy: read, StoreDamaged: read, StoreBytes: read, StoreBacklog: read, StoreFree: read,
		HandshakesWaiting: read, LoginsWaiting: read,
	})
	if n != 0 {
		t.Error("read before anybody asked")
	}
	got := gathered(t, m)
	if _, ok := got["godwit_sessions{}"]; !ok || n < 13 {
		t.Errorf("%v after %v reads", got, n)
	}
}
