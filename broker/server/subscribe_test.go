package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

func noLocal(s *packet.Subscription) { s.NoLocal = true }

func withID(id uint16, subscriptionID uint32, filters ...string) *packet.Subscribe {
	p := &packet.Subscribe{ID: id}
	for _, f := range filters {
		p.Subscriptions = append(p.Subscriptions, packet.Subscription{Filter: []byte(f), QoS: qos1})
	}
	if subscriptionID > 0 {
		p.Properties.AddSubscriptionID(subscriptionID)
	}
	return p
}

func TestOverlappingSubscriptions(t *testing.T) { // [MQTT-3.3.4-2], [MQTT-3.3.4-3], [MQTT-3.3.4-4]
	t.Parallel()
	b := brokertest.Start(t)
	c := b.Connect(t, v5, "c")
	c.Send(withID(1, 7, "a/+"), withID(2, 8, "a/#"), withID(3, 0, "a/b"), withID(4, 7, "#"))
	for id := range uint16(4) {
		c.Expect(&packet.Suback{ID: id + 1, Reasons: []packet.ReasonCode{1}})
	}
	three := b.Connect(t, v311, "three")
	three.Subscribe("a/+", qos0)
	three.Subscribe("a/#", qos2)
	b.Connect(t, v5, "pub").Publish("a/b", "m", qos2)
	p := c.ExpectPublish("a/b", "m")
	ids := slices.Clone(p.Properties.SubscriptionIDs)
	slices.Sort(ids)
	if p.QoS != qos1 || fmt.Sprint(ids) != "[7 7 8]" {
		t.Errorf("QoS %d with identifiers %v", p.QoS, ids)
	}
	if p := three.ExpectPublish("a/b", "m"); p.QoS != qos2 {
		t.Errorf("QoS %d, want the highest", p.QoS)
	}
	three.ExpectSilence()
}

func TestSubscriptionIdentifiersOfQueuedAndRetained(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	pub := b.Connect(t, v5, "pub")
	pub.Publish("t", "retained", qos1, brokertest.Retained)
	c := b.Connect(t, v5, "c", brokertest.Persistent)
	c.Send(withID(1, 268435455, "t"))
	c.Expect(&packet.Suback{ID: 1, Reasons: []packet.ReasonCode{1}})
	for _, payload := range []string{"retained", "queued"} {
		p := c.ExpectPublish("t", payload)
		if fmt.Sprint(p.Properties.SubscriptionIDs) != "[268435455]" {
			t.Errorf("%s with identifiers %v", payload, p.Properties.SubscriptionIDs)
		}
		c.Acknowledge(p)
		if payload == "retained" {
			c.ExpectSilence()
			c.Disconnect()
			pub.Publish("t", "queued", qos1)
			c = b.Connect(t, v5, "c", brokertest.Persistent)
		}
	}
}

func TestResubscribeReplaces(t *testing.T) { // [MQTT-3.8.4-3]
	t.Parallel()
	b := brokertest.Start(t)
	c := b.Connect(t, v5, "c")
	c.Subscribe("t", qos2)
	c.Subscribe("t", qos0)
	c.Publish("t", "m", qos0)
	if p := c.ExpectPublish("t", "m"); p.QoS != qos0 {
		t.Errorf("QoS %d", p.QoS)
	}
	c.ExpectSilence()
	if n := b.Status().Clients; n != 1 {
		t.Errorf("%d clients", n)
	}
}

func TestUnsubscribe(t *testing.T) { // [MQTT-3.10.4-1] to [MQTT-3.11.3-2]
	t.Parallel()
	b := brokertest.Start(t)
	c := b.Connect(t, v5, "c")
	c.Subscribe("a/+", qos1)
	c.Send(&packet.Unsubscribe{ID: 9, Filters: [][]byte{[]byte("a/b"), []byte("a/+"), []byte("#")}})
	c.Expect(&packet.Unsuback{ID: 9, Reasons: []packet.ReasonCode{0x11, 0, 0x11}})
	c.Publish("a/b", "m", qos1)
	c.ExpectSilence()
	// Invalid filters name no subscription, and are malformed.
	c.Send(&packet.Unsubscribe{ID: 10, Filters: [][]byte{[]byte("a/#/b")}})
	switch p := c.Next().(type) {
	case *packet.Unsuback:
	case *packet.Disconnect:
		if p.Reason != packet.ReasonMalformedPacket {
			t.Errorf("ended with %v", p.Reason)
		}
	}
}

func TestManyFiltersInOneSubscribe(t *testing.T) { // [MQTT-3.8.4-5], [MQTT-3.8.4-6]
	t.Parallel()
	b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.MaxSubscriptionsPerClient = 3 }))
	for _, v := range []packet.Version{v311, v5} {
		c := b.Connect(t, v, v.String())
		c.Send(withID(1, 0, "a", "b", "a", "c", "d", "$share/g/e"))
		c.Expect(&packet.Suback{ID: 1, Reasons: []packet.ReasonCode{1, 1, 1, 1, packet.ReasonQuotaExceeded, packet.ReasonQuotaExceeded}})
		c.Unsubscribe("b")
		c.Subscribe("d", qos2)
	}
}

func TestFiltersBeyondTheBytesOfAClientAreRefused(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.MaxSubscriptionBytesPerClient = 1000 }))
	long := strings.Repeat("x", 600)
	for _, v := range []packet.Version{v311, v5} {
		for _, lasts := range []func(*packet.Connect){brokertest.Persistent, func(*packet.Connect) {}} {
			c := b.Connect(t, v, v.String(), lasts)
			c.Send(withID(1, 0, "a"+long, "b"+long, "a"+long, "c"))
			c.Expect(&packet.Suback{ID: 1, Reasons: []packet.ReasonCode{1, packet.ReasonQuotaExceeded, 1, 1}})
			c.Unsubscribe("a" + long)
			c.Subscribe("b"+long, qos2)
			_ = c.Close()
		}
	}
}

func TestSubscribeThatIsNotAllowed(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for filter, reason := range map[string]packet.ReasonCode{
		"":           packet.ReasonMalformedPacket,
		"a/#/b":      packet.ReasonMalformedPacket,
		"a#":         packet.ReasonMalformedPacket,
		"+a":         packet.ReasonMalformedPacket,
		"$share/g":   packet.ReasonMalformedPacket,
		"$share//t":  packet.ReasonMalformedPacket,
		"$share/+/t": packet.ReasonMalformedPacket,
		"a\x00":      packet.ReasonMalformedPacket,
		"a\xff":      packet.ReasonMalformedPacket,
	} {
		for _, v := range []packet.Version{v311, v5} {
			c := b.Connect(t, v, "c")
			c.Send(withID(1, 0, filter))
			c.ExpectDisconnect(reason)
		}
	}
	c := b.Connect(t, v5, "c")
	c.Send(withID(1, 0, strings.Repeat("/", 60000)))
	c.Expect(&packet.Suback{ID: 1, Reasons: []packet.ReasonCode{packet.ReasonTopicFilterInvalid}})
	shared := withID(2, 0, "$share/g/t")
	shared.Subscriptions[0].NoLocal = true
	c.Send(shared)
	c.ExpectDisconnect(packet.ReasonProtocolError) // [MQTT-3.8.3-4]
}

func TestGrantedQoSIsBounded(t *testing.T) {
	t.Parallel()
	one := byte(1)
	b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.MaxQoS = &one }))
	c := b.Connect(t, v5, "c")
	p := withID(1, 0, "t")
	p.Subscriptions[0].QoS = qos2
	c.Send(p)
	c.Expect(&packet.Suback{ID: 1, Reasons: []packet.ReasonCode{packet.ReasonGrantedQoS1}})
}

func TestNoLocal(t *testing.T) { // [MQTT-3.8.3-3]
	t.Parallel()
	b := brokertest.Start(t)
	c := b.Connect(t, v5, "c")
	c.Subscribe("t", qos1, noLocal)
	c.Publish("t", "own", qos1)
	b.Connect(t, v5, "other").Publish("t", "other's", qos1)
	c.ExpectPublish("t", "other's")
	c.ExpectSilence()
}

func TestSharedSubscription(t *testing.T) { // [MQTT-4.8.2-4]
	t.Parallel()
	b := brokertest.Start(t)
	var members []*brokertest.Client
	for i := range 3 {
		c := b.Connect(t, v5, fmt.Sprint("member", i))
		c.Subscribe("$share/g/t/+", packet.QoS(i))
		members = append(members, c)
	}
	other, plain := b.Connect(t, v5, "other"), b.Connect(t, v311, "plain")
	other.Subscribe("$share/other/t/#", qos1)
	plain.Subscribe("t/1", qos1)
	pub := b.Connect(t, v5, "pub")
	const n = 30
	for i := range n {
		pub.Publish("t/1", fmt.Sprint(i), qos1)
	}
	for i := range n {
		other.ExpectPublish("t/1", fmt.Sprint(i))
		plain.ExpectPublish("t/1", fmt.Sprint(i))
	}
	seen := map[string]bool{}
	for i, c := range members {
		for range n / len(members) {
			p := brokertest.Expect[*packet.Publish](c)
			if seen[string(p.Payload)] || p.QoS != min(qos1, packet.QoS(i)) {
				t.Errorf("member %d: %s at QoS %d", i, p.Payload, p.QoS)
			}
			seen[string(p.Payload)] = true
			c.Acknowledge(p)
		}
		c.ExpectSilence()
	}
	// Who is offline is passed over while somebody is there.
	for _, c := range members[1:] {
		offline(t, b, c)
	}
	pub.Publish("t/1", "last", qos1)
	members[0].ExpectPublish("t/1", "last")
}
