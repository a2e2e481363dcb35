package bench_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/godwit-mqtt/godwit/broker/bench"
	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// gauge reads one of the broker's metrics.
func gauge(t *testing.T, b *brokertest.Broker, name string) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(b.Metrics)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// startEmpty starts a broker that retains nothing of its own.
func startEmpty(t *testing.T) *brokertest.Broker {
	t.Helper()
	return startBroker(t, func(c *config.Config) { c.Settings.MQTT.SysInterval = -1 })
}

// expectNothingLeft waits until the broker holds no session and no retained
// message.
func expectNothingLeft(t *testing.T, b *brokertest.Broker) {
	t.Helper()
	for _, name := range []string{"godwit_sessions", "godwit_retained_messages"} {
		brokertest.WaitFor(t, name+" to be 0", func() bool { return gauge(t, b, name) == 0 })
	}
}

func TestStoredMessagesComeBackAndAreRemoved(t *testing.T) {
	b := startEmpty(t)
	for _, scenario := range []bench.Scenario{bench.Retained, bench.Offline} {
		for _, v := range []packet.Version{packet.V311, packet.V5} {
			for q := packet.QoS0; q <= packet.QoS2; q++ {
				t.Run(fmt.Sprintf("%s/%s/%d", scenario, v, q), func(t *testing.T) {
					const messages, publishers, subscribers = 1001, 3, 2
					r := run(t, b, brokertest.Plain, bench.Options{
						Scenario: scenario, Version: v, QoS: q, Messages: messages, Publishers: publishers, Connections: subscribers,
					})
					m, s := r.Messages, r.Backlog
					if m.Sent != messages || m.Delivered != messages*subscribers || m.Expected != m.Delivered || m.Unanswered != 0 {
						t.Errorf("%+v", m)
					}
					if s.Store.Messages != messages || s.Read.Messages != messages*subscribers || s.Store.PerSecond <= 0 || s.Read.PerSecond <= 0 {
						t.Errorf("%+v", s)
					}
					checkLatency(t, "deliveries", r.Latency, false)
					checkLatency(t, "acknowledgements", r.AckLatency, true)
					expectNothingLeft(t, b)
				})
			}
		}
	}
}

func TestPersistentSessionsAreEnded(t *testing.T) {
	b := startEmpty(t)
	check := func(listener string, scenario bench.Scenario, v packet.Version) {
		t.Run(fmt.Sprintf("%s/%s/%s", listener, scenario, v), func(t *testing.T) {
			run(t, b, listener, bench.Options{
				Scenario: scenario, Version: v, QoS: packet.QoS1, Persistent: true,
				Connections: 3, Duration: 20 * time.Millisecond,
			})
			expectNothingLeft(t, b)
		})
	}
	for _, v := range []packet.Version{packet.V311, packet.V5} {
		for _, scenario := range []bench.Scenario{bench.Pair, bench.Subscribe, bench.Idle, bench.Retained} {
			check(brokertest.Plain, scenario, v)
		}
		check(brokertest.TLS, bench.Pair, v)
		check(webSocket, bench.Pair, v)
	}
}

func TestARunThatIsStoppedLeavesNothing(t *testing.T) {
	b := startEmpty(t)
	for _, scenario := range []bench.Scenario{bench.Pair, bench.Retained, bench.Offline} {
		t.Run(string(scenario), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			o := bench.Options{
				Scenario: scenario, QoS: packet.QoS1, Persistent: true, Connections: 2, Duration: time.Minute,
				URL: "mqtt://" + b.Addr(brokertest.Plain).String(),
			}
			if scenario != bench.Pair {
				o.Publishers, o.Messages, o.Window = 1, 1e6, 1
			}
			result, err := bench.Run(ctx, o, func(p bench.Progress) {
				if p.Sent > 0 {
					cancel()
				}
			})
			if (err == nil) != (scenario == bench.Pair) || (result == nil) != (err != nil) {
				t.Errorf("result %+v, error %v", result, err)
			}
			expectNothingLeft(t, b)
		})
	}
}

func TestWhatCannotBeTakenBackIsSaid(t *testing.T) {
	b := startBroker(t)
	var once bool
	result, err := bench.Run(t.Context(), bench.Options{
		Scenario: bench.Pair, Connections: 2, Rate: 100, Persistent: true, Duration: time.Minute,
		URL: "mqtt://" + b.Addr(brokertest.Plain).String(),
	}, func(bench.Progress) {
		if !once {
			once = true
			go b.Stop()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(result.Warnings, "\n"), "may keep what this run has left there") {
		t.Errorf("warnings %q", result.Warnings)
	}
}

func TestMessagesThatTheQueueHasNoRoomForAreLost(t *testing.T) {
	b := startBroker(t, func(c *config.Config) { c.Settings.MQTT.MaxQueuedMessages = 100 })
	result, err := bench.Run(t.Context(), bench.Options{
		Scenario: bench.Offline, Messages: 150, URL: "mqtt://" + b.Addr(brokertest.Plain).String(),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := result.Messages; m.Expected != 150 || m.Lost != 50 || m.Delivered != 100 {
		t.Errorf("%+v", m)
	}
}

func TestTheSummaryOfABacklog(t *testing.T) {
	b := startBroker(t)
	result := run(t, b, brokertest.Plain, bench.Options{Scenario: bench.Retained, Messages: 50})
	var text bytes.Buffer
	if err := result.WriteSummary(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"stored and then read", "stored        50 in", "read          50 in", "acknowledged  p50", "0 unanswered"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, &text)
		}
	}
}
