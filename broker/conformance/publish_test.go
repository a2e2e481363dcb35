package conformance

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

//mqtt:3.1.1 3.3.1-2 3.3.1-4 4.8.0-1
//mqtt:5.0 3.3.1-2 3.3.1-4 4.13.1-1
func TestFlagsOfPublishOutOfFormEndTheConnection(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		for name, first := range map[string]byte{"QoS 3": 0x36, "QoS 3, DUP": 0x3e, "QoS 0, DUP": 0x38} {
			t.Run(name, func(t *testing.T) {
				c := b.Connect(t, v, "c")
				c.SendBytes(append([]byte{first}, unhex(t, "07 0001't' 0001 00'm'")...))
				c.ExpectDisconnect(packet.ReasonMalformedPacket)
			})
		}
	})
}

//mqtt:3.1.1 3.3.1-3
//mqtt:5.0 3.3.1-3 4.3.2-2 4.3.3-2
func TestDupIsNotPassedOn(t *testing.T) {
	each(t, withNumbers, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		sub, pub := b.Connect(t, v, "sub"), b.Connect(t, v, "pub")
		for _, q := range []packet.QoS{qos1, qos2} {
			sub.Subscribe("t", q)
			pub.Send(message(q, 1, "t", "m", dup))
			brokertest.Expect[*packet.Ack](pub)
			p := expectDelivery(t, sub, "t", "m", q)
			if p.Dup {
				t.Errorf("DUP at QoS %d on a first delivery", q)
			}
			sub.Acknowledge(p)
			pub.Send(ack(packet.TypePubrel, 1))
			brokertest.Expect[*packet.Ack](pub)
		}
	})
}

//mqtt:3.1.1 3.3.1-5 3.3.1-6 3.3.1-8 3.1.2-7
//mqtt:5.0 3.3.1-5 3.3.1-9
func TestRetainedMessageIsKeptWithItsQoS(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		pub := b.Connect(t, v, "pub")
		for q := range qos2 + 1 {
			topic := fmt.Sprintf("t/%d", q)
			pub.Publish(topic, "replaced", qos2, brokertest.Retained)
			pub.Publish(topic, "last", q, brokertest.Retained)
		}
		pub.Publish("elsewhere", "m", qos1, brokertest.Retained)
		pub.Disconnect() // retained messages are not part of the session
		sub := b.Connect(t, v, "sub")
		sub.Subscribe("t/+", qos2)
		got := map[string]packet.QoS{}
		for range 3 {
			p := brokertest.Expect[*packet.Publish](sub)
			if string(p.Payload) != "last" || !p.Retain || p.Dup {
				t.Errorf("%q on %q, retain %t, dup %t", p.Payload, p.Topic, p.Retain, p.Dup)
			}
			got[string(p.Topic)] = p.QoS
			sub.Acknowledge(p)
		}
		if len(got) != 3 || got["t/0"] != 0 || got["t/1"] != 1 || got["t/2"] != 2 {
			t.Errorf("retained messages by QoS: %v", got)
		}
		sub.ExpectSilence()
	})
}

//mqtt:3.1.1 3.3.1-7
func TestRetainAtQoS0DiscardsTheEarlierMessage(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		pub := b.Connect(t, v, "pub")
		pub.Publish("t", "earlier", qos1, brokertest.Retained)
		pub.Publish("t", "later", qos0, brokertest.Retained)
		pub.ExpectSilence()
		sub := b.Connect(t, v, "sub")
		sub.Subscribe("t", qos1)
		expectDelivery(t, sub, "t", "later", qos0)
		sub.ExpectSilence()
	})
}

//mqtt:3.1.1 3.3.1-9 3.3.1-10 3.3.1-11
//mqtt:5.0 3.3.1-6 3.3.1-7 3.3.1-12
func TestEmptyRetainedMessageRemovesTheOneThereIs(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		for q := range qos2 + 1 {
			pub, sub := b.Connect(t, v, "pub"), b.Connect(t, v, "sub")
			sub.Subscribe("t", q)
			for _, payload := range []string{"kept", "", ""} { // the last one finds none
				pub.Publish("t", payload, q, brokertest.Retained)
				p := expectDelivery(t, sub, "t", payload, q)
				if p.Retain {
					t.Error("RETAIN is set for a standing subscription")
				}
				sub.Acknowledge(p)
			}
			late := b.Connect(t, v, "late")
			late.Subscribe("t", q)
			late.ExpectSilence()
		}
	})
}

//mqtt:3.1.1 3.3.1-12
//mqtt:5.0 3.3.1-8
func TestWithoutRetainNothingRetainedChanges(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		pub := b.Connect(t, v, "pub")
		pub.Publish("t", "kept", qos1, brokertest.Retained)
		for q := range qos2 + 1 {
			pub.Publish("t", "passing", q)
			pub.Publish("t", "", q)
			pub.Publish("u", "passing", q)
		}
		pub.ExpectSilence()
		sub := b.Connect(t, v, "sub")
		sub.Subscribe("#", qos0)
		sub.ExpectPublish("t", "kept")
		sub.ExpectSilence()
	})
}

//mqtt:5.0 3.3.1-9 3.3.1-10 3.3.1-11
func TestRetainHandling(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	b.Connect(t, v5, "pub").Publish("t", "kept", qos1, brokertest.Retained)
	for handling, want := range map[byte]struct{ first, again int }{0: {1, 1}, 1: {1, 0}, 2: {0, 0}} {
		t.Run(fmt.Sprint(handling), func(t *testing.T) {
			c := b.Connect(t, v5, "c")
			for _, messages := range []int{want.first, want.again} {
				c.Subscribe("t", qos0, func(s *packet.Subscription) { s.RetainHandling = handling })
				for range messages {
					if !c.ExpectPublish("t", "kept").Retain {
						t.Error("a retained message is not marked")
					}
				}
				c.ExpectSilence()
			}
			c.Unsubscribe("t")
			c.Subscribe("t", qos0, func(s *packet.Subscription) { s.RetainHandling = handling })
			for range want.first {
				c.ExpectPublish("t", "kept")
			}
			c.ExpectSilence()
		})
	}
}

//mqtt:5.0 3.3.1-12 3.3.1-13
//mqtt:3.1.1 3.3.1-9
func TestRetainAsPublished(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	pub := b.Connect(t, v5, "pub")
	for _, v := range everyVersion {
		for _, asPublished := range []bool{false, true} {
			topic := fmt.Sprintf("%v/%t", v, asPublished)
			c := b.Connect(t, v, "c")
			c.Subscribe(topic, qos1, func(s *packet.Subscription) { s.RetainAsPublished = asPublished })
			for _, retain := range []bool{false, true} {
				pub.Publish(topic, "m", qos1, func(p *packet.Publish) { p.Retain = retain })
				p := c.ExpectPublish(topic, "m")
				if want := retain && asPublished && v == v5; p.Retain != want {
					t.Errorf("%v: RETAIN is %t, published %t, as published %t", v, p.Retain, retain, asPublished)
				}
				c.Acknowledge(p)
			}
		}
	}
}

//mqtt:3.1.1 3.3.2-2 4.7.1-1 4.7.3-1 4.8.0-1
//mqtt:5.0 3.3.2-2 4.7.0-1 4.7.3-1 4.13.1-1 3.14.2-1
func TestTopicNameOutOfFormEndsTheConnection(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		for _, topic := range []string{"#", "+", "a/+/b", "a/#", "a#", "a+", ""} {
			for q := range qos2 + 1 {
				reason := packet.ReasonTopicNameInvalid
				if topic == "" {
					reason = packet.ReasonProtocolError
				}
				c := b.Connect(t, v, "c")
				c.Send(message(q, uint16(q), topic, "m"))
				c.ExpectDisconnect(reason)
			}
		}
	})
}

//mqtt:3.1.1 3.3.2-3
//mqtt:5.0 3.3.2-3
func TestTopicOfADeliveryIsThatOfTheMessage(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		sub, pub := b.Connect(t, v, "sub"), b.Connect(t, v, "pub")
		sub.Subscribe("a/+/c", qos0)
		sub.Subscribe("x/#", qos0)
		for _, topic := range []string{"a/b/c", "a/b/d", "a//c", "a/c", "x", "x/y/z", "xy"} {
			pub.Publish(topic, "m", qos0)
		}
		for _, topic := range []string{"a/b/c", "a//c", "x", "x/y/z"} {
			sub.ExpectPublish(topic, "m")
		}
		sub.ExpectSilence()
	})
}

//mqtt:3.1.1 3.3.5-2
//mqtt:5.0 3.4.2-1 3.5.2-1 3.3.4-1 4.3.3-9
func TestPublishThatIsNotAllowedIsAnswered(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, _ *brokertest.Broker, v packet.Version) {
		b := brokertest.Start(t, func(c *config.Config) {
			c.Access.Policies = []config.Policy{{Anonymous: true, Rules: []config.Rule{{
				Effect: config.Deny, Actions: []config.Action{config.ActionPublish}, Topics: []string{"secret/#"},
			}}}}
		})
		observer, c := b.Connect(t, v, "observer"), b.Connect(t, v, "c")
		observer.Subscribe("#", qos2)
		refused := packet.ReasonSuccess
		if v == v5 {
			refused = packet.ReasonNotAuthorized
		}
		c.Send(message(qos0, 0, "secret/t", "m"))
		c.Send(message(qos1, 1, "secret/t", "m"))
		c.Expect(refusal(packet.TypePuback, 1, refused))
		c.Send(message(qos2, 2, "secret/t", "m"))
		c.Expect(refusal(packet.TypePubrec, 2, refused))
		if v != v5 { // a success that has to be released
			c.Send(ack(packet.TypePubrel, 2))
			c.ExpectAck(packet.TypePubcomp, 2)
		}
		observer.ExpectSilence()
		c.Send(message(qos2, 2, "open", "m"))
		c.ExpectAck(packet.TypePubrec, 2)
		observer.ExpectPublish("open", "m")
	})
}

//mqtt:5.0 3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20
func TestPropertiesArePassedOn(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	pub := b.Connect(t, v5, "pub")
	away := b.Connect(t, v5, "away", brokertest.Persistent)
	away.Subscribe("t", qos1)
	away.Disconnect()
	bySubscription := map[string]packet.QoS{"as it came": qos1, "at a lower QoS": qos0}
	live := map[string]*brokertest.Client{}
	for name, q := range bySubscription {
		live[name] = b.Connect(t, v5, name)
		live[name].Subscribe("t", q)
	}
	has := func(p *packet.Publish) { p.Properties = everyProperty() }
	pub.Publish("t", "m", qos1, has, brokertest.Retained)
	for name, c := range live {
		q := bySubscription[name]
		c.Expect(message(q, uint16(q), "t", "m", has))
	}
	b.Connect(t, v5, "away", brokertest.Persistent).Expect(message(qos1, 1, "t", "m", has))
	late := b.Connect(t, v5, "late")
	late.Subscribe("t", qos0)
	late.Expect(message(qos0, 0, "t", "m", has, brokertest.Retained))
}

//mqtt:5.0 3.3.2-14 4.13.1-1
func TestResponseTopicHasNoWildcards(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for _, topic := range []string{"a/#", "+", "a/b+"} {
		set := func(p *packet.Properties) {
			p.ResponseTopic = []byte(topic)
			p.Set(packet.PropResponseTopic)
		}
		c := b.Connect(t, v5, "c")
		c.Send(message(qos1, 1, "t", "m", func(p *packet.Publish) { set(&p.Properties) }))
		c.ExpectDisconnect(packet.ReasonProtocolError)

		c = b.Dial(t, v5)
		c.Send(brokertest.NewConnect("c", brokertest.Will("w", "m", func(w *packet.Will) { set(&w.Properties) })))
		c.ExpectRefused(packet.ReasonTopicNameInvalid)
	}
}

//mqtt:5.0 3.3.2-4 4.13.1-1
func TestPayloadIsWhatItsFormatClaims(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for format, ends := range map[byte]bool{0: false, 1: true} {
		c := b.Connect(t, v5, "c")
		c.Send(message(qos1, 1, "t", "\xff", func(p *packet.Publish) {
			p.Properties.PayloadFormat = format
			p.Properties.Set(packet.PropPayloadFormat)
		}))
		if ends {
			c.ExpectDisconnect(packet.ReasonPayloadFormatInvalid)
		} else {
			brokertest.Expect[*packet.Ack](c)
		}
	}
}

// TestMessageExpiry has two messages wait for a client that is away, until the
// will of another one says that a second has passed.
//
//mqtt:5.0 3.3.2-5 3.3.2-6
func TestMessageExpiry(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	clock, pub := b.Connect(t, v5, "clock"), b.Connect(t, v5, "pub")
	clock.Subscribe("clock", qos0)
	c := b.Connect(t, v5, "c", brokertest.Persistent)
	c.Subscribe("t/+", qos1)
	pub.Publish("t/live", "m", qos1, messageExpiry(10))
	live := c.ExpectPublish("t/live", "m")
	if live.Properties.MessageExpiry > 10 || live.Properties.MessageExpiry < 9 {
		t.Errorf("message expiry %d on a message that did not wait", live.Properties.MessageExpiry)
	}
	c.Acknowledge(live)
	c.Disconnect()

	pub.Publish("t/short", "expires", qos1, messageExpiry(1), brokertest.Retained)
	pub.Publish("t/long", "waits", qos1, messageExpiry(1000), brokertest.Retained)
	pub.Publish("t/ever", "waits", qos1)
	drop(b.Connect(t, v5, "timer", brokertest.Persistent, brokertest.Will("clock", "tick", willDelay(2))))
	clock.ExpectPublish("clock", "tick")

	c = b.Connect(t, v5, "c", brokertest.Persistent)
	expectRemaining(t, c, "t/long", 1000)
	c.Acknowledge(c.ExpectPublish("t/ever", "waits"))
	c.ExpectSilence()
	late := b.Connect(t, v5, "late")
	late.Subscribe("t/+", qos1)
	expectRemaining(t, late, "t/long", 1000)
	late.ExpectSilence()
}

// expectRemaining takes a message that has waited for at least a second of its
// expiry.
func expectRemaining(t *testing.T, c *brokertest.Client, topic string, published uint32) {
	t.Helper()
	p := c.ExpectPublish(topic, "waits")
	const patience = uint32(brokertest.Patience / time.Second)
	if left := p.Properties.MessageExpiry; left >= published || left < published-patience {
		t.Errorf("message expiry %d after some seconds of %d", left, published)
	}
	c.Acknowledge(p)
}

//mqtt:5.0 3.3.2-7 3.3.2-12 3.2.2-17
func TestTopicAliases(t *testing.T) {
	t.Parallel()
	const most = 5
	b := limits(t, func(m *config.MQTT) { n := most; m.TopicAliasMaximum = &n })
	sub := b.Connect(t, v5, "sub")
	sub.Subscribe("#", qos1)
	pub := b.Dial(t, v5)
	if ack := pub.Connect("pub", brokertest.Persistent); ack.Properties.TopicAliasMaximum != most {
		t.Errorf("topic alias maximum %d", ack.Properties.TopicAliasMaximum)
	}
	for n := range uint16(most) {
		pub.Publish(fmt.Sprintf("t/%d", n+1), "set", qos0, alias(n+1))
		p := sub.ExpectPublish(fmt.Sprintf("t/%d", n+1), "set")
		if p.Properties.Has(packet.PropTopicAlias) {
			t.Error("the publisher's topic alias is passed on")
		}
	}
	for _, n := range []uint16{5, 1, 3} {
		pub.Publish("", "used", qos0, alias(n))
		sub.ExpectPublish(fmt.Sprintf("t/%d", n), "used")
	}
	pub.Publish("u", "set again", qos0, alias(3))
	sub.ExpectPublish("u", "set again")
	pub.Publish("", "used", qos0, alias(3))
	sub.ExpectPublish("u", "used")

	pub.Disconnect()
	pub = b.Connect(t, v5, "pub", brokertest.Persistent)
	pub.Send(message(qos0, 0, "", "of another connection", alias(3)))
	pub.ExpectDisconnect(packet.ReasonProtocolError)
	sub.ExpectSilence()
}

//mqtt:5.0 3.2.2-17 3.2.2-18 3.3.2-8 3.3.2-9 4.13.1-1
func TestTopicAliasOutOfBoundsEndsTheConnection(t *testing.T) {
	t.Parallel()
	for _, most := range []int{0, 5} {
		b := limits(t, func(m *config.MQTT) { m.TopicAliasMaximum = &most })
		for _, n := range []uint16{0, uint16(most) + 1, 65535} {
			c := b.Connect(t, v5, "c")
			c.Send(message(qos0, 0, "t", "m", alias(n)))
			c.ExpectDisconnect(packet.ReasonTopicAliasInvalid)
		}
	}
}

// aliases resolve the topic aliases that the server sets on one connection.
type aliases struct {
	most   uint16
	topics map[uint16]string
	used   int // topics that were told by their alias alone
}

// connectWithAliases accepts topic aliases up to a maximum.
func connectWithAliases(t *testing.T, b *brokertest.Broker, most uint16) (*brokertest.Client, *aliases) {
	t.Helper()
	c := b.Connect(t, v5, "c", brokertest.Persistent, func(p *packet.Connect) {
		if p.Properties.TopicAliasMaximum = most; most > 0 {
			p.Properties.Set(packet.PropTopicAliasMaximum)
		}
	})
	return c, &aliases{most: most, topics: map[uint16]string{}}
}

// topic returns the topic of a message.
func (a *aliases) topic(t *testing.T, p *packet.Publish) string {
	t.Helper()
	if !p.Properties.Has(packet.PropTopicAlias) {
		return string(p.Topic)
	}
	n := p.Properties.TopicAlias
	if n == 0 || n > a.most {
		t.Fatalf("topic alias %d, and the maximum is %d", n, a.most)
	}
	if len(p.Topic) > 0 {
		a.topics[n] = string(p.Topic)
	} else {
		a.used++
	}
	return a.topics[n]
}

// TestTopicAliasesOfTheServer: whatever maximum a client sets, each message can
// be told by its topic or by an alias within it that was set before.
//
//mqtt:5.0 3.1.2-26 3.1.2-27 3.3.2-8 3.3.2-10 3.3.2-11
func TestTopicAliasesOfTheServer(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	pub := b.Connect(t, v5, "pub")
	for _, most := range []uint16{0, 1, 3} {
		c, a := connectWithAliases(t, b, most)
		c.Subscribe("t/+", qos1)
		for i := range 20 {
			want := fmt.Sprintf("t/%d", i%5)
			pub.Publish(want, "m", qos1)
			p := brokertest.Expect[*packet.Publish](c)
			c.Acknowledge(p)
			if got := a.topic(t, p); got != want {
				t.Fatalf("message on %q, want %q", got, want)
			}
		}
		c.ExpectSilence() // the acknowledgements were taken
		if (a.used > 0) != (most > 0) {
			t.Errorf("%d messages told by an alias, and the maximum is %d", a.used, most)
		}
	}
}

//mqtt:5.0 3.3.2-7 4.4.0-1
func TestTopicAliasesOfTheServerEndWithTheirConnection(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	pub := b.Connect(t, v5, "pub")
	for _, most := range []uint16{2, 1, 0} {
		c, a := connectWithAliases(t, b, most)
		if most == 2 {
			c.Subscribe("t/+", qos1)
			for i := range 4 {
				pub.Publish(fmt.Sprintf("t/%d", i%2), "m", qos1)
			}
		}
		for i := range 4 {
			p := brokertest.Expect[*packet.Publish](c)
			if got, want := a.topic(t, p), fmt.Sprintf("t/%d", i%2); got != want || p.Dup != (most < 2) {
				t.Errorf("message on %q, DUP %t, want %q", got, p.Dup, want)
			}
		}
		drop(c)
	}
}

//mqtt:5.0 3.3.4-6 4.13.1-1
func TestSubscriptionIdentifierOfAPublisherEndsTheConnection(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t).Connect(t, v5, "c")
	c.Send(message(qos1, 1, "t", "m", func(p *packet.Publish) { p.Properties.AddSubscriptionID(7) }))
	c.ExpectDisconnect(packet.ReasonProtocolError)
}

// TestLargestTopic: 65,535 bytes are as many as a string can have.
//
//mqtt:3.1.1 4.7.3-3
//mqtt:5.0 4.7.3-3
func TestLargestTopic(t *testing.T) {
	each(t, withNumbers, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		topic := string(bytes.Repeat([]byte("x"), 65535))
		c := b.Connect(t, v, "c")
		c.Subscribe(topic, qos1)
		c.Publish("y", "elsewhere", qos1)
		c.Send(message(qos0, 0, topic, "m"))
		c.ExpectPublish(topic, "m")
	})
}
