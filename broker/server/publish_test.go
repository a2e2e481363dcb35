package server_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// The quality of service of a delivery is the lower of the two that were asked
// for [MQTT-3.8.4-8], in every pairing of versions.
func TestDeliveredQoSIsTheLower(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for _, from := range []packet.Version{v31, v311, v5} {
		for _, to := range []packet.Version{v31, v311, v5} {
			pub := b.Connect(t, from, fmt.Sprintf("pub-%d-%d", from, to))
			sub := b.Connect(t, to, fmt.Sprintf("sub-%d-%d", from, to))
			for granted := range qos2 + 1 {
				topic := fmt.Sprintf("%d/%d/%d", from, to, granted)
				sub.Subscribe(topic, granted)
				for sent := range qos2 + 1 {
					pub.Publish(topic, "m", sent)
					p := sub.ExpectPublish(topic, "m")
					if want := min(sent, granted); p.QoS != want || p.Dup || p.Retain {
						t.Fatalf("from %v QoS %d to %v QoS %d: got %+v", from, sent, to, granted, p)
					}
					sub.Acknowledge(p)
				}
			}
			sub.ExpectSilence()
		}
	}
}

func TestQoS2IsDeliveredOnce(t *testing.T) { // [MQTT-4.3.3-10]
	t.Parallel()
	each(t, func(t *testing.T, v packet.Version) {
		b := brokertest.Start(t)
		sub := b.Connect(t, v, "sub")
		sub.Subscribe("t", qos2)
		pub := b.Connect(t, v, "pub")
		first := brokertest.NewPublish("t", "once", atQoS(qos2, 7))
		again := brokertest.NewPublish("t", "once", atQoS(qos2, 7))
		again.Dup = true
		pub.Send(first, again, again)
		for range 3 {
			pub.ExpectAck(packet.TypePubrec, 7)
		}
		pub.Send(ack(packet.TypePubrel, 7))
		pub.ExpectAck(packet.TypePubcomp, 7)
		sub.Acknowledge(sub.ExpectPublish("t", "once"))
		// The identifier is free again.
		pub.Send(brokertest.NewPublish("t", "twice", atQoS(qos2, 7)))
		pub.ExpectAck(packet.TypePubrec, 7)
		sub.Acknowledge(sub.ExpectPublish("t", "twice"))
		sub.ExpectSilence()
	})
}

func TestDupIsNotForwarded(t *testing.T) { // [MQTT-3.3.1-3]
	t.Parallel()
	b := brokertest.Start(t)
	sub := b.Connect(t, v311, "sub")
	sub.Subscribe("t", qos1)
	pub := b.Connect(t, v311, "pub")
	p := brokertest.NewPublish("t", "m", atQoS(qos1, 3))
	p.Dup = true
	pub.Send(p)
	pub.ExpectAck(packet.TypePuback, 3)
	if got := sub.ExpectPublish("t", "m"); got.Dup {
		t.Error("the delivery has the DUP flag of the publisher")
	}
}

// A client that does not know an exchange is told so in MQTT 5, and led to its
// end in MQTT 3.
func TestUnknownPacketIdentifiers(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for _, tc := range []struct {
		v          packet.Version
		sent, want *packet.Ack
	}{
		{v5, ack(packet.TypePubrec, 5), ackReason(packet.TypePubrel, 5, packet.ReasonPacketIdentifierNotFound)},
		{v5, ack(packet.TypePubrel, 5), ackReason(packet.TypePubcomp, 5, packet.ReasonPacketIdentifierNotFound)},
		{v311, ack(packet.TypePubrec, 5), ack(packet.TypePubrel, 5)},
		{v311, ack(packet.TypePubrel, 5), ack(packet.TypePubcomp, 5)},
	} {
		c := b.Connect(t, tc.v, "c")
		c.Send(ack(packet.TypePuback, 9), ack(packet.TypePubcomp, 9), tc.sent)
		c.Expect(tc.want)
		c.Disconnect()
	}
}

func TestRepeatedPubrecIsAnsweredAgain(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	sub := b.Connect(t, v5, "sub")
	sub.Subscribe("t", qos2)
	b.Connect(t, v5, "pub").Publish("t", "m", qos2)
	p := sub.ExpectPublish("t", "m")
	for range 2 {
		sub.Send(ack(packet.TypePubrec, p.ID))
		sub.ExpectAck(packet.TypePubrel, p.ID)
	}
	sub.Send(ack(packet.TypePubcomp, p.ID), ack(packet.TypePubrec, p.ID))
	sub.Expect(ackReason(packet.TypePubrel, p.ID, packet.ReasonPacketIdentifierNotFound))
}

func TestPubrecWithAFailureEndsTheExchange(t *testing.T) { // [MQTT-4.3.3-4]
	t.Parallel()
	b := brokertest.Start(t)
	sub, _ := connack(t, b, v5, "sub", receiveMaximum(1))
	sub.Subscribe("t", qos2)
	pub := b.Connect(t, v5, "pub")
	pub.Publish("t", "1", qos2)
	pub.Publish("t", "2", qos2)
	sub.Send(ackReason(packet.TypePubrec, sub.ExpectPublish("t", "1").ID, packet.ReasonQuotaExceeded))
	sub.ExpectPublish("t", "2")
}

func TestOrderOfMessages(t *testing.T) { // [MQTT-4.6.0-5], [MQTT-4.6.0-6]
	t.Parallel()
	b := brokertest.Start(t)
	sub := b.Connect(t, v5, "sub")
	sub.Subscribe("t", qos2)
	pub := b.Connect(t, v5, "pub")
	const n = 300
	var sent []brokertest.Packet
	for i := range n {
		sent = append(sent, brokertest.NewPublish("t", fmt.Sprint(i), atQoS(qos1, uint16(i+1))))
	}
	pub.Send(sent...)
	for i := range n {
		pub.ExpectAck(packet.TypePuback, uint16(i+1)) // [MQTT-4.6.0-2]
	}
	for i := range n {
		sub.ExpectPublish("t", fmt.Sprint(i))
	}
}

func TestNoSubscriberIsNoFailure(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	c := b.Connect(t, v5, "c")
	c.Send(brokertest.NewPublish("t", "m", atQoS(qos1, 1)), brokertest.NewPublish("t", "m", atQoS(qos2, 2)))
	c.Expect(ackReason(packet.TypePuback, 1, packet.ReasonNoMatchingSubscribers),
		ackReason(packet.TypePubrec, 2, packet.ReasonNoMatchingSubscribers))
}

// Properties that belong to the message are forwarded unaltered, user properties
// in their order [MQTT-3.3.2-17], [MQTT-3.3.2-18], and are lost on the way to
// MQTT 3.
func TestPropertiesAreForwarded(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	five, three := b.Connect(t, v5, "five"), b.Connect(t, v311, "three")
	five.Subscribe("t", qos1)
	three.Subscribe("t", qos1)
	p := brokertest.NewPublish("t", "text", atQoS(qos1, 1), func(p *packet.Publish) {
		x := &p.Properties
		x.PayloadFormat = 1
		x.ContentType, x.ResponseTopic, x.CorrelationData = []byte("ct"), []byte("answer"), []byte{0, 1}
		for _, id := range []packet.PropertyID{packet.PropPayloadFormat, packet.PropContentType, packet.PropResponseTopic, packet.PropCorrelationData} {
			x.Set(id)
		}
		x.AddUserProperty([]byte("b"), []byte("1"))
		x.AddUserProperty([]byte("a"), []byte("2"))
		x.AddUserProperty([]byte("b"), []byte("3"))
	})
	b.Connect(t, v5, "pub").Send(p)
	five.Expect(p)
	three.Expect(brokertest.NewPublish("t", "text", atQoS(qos1, 1)))
}

func TestTopicAlias(t *testing.T) { // [MQTT-3.3.2-8] to [MQTT-3.3.2-12]
	t.Parallel()
	b := brokertest.Start(t, mqtt(func(m *config.MQTT) { n := 3; m.TopicAliasMaximum = &n }))
	sub := b.Connect(t, v5, "sub")
	sub.Subscribe("#", qos2)
	pub, ack := connack(t, b, v5, "pub")
	if ack.Properties.TopicAliasMaximum != 3 {
		t.Fatalf("topic alias maximum %d is announced", ack.Properties.TopicAliasMaximum)
	}
	for i, tc := range []struct {
		topic string
		alias uint16
		want  string
	}{
		{"a", 1, "a"}, {"b", 3, "b"}, {"", 1, "a"}, {"", 3, "b"}, {"c", 1, "c"}, {"", 1, "c"}, {"a", 0, "a"},
	} {
		var set []func(*packet.Publish)
		if tc.alias > 0 {
			set = append(set, alias(tc.alias))
		}
		pub.Publish(tc.topic, fmt.Sprint(i), packet.QoS(i%3), set...)
		p := sub.ExpectPublish(tc.want, fmt.Sprint(i))
		if p.Properties.Has(packet.PropTopicAlias) {
			t.Error("the alias of the publisher is forwarded")
		}
		sub.Acknowledge(p)
	}
}

// Each of these costs its sender the connection, with the reason.
func TestPublishThatIsNotAllowed(t *testing.T) {
	t.Parallel()
	one := byte(1)
	b := brokertest.Start(t, mqtt(func(m *config.MQTT) {
		n := 3
		m.MaxQoS, m.TopicAliasMaximum, m.MaxPacketSize = &one, &n, 1000
	}))
	subscriptionID := func(p *packet.Publish) { p.Properties.AddSubscriptionID(1) }
	notText := func(p *packet.Publish) {
		p.Properties.PayloadFormat = 1
		p.Properties.Set(packet.PropPayloadFormat)
	}
	for name, tc := range map[string]struct {
		p      *packet.Publish
		reason packet.ReasonCode
	}{
		"a wildcard in the topic":      {brokertest.NewPublish("a/+", ""), packet.ReasonTopicNameInvalid},
		"another wildcard":             {brokertest.NewPublish("#", "", atQoS(qos1, 1)), packet.ReasonTopicNameInvalid},
		"no topic and no alias":        {brokertest.NewPublish("", ""), packet.ReasonProtocolError},
		"no topic but other props":     {brokertest.NewPublish("", "", messageExpiry(1)), packet.ReasonProtocolError},
		"an alias that was never set":  {brokertest.NewPublish("", "", alias(2)), packet.ReasonProtocolError},
		"an alias of zero":             {brokertest.NewPublish("a", "", alias(0)), packet.ReasonTopicAliasInvalid},
		"an alias above the maximum":   {brokertest.NewPublish("a", "", alias(4)), packet.ReasonTopicAliasInvalid},
		"QoS above the maximum":        {brokertest.NewPublish("a", "", atQoS(qos2, 1)), packet.ReasonQoSNotSupported},
		"a packet above the maximum":   {brokertest.NewPublish("a", strings.Repeat("x", 1000)), packet.ReasonPacketTooLarge},
		"a subscription identifier":    {brokertest.NewPublish("a", "", subscriptionID), packet.ReasonProtocolError},
		"text that is not UTF-8":       {brokertest.NewPublish("a", "\xff", notText), packet.ReasonPayloadFormatInvalid},
		"a packet identifier of zero":  {brokertest.NewPublish("a", "", atQoS(qos1, 0)), packet.ReasonProtocolError},
		"U+0000 in the topic":          {brokertest.NewPublish("a\x00b", ""), packet.ReasonMalformedPacket},
		"a topic that is not UTF-8":    {brokertest.NewPublish("a\xffb", ""), packet.ReasonMalformedPacket},
		"a surrogate in the topic":     {brokertest.NewPublish("a\xed\xa0\x80", ""), packet.ReasonMalformedPacket},
		"a response topic that is bad": {brokertest.NewPublish("a", "", responseTopic("x/#")), packet.ReasonProtocolError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := b.Connect(t, v5, name)
			c.Send(tc.p, &packet.Pingreq{})
			c.ExpectDisconnect(tc.reason)
		})
	}
}

func responseTopic(topic string) func(*packet.Publish) {
	return func(p *packet.Publish) {
		p.Properties.ResponseTopic = []byte(topic)
		p.Properties.Set(packet.PropResponseTopic)
	}
}

// A client must be able to rely on the limits that it was told when it connected.
func TestAnnouncedLimitsHoldAfterAReload(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	c := b.Connect(t, v5, "c")
	one := byte(1)
	b.MustReload(t, mqtt(func(m *config.MQTT) { m.MaxQoS, m.ReceiveMaximum, m.MaxPacketSize = &one, 1, 100 }))
	c.Send(brokertest.NewPublish("t", strings.Repeat("x", 200), atQoS(qos2, 1)), brokertest.NewPublish("t", "", atQoS(qos2, 2)))
	c.Expect(ackReason(packet.TypePubrec, 1, packet.ReasonNoMatchingSubscribers), ackReason(packet.TypePubrec, 2, packet.ReasonNoMatchingSubscribers))
	_, ack := connack(t, b, v5, "later")
	if p := ack.Properties; p.MaximumQoS != 1 || p.ReceiveMaximum != 1 || p.MaximumPacketSize != 100 {
		t.Errorf("announced %+v", p)
	}
}

func TestReceiveMaximumOfTheServer(t *testing.T) { // [MQTT-3.3.4-7]
	t.Parallel()
	b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.ReceiveMaximum = 3 }))
	c, granted := connack(t, b, v5, "c", expiry(100))
	if granted.Properties.ReceiveMaximum != 3 {
		t.Fatalf("receive maximum %d is announced", granted.Properties.ReceiveMaximum)
	}
	sub := b.Connect(t, v5, "sub")
	sub.Subscribe("t", qos2)
	for i := range uint16(3) {
		c.Send(brokertest.NewPublish("t", fmt.Sprint(i), atQoS(qos2, i+1)))
		c.ExpectAck(packet.TypePubrec, i+1)
		sub.ExpectPublish("t", fmt.Sprint(i))
	}
	again := brokertest.NewPublish("t", "0", atQoS(qos2, 1))
	again.Dup = true
	c.Send(again) // a repeat is none more
	c.ExpectAck(packet.TypePubrec, 1)
	c.Send(ack(packet.TypePubrel, 2))
	c.ExpectAck(packet.TypePubcomp, 2)
	c.Send(brokertest.NewPublish("t", "3", atQoS(qos2, 4)))
	c.ExpectAck(packet.TypePubrec, 4)
	sub.ExpectPublish("t", "3")
	c.Send(brokertest.NewPublish("t", "too many", atQoS(qos2, 5)))
	c.ExpectDisconnect(packet.ReasonReceiveMaximumExceeded)

	// The one too many was not taken: the client sends it again, and it counts
	// anew.
	c, _ = connack(t, b, v5, "c", expiry(100))
	again = brokertest.NewPublish("t", "too many", atQoS(qos2, 5))
	again.Dup = true
	c.Send(again)
	c.ExpectAck(packet.TypePubrec, 5)
	sub.ExpectPublish("t", "too many")
}

func TestReceiveMaximumOfTheClient(t *testing.T) { // [MQTT-3.3.4-9]
	t.Parallel()
	for _, q := range []packet.QoS{qos1, qos2} {
		b := brokertest.Start(t)
		sub, _ := connack(t, b, v5, "sub", receiveMaximum(2))
		sub.Subscribe("t", qos2)
		pub := b.Connect(t, v5, "pub")
		for i := range 5 {
			pub.Publish("t", fmt.Sprint(i), q)
		}
		pub.Publish("t", "unbound", qos0) // [MQTT-3.3.4-10]
		first, second := sub.ExpectPublish("t", "0"), sub.ExpectPublish("t", "1")
		sub.ExpectPublish("t", "unbound")
		sub.ExpectSilence()
		sub.Acknowledge(second)
		third := sub.ExpectPublish("t", "2")
		sub.ExpectSilence()
		sub.Acknowledge(first)
		sub.ExpectPublish("t", "3")
		sub.Acknowledge(third)
		sub.ExpectPublish("t", "4")
	}
}

func TestMaximumPacketSizeOfTheClient(t *testing.T) { // [MQTT-3.1.2-24], [MQTT-3.1.2-25]
	t.Parallel()
	b := brokertest.Start(t)
	small, _ := connack(t, b, v5, "small", maximumPacketSize(50), expiry(100))
	large := b.Connect(t, v5, "large")
	pub := b.Connect(t, v5, "pub")
	small.Subscribe("t", qos2)
	large.Subscribe("t", qos2)
	payload := strings.Repeat("x", 100)
	for q := range qos2 + 1 {
		pub.Publish("t", payload, q)
		large.Acknowledge(large.ExpectPublish("t", payload))
		pub.Publish("t", "fits", q)
		large.Acknowledge(large.ExpectPublish("t", "fits"))
		small.Acknowledge(small.ExpectPublish("t", "fits"))
	}
	// One that waits is found to be too large when its time has come.
	_ = small.Close()
	brokertest.WaitFor(t, "the end of the connection", func() bool { return b.Status().Clients == 2 })
	pub.Publish("t", payload, qos1)
	pub.Publish("t", "fits", qos1)
	small, _ = connack(t, b, v5, "small", maximumPacketSize(50), expiry(100))
	small.ExpectPublish("t", "fits")
	// Not even the reason of the end is too large: it is left out.
	small.SendBytes([]byte{0xc0, 1, 0})
	if p := brokertest.Expect[*packet.Disconnect](small); p.Size(v5) > 50 {
		t.Errorf("DISCONNECT takes %d bytes", p.Size(v5))
	}
}

func TestLargeMessages(t *testing.T) {
	t.Parallel()
	const limit = 4 << 20
	b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.MaxPacketSize = limit }))
	for name, dial := range map[string]func(string) *brokertest.Client{
		"plain": func(id string) *brokertest.Client { return b.Connect(t, v5, id) },
		"TLS": func(id string) *brokertest.Client {
			c := b.DialTLS(t, v5)
			c.Connect(id)
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			sub, pub := dial("sub"), dial("pub")
			sub.Subscribe("t", qos2)
			for i, size := range []int{0, 1, 16 << 10, 256<<10 - 20, 256 << 10, 256<<10 + 1, 512 << 10, 1<<20 + 7, limit - 100} {
				payload := string(bytes.Repeat([]byte{byte('a' + i)}, size))
				p := brokertest.NewPublish("t", payload, atQoS(qos1, uint16(i+1)))
				pub.Send(p, brokertest.NewPublish("t", "behind"))
				pub.ExpectAck(packet.TypePuback, uint16(i+1))
				sub.Acknowledge(sub.ExpectPublish("t", payload))
				sub.ExpectPublish("t", "behind")
			}
		})
	}
}

func TestLongestTopic(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	c := b.Connect(t, v5, "c")
	topic := strings.Repeat("t", 65535)
	c.Subscribe(topic, qos0)
	c.Publish(topic, "m", qos0)
	c.ExpectPublish(topic, "m")
}

func TestTopicsThatAreUnusual(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	sub, pub := b.Connect(t, v5, "sub"), b.Connect(t, v311, "pub")
	for filter, topics := range map[string][]string{
		"/":            {"/"},
		"+/+":          {"/", "a/", "/b"},
		"a//b":         {"a//b"},
		"a/+/b":        {"a//b", "a/ /b"},
		"sport/#":      {"sport", "sport/", "sport/tennis/player1"},
		"\ufeffx":      {"\ufeffx"},
		"π/\U0001F600": {"π/\U0001F600"},
		"$own/#":       {"$own", "$own/x"},
	} {
		sub.Subscribe(filter, qos0)
		for _, topic := range topics {
			pub.Publish(topic, filter, qos0)
			sub.ExpectPublish(topic, filter)
		}
		sub.Unsubscribe(filter)
	}
	// Wildcards at the start do not match topics that begin with $ [MQTT-4.7.2-1].
	sub.Subscribe("#", qos0)
	sub.Subscribe("+/x", qos0)
	pub.Publish("$own/x", "m", qos1)
	sub.ExpectSilence()
}
