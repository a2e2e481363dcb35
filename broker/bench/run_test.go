package bench_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/auth/password"
	"github.com/godwit-mqtt/godwit/broker/bench"
	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Names of listeners beside those of brokertest.
const (
	webSocket       = "ws"
	secureWebSocket = "wss"
)

func startBroker(t *testing.T, configure ...func(*config.Config)) *brokertest.Broker {
	t.Helper()
	return brokertest.Start(t, append([]func(*config.Config){func(c *config.Config) {
		secure := c.Settings.Listeners[1].TLS
		c.Settings.Listeners = append(c.Settings.Listeners,
			config.Listener{Name: webSocket, Address: "127.0.0.1", Protocol: config.ProtocolWebSocket},
			config.Listener{Name: secureWebSocket, Address: "127.0.0.1", Protocol: config.ProtocolWebSocket, TLS: secure})
	}}, configure...)...)
}

var schemes = map[string]string{
	brokertest.Plain: "mqtt", brokertest.TLS: "mqtts", webSocket: "ws", secureWebSocket: "wss",
}

// run puts a short load on a listener and checks that nothing is lost.
func run(t *testing.T, b *brokertest.Broker, listener string, o bench.Options) *bench.Result {
	t.Helper()
	o.URL = schemes[listener] + "://" + b.Addr(listener).String()
	o.TLS = &tls.Config{RootCAs: b.CA.Pool(), MinVersion: tls.VersionTLS12}
	if o.Duration == 0 {
		o.Duration = 150 * time.Millisecond
	}
	result, err := bench.Run(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := result.Messages; m.Lost+m.Duplicates+m.Late+m.Foreign+m.Refused > 0 || result.Connections.Lost > 0 {
		t.Errorf("%+v, %d connections lost, warnings %q", m, result.Connections.Lost, result.Warnings)
	}
	return result
}

func TestEveryScenarioDeliversAll(t *testing.T) {
	b := startBroker(t)
	small := map[bench.Scenario]bench.Options{
		bench.Publish:  {Connections: 3},
		bench.Pair:     {Connections: 3},
		bench.FanIn:    {Publishers: 5, Subscribers: 2},
		bench.FanOut:   {Publishers: 2, Subscribers: 5},
		bench.Wildcard: {Connections: 4, Filters: 100},
	}
	for scenario, o := range small {
		for _, v := range []packet.Version{packet.V311, packet.V5} {
			for q := packet.QoS0; q <= packet.QoS2; q++ {
				name := fmt.Sprintf("%s/%s/%d", scenario, v, q)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					load := o
					load.Scenario, load.Version, load.QoS, load.Topic = scenario, v, q, name
					if scenario != bench.Wildcard {
						load.Topic += "/%i"
					}
					checkLoad(t, run(t, b, brokertest.Plain, load))
				})
			}
		}
	}
}

// checkLoad checks that something happened, and that the figures agree.
func checkLoad(t *testing.T, r *bench.Result) {
	t.Helper()
	m := r.Messages
	if m.Sent == 0 || r.SentPerSecond == 0 || r.Seconds == 0 {
		t.Errorf("nothing was sent: %+v", r)
	}
	if m.Expected != m.Delivered || r.Scenario != bench.Publish && m.Delivered == 0 {
		t.Errorf("messages %+v", m)
	}
	checkLatency(t, "deliveries", r.Latency, r.Scenario != bench.Publish)
	checkLatency(t, "acknowledgements", r.AckLatency, r.QoS > packet.QoS0)
	if c := r.Connections; c.Opened != r.Publishers+r.Subscribers || c.Latency.Count != uint64(c.Opened) || c.PerSecond <= 0 {
		t.Errorf("connections %+v", c)
	}
}

// checkLatency checks that there is one where there is something to time.
func checkLatency(t *testing.T, of string, l bench.Latency, timed bool) {
	t.Helper()
	if !timed && l != (bench.Latency{}) || timed &&
		(l.Count == 0 || l.P50 <= 0 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max) {
		t.Errorf("latency of %s: %+v", of, l)
	}
}

func TestEveryTransportDeliversAll(t *testing.T) {
	b := startBroker(t)
	for listener := range schemes {
		for _, size := range []int{64, 300_000} {
			t.Run(listener+"/"+map[bool]string{true: "large", false: "small"}[size > 64], func(t *testing.T) {
				checkLoad(t, run(t, b, listener, bench.Options{
					Scenario: bench.Pair, Connections: 3, Window: 4, QoS: packet.QoS1, Size: size,
				}))
			})
		}
	}
}

func TestAPayloadMayBeLargerThanTheReadBuffer(t *testing.T) {
	b := startBroker(t, func(c *config.Config) { c.Settings.MQTT.MaxPacketSize = 4 << 20 })
	checkLoad(t, run(t, b, brokertest.Plain, bench.Options{
		Scenario: bench.Pair, Connections: 1, Window: 2, Size: 3 << 20, Duration: 500 * time.Millisecond,
	}))
}

func TestASchedule(t *testing.T) {
	b := startBroker(t)
	for q := packet.QoS0; q <= packet.QoS2; q++ {
		result := run(t, b, brokertest.Plain, bench.Options{
			Scenario: bench.Pair, Connections: 3, QoS: q, Rate: 1000, Duration: 300 * time.Millisecond, WarmUp: 100 * time.Millisecond,
		})
		checkLoad(t, result)
		if result.Messages.Sent != 400 || result.Latency.Count < 299 || result.Latency.Count > 301 {
			t.Errorf("QoS %d: %d were sent and %d timed, of 400 and 300", q, result.Messages.Sent, result.Latency.Count)
		}
		if q > packet.QoS0 && result.AckLatency.Count != result.Latency.Count {
			t.Errorf("QoS %d: %d acknowledgements were timed, and %d deliveries", q, result.AckLatency.Count, result.Latency.Count)
		}
	}
}

func TestIdleConnectionsStay(t *testing.T) {
	b := startBroker(t)
	for listener := range schemes {
		result := run(t, b, listener, bench.Options{
			Scenario: bench.Idle, Connections: 20, ConnectRate: 500, KeepAlive: time.Second, BrokerPID: os.Getpid(),
		})
		if c := result.Connections; c.Opened != 20 || c.PerSecond > 600 {
			t.Errorf("%s: connections %+v", listener, c)
		}
	}
}

func TestSubscribersHearAnotherRun(t *testing.T) {
	b := startBroker(t)
	url := "mqtt://" + b.Addr(brokertest.Plain).String()
	heard := make(chan *bench.Result, 1)
	ready := make(chan struct{}, 64)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		o := bench.Options{Scenario: bench.Subscribe, Connections: 2, Duration: time.Minute, URL: url}
		result, err := bench.Run(ctx, o, func(bench.Progress) { ready <- struct{}{} })
		if err != nil {
			t.Error(err)
		}
		heard <- result
	}()
	brokertest.WaitFor(t, "the subscribers are there", func() bool { return b.Status().Clients == 2 })
	<-ready // it measures
	sent := run(t, b, brokertest.Plain, bench.Options{Scenario: bench.Publish, Connections: 2, Rate: 500, QoS: packet.QoS1})
	stop()
	if m := (<-heard).Messages; m.Delivered != 2*sent.Messages.Sent || m.Lost != 0 {
		t.Errorf("%d were sent, and %+v", sent.Messages.Sent, m)
	}
}

func TestEachClientHasItsCredentials(t *testing.T) {
	b := startBroker(t, func(c *config.Config) {
		c.Settings.Anonymous = false
		for _, name := range []string{"dev-0", "dev-1"} {
			c.Access.Users = append(c.Access.Users, config.User{Username: name, PasswordHashes: []string{hash(t, "secret-"+name)}, ClientIDs: []string{"load-*"}})
		}
	})
	run(t, b, brokertest.Plain, bench.Options{
		Scenario: bench.Pair, Connections: 2, Username: "dev-%i", Password: "secret-dev-%i", ClientIDPrefix: "load-", Rate: 100,
	})
	_, err := bench.Run(t.Context(), bench.Options{
		Scenario: bench.Pair, Connections: 2, Username: "dev-%i", Password: "wrong", URL: "mqtt://" + b.Addr(brokertest.Plain).String(),
	}, nil)
	if err == nil || !strings.Contains(err.Error(), "refused the connection") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("error %v", err)
	}
}

func TestWhatCannotBeReachedIsAnError(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	for _, scheme := range schemes {
		if _, err := bench.Run(t.Context(), bench.Options{Scenario: bench.Idle, URL: scheme + "://" + address}, nil); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: error %v", scheme, err)
		}
	}
}

// A broker that goes away is told of, and what was measured until then is kept.
func TestABrokerThatGoesAway(t *testing.T) {
	b := startBroker(t)
	var once bool
	result, err := bench.Run(t.Context(), bench.Options{
		Scenario: bench.Pair, Connections: 2, Rate: 100, Duration: time.Minute, URL: "mqtt://" + b.Addr(brokertest.Plain).String(),
	}, func(bench.Progress) {
		if !once {
			once = true
			go b.Stop()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.Connections.Lost != 4 || !strings.Contains(strings.Join(result.Warnings, "\n"), "4 connections were lost") {
		t.Errorf("%d lost, warnings %q", result.Connections.Lost, result.Warnings)
	}
}

func TestResultsAsJSONAndAsText(t *testing.T) {
	b := startBroker(t)
	result := run(t, b, brokertest.Plain, bench.Options{Scenario: bench.FanOut, Subscribers: 3, Rate: 200, BrokerPID: os.Getpid()})
	encoded, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal(encoded, &back); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"scenario", "connections", "messages", "latency", "generator", "broker", "receivedPerSecond"} {
		if back[key] == nil {
			t.Errorf("%s is not in %s", key, encoded)
		}
	}
	var text bytes.Buffer
	if err := result.WriteSummary(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"fanout, 1 publishers, 3 subscribers", "200 messages/s on a schedule", "p99.9", "0 lost, 0 duplicates", "this program", "broker "} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, &text)
		}
	}
}

func hash(t *testing.T, plain string) string {
	t.Helper()
	h, err := password.Hash([]byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	return h
}
