package server_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// strangers have limits.
func strangers(l config.UserLimits) func(*config.Config) {
	return func(c *config.Config) { c.Settings.AnonymousLimits = l }
}

func TestAnonymousConnectionsAreCountedTogether(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, users, func(c *config.Config) { c.Settings.Anonymous = true }, strangers(config.UserLimits{MaxConnections: 2}))
	b.Connect(t, v5, "one")
	two := b.Connect(t, v311, "two")
	third := func() packet.ReasonCode {
		c := b.Dial(t, v5)
		c.Send(brokertest.NewConnect("three"))
		return brokertest.Expect[*packet.Connack](c).Reason
	}
	if reason := third(); reason != packet.ReasonQuotaExceeded {
		t.Errorf("a third client is answered %v", reason)
	}
	b.Connect(t, v5, "ann", brokertest.Login("ann", secret)) // has a name
	two.Disconnect()
	brokertest.WaitFor(t, "there is room again", func() bool { return third() == packet.ReasonSuccess })
}

func TestAnonymousClientsHaveLimitsOfTheirOwn(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, strangers(config.UserLimits{MaxPacketSize: 200, MaxSubscriptions: 1}))
	c, ack := connack(t, b, v5, "c")
	if ack.Properties.MaximumPacketSize != 200 {
		t.Errorf("CONNACK says %d bytes", ack.Properties.MaximumPacketSize)
	}
	for i, want := range []packet.ReasonCode{packet.ReasonSuccess, packet.ReasonQuotaExceeded} {
		id := c.NextID()
		c.Send(&packet.Subscribe{ID: id, Subscriptions: []packet.Subscription{{Filter: []byte{'a' + byte(i)}}}})
		if got := brokertest.Expect[*packet.Suback](c).Reasons[0]; got != want {
			t.Errorf("subscription %d is answered %v, want %v", i, got, want)
		}
	}
	c.Send(brokertest.NewPublish("t", strings.Repeat("x", 200)))
	c.ExpectDisconnect(packet.ReasonPacketTooLarge)
}

// TestEachAnonymousClientHasItsPublishRate: strangers do not use up each other's.
func TestEachAnonymousClientHasItsPublishRate(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	early := b.Connect(t, v5, "early")
	early.Publish("t", "without a limit", qos1)
	b.MustReload(t, strangers(config.UserLimits{PublishRate: 5}))
	throttled := func() uint64 { return b.Metrics.Total(metrics.PublishThrottled) }
	burst := func(c *brokertest.Client, n int) {
		c.Send(slices.Repeat([]brokertest.Packet{brokertest.NewPublish("t", "m")}, n)...)
	}
	burst(b.Connect(t, v5, "quick"), 6)
	brokertest.WaitFor(t, "one is slowed down", func() bool { return throttled() == 1 })
	other := b.Connect(t, v5, "other")
	burst(other, 5)
	other.ExpectSilence()
	if n := throttled(); n != 1 {
		t.Errorf("%d are slowed down for what another publishes", n-1)
	}
	burst(early, 20)
	brokertest.WaitFor(t, "one that was here before is slowed down", func() bool { return throttled() > 1 })
}
