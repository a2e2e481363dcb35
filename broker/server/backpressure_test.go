package server_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

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

// limited starts a broker that has a user "slow" with limits.
func limited(t *testing.T, limits config.UserLimits) *brokertest.Broker {
	t.Helper()
	return brokertest.Start(t, func(c *config.Config) {
		c.Access.Users = []config.User{{Username: "slow", PasswordHashes: []string{hash}, Limits: limits}}
	})
}

var slow = brokertest.Login("slow", secret)

// burst makes messages of QoS 1, to be sent at once.
func burst(n int) (all []brokertest.Packet) {
	for i := range n {
		all = append(all, brokertest.NewPublish("t", fmt.Sprint(i), atQoS(qos1, uint16(i+1))))
	}
	return all
}

// TestAUserIsHeldToItsPublishRate: more than its rate allows at once arrives all
// the same, and nothing is lost.
func TestAUserIsHeldToItsPublishRate(t *testing.T) {
	t.Parallel()
	const rate, messages = 200, 260
	b := limited(t, config.UserLimits{PublishRate: rate})
	sub := b.Connect(t, packet.V5, "sub")
	sub.Subscribe("t", packet.QoS1)
	b.Connect(t, packet.V5, "pub", slow).Send(burst(messages)...)
	for i := range messages {
		sub.Acknowledge(sub.ExpectPublish("t", fmt.Sprint(i)))
	}
	if b.Metrics.Total(metrics.PublishThrottled) == 0 {
		t.Error("nobody was throttled")
	}
}

// TestAUserMayPublishAtItsRateForGood: a client that waits for answers is held to
// its rate for as long as it likes.
func TestAUserMayPublishAtItsRateForGood(t *testing.T) {
	t.Parallel()
	for name, dial := range map[string]func(*brokertest.Broker) *brokertest.Client{
		"plain": func(b *brokertest.Broker) *brokertest.Client { return b.Dial(t, v5) },
		"TLS":   func(b *brokertest.Broker) *brokertest.Client { return b.DialTLS(t, v5) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const rate = 20
			b := limited(t, config.UserLimits{PublishRate: rate})
			c := dial(b)
			c.Connect("pub", slow)
			for range rate + 2*rate*int(longestWait/time.Second) {
				c.Publish("t", "m", qos1)
			}
		})
	}
}

// TestAUserFarBeyondItsRateIsDisconnected: once what was sent waits for too long.
func TestAUserFarBeyondItsRateIsDisconnected(t *testing.T) {
	t.Parallel()
	const rate, messages = 10, 500
	b := limited(t, config.UserLimits{PublishRate: rate})
	c := b.Connect(t, v5, "pub", slow)
	c.Send(burst(messages)...)
	for i := range messages {
		switch p := c.Next().(type) {
		case *packet.Ack:
		case *packet.Disconnect:
			if p.Reason != packet.ReasonMessageRateTooHigh || i < rate {
				t.Errorf("%v after %d messages", p.Reason, i)
			}
			return
		default:
			t.Fatalf("%T", p)
		}
	}
	t.Error("all messages were taken")
}

// TestAMessageThatCostsTooMuchIsTheLast: after a message that is worth more than
// a client could wait for, it is served but for the next one, which it cannot get
// in by another connection either.
func TestAMessageThatCostsTooMuchIsTheLast(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, v packet.Version) {
		b := limited(t, config.UserLimits{PublishBytesPerSecond: 10})
		sub := b.Connect(t, v5, "sub")
		sub.Subscribe("t", qos0)
		large := strings.Repeat("x", 1000)
		c := b.Connect(t, v, "pub", slow)
		c.Publish("t", large, qos1)
		c.ExpectSilence()
		sub.ExpectPublish("t", large)
		for _, c := range []*brokertest.Client{c, b.Connect(t, v, "second", slow), b.Connect(t, v, "third", slow)} {
			c.Send(brokertest.NewPublish("t", "too much", atQoS(qos1, 2)))
			c.ExpectDisconnect(packet.ReasonMessageRateTooHigh)
		}
		sub.ExpectSilence()
		if !strings.Contains(b.Log(), "far more is published than the user's rate") {
			t.Error("the log does not tell")
		}
		b.MustReload(t, func(c *config.Config) { c.Access.Users[0].Limits = config.UserLimits{PublishBytesPerSecond: 1 << 20} })
		b.Connect(t, v, "pub", slow).Publish("t", "it was raised", qos1)
		sub.ExpectPublish("t", "it was raised")
	})
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
