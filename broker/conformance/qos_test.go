package conformance

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

//mqtt:3.1.1 4.3.2-2
//mqtt:5.0 4.3.2-4 4.3.2-5
func TestAfterPubackTheIdentifierIsFree(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		sub, pub := b.Connect(t, v, "sub"), b.Connect(t, v, "pub")
		sub.Subscribe("t", qos0)
		for i, change := range []func(*packet.Publish){func(*packet.Publish) {}, dup, dup} {
			payload := fmt.Sprint(i)
			pub.Send(message(qos1, 7, "t", payload, change))
			pub.ExpectAck(packet.TypePuback, 7)
			sub.ExpectPublish("t", payload)
		}
	})
}

//mqtt:3.1.1 4.3.3-2 3.3.4-1
//mqtt:5.0 4.3.3-8 4.3.3-10 4.3.3-11 4.3.3-12
func TestQoS2IsDeliveredOnce(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		sub := b.Connect(t, v, "sub")
		sub.Subscribe("t", qos0)
		pub := b.Connect(t, v, "pub", brokertest.Persistent)
		for _, payload := range []string{"first", "second"} { // the identifier stands for both
			pub.Send(message(qos2, 7, "t", payload))
			pub.ExpectAck(packet.TypePubrec, 7)
			sub.ExpectPublish("t", payload)
			pub.Send(message(qos2, 7, "t", payload, dup))
			pub.ExpectAck(packet.TypePubrec, 7)
			drop(pub)
			pub = b.Connect(t, v, "pub", brokertest.Persistent)
			pub.Send(message(qos2, 7, "t", payload, dup))
			pub.ExpectAck(packet.TypePubrec, 7)
			sub.ExpectSilence()
			pub.Send(ack(packet.TypePubrel, 7))
			pub.ExpectAck(packet.TypePubcomp, 7)
		}
		again := ack(packet.TypePubcomp, 7)
		if v == v5 {
			again.Reason = packet.ReasonPacketIdentifierNotFound
		}
		pub.Send(ack(packet.TypePubrel, 7))
		pub.Expect(again)
	})
}

//mqtt:3.1.1 4.3.2-1 4.4.0-1 3.3.1-1 4.3.3-1 4.1.0-1
//mqtt:5.0 4.3.2-3 4.3.3-3 4.3.3-4 4.3.3-5 4.3.3-6 4.4.0-1 3.3.1-1 3.6.2-1
func TestUnacknowledgedPacketsAreSentAgain(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		pub := b.Connect(t, v, "pub")
		c := b.Connect(t, v, "c", brokertest.Persistent)
		c.Subscribe("t", qos2)
		pub.Publish("t", "at QoS 1", qos1)
		pub.Publish("t", "at QoS 2", qos2)
		first := expectDelivery(t, c, "t", "at QoS 1", qos1)
		second := expectDelivery(t, c, "t", "at QoS 2", qos2)
		if first.Dup || second.Dup {
			t.Error("DUP on a first delivery")
		}
		c.ExpectSilence() // nothing is sent again while the connection stands

		drop(c)
		c = b.Connect(t, v, "c", brokertest.Persistent)
		first.Dup, second.Dup = true, true
		c.Expect(first, second)
		c.Send(ack(packet.TypePubrec, second.ID))
		c.ExpectAck(packet.TypePubrel, second.ID)

		for range 2 {
			drop(c)
			c = b.Connect(t, v, "c", brokertest.Persistent)
			expectInAnyOrder(t, c, ack(packet.TypePubrel, second.ID), first)
		}
		c.Send(ack(packet.TypePuback, first.ID), ack(packet.TypePubcomp, second.ID))
		c.ExpectSilence()
		drop(c)
		c = b.Connect(t, v, "c", brokertest.Persistent)
		c.ExpectSilence()
	})
}

// expectInAnyOrder takes as many packets as are wanted, each of them once.
func expectInAnyOrder(t *testing.T, c *brokertest.Client, want ...brokertest.Packet) {
	t.Helper()
	left := map[string]bool{}
	for _, p := range want {
		left[string(p.Append(nil, c.Version))] = true
	}
	for range want {
		got := string(c.Next().Append(nil, c.Version))
		if !left[got] {
			t.Fatalf("got % x, want one of %q", got, slices.Collect(maps.Keys(left)))
		}
		delete(left, got)
	}
}

//mqtt:5.0 4.4.0-2 4.8.2-6
func TestRefusedMessageIsNotSentAgain(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	pub := b.Connect(t, v5, "pub")
	for _, filter := range []string{"t", "$share/g/t"} {
		c := b.Connect(t, v5, "c", brokertest.Persistent)
		c.Subscribe(filter, qos2)
		for q, answer := range map[packet.QoS]packet.Type{qos1: packet.TypePuback, qos2: packet.TypePubrec} {
			pub.Publish("t", "refused", q)
			p := expectDelivery(t, c, "t", "refused", q)
			c.Send(refusal(answer, p.ID, packet.ReasonQuotaExceeded))
			c.ExpectSilence() // no PUBREL either
		}
		other := b.Connect(t, v5, "other")
		other.Subscribe("$share/g/t", qos2)
		drop(c)
		c = b.Connect(t, v5, "c", brokertest.Persistent)
		c.ExpectSilence()
		other.ExpectSilence()
		c.Unsubscribe(filter)
		drop(other)
	}
}

// TestExpiryDoesNotBreakOffAnExchange: a message that was sent once is sent
// again although it has expired meanwhile.
//
//mqtt:5.0 4.3.3-7 4.3.3-13
func TestExpiryDoesNotBreakOffAnExchange(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	clock, pub := b.Connect(t, v5, "clock"), b.Connect(t, v5, "pub")
	clock.Subscribe("clock", qos0)
	c := b.Connect(t, v5, "c", brokertest.Persistent)
	c.Subscribe("t", qos2)
	pub.Publish("t", "begun", qos2, messageExpiry(1))
	p := expectDelivery(t, c, "t", "begun", qos2)
	drop(c)
	drop(b.Connect(t, v5, "timer", brokertest.Persistent, brokertest.Will("clock", "tick", willDelay(2))))
	clock.ExpectPublish("clock", "tick")

	c = b.Connect(t, v5, "c", brokertest.Persistent)
	again := expectDelivery(t, c, "t", "begun", qos2)
	if again.ID != p.ID || !again.Dup {
		t.Errorf("sent again with identifier %d, DUP %t; it was %d", again.ID, again.Dup, p.ID)
	}
	c.Acknowledge(again)
	c.ExpectSilence()
}

//mqtt:3.1.1 4.6.0-1 4.6.0-5 4.6.0-6
//mqtt:5.0 4.6.0-5 4.6.0-6 4.4.0-1
func TestMessagesKeepTheirOrder(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		const n = 300
		for q := range qos2 + 1 {
			live, pub := b.Connect(t, v, "live"), b.Connect(t, v, "pub")
			live.Subscribe("t", q)
			away := b.Connect(t, v, "away", brokertest.Persistent)
			away.Subscribe("t", q)
			var out []brokertest.Packet
			for i := range n {
				p := message(q, uint16(i+1), "t", fmt.Sprint(i))
				if q == qos0 {
					p.ID = 0
				}
				out = append(out, p)
			}
			pub.Send(out...)
			for i := range n {
				expectDelivery(t, live, "t", fmt.Sprint(i), q)
			}
			if q == qos0 {
				continue
			}
			for i := range n { // sent, and not acknowledged
				away.ExpectPublish("t", fmt.Sprint(i))
			}
			drop(away)
			away = b.Connect(t, v, "away", brokertest.Persistent)
			for i := range n {
				if p := expectDelivery(t, away, "t", fmt.Sprint(i), q); !p.Dup {
					t.Fatal("no DUP on what is sent again")
				}
			}
			b.Connect(t, v, "away").Disconnect()
		}
	})
}

//mqtt:3.1.1 4.6.0-2 4.6.0-3
//mqtt:5.0 4.3.2-4 4.3.3-8
func TestAcknowledgementsKeepTheOrderOfTheMessages(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		// What has to be stored and what has not may take different ways.
		away := b.Connect(t, v, "away", brokertest.Persistent)
		away.Subscribe("stored", qos2)
		drop(away)
		b.Connect(t, v, "live").Subscribe("passing", qos0)
		pub := b.Connect(t, v, "pub")
		for q, answer := range map[packet.QoS]packet.Type{qos1: packet.TypePuback, qos2: packet.TypePubrec} {
			topics := []string{"stored", "passing"}
			var out []brokertest.Packet
			for i := range 100 {
				out = append(out, message(q, uint16(1000-i), topics[i%2], "m"))
			}
			pub.Send(out...)
			for i := range out {
				pub.ExpectAck(answer, uint16(1000-i))
			}
		}
	})
}

// TestPubrelsKeepTheOrderOfThePubrecs: at once, and when they are sent again.
//
//mqtt:3.1.1 4.6.0-4
//mqtt:5.0 4.3.3-4
func TestPubrelsKeepTheOrderOfThePubrecs(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		c, pub := b.Connect(t, v, "c", brokertest.Persistent), b.Connect(t, v, "pub")
		c.Subscribe("t", qos2)
		var ids []uint16
		for range 4 {
			pub.Publish("t", "m", qos2)
			ids = append(ids, c.ExpectPublish("t", "m").ID)
		}
		order := []uint16{ids[2], ids[0], ids[3], ids[1]}
		for _, id := range order {
			c.Send(ack(packet.TypePubrec, id))
		}
		for _, id := range order {
			c.ExpectAck(packet.TypePubrel, id)
		}
		drop(c)
		c = b.Connect(t, v, "c", brokertest.Persistent)
		for _, id := range order {
			c.ExpectAck(packet.TypePubrel, id)
		}
		c.ExpectSilence()
	})
}

// TestAcknowledgementsOfNothingAreTaken: a packet that was sent again may be
// acknowledged twice.
//
//mqtt:5.0 3.6.2-1 3.7.2-1 4.3.3-4
//mqtt:3.1.1 3.3.4-1
func TestAcknowledgementsOfNothingAreTaken(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		unknown := packet.ReasonSuccess
		if v == v5 {
			unknown = packet.ReasonPacketIdentifierNotFound
		}
		c := b.Connect(t, v, "c")
		c.Send(ack(packet.TypePuback, 9), ack(packet.TypePubcomp, 9), ack(packet.TypePubrec, 9))
		c.Expect(refusal(packet.TypePubrel, 9, unknown))
		c.Send(ack(packet.TypePubrel, 9))
		c.Expect(refusal(packet.TypePubcomp, 9, unknown))
		if v == v5 { // which ends an exchange, whatever there was of it
			c.Send(refusal(packet.TypePubrec, 9, packet.ReasonUnspecifiedError))
		}
		c.ExpectSilence()
	})
}
