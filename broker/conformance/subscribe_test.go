package conformance

import (
	"fmt"
	"slices"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

//mqtt:3.1.1 3.8.3-3 3.10.3-2 4.8.0-1
//mqtt:5.0 3.8.3-2 3.10.3-2 4.13.1-1
func TestRequestWithoutFilterEndsTheConnection(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		for _, p := range []brokertest.Packet{subscribe(1), unsubscribe(1)} {
			c := b.Connect(t, v, "c")
			c.Send(p)
			c.ExpectDisconnect(packet.ReasonProtocolError)
		}
	})
}

//mqtt:3.1.1 3.8.3-4 4.8.0-1
//mqtt:5.0 3.8.3-5 4.13.1-1
func TestOptionsOutOfFormEndTheConnection(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for v, options := range map[packet.Version]map[byte]packet.ReasonCode{
		v311: {3: 0, 4: 0, 8: 0, 0x10: 0, 0x20: 0, 0x40: 0, 0x80: 0},
		v5: {
			3: packet.ReasonProtocolError, 0x30: packet.ReasonProtocolError,
			0x40: packet.ReasonMalformedPacket, 0x80: packet.ReasonMalformedPacket,
		},
	} {
		for o, reason := range options {
			t.Run(fmt.Sprintf("%v %#x", v, o), func(t *testing.T) {
				frame := subscribe(1, "t").Append(nil, v)
				frame[len(frame)-1] = o
				c := b.Connect(t, v, "c")
				c.SendBytes(frame)
				c.ExpectDisconnect(reason)
			})
		}
	}
}

//mqtt:3.1.1 4.7.1-2 4.7.1-3 4.7.3-1 4.7.3-2 4.8.0-1
//mqtt:5.0 4.7.1-1 4.7.1-2 4.7.3-1 4.7.3-2 4.13.1-1
func TestFilterOutOfFormEndsTheConnection(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		for _, filter := range []string{"", "a#", "a/#/b", "#/a", "a/b#", "a+", "+a", "a/+b/c", "++", "a\x00"} {
			t.Run(filter, func(t *testing.T) {
				c := b.Connect(t, v, "c")
				c.Send(subscribe(1, filter))
				c.ExpectDisconnect(packet.ReasonMalformedPacket)
			})
		}
	})
}

//mqtt:3.1.1 3.8.3-2
//mqtt:5.0 4.7.1-1 4.7.1-2
func TestWildcardsAreSupported(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		c := b.Connect(t, v, "c")
		for filter, topics := range map[string][]string{
			"sport/tennis/player1/#": {"sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon"},
			"sport/+":                {"sport/", "sport/x"},
			"+/finance":              {"/finance"},
			"+/+":                    {"/finance"},
			"#":                      {"sport", "/", "a/b/c"},
		} {
			c.Subscribe(filter, qos0)
			for _, topic := range topics {
				c.Publish(topic, filter, qos0)
				c.ExpectPublish(topic, filter)
			}
			c.Unsubscribe(filter)
		}
	})
}

//mqtt:3.1.1 4.7.2-1
//mqtt:5.0 4.7.2-1
func TestLeadingWildcardDoesNotMatchALeadingDollar(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		c := b.Connect(t, v, "c")
		c.Publish("$own/kept", "m", qos1, brokertest.Retained)
		for _, filter := range []string{"#", "+/a", "+/#"} {
			c.Subscribe(filter, qos0)
		}
		c.Publish("$own/a", "m", qos0)
		c.ExpectSilence()
		c.Subscribe("$own/+", qos0)
		c.ExpectPublish("$own/kept", "m")
		c.Publish("$own/a", "m", qos0)
		c.ExpectPublish("$own/a", "m")
		c.ExpectSilence()
	})
}

//mqtt:3.1.1 3.8.4-1 3.8.4-2 3.8.4-4 3.8.4-5 3.9.3-1 3.9.3-2
//mqtt:5.0 3.8.4-5 3.8.4-6 3.8.4-7 3.9.3-1 3.9.3-2
func TestSubackAnswersEachFilterInOrder(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, _ *brokertest.Broker, v packet.Version) {
		b := brokertest.Start(t, func(c *config.Config) {
			c.Access.Policies = []config.Policy{{Anonymous: true, Rules: []config.Rule{{
				Effect: config.Deny, Actions: []config.Action{config.ActionSubscribe}, Topics: []string{"secret/#"},
			}}}}
		})
		c, pub := b.Connect(t, v, "c"), b.Connect(t, v, "pub")
		request := subscribe(7, "a", "secret/a", "b", "c", "a")
		for i, q := range []packet.QoS{qos2, qos2, qos1, qos0, qos1} {
			request.Subscriptions[i].QoS = q
		}
		c.Send(request)
		got := brokertest.Expect[*packet.Suback](c)
		refused := packet.ReasonUnspecifiedError
		if v == v5 {
			refused = packet.ReasonNotAuthorized
		}
		want := []packet.ReasonCode{2, refused, 1, 0, 1}
		if got.ID != 7 || !slices.Equal(got.Reasons, want) {
			t.Fatalf("SUBACK %d %v, want 7 %v", got.ID, got.Reasons, want)
		}
		for topic, q := range map[string]packet.QoS{"a": qos1, "b": qos1, "c": qos0} { // the last one for "a" counts
			pub.Publish(topic, "m", qos2)
			expectDelivery(t, c, topic, "m", q)
		}
		pub.Publish("secret/a", "m", qos2)
		c.ExpectSilence()
	})
}

//mqtt:3.1.1 3.8.4-6
//mqtt:5.0 3.8.4-8
func TestDeliveryHasTheLowerQoS(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		for granted := range qos2 + 1 {
			sub := b.Connect(t, v, "sub")
			sub.Subscribe("t", granted)
			for published := range qos2 + 1 {
				b.Connect(t, v, "pub").Publish("t", "m", published)
				sub.Acknowledge(expectDelivery(t, sub, "t", "m", min(published, granted)))
			}
			sub.ExpectSilence()
		}
	})
}

//mqtt:3.1.1 3.8.4-3
//mqtt:5.0 3.8.4-3 3.8.4-4
func TestSameFilterReplacesTheSubscription(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		c, pub := b.Connect(t, v, "c"), b.Connect(t, v, "pub")
		pub.Publish("t/kept", "kept", qos2, brokertest.Retained)
		for _, q := range []packet.QoS{qos2, qos1, qos0, qos2} {
			c.Subscribe("t/+", q)
			p := expectDelivery(t, c, "t/kept", "kept", q)
			if !p.Retain {
				t.Error("a retained message is not marked")
			}
			c.Acknowledge(p)
			pub.Publish("t/live", "m", qos2)
			c.Acknowledge(expectDelivery(t, c, "t/live", "m", q))
			c.ExpectSilence() // one copy: there is one subscription
		}
		c.Unsubscribe("t/+")
		pub.Publish("t/live", "m", qos0)
		c.ExpectSilence()
	})
}

// TestReplacedSubscriptionLosesNothing replaces it all the while.
//
//mqtt:3.1.1 3.8.4-3
//mqtt:5.0 3.8.4-4
func TestReplacedSubscriptionLosesNothing(t *testing.T) {
	each(t, withNumbers, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		const n = 2000
		c, pub := b.Connect(t, v, "c"), b.Connect(t, v, "pub")
		c.Subscribe("t", qos1)
		var out []brokertest.Packet
		for i := range n {
			out = append(out, message(qos1, uint16(i+1), "t", fmt.Sprint(i)))
		}
		pub.Send(out...)
		for next := 0; next < n; {
			switch p := c.Next().(type) {
			case *packet.Publish:
				if string(p.Payload) != fmt.Sprint(next) {
					t.Fatalf("message %q, want %d", p.Payload, next)
				}
				if next++; next%10 == 0 {
					c.Send(subscribe(7, "t"))
				}
				c.Acknowledge(p)
			case *packet.Suback:
			default:
				t.Fatalf("got %T", p)
			}
		}
	})
}

//mqtt:3.1.1 3.3.5-1
//mqtt:5.0 3.3.4-2 3.3.4-3 3.3.4-4
func TestOverlappingSubscriptionsDeliverAtTheHighestQoS(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		c := b.Connect(t, v, "c")
		filters := []string{"t/#", "t/+", "+/a", "t/a", "#"}
		for i, filter := range filters {
			request := subscribe(uint16(i+1), filter)
			request.Subscriptions[0].QoS = packet.QoS(i % 3)
			if filter != "#" { // which has no identifier
				request.Properties.AddSubscriptionID(uint32(i + 1))
			}
			c.Send(request)
			brokertest.Expect[*packet.Suback](c)
		}
		b.Connect(t, v, "pub").Publish("t/a", "m", qos2)
		p := expectDelivery(t, c, "t/a", "m", qos2)
		ids := slices.Sorted(slices.Values(p.Properties.SubscriptionIDs))
		if v == v5 && !slices.Equal(ids, []uint32{1, 2, 3, 4}) {
			t.Errorf("subscription identifiers %v", ids)
		}
		c.Acknowledge(p)
		c.ExpectSilence()
	})
}

// TestSubscriptionIdentifiers: of what waited, was retained, or had its
// subscription replaced.
//
//mqtt:5.0 3.3.4-3 3.3.4-4
func TestSubscriptionIdentifiers(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	pub := b.Connect(t, v5, "pub")
	pub.Publish("t/kept", "kept", qos1, brokertest.Retained)
	c := b.Connect(t, v5, "c", brokertest.Persistent)
	for i, id := range []uint32{7, 268_435_455} {
		request := subscribe(uint16(i+1), "t/#")
		request.Properties.AddSubscriptionID(id)
		c.Send(request)
		brokertest.Expect[*packet.Suback](c)
		expectIDs(t, c, "t/kept", id)
	}
	drop(c)
	pub.Publish("t/waits", "waits", qos1)
	c = b.Connect(t, v5, "c", brokertest.Persistent)
	expectIDs(t, c, "t/waits", 268_435_455)
	c.Send(subscribe(3, "t/#")) // takes the identifier away
	brokertest.Expect[*packet.Suback](c)
	expectIDs(t, c, "t/kept")

	request := subscribe(4, "t")
	request.Properties.AddSubscriptionID(0)
	c.Send(request)
	c.ExpectDisconnect(packet.ReasonProtocolError)
}

func expectIDs(t *testing.T, c *brokertest.Client, topic string, want ...uint32) {
	t.Helper()
	p := brokertest.Expect[*packet.Publish](c)
	if string(p.Topic) != topic || !slices.Equal(p.Properties.SubscriptionIDs, want) {
		t.Errorf("subscription identifiers %v on %q, want %v on %q", p.Properties.SubscriptionIDs, p.Topic, want, topic)
	}
	c.Acknowledge(p)
}

//mqtt:5.0 3.8.3-3
func TestNoLocal(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	noLocal := func(s *packet.Subscription) { s.NoLocal = true }
	c, other := b.Connect(t, v5, "c", brokertest.Persistent), b.Connect(t, v5, "other")
	c.Subscribe("t", qos1, noLocal)
	other.Subscribe("t", qos1)
	c.Publish("t", "own", qos1)
	other.Acknowledge(other.ExpectPublish("t", "own"))
	c.ExpectSilence()
	other.Publish("t", "of another", qos0)
	other.ExpectPublish("t", "of another")
	c.ExpectPublish("t", "of another")

	drop(c)
	c = b.Connect(t, v5, "c", brokertest.Persistent) // another connection, the same client identifier
	c.Publish("t", "own", qos0)
	other.ExpectPublish("t", "own")
	c.ExpectSilence()
}

//mqtt:3.1.1 3.10.4-1 3.10.4-2 3.10.4-4 3.10.4-5 3.10.4-6
//mqtt:5.0 3.10.4-1 3.10.4-2 3.10.4-4 3.10.4-5 3.10.4-6 3.11.3-1 3.11.3-2
func TestUnsubscribe(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		c := b.Connect(t, v, "c", brokertest.Persistent)
		for _, filter := range []string{"t/+", "t/a", "u"} {
			c.Subscribe(filter, qos1)
		}
		c.Send(unsubscribe(9, "t/+", "t/#", "T/a", "t/a", "t/a"))
		want := &packet.Unsuback{ID: 9, Reasons: []packet.ReasonCode{0, packet.ReasonNoSubscriptionExisted, packet.ReasonNoSubscriptionExisted, 0, packet.ReasonNoSubscriptionExisted}}
		c.Expect(want)
		c.Publish("t/a", "to nobody", qos1)
		c.Publish("u", "still", qos0)
		c.ExpectPublish("u", "still")
		drop(c)
		b.Connect(t, v, "pub").Publish("t/a", "to nobody", qos1)
		c = b.Connect(t, v, "c", brokertest.Persistent)
		c.ExpectSilence()
	})
}

//mqtt:3.1.1 3.10.4-3
//mqtt:5.0 3.10.4-3
func TestDeliveryIsCompletedAfterUnsubscribe(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		c, pub := b.Connect(t, v, "c", brokertest.Persistent), b.Connect(t, v, "pub")
		c.Subscribe("t", qos2)
		pub.Publish("t", "at QoS 1", qos1)
		pub.Publish("t", "at QoS 2", qos2)
		first, second := c.ExpectPublish("t", "at QoS 1"), c.ExpectPublish("t", "at QoS 2")
		c.Unsubscribe("t")
		c.Send(ack(packet.TypePubrec, second.ID))
		c.ExpectAck(packet.TypePubrel, second.ID)
		drop(c)
		c = b.Connect(t, v, "c", brokertest.Persistent)
		first.Dup = true
		expectInAnyOrder(t, c, first, ack(packet.TypePubrel, second.ID))
		c.Send(ack(packet.TypePuback, first.ID), ack(packet.TypePubcomp, second.ID))
		c.ExpectSilence()
	})
}

//mqtt:3.1.1 3.12.4-1
//mqtt:5.0 3.12.4-1
func TestPingreqIsAnswered(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		c := b.Connect(t, v, "c")
		c.Send(&packet.Pingreq{}, &packet.Pingreq{})
		c.Expect(&packet.Pingresp{}, &packet.Pingresp{})
		c.SendBytes(unhex(t, "c0 01 00"))
		c.ExpectDisconnect(packet.ReasonMalformedPacket)
	})
}
