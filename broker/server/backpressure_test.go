package server_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// TestAPublisherThatOutrunsItsSubscriberIsSlowedDown: the subscriber reads all
// the time, but in small pieces, and much less may wait for it than is sent.
// Without the publisher being slowed down, messages would be dropped.
func TestAPublisherThatOutrunsItsSubscriberIsSlowedDown(t *testing.T) {
	const messages, size = 3000, 8 << 10
	b := brokertest.Start(t, func(c *config.Config) { c.Settings.MQTT.MaxQueuedBytes = 4 << 20 })
	sub := b.Connect(t, packet.V311, "sub")
	sub.Subscribe("t", packet.QoS0)
	pub := b.Connect(t, packet.V311, "pub")
	bystanders := b.Connect(t, packet.V311, "bystander")
	var sending sync.WaitGroup
	sending.Go(func() {
		for i := range messages {
			pub.Publish("t", fmt.Sprintf("%*d", size, i), packet.QoS0)
		}
	})
	for i := range messages {
		sub.ExpectPublish("t", fmt.Sprintf("%*d", size, i))
		if i%500 == 0 {
			bystanders.ExpectSilence() // it is served meanwhile
		}
	}
	sending.Wait()
	if n := b.Metrics.Total(metrics.DroppedSlowConsumer); n > 0 {
		t.Errorf("%d messages were dropped", n)
	}
}

// TestAUserIsHeldToItsPublishRate: more than its rate allows at once arrives all
// the same, and nothing is lost.
func TestAUserIsHeldToItsPublishRate(t *testing.T) {
	const rate, messages = 200, 260
	b := brokertest.Start(t, func(c *config.Config) {
		c.Access.Users = []config.User{{Username: "slow", PasswordHashes: []string{hash}, Limits: config.UserLimits{PublishRate: rate}}}
	})
	sub := b.Connect(t, packet.V5, "sub")
	sub.Subscribe("t", packet.QoS1)
	pub := b.Connect(t, packet.V5, "pub", brokertest.Login("slow", secret))
	var all []brokertest.Packet
	for i := range messages {
		p := brokertest.NewPublish("t", fmt.Sprint(i))
		p.QoS, p.ID = packet.QoS1, uint16(i+1)
		all = append(all, p)
	}
	pub.Send(all...)
	for i := range messages {
		sub.Acknowledge(sub.ExpectPublish("t", fmt.Sprint(i)))
	}
}

// TestAUserIsHeldToItsConnections: one more is refused, one that takes over is
// not, and one that ended makes room.
func TestAUserIsHeldToItsConnections(t *testing.T) {
	b := brokertest.Start(t, func(c *config.Config) {
		c.Access.Users = []config.User{{Username: "dev", PasswordHashes: []string{hash}, Limits: config.UserLimits{MaxConnections: 2}}}
	})
	login := brokertest.Login("dev", secret)
	b.Connect(t, packet.V5, "one", login)
	two := b.Connect(t, packet.V5, "two", login)
	three := b.Dial(t, packet.V5)
	three.Send(brokertest.NewConnect("three", login))
	three.ExpectRefused(packet.ReasonQuotaExceeded)
	again := b.Connect(t, packet.V5, "two", login)
	two.ExpectDisconnect(packet.ReasonSessionTakenOver)
	again.Disconnect()
	brokertest.WaitFor(t, "the connection is counted out", func() bool { return b.Status().Clients == 1 })
	b.Connect(t, packet.V5, "three", login)
}
