package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

func handling(n byte) func(*packet.Subscription) {
	return func(s *packet.Subscription) { s.RetainHandling = n }
}

func retainAsPublished(s *packet.Subscription) { s.RetainAsPublished = true }

func TestRetained(t *testing.T) { // [MQTT-3.3.1-5], [MQTT-3.3.1-6], [MQTT-3.3.1-8]
	t.Parallel()
	each(t, func(t *testing.T, v packet.Version) {
		b := brokertest.Start(t)
		pub := b.Connect(t, v, "pub")
		for q := range qos2 + 1 {
			topic := fmt.Sprintf("t/%d", q)
			pub.Publish(topic, "first", q, brokertest.Retained)
			pub.Publish(topic, "second", q, brokertest.Retained)
			pub.Publish(topic, "not retained", q)
		}
		pub.Publish("cleared", "x", qos1, brokertest.Retained)
		pub.Publish("cleared", "", qos1, brokertest.Retained)
		c := b.Connect(t, v, "c")
		// Expect takes them in this order: SUBACK, then the messages.
		c.Subscribe("#", qos1)
		for q := range qos2 + 1 {
			p := c.ExpectPublish(fmt.Sprintf("t/%d", q), "second")
			if !p.Retain || p.QoS != min(q, qos1) {
				t.Errorf("got %+v", p)
			}
			c.Acknowledge(p)
		}
		c.ExpectSilence()
		// A subscription that stands gets it without the flag [MQTT-3.3.1-12].
		pub.Publish("t/0", "third", qos0, brokertest.Retained)
		if c.ExpectPublish("t/0", "third").Retain {
			t.Error("the retain flag is set on a new message")
		}
		pub.Publish("t/0", "", qos0, brokertest.Retained)
		c.ExpectPublish("t/0", "")
	})
}

func TestRetainAsPublished(t *testing.T) { // [MQTT-3.3.1-13]
	t.Parallel()
	b := brokertest.Start(t)
	c := b.Connect(t, v5, "c")
	c.Subscribe("t", qos0, retainAsPublished)
	pub := b.Connect(t, v5, "pub")
	pub.Publish("t", "kept", qos0, brokertest.Retained)
	if !c.ExpectPublish("t", "kept").Retain {
		t.Error("the flag is lost")
	}
	pub.Publish("t", "not kept", qos0)
	if c.ExpectPublish("t", "not kept").Retain {
		t.Error("the flag is set")
	}
}

func TestRetainHandling(t *testing.T) { // [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
	t.Parallel()
	b := brokertest.Start(t)
	b.Connect(t, v5, "pub").Publish("t", "m", qos1, brokertest.Retained)
	for handles, want := range [][2]bool{{true, true}, {true, false}, {false, false}} {
		c := b.Connect(t, v5, fmt.Sprint(handles))
		for i, comes := range want {
			c.Subscribe("t", qos0, handling(byte(handles)))
			if comes {
				if !c.ExpectPublish("t", "m").Retain {
					t.Error("without the retain flag")
				}
			}
			c.Send(&packet.Pingreq{})
			if _, ok := c.Next().(*packet.Pingresp); !ok {
				t.Errorf("handling %d, subscription %d: want the message to come: %t", handles, i+1, comes)
			}
		}
	}
}

func TestRetainedIsNotForSharedSubscriptions(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	b.Connect(t, v5, "pub").Publish("t", "m", qos1, brokertest.Retained)
	c := b.Connect(t, v5, "c")
	c.Subscribe("$share/g/t", qos0)
	c.ExpectSilence()
}

func TestRetainedExpires(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	pub := b.Connect(t, v5, "pub")
	pub.Publish("t/1", "short", qos1, brokertest.Retained, messageExpiry(1))
	pub.Publish("t/2", "long", qos1, brokertest.Retained, messageExpiry(1000))
	b.Connect(t, v5, "clock", expiry(2)).Disconnect()
	brokertest.WaitFor(t, "time", func() bool { return b.Sessions() == 1 })
	pub.Subscribe("t/+", qos0)
	if left := pub.ExpectPublish("t/2", "long").Properties.MessageExpiry; left >= 999 || left < 900 {
		t.Errorf("%d seconds are left", left)
	}
	pub.ExpectSilence()
}

func TestRetainedLimits(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.MaxRetainedMessages, m.MaxRetainedBytes = 2, 1000 }))
	c, live := b.Connect(t, v5, "c"), b.Connect(t, v5, "live")
	c.Publish("1", "m", qos1, brokertest.Retained)
	c.Publish("2", "m", qos1, brokertest.Retained)
	live.Subscribe("+", qos0)
	live.ExpectPublish("1", "m")
	live.ExpectPublish("2", "m")
	refused := func(topic, payload string) {
		t.Helper()
		p := brokertest.NewPublish(topic, payload, atQoS(qos1, c.NextID()), brokertest.Retained)
		c.Send(p)
		ack := brokertest.Expect[*packet.Ack](c)
		if ack.ID != p.ID || ack.Reason != packet.ReasonQuotaExceeded || !strings.Contains(string(ack.Properties.ReasonString), "not retained") {
			t.Errorf("%+v", ack)
		}
		live.ExpectPublish(topic, payload)
	}
	refused("3", "one more")
	refused("2", string(make([]byte, 1000)))
	c.Publish("2", "another", qos1, brokertest.Retained)
	c.Publish("1", "", qos1, brokertest.Retained)
	c.Publish("3", "there is room now", qos1, brokertest.Retained)
	c.Subscribe("+", qos0)
	c.ExpectPublish("2", "another")
	c.ExpectPublish("3", "there is room now")
	c.ExpectSilence()
	brokertest.WaitFor(t, "both to be counted", func() bool { return b.Metrics.Total(metrics.DroppedRetainedFull) == 2 })
}

// A client that asks again and again, and reads nothing, makes the broker hold
// no more than one replay beyond the limit of its queue.
func TestReplaysOfAClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	const retained, limit = 200, 50
	b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.MaxQueuedMessages = limit }))
	pub := b.Connect(t, v5, "pub")
	for i := range retained {
		pub.Publish(fmt.Sprintf("t/%03d", i), "m", qos1, brokertest.Retained)
	}
	c, _ := connack(t, b, v5, "c", receiveMaximum(1))
	for range 20 {
		c.Send(&packet.Subscribe{ID: c.NextID(), Subscriptions: []packet.Subscription{{Filter: []byte("#"), QoS: qos1}}})
	}
	got := 0
	for acks := 0; acks < 20 || got < retained; {
		switch p := c.Next().(type) {
		case *packet.Suback:
			acks++
		case *packet.Publish:
			got++
			c.Acknowledge(p)
		}
	}
	for {
		c.Send(&packet.Pingreq{})
		p, ok := c.Next().(*packet.Publish)
		if !ok {
			break
		}
		got++
		c.Acknowledge(p)
		brokertest.Expect[*packet.Pingresp](c)
	}
	if got > 20*retained/2 {
		t.Errorf("%d messages were queued", got)
	}
}

func TestSysTopics(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.SysInterval = config.Duration(1e9) }))
	c := b.Connect(t, v5, "c")
	c.Subscribe("#", qos0)
	c.Subscribe("$SYS/broker/clients/connected", qos0)
	if p := brokertest.Expect[*packet.Publish](c); string(p.Topic) != "$SYS/broker/clients/connected" || string(p.Payload) != "1" {
		t.Errorf("got %s on %s", p.Payload, p.Topic)
	}
	// It is the broker's alone [MQTT-4.7.2-1].
	p := brokertest.NewPublish("$SYS/broker/clients/connected", "1000", atQoS(qos1, 9), brokertest.Retained)
	c.Send(p)
	for {
		if got, ok := c.Next().(*packet.Ack); ok {
			if got.Reason != packet.ReasonNotAuthorized {
				t.Errorf("answered with %v", got.Reason)
			}
			return
		}
	}
}
