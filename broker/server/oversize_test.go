package server_test

import (
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// TestAPacketThatIsTooLargeIsExplained: to the client that understands it, in the
// log, in a metric and to the operator, with what limits it.
func TestAPacketThatIsTooLargeIsExplained(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, v packet.Version) {
		b := brokertest.Start(t, users, mqtt(func(m *config.MQTT) { m.MaxPacketSize = 2000 }), func(c *config.Config) {
			c.Settings.Anonymous, c.Settings.DefaultEffect = true, config.Allow
			c.Access.Users = append(c.Access.Users, config.User{
				Username: "small", PasswordHashes: []string{hash}, Limits: config.UserLimits{MaxPacketSize: 100},
			})
		})
		for _, tc := range []struct {
			user, field string
			login       func(*packet.Connect)
			limit       string
		}{
			{"small", "spec.limits.maxPacketSize of the MQTTUser", brokertest.Login("small", secret), "100"},
			{"ann", "spec.mqtt.maxPacketSize of the Broker", brokertest.Login("ann", secret), "2000"},
			{"", "spec.mqtt.maxPacketSize of the Broker", func(*packet.Connect) {}, "2000"},
		} {
			before := b.Metrics.Total(metrics.PacketsTooLarge)
			c := b.Dial(t, v)
			c.Connect("client-of-"+tc.user, tc.login)
			c.Send(brokertest.NewPublish("some/topic", strings.Repeat("x", 3000)))
			p := c.ExpectDisconnect(packet.ReasonPacketTooLarge)
			about := "bytes are more than the " + tc.limit + " that " + tc.field + " allows"
			if p != nil && !strings.Contains(string(p.Properties.ReasonString), about) {
				t.Errorf("%q: the client is told %q", tc.user, p.Properties.ReasonString)
			}
			for _, want := range []string{about, `to topic \"some/topic\"`, "client=client-of-" + tc.user, "user=" + tc.user} {
				if !strings.Contains(b.Log(), want) {
					t.Errorf("the log does not say %q", want)
				}
			}
			brokertest.WaitFor(t, "it to be counted", func() bool { return b.Metrics.Total(metrics.PacketsTooLarge) == before+1 })
			if d := b.Metrics.Denials()[0]; d.User != tc.user || d.Action != metrics.ActionSize || d.Topic != "some/topic" || !strings.Contains(d.Limit, about) {
				t.Errorf("the operator is told %+v", d)
			}
		}
	})
}

func TestTheAnnouncedPacketSizeIsOneThatClientsTake(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int64]uint32{1000: 1000, 1<<28 - 1: 1<<28 - 1, 1 << 28: 1<<28 - 1, 1<<28 + 4: 1<<28 - 1} {
		b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.MaxPacketSize = limit }))
		if _, ack := connack(t, b, v5, "c"); ack.Properties.MaximumPacketSize != want {
			t.Errorf("of %d bytes, %d are announced, want %d", limit, ack.Properties.MaximumPacketSize, want)
		}
	}
}
