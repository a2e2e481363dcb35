package conformance

import (
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// badStrings are no UTF-8 encoded strings: a stray byte, a surrogate, U+0000.
var badStrings = map[string]string{"stray byte": "a\xffb", "surrogate": "a\xed\xa0\x80b", "null": "a\x00b"}

//mqtt:3.1.1 1.5.3-1 1.5.3-2 3.1.3-4 3.1.3-10 3.1.3-11
//mqtt:5.0 1.5.4-1 1.5.4-2 1.5.7-1 3.1.3-4 3.1.3-11 3.1.3-12 3.1.4-1
func TestIllFormedStringInConnectEndsTheConnection(t *testing.T) {
	places := map[string]func(bad string) *packet.Connect{
		"client identifier": func(bad string) *packet.Connect { return brokertest.NewConnect(bad) },
		"will topic":        func(bad string) *packet.Connect { return brokertest.NewConnect("c", brokertest.Will(bad, "w")) },
		"user name":         func(bad string) *packet.Connect { return brokertest.NewConnect("c", brokertest.Login(bad, "p")) },
		"user property, in MQTT 5": func(bad string) *packet.Connect {
			return brokertest.NewConnect("c", func(p *packet.Connect) { p.Properties.AddUserProperty([]byte("k"), []byte(bad)) })
		},
	}
	each(t, withNumbers, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		for place, connect := range places {
			p := connect("ok")
			if v != v5 && !p.Properties.Empty() {
				continue
			}
			for kind, bad := range badStrings {
				t.Run(kind+" in "+place, func(t *testing.T) {
					c := b.Dial(t, v)
					c.Send(connect(bad))
					if v == v5 {
						c.ExpectRefused(packet.ReasonMalformedPacket)
					}
					c.ExpectClosed()
				})
			}
		}
	})
}

//mqtt:3.1.1 1.5.3-1 1.5.3-2 3.3.2-1 3.8.3-1 3.10.3-1 4.7.3-2 4.8.0-1
//mqtt:5.0 1.5.4-1 1.5.4-2 1.5.7-1 3.3.2-1 3.3.2-13 3.3.2-19 3.8.3-1 3.10.3-1 4.7.3-2 4.13.1-1
func TestIllFormedStringEndsTheConnection(t *testing.T) {
	property := func(id packet.PropertyID, set func(*packet.Properties, []byte)) func(bad string) brokertest.Packet {
		return func(bad string) brokertest.Packet {
			p := brokertest.NewPublish("t", "m")
			p.Properties.Set(id)
			set(&p.Properties, []byte(bad))
			return p
		}
	}
	places := map[string]func(bad string) brokertest.Packet{
		"topic name":            func(bad string) brokertest.Packet { return brokertest.NewPublish(bad, "m") },
		"filter of SUBSCRIBE":   func(bad string) brokertest.Packet { return subscribe(1, bad) },
		"filter of UNSUBSCRIBE": func(bad string) brokertest.Packet { return unsubscribe(1, bad) },
	}
	ofMQTT5 := map[string]func(bad string) brokertest.Packet{
		"content type":   property(packet.PropContentType, func(p *packet.Properties, b []byte) { p.ContentType = b }),
		"response topic": property(packet.PropResponseTopic, func(p *packet.Properties, b []byte) { p.ResponseTopic = b }),
		"user property's key": property(packet.PropUser, func(p *packet.Properties, b []byte) {
			p.AddUserProperty(b, []byte("v"))
		}),
		"user property's value": property(packet.PropUser, func(p *packet.Properties, b []byte) {
			p.AddUserProperty([]byte("k"), b)
		}),
	}
	each(t, withNumbers, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		refuses := func(places map[string]func(bad string) brokertest.Packet) {
			for place, with := range places {
				for kind, bad := range badStrings {
					t.Run(kind+" in "+place, func(t *testing.T) {
						c := b.Connect(t, v, "c")
						c.Send(with(bad))
						c.ExpectDisconnect(packet.ReasonMalformedPacket)
					})
				}
			}
		}
		refuses(places)
		if v == v5 {
			refuses(ofMQTT5)
		}
	})
}

//mqtt:3.1.1 1.5.3-3 4.7.3-4
//mqtt:5.0 1.5.4-3 4.7.3-4
func TestTopicsAreComparedAsTheyAre(t *testing.T) {
	const (
		mark       = "\uFEFFa"
		composed   = "\u00e9"
		decomposed = "e\u0301"
	)
	each(t, withNumbers, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		c := b.Connect(t, v, "c")
		for _, filter := range []string{"a", decomposed, "A/b", "x//y"} {
			c.Subscribe(filter, qos0)
		}
		for _, name := range []string{mark, composed, "a/b", "a/", "x/y"} {
			c.Publish(name, "to nobody", qos0)
		}
		c.ExpectSilence()
		c.Subscribe(mark, qos0)
		c.Publish(mark, "with a mark", qos0)
		c.ExpectPublish(mark, "with a mark")
	})
}

//mqtt:3.1.1 2.2.2-1 2.2.2-2 3.6.1-1 3.8.1-1 3.10.1-1 3.14.1-1
//mqtt:5.0 2.1.3-1 3.6.1-1 3.8.1-1 3.10.1-1 3.14.1-1 3.15.1-1 4.13.1-1
func TestReservedFlagsEndTheConnection(t *testing.T) {
	frames := map[string]string{
		"PUBACK":      "41 02 0001",
		"PUBREC":      "52 02 0001",
		"PUBREL":      "60 02 0001",
		"PUBCOMP":     "71 02 0001",
		"SUBSCRIBE":   "80 06 0001 0001'a' 00",
		"UNSUBSCRIBE": "a0 05 0001 0001'a'",
		"PINGREQ":     "c8 00",
		"DISCONNECT":  "e1 00",
		"AUTH":        "f1 00",
		"type 0":      "00 00",
	}
	each(t, withNumbers, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		for name, frame := range frames {
			t.Run(name, func(t *testing.T) {
				observer := b.Connect(t, v5, "observer")
				observer.Subscribe("will", qos0)
				c := b.Connect(t, v, "c", brokertest.Will("will", "not a good-bye"))
				c.SendBytes(unhex(t, frame))
				c.ExpectDisconnect(packet.ReasonMalformedPacket)
				observer.ExpectPublish("will", "not a good-bye")
			})
		}
	})
}

// TestReservedFlagsMeanNothingInMQTT31: version 3.1 has a client set DUP on what
// it sends again, and demands nothing of the other flags.
func TestReservedFlagsMeanNothingInMQTT31(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t).Connect(t, v31, "c")
	c.SendBytes(unhex(t, "8a 06 0001 0001'a' 00"))
	c.Expect(&packet.Suback{ID: 1, Reasons: []packet.ReasonCode{0}})
	c.SendBytes(unhex(t, "6a 02 0007"))
	c.ExpectAck(packet.TypePubcomp, 7)
}

//mqtt:3.1.1 4.8.0-1
//mqtt:5.0 1.5.5-1 4.13.1-1
func TestLengthOutOfFormEndsTheConnection(t *testing.T) {
	each(t, withNumbers, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		for name, frame := range map[string]string{
			"more bytes than it takes": "c0 8000",
			"five bytes":               "c0 ffffffff01",
		} {
			t.Run(name, func(t *testing.T) {
				c := b.Connect(t, v, "c")
				c.SendBytes(unhex(t, frame))
				c.ExpectDisconnect(packet.ReasonMalformedPacket)
			})
		}
	})
}

//mqtt:3.1.1 2.3.1-1
//mqtt:5.0 2.2.1-3 4.13.1-1
func TestIdentifierZeroEndsTheConnection(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		for name, p := range map[string]brokertest.Packet{
			"PUBLISH at QoS 1": message(qos1, 0, "t", "m"),
			"PUBLISH at QoS 2": message(qos2, 0, "t", "m"),
			"SUBSCRIBE":        subscribe(0, "t"),
			"UNSUBSCRIBE":      unsubscribe(0, "t"),
		} {
			t.Run(name, func(t *testing.T) {
				c := b.Connect(t, v, "c")
				c.Send(p)
				c.ExpectDisconnect(packet.ReasonProtocolError)
			})
		}
	})
}

//mqtt:3.1.1 2.3.1-6 2.3.1-7 3.3.4-1 3.8.4-1 3.8.4-2 3.10.4-4
//mqtt:5.0 2.2.1-5 2.2.1-6 3.3.4-1 3.8.4-1 3.8.4-2 3.10.4-4 3.10.4-5 4.3.2-4 4.3.3-8 4.3.3-11
func TestAnswersHaveTheIdentifierOfTheRequest(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		c := b.Connect(t, v, "c")
		b.Connect(t, v5, "listener").Subscribe("t", qos0)
		for _, id := range []uint16{1, 2, 256, 65535} {
			c.Send(message(qos1, id, "t", "m"))
			c.ExpectAck(packet.TypePuback, id)
			c.Send(message(qos2, id, "t", "m"))
			c.ExpectAck(packet.TypePubrec, id)
			c.Send(ack(packet.TypePubrel, id))
			c.ExpectAck(packet.TypePubcomp, id)
			c.Send(subscribe(id, "s"))
			c.Expect(&packet.Suback{ID: id, Reasons: []packet.ReasonCode{packet.ReasonGrantedQoS2}})
			c.Send(unsubscribe(id, "s"))
			c.Expect(&packet.Unsuback{ID: id, Reasons: []packet.ReasonCode{packet.ReasonSuccess}})
		}
	})
}

//mqtt:3.1.1 2.3.1-5 3.3.4-1 4.3.1-1 3.3.1-2
//mqtt:5.0 2.2.1-2 2.2.2-1 3.3.4-1 4.3.1-1 3.3.1-2
func TestQoS0IsTheBarestPublish(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		sub, pub := b.Connect(t, v, "sub"), b.Connect(t, v, "pub")
		sub.Subscribe("t/+", qos2)
		noProperties := ""
		size := "06"
		if v == v5 {
			noProperties, size = "00", "07"
		}
		frame := "30" + size + "0003't/a'" + noProperties + "'m'"
		pub.SendBytes(unhex(t, frame))
		pub.ExpectSilence()
		expectBytes(t, sub, frame)
	})
}

//mqtt:5.0 2.2.2-1
func TestNoPropertiesAreALengthOfZero(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t).Connect(t, v5, "c")
	c.Send(subscribe(1, "t"))
	expectBytes(t, c, "90 04 0001 00 02")
	c.Send(unsubscribe(2, "t"))
	expectBytes(t, c, "b0 04 0002 00 00")
	c.SendBytes(unhex(t, "82 06 0003 0001't' 00"))
	c.ExpectDisconnect(packet.ReasonMalformedPacket)
}

//mqtt:3.1.1 2.3.1-1 2.3.1-4
//mqtt:5.0 2.2.1-4 4.3.2-1 4.3.3-1
func TestServerTakesIdentifiersThatAreFree(t *testing.T) {
	each(t, withNumbers, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		const batch, batches = 1000, 67 // more than there are identifiers
		sub, pub := b.Connect(t, v, "sub"), b.Connect(t, v, "pub")
		sub.Subscribe("t", qos2)
		pub.Publish("t", "held at QoS 1", qos1)
		pub.Publish("t", "held at QoS 2", qos2)
		held := map[uint16]bool{
			sub.ExpectPublish("t", "held at QoS 1").ID: true,
			sub.ExpectPublish("t", "held at QoS 2").ID: true,
		}
		if len(held) != 2 || held[0] {
			t.Fatalf("identifiers %v of two messages in flight", held)
		}
		for range batches {
			var out []brokertest.Packet
			for i := range batch {
				out = append(out, message(qos1, uint16(i+1), "t", "m"))
			}
			pub.Send(out...)
			out = out[:0]
			for range batch {
				p := sub.ExpectPublish("t", "m")
				if p.ID == 0 || held[p.ID] {
					t.Fatalf("identifier %d is not free", p.ID)
				}
				out = append(out, ack(packet.TypePuback, p.ID))
			}
			sub.Send(out...)
			for i := range batch {
				pub.ExpectAck(packet.TypePuback, uint16(i+1))
			}
		}
	})
}
