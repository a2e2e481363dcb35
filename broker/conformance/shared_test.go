package conformance

import (
	"fmt"
	"maps"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

//mqtt:5.0 4.8.2-1 4.8.2-2 3.8.3-4 4.13.1-1
func TestSharedFilterOutOfFormEndsTheConnection(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for _, filter := range []string{"$share/", "$share//t", "$share/g", "$share/g/", "$share/g+/t", "$share/#/t", "$share/g/a#"} {
		t.Run(filter, func(t *testing.T) {
			c := b.Connect(t, v5, "c")
			c.Send(subscribe(1, filter))
			c.ExpectDisconnect(packet.ReasonMalformedPacket)
		})
	}
	t.Run("no local", func(t *testing.T) {
		c := b.Connect(t, v5, "c")
		request := subscribe(1, "$share/g/t")
		request.Subscriptions[0].NoLocal = true
		c.Send(request)
		c.ExpectDisconnect(packet.ReasonProtocolError)
	})
}

// members connects clients that share a filter, at QoS 2 each.
func members(t *testing.T, b *brokertest.Broker, ids ...string) []*brokertest.Client {
	t.Helper()
	var all []*brokertest.Client
	for _, id := range ids {
		c := b.Connect(t, v5, id, brokertest.Persistent)
		c.Subscribe("$share/g/t", qos2)
		all = append(all, c)
	}
	return all
}

// receiver finds which of the clients got the one message that there is, and
// the message.
func receiver(t *testing.T, clients ...*brokertest.Client) (winner int, p *packet.Publish) {
	t.Helper()
	winner = -1
	for i, c := range clients {
		c.Send(&packet.Pingreq{})
		got := c.Next()
		if m, ok := got.(*packet.Publish); ok {
			if winner >= 0 {
				t.Fatal("two members of a shared subscription got the message")
			}
			winner, p = i, m
			c.Expect(&packet.Pingresp{})
		}
	}
	if winner < 0 {
		t.Fatal("no member of a shared subscription got the message")
	}
	return winner, p
}

//mqtt:5.0 4.8.2-1 4.8.2-2 4.8.2-3
func TestSharedSubscriptionRespectsTheGrantedQoS(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	pub := b.Connect(t, v5, "pub")
	clients := make([]*brokertest.Client, 3)
	for q := range qos2 + 1 {
		clients[q] = b.Connect(t, v5, string(byte(q)+'0'))
		clients[q].Subscribe("$share/group 1/t/+", q)
		clients[q].Subscribe("t", q) // no part of it
	}
	turns := map[int]int{}
	for range 9 {
		pub.Publish("t/a", "m", qos2)
		i, p := receiver(t, clients...)
		if p.QoS != packet.QoS(i) {
			t.Errorf("QoS %d to a member with QoS %d", p.QoS, i)
		}
		clients[i].Acknowledge(p)
		turns[i]++
	}
	if len(turns) != 3 {
		t.Errorf("not all members have had their turn: %v", turns)
	}
}

// TestSharedSubscriptionBesideOthers: it brings no retained messages, and its
// messages come apart from those of other subscriptions.
//
//mqtt:5.0 3.3.4-3 4.8.2-3
func TestSharedSubscriptionBesideOthers(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	pub, c := b.Connect(t, v5, "pub"), b.Connect(t, v5, "c")
	pub.Publish("t", "kept", qos1, brokertest.Retained)
	for i, filter := range []string{"$share/g/t", "$share/h/+"} {
		request := subscribe(uint16(i+1), filter)
		request.Properties.AddSubscriptionID(uint32(i + 1))
		c.Send(request)
		brokertest.Expect[*packet.Suback](c)
	}
	c.ExpectSilence()
	c.Subscribe("t", qos0)
	c.ExpectPublish("t", "kept")

	pub.Publish("t", "m", qos1)
	got := map[string]packet.QoS{}
	for range 3 {
		p := c.ExpectPublish("t", "m")
		got[fmt.Sprint(p.Properties.SubscriptionIDs)] = p.QoS
		c.Acknowledge(p)
	}
	if want := map[string]packet.QoS{"[1]": qos1, "[2]": qos1, "[]": qos0}; !maps.Equal(got, want) {
		t.Errorf("QoS by subscription identifiers: %v, want %v", got, want)
	}
	c.ExpectSilence()
}

//mqtt:5.0 4.8.2-4
func TestSharedQoS2IsCompletedWithTheMemberThatHasBegun(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	pub := b.Connect(t, v5, "pub")
	ids := []string{"a", "b"}
	for _, received := range []bool{false, true} {
		clients := members(t, b, ids...)
		pub.Publish("t", "m", qos2)
		i, p := receiver(t, clients...)
		if received {
			clients[i].Send(ack(packet.TypePubrec, p.ID))
			clients[i].ExpectAck(packet.TypePubrel, p.ID)
		}
		drop(clients[i])
		c := b.Connect(t, v5, ids[i], brokertest.Persistent)
		if received {
			c.ExpectAck(packet.TypePubrel, p.ID)
			c.Send(ack(packet.TypePubcomp, p.ID))
		} else {
			p.Dup = true
			c.Expect(p)
			c.Acknowledge(p)
		}
		c.ExpectSilence()
		clients[1-i].ExpectSilence()
	}
}

//mqtt:5.0 4.8.2-5
func TestSharedQoS2GoesToNobodyElse(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	ids := []string{"a", "b"}
	clients := members(t, b, ids...)
	b.Connect(t, v5, "pub").Publish("t", "m", qos2)
	i, _ := receiver(t, clients...)
	drop(clients[i])
	b.Connect(t, v5, ids[i]).Disconnect() // ends the session
	clients[1-i].ExpectSilence()
}

//mqtt:5.0 4.8.2-6
func TestSharedMessageThatIsRefusedGoesToNobodyElse(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	clients := members(t, b, "a", "b")
	pub := b.Connect(t, v5, "pub")
	for q, answer := range map[packet.QoS]packet.Type{qos1: packet.TypePuback, qos2: packet.TypePubrec} {
		pub.Publish("t", "m", q)
		i, p := receiver(t, clients...)
		clients[i].Send(refusal(answer, p.ID, packet.ReasonNotAuthorized))
		for _, c := range clients {
			c.ExpectSilence()
		}
	}
}

// TestWhatAMemberLeavesGoesToAnotherOne: the standard allows it for QoS 1, and
// for what was never sent.
func TestWhatAMemberLeavesGoesToAnotherOne(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*packet.Connect){
		"a session that ends with its connection": func(*packet.Connect) {},
		"a session that expires":                  expiry(1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t)
			pub := b.Connect(t, v5, "pub")
			leaves := b.Connect(t, v5, "leaves", change, receiveMaximum(2))
			leaves.Subscribe("$share/g/t", qos2)
			leaves.Subscribe("t", qos0) // not shared: lost with the session
			for i, q := range []packet.QoS{qos1, qos2, qos1, qos2} {
				pub.Publish("t", fmt.Sprint(i), q)
			}
			taken := map[packet.QoS]string{}
			for range 6 { // two shared ones in flight, the others wait; and four copies
				p := brokertest.Expect[*packet.Publish](leaves)
				if p.QoS > qos0 {
					taken[p.QoS] = string(p.Payload)
				}
			}
			if len(taken) != 2 || taken[qos1] != "0" || taken[qos2] != "1" {
				t.Fatalf("in flight: %v", taken)
			}
			other := b.Connect(t, v5, "other")
			other.Subscribe("$share/g/t", qos2)
			drop(leaves)
			other.Acknowledge(expectDelivery(t, other, "t", "0", qos1))
			other.Acknowledge(expectDelivery(t, other, "t", "2", qos1))
			other.Acknowledge(expectDelivery(t, other, "t", "3", qos2))
			other.ExpectSilence()
		})
	}
}

// TestSharedSubscriptionOfMQTT3 has clients of all versions in one group.
func TestSharedSubscriptionOfMQTT3(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	var clients []*brokertest.Client
	for _, v := range everyVersion {
		c := b.Connect(t, v, v.String())
		c.Subscribe("$share/g/t", qos1)
		clients = append(clients, c)
	}
	pub := b.Connect(t, v5, "pub")
	turns := map[int]int{}
	for range 9 {
		pub.Publish("t", "m", qos1)
		i, p := receiver(t, clients...)
		clients[i].Acknowledge(p)
		turns[i]++
	}
	if len(turns) != len(clients) {
		t.Errorf("not all members have had their turn: %v", turns)
	}
}
