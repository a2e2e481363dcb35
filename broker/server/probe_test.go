package server_test

import (
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// withProxies has each of transports expect a PROXY protocol header.
func withProxies(c *config.Config) {
	allTransports(c)
	for i := range c.Settings.Listeners {
		l := &c.Settings.Listeners[i]
		l.ProxyProtocol, l.TrustedProxies = true, []string{"127.0.0.0/8"}
	}
}

// TestHealthChecksOfLoadBalancers: one that only opens a connection leaves nothing
// in the log, and what others leave is bounded and counted.
func TestHealthChecksOfLoadBalancers(t *testing.T) {
	t.Parallel()
	const probes, most = 100, 60 // lines: those at once, and some for the time that it takes
	const get = "GET /healthz HTTP/1.1\r\nHost: b\r\n\r\n"
	for name, tc := range map[string]struct {
		configure func(*config.Config)
		over      []transport
		sent      string
		counted   metrics.Counter
		logged    bool
	}{
		"a silent open":                        {allTransports, transports, "", metrics.ConnectionsClosed, false},
		"a silent open before a PROXY header":  {withProxies, transports, "", metrics.ConnectionsClosed, false},
		"a request for another path":           {allTransports, transports[2:3], get, metrics.FailedUpgrades, true},
		"no PROXY header":                      {withProxies, transports, get, metrics.FailedProxyHeaders, true},
		"a request to a listener without HTTP": {allTransports, transports[:1], get, metrics.ProtocolErrors, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t, tc.configure)
			for _, over := range tc.over {
				before, lines := b.Metrics.Total(tc.counted), strings.Count(b.Log(), "\n")
				for range probes {
					c := b.DialAt(t, over.name, v311)
					c.SendBytes([]byte(tc.sent))
					_ = c.Close()
				}
				brokertest.WaitFor(t, "all to be counted", func() bool { return b.Metrics.Total(tc.counted) >= before+probes })
				if lines = strings.Count(b.Log(), "\n") - lines; lines > most || !tc.logged && lines > 0 {
					t.Errorf("%s: %d lines are logged", over.name, lines)
				}
			}
			if tc.logged && b.Log() == "" {
				t.Error("nothing is logged")
			}
		})
	}
}

// TestABridgeThatMarksItselfTriesAgain: bridges of Mosquitto first set bit 7 of the
// protocol level, and leave it out where CONNACK says that the version is none.
func TestABridgeThatMarksItselfTriesAgain(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for _, level := range []byte{0x83, 0x84, 0x85, 6} {
		lines := strings.Count(b.Log(), "\n")
		connect := brokertest.NewConnect("bridge").Append(nil, v311)
		connect[8] = level
		c := b.Dial(t, v311)
		if level == 6 {
			c.Version = v5
		}
		c.SendBytes(connect)
		c.ExpectRefused(packet.ReasonUnsupportedProtocolVersion)
		if n := strings.Count(b.Log(), "\n") - lines; n != 1 {
			t.Errorf("level %d: %d lines are logged", level, n)
		}
	}
	b.Connect(t, v311, "bridge").ExpectSilence()
	brokertest.WaitFor(t, "the refusals to be counted", func() bool { return b.Metrics.Total(metrics.ConnectionsClosed) == 4 })
	if n := b.Metrics.Total(metrics.ProtocolErrors); n != 0 {
		t.Errorf("%d protocol errors", n)
	}
}
