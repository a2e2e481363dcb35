package conformance

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/auth/password"
	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

//mqtt:3.1.1 3.1.0-1 4.8.0-1
//mqtt:5.0 3.1.0-1 3.14.0-1
func TestWhateverComesBeforeConnectEndsTheConnection(t *testing.T) {
	each(t, withNumbers, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		for name, p := range map[string]brokertest.Packet{
			"PUBLISH":     message(qos0, 0, "t", "m"),
			"PUBACK":      ack(packet.TypePuback, 1),
			"SUBSCRIBE":   subscribe(1, "t"),
			"UNSUBSCRIBE": unsubscribe(1, "t"),
			"PINGREQ":     &packet.Pingreq{},
			"DISCONNECT":  &packet.Disconnect{},
			"AUTH":        &packet.Auth{},
		} {
			t.Run(name, func(t *testing.T) {
				c := b.Dial(t, v)
				c.Send(p)
				c.ExpectClosed()
			})
		}
	})
}

//mqtt:3.1.1 3.1.0-2 4.8.0-1
//mqtt:5.0 3.1.0-2 3.2.0-2 4.13.1-1
func TestSecondConnectEndsTheConnection(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		c := b.Connect(t, v, "c")
		c.Send(brokertest.NewConnect("c"))
		c.ExpectDisconnect(packet.ReasonProtocolError)
	})
}

//mqtt:3.1.1 3.1.2-1 3.1.2-2
//mqtt:5.0 3.1.2-1 3.1.2-2 3.14.0-1
func TestOtherProtocolsAreRefused(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for name, tt := range map[string]struct{ connect, answer string }{
		"another name":        {"10 0d 0004'MQTX' 04 02 0000 0001'c'", ""},
		"another name, level": {"10 0e 0004'MQTX' 05 02 0000 00 0001'c'", ""},
		"a lower level":       {"10 0d 0004'MQTT' 02 02 0000 0001'c'", "20 02 00 01"},
		"a higher level":      {"10 0e 0004'MQTT' 06 02 0000 00 0001'c'", "20 03 00 84 00"},
		"old name, new level": {"10 0f 0006'MQIsdp' 04 02 0000 0001'c'", "20 02 00 01"},
		"new name, old level": {"10 0d 0004'MQTT' 03 02 0000 0001'c'", "20 02 00 01"},
	} {
		t.Run(name, func(t *testing.T) {
			c := b.Dial(t, v5)
			c.SendBytes(unhex(t, tt.connect))
			expectBytes(t, c, tt.answer)
			c.ExpectClosed()
		})
	}
}

// TestConnectOutOfFormEndsTheConnection sends what a client must not send: to a
// client of MQTT 3.1.1 there is no CONNACK, and one of MQTT 5 is told why.
//
//mqtt:3.1.1 3.1.2-3 3.1.2-9 3.1.2-11 3.1.2-13 3.1.2-14 3.1.2-15 3.1.2-18 3.1.2-19 3.1.2-20 3.1.2-21 3.1.2-22
//mqtt:3.1.1 3.1.3-1 3.1.3-3 3.1.4-1 4.8.0-1
//mqtt:5.0 3.1.2-3 3.1.2-9 3.1.2-11 3.1.2-12 3.1.2-13 3.1.2-16 3.1.2-17 3.1.2-18 3.1.2-19
//mqtt:5.0 3.1.3-1 3.1.3-3 3.1.4-1 3.2.2-7 4.13.1-1 4.13.2-1
func TestConnectOutOfFormEndsTheConnection(t *testing.T) {
	bodies := map[string]struct{ flags, payload string }{
		"reserved flag":                 {"03", "0001'c'"},
		"will QoS without a will":       {"0a", "0001'c'"},
		"will retain without a will":    {"22", "0001'c'"},
		"will QoS 3":                    {"1e", "0001'c' WILL 0001'w' 0001'm'"},
		"no will topic":                 {"06", "0001'c'"},
		"no will message":               {"06", "0001'c' WILL 0001'w'"},
		"will fields without their bit": {"02", "0001'c' WILL 0001'w' 0001'm'"},
		"no user name":                  {"82", "0001'c'"},
		"user name without its bit":     {"02", "0001'c' 0001'u'"},
		"no password":                   {"c2", "0001'c' 0001'u'"},
		"password without its bit":      {"82", "0001'c' 0001'u' 0001'p'"},
		"no client identifier":          {"02", ""},
	}
	each(t, withNumbers, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		for name, tt := range bodies {
			t.Run(name, func(t *testing.T) {
				c := b.Dial(t, v)
				c.SendBytes(connectFrame(t, v, tt.flags, tt.payload))
				if v == v5 {
					c.ExpectRefused(packet.ReasonMalformedPacket)
				}
				c.ExpectClosed()
			})
		}
	})
	t.Run("password without user name", func(t *testing.T) { // which MQTT 5 allows
		t.Parallel()
		c := brokertest.Start(t).Dial(t, v311)
		c.SendBytes(connectFrame(t, v311, "42", "0001'c' 0001'p'"))
		c.ExpectClosed()
	})
}

// connectFrame is a CONNECT with these connect flags. WILL in the payload stands
// for the will properties that MQTT 5 has.
func connectFrame(t *testing.T, v packet.Version, flags, payload string) []byte {
	t.Helper()
	none := ""
	if v == v5 {
		none = "00"
	}
	body := unhex(t, "0004'MQTT'")
	body = append(body, byte(v))
	body = append(body, unhex(t, flags+"0000"+none)...)
	body = append(body, unhex(t, strings.ReplaceAll(payload, "WILL", none))...)
	return append([]byte{0x10, byte(len(body))}, body...)
}

//mqtt:3.1.1 3.1.4-4 3.2.0-1 3.2.2-1 7.0.0-2 7.1.1-1
//mqtt:5.0 3.1.4-5 3.2.0-1 3.2.2-1 3.2.2-2 3.1.2-28 4.2.0-1 4.12.0-6
func TestConnackOfTheBarestConnect(t *testing.T) {
	for v, want := range map[packet.Version]string{
		v31:  "20 02 00 00",
		v311: "20 02 00 00",
		// Receive maximum, topic alias maximum, server keep alive and maximum
		// packet size, and nothing that was not asked for.
		v5: "20 11 00 00 0e 13 0e10 21 0400 22 0040 27 00100000",
	} {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			c := brokertest.Start(t).Dial(t, v)
			c.Send(brokertest.NewConnect("c"))
			expectBytes(t, c, want)
			c.ExpectSilence()
		})
	}
}

//mqtt:3.1.1 3.2.0-1
//mqtt:5.0 3.2.0-1 3.2.0-2
func TestConnackComesFirst(t *testing.T) {
	each(t, withNumbers, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		c := b.Connect(t, v, "c", brokertest.Persistent)
		c.Subscribe("t", qos1)
		drop(c)
		b.Connect(t, v, "pub").Publish("t", "kept", qos1)

		c = b.Dial(t, v)
		c.Send(brokertest.NewConnect("c", brokertest.Persistent), &packet.Pingreq{}, subscribe(7, "u"))
		if !brokertest.Expect[*packet.Connack](c).SessionPresent {
			t.Error("the session is gone")
		}
		for range 3 { // what was kept is read while the others are answered
			switch p := c.Next().(type) {
			case *packet.Pingresp, *packet.Suback:
			case *packet.Publish:
				if string(p.Payload) != "kept" {
					t.Errorf("got %q", p.Payload)
				}
			default:
				t.Errorf("got a %T", p)
			}
		}
		c.ExpectSilence()
	})
}

//mqtt:3.1.1 3.1.3-5
//mqtt:5.0 3.1.3-5
func TestClientIdentifierOfLettersAndDigits(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		for _, id := range []string{"0", "0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ"} {
			b.Connect(t, v, id).ExpectSilence()
		}
	})
}

//mqtt:3.1.1 3.1.3-2
//mqtt:5.0 3.1.3-2
func TestClientIdentifierNamesTheSession(t *testing.T) {
	each(t, withNumbers, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		for _, id := range []string{"a", "A"} {
			c := b.Connect(t, v, id, brokertest.Persistent)
			c.Subscribe("to/"+id, qos1)
			c.Disconnect()
		}
		b.Connect(t, v, "pub").Publish("to/A", "m", qos1)
		for id, messages := range map[string]int{"a": 0, "A": 1, "b": 0} {
			c := b.Dial(t, v)
			if present := c.Connect(id, brokertest.Persistent).SessionPresent; present != (id != "b") {
				t.Errorf("session present for %q: %t", id, present)
			}
			for range messages {
				c.Acknowledge(c.ExpectPublish("to/A", "m"))
			}
			c.ExpectSilence()
		}
	})
}

//mqtt:3.1.1 3.1.3-6 3.1.3-7
//mqtt:5.0 3.1.3-6 3.1.3-7 3.2.2-16
func TestEmptyClientIdentifierIsReplaced(t *testing.T) {
	each(t, withNumbers, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		first, second := b.Dial(t, v), b.Dial(t, v)
		one, two := first.Connect(""), second.Connect("")
		for _, c := range []*brokertest.Client{first, second} {
			c.Subscribe("t", qos0)
		}
		first.Publish("t", "m", qos0)
		first.ExpectPublish("t", "m")
		second.ExpectPublish("t", "m") // neither has taken the other's session
		if v == v311 {
			return
		}
		a, b2 := string(one.Properties.AssignedClientID), string(two.Properties.AssignedClientID)
		if a == "" || a == b2 {
			t.Fatalf("assigned %q and %q", a, b2)
		}
		b.Connect(t, v, a)
		first.ExpectDisconnect(packet.ReasonSessionTakenOver)
		second.ExpectSilence()
	})
}

//mqtt:3.1.1 3.1.3-7 3.1.3-8 3.1.3-9 3.2.2-4 3.2.2-5
func TestEmptyClientIdentifierIsRejectedForASessionThatLasts(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t).Dial(t, v311)
	c.SendBytes(connectFrame(t, v311, "00", "0000"))
	expectBytes(t, c, "20 02 00 02")
	c.ExpectClosed()
}

// TestMQTT31DemandsAClientIdentifier: version 3.1 has no empty one.
func TestMQTT31DemandsAClientIdentifier(t *testing.T) {
	t.Parallel()
	c := brokertest.Start(t).Dial(t, v31)
	c.Send(brokertest.NewConnect(""))
	c.ExpectRefused(packet.ReasonClientIdentifierNotValid)
}

// userBroker admits the user dev with the password pencil, whose client
// identifiers begin with dev-.
func userBroker(t *testing.T) *brokertest.Broker {
	t.Helper()
	hash, err := password.Hash([]byte("pencil"))
	if err != nil {
		t.Fatal(err)
	}
	return brokertest.Start(t, func(c *config.Config) {
		c.Access.Users = []config.User{{Username: "dev", PasswordHashes: []string{hash}, ClientIDs: []string{"dev-*"}}}
	})
}

//mqtt:3.1.1 3.1.3-9 3.1.4-5 3.2.2-4 3.2.2-5
//mqtt:5.0 3.1.3-8 3.1.4-2 3.1.4-6 3.2.2-6 3.2.2-7 3.2.2-8 3.14.0-1 4.13.2-1
func TestNothingIsProcessedBehindARejectedConnect(t *testing.T) {
	t.Parallel()
	b := userBroker(t)
	observer := b.Connect(t, v5, "observer")
	observer.Subscribe("#", qos0)
	// A session that the refused clients would find.
	b.Connect(t, v5, "dev-1", brokertest.Persistent, brokertest.Login("dev", "pencil")).Disconnect()
	for _, v := range everyVersion {
		for name, tt := range map[string]struct {
			id     string
			login  func(*packet.Connect)
			reason packet.ReasonCode
		}{
			"wrong password":               {"dev-1", brokertest.Login("dev", "pen"), packet.ReasonBadUserNameOrPassword},
			"client identifier of another": {"ops-1", brokertest.Login("dev", "pencil"), packet.ReasonClientIdentifierNotValid},
		} {
			t.Run(name+" "+v.String(), func(t *testing.T) {
				c := b.Dial(t, v)
				c.Send(brokertest.NewConnect(tt.id, brokertest.Persistent, tt.login, brokertest.Will("will", "no")),
					brokertest.NewPublish("t", "no", brokertest.Retained), subscribe(1, "#"))
				ack := brokertest.Expect[*packet.Connack](c)
				if ack.Reason != tt.reason || ack.SessionPresent {
					t.Errorf("CONNACK %v, session present %t", ack.Reason, ack.SessionPresent)
				}
				c.ExpectClosed()
			})
		}
	}
	observer.ExpectSilence()
}

//mqtt:3.1.1 3.2.2-6 4.7.1-1
//mqtt:5.0 3.1.4-2 3.2.2-8 4.7.0-1
func TestWillTopicWithAWildcardIsRefused(t *testing.T) {
	each(t, withNumbers, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		for _, topic := range []string{"a/#", "a/+/b", ""} {
			c := b.Dial(t, v)
			c.Send(brokertest.NewConnect("c", brokertest.Will(topic, "m")))
			if v == v5 {
				c.ExpectRefused(packet.ReasonTopicNameInvalid)
			}
			c.ExpectClosed()
		}
	})
}

//mqtt:3.1.1 3.1.4-2
//mqtt:5.0 3.1.4-3 3.14.2-1 3.14.4-1 3.14.4-2 4.13.2-1
func TestSecondConnectionOfAClientEndsTheFirst(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		for name, change := range map[string]func(*packet.Connect){
			"clean":   func(*packet.Connect) {},
			"resumed": brokertest.Persistent,
		} {
			t.Run(name, func(t *testing.T) {
				first := b.Connect(t, v, "c", change)
				first.Subscribe("t", qos1)
				second := b.Connect(t, v, "c", change)
				first.ExpectDisconnect(packet.ReasonSessionTakenOver)
				second.ExpectSilence()
				second.Disconnect()
				b.Connect(t, v, "c").Disconnect()
			})
		}
	})
}

//mqtt:3.1.1 3.1.2-6 3.1.4-3 3.2.2-1
//mqtt:5.0 3.1.2-4 3.1.4-4 3.2.2-2
func TestCleanStartDiscardsTheSession(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		c := b.Connect(t, v, "c", brokertest.Persistent)
		c.Subscribe("t", qos2)
		c.Send(message(qos2, 7, "elsewhere", "not released"))
		brokertest.Expect[*packet.Ack](c)
		drop(c)
		pub := b.Connect(t, v, "pub")
		pub.Publish("t", "to the old session", qos1)

		c = b.Dial(t, v)
		if c.Connect("c").SessionPresent {
			t.Error("session present after a clean start")
		}
		pub.Publish("t", "to nobody", qos1)
		c.ExpectSilence()
		c.Subscribe("elsewhere", qos0)
		c.Send(message(qos2, 7, "elsewhere", "new"))
		c.ExpectPublish("elsewhere", "new")
		c.ExpectAck(packet.TypePubrec, 7)
		c.Disconnect()

		c = b.Dial(t, v)
		if c.Connect("c", brokertest.Persistent).SessionPresent {
			t.Error("the state of a clean session is used again")
		}
		pub.Publish("elsewhere", "to nobody", qos1)
		c.ExpectSilence()
	})
}

//mqtt:3.1.1 3.1.2-4 3.1.2-5 3.2.2-2 3.2.2-3 4.1.0-1 4.5.0-1
//mqtt:5.0 3.1.2-5 3.1.2-6 3.1.2-23 3.2.2-3 4.5.0-1
func TestSessionIsResumed(t *testing.T) {
	each(t, withNumbers, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		c := b.Dial(t, v)
		if c.Connect("c", brokertest.Persistent).SessionPresent {
			t.Error("session present at the first connect")
		}
		c.Subscribe("t/+", qos2)
		c.Disconnect()
		pub := b.Connect(t, v, "pub")
		pub.Publish("t/1", "at QoS 1", qos1)
		pub.Publish("t/2", "at QoS 2", qos2)

		c = b.Dial(t, v)
		if !c.Connect("c", brokertest.Persistent).SessionPresent {
			t.Error("no session present")
		}
		c.Acknowledge(expectDelivery(t, c, "t/1", "at QoS 1", qos1))
		c.Acknowledge(expectDelivery(t, c, "t/2", "at QoS 2", qos2))
		pub.Publish("t/3", "live", qos0)
		c.ExpectPublish("t/3", "live")
		c.ExpectSilence()
	})
}

// TestKeepAlive has clients fall silent at different moments, and another one
// that does not.
//
//mqtt:3.1.1 3.1.2-23 3.1.2-24
//mqtt:5.0 3.1.2-20 3.1.2-22 3.2.2-22 3.14.2-1
func TestKeepAlive(t *testing.T) {
	each(t, everyVersion, func(t *testing.T, b *brokertest.Broker, v packet.Version) {
		const silent = 4
		second := func(p *packet.Connect) { p.KeepAlive = 1 }
		lively := b.Connect(t, v, "lively", second)
		wills := willsSeen(b.Connect(t, v, "observer"), silent)
		clients, fellSilent := map[string]*brokertest.Client{}, map[string]time.Time{}
		beat := time.NewTicker(300 * time.Millisecond)
		defer beat.Stop()
		for ended := 0; ended < silent; {
			select {
			case id, ok := <-wills:
				if !ok {
					t.Fatal("the wills do not come")
				}
				ended++
				if silence := time.Since(fellSilent[id]); silence < 1500*time.Millisecond {
					t.Errorf("disconnected after %v of silence, with a keep alive of 1 s", silence)
				}
				clients[id].ExpectDisconnect(packet.ReasonKeepAliveTimeout)
			case <-beat.C:
				lively.ExpectSilence()
				if id := fmt.Sprint(len(clients)); len(clients) < silent {
					clients[id] = b.Connect(t, v, id, second, brokertest.Will("will", id))
					fellSilent[id] = time.Now()
					clients[id].ExpectSilence() // counts like any packet
				}
			}
		}
		lively.ExpectSilence()
	})
}

// willsSeen subscribes to the topic of wills, and sends the payloads of the next
// n to the channel, which it then closes.
func willsSeen(observer *brokertest.Client, n int) <-chan string {
	observer.Subscribe("will", qos0)
	wills := make(chan string, n)
	go func() {
		defer close(wills)
		for range n {
			p, _ := observer.Receive()
			will, ok := p.(*packet.Publish)
			if !ok {
				return
			}
			wills <- string(will.Payload)
		}
	}()
	return wills
}

//mqtt:5.0 3.1.2-21 3.2.2-21
func TestServerKeepAlive(t *testing.T) {
	t.Parallel()
	b := limits(t, func(m *config.MQTT) { m.KeepAliveMax = config.Duration(time.Second) })
	for _, asked := range []uint16{0, 60} {
		c := b.Dial(t, v5)
		ack := c.Connect("c", func(p *packet.Connect) { p.KeepAlive = asked })
		if !ack.Properties.Has(packet.PropServerKeepAlive) || ack.Properties.ServerKeepAlive != 1 {
			t.Errorf("server keep alive %d for a keep alive of %d", ack.Properties.ServerKeepAlive, asked)
		}
		c.ExpectDisconnect(packet.ReasonKeepAliveTimeout)
	}
}

//mqtt:5.0 4.1.0-1 4.1.0-2
//mqtt:3.1.1 4.1.0-2
func TestSessionEndsWhenItHasExpired(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	observer := b.Connect(t, v5, "observer")
	observer.Subscribe("will", qos0)
	standing := b.Connect(t, v5, "standing", expiry(1))
	standing.Subscribe("t", qos0)
	ends := func(p *packet.Will) {
		p.Properties.WillDelay = 1000 // which the end of the session cuts short
		p.Properties.Set(packet.PropWillDelay)
	}
	drop(b.Connect(t, v5, "c", expiry(1), brokertest.Will("will", "session ended", ends)))
	observer.ExpectPublish("will", "session ended")

	c := b.Dial(t, v5)
	if c.Connect("c", brokertest.Persistent).SessionPresent {
		t.Error("the session outlives its expiry")
	}
	c.Publish("t", "to a session that stands", qos0)
	standing.ExpectPublish("t", "to a session that stands")

	b.Connect(t, v5, "at once", expiry(0)).Disconnect()
	if b.Dial(t, v5).Connect("at once", brokertest.Persistent).SessionPresent {
		t.Error("a session without expiry outlives its connection")
	}
}

//mqtt:5.0 4.1.0-2
func TestDisconnectChangesTheSessionExpiry(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	c := b.Connect(t, v5, "c", brokertest.Persistent)
	bye := &packet.Disconnect{}
	bye.Properties.Set(packet.PropSessionExpiry)
	c.Send(bye)
	c.ExpectClosed()
	if b.Dial(t, v5).Connect("c", brokertest.Persistent).SessionPresent {
		t.Error("the session outlives the expiry that DISCONNECT set to 0")
	}

	c = b.Connect(t, v5, "fleeting")
	bye.Properties.SessionExpiry = 10
	c.Send(bye)
	c.ExpectDisconnect(packet.ReasonProtocolError)
}

//mqtt:5.0 3.2.2-9 3.2.2-10 3.2.2-11 3.2.2-12
//mqtt:3.1.1 4.8.0-1
func TestMaximumQoS(t *testing.T) {
	each(t, withNumbers, func(t *testing.T, _ *brokertest.Broker, v packet.Version) {
		for _, most := range []byte{0, 1} {
			b := limits(t, func(m *config.MQTT) { m.MaxQoS = &most })
			c := b.Dial(t, v)
			ack := c.Connect("c")
			if v == v5 && (!ack.Properties.Has(packet.PropMaximumQoS) || ack.Properties.MaximumQoS != most) {
				t.Errorf("maximum QoS %d is not told", most)
			}
			request := subscribe(1, "a", "b", "c")
			request.Subscriptions[1].QoS, request.Subscriptions[2].QoS = qos1, qos0
			c.Send(request)
			got := brokertest.Expect[*packet.Suback](c)
			for i, asked := range []byte{2, 1, 0} {
				if want := packet.ReasonCode(min(asked, most)); got.Reasons[i] != want {
					t.Errorf("QoS %d asked for, %v granted with a maximum of %d", asked, got.Reasons[i], most)
				}
			}
			c.Send(message(packet.QoS(most+1), 7, "t", "m"))
			c.ExpectDisconnect(packet.ReasonQoSNotSupported)

			c = b.Dial(t, v)
			c.Send(brokertest.NewConnect("c", brokertest.Will("w", "m", func(w *packet.Will) { w.QoS = packet.QoS(most + 1) })))
			if v == v5 {
				c.ExpectRefused(packet.ReasonQoSNotSupported)
			}
			c.ExpectClosed()
		}
	})
}

//mqtt:5.0 3.2.2-15 4.13.1-1
//mqtt:3.1.1 4.8.0-1
func TestMaximumPacketSizeOfTheServer(t *testing.T) {
	each(t, withNumbers, func(t *testing.T, _ *brokertest.Broker, v packet.Version) {
		const most = 200
		b := limits(t, func(m *config.MQTT) { m.MaxPacketSize = most })
		c := b.Dial(t, v)
		ack := c.Connect("c")
		if v == v5 && ack.Properties.MaximumPacketSize != most {
			t.Errorf("maximum packet size %d", ack.Properties.MaximumPacketSize)
		}
		c.Subscribe("t", qos0)
		fits := message(qos0, 0, "t", "")
		fits.Payload = make([]byte, most-fits.Size(v)-1) // the length takes one more byte then
		c.Send(fits)
		c.Expect(fits)
		fits.Payload = append(fits.Payload, 0)
		c.Send(fits)
		c.ExpectDisconnect(packet.ReasonPacketTooLarge)
	})
}

// TestRetainedMessagesAreSupported, so that no will is refused for that it is to
// be retained.
//
//mqtt:5.0 3.2.2-13 3.2.2-14
func TestRetainedMessagesAreSupported(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	c := b.Dial(t, v5)
	ack := c.Connect("c", brokertest.Will("will", "m", func(w *packet.Will) { w.Retain = true }))
	if ack.Properties.Has(packet.PropRetainAvailable) && ack.Properties.RetainAvailable == 0 {
		t.Error("retained messages are said to be unavailable")
	}
	c.Send(&packet.Disconnect{Reason: packet.ReasonDisconnectWithWill})
	c.ExpectClosed()
	late := b.Connect(t, v5, "late")
	late.Subscribe("will", qos0)
	late.ExpectPublish("will", "m")
}

// TestResponseInformation: it is told to those who ask for it, and whose names
// can stand in a topic.
//
//mqtt:5.0 3.1.2-24 3.1.2-28
func TestResponseInformation(t *testing.T) {
	t.Parallel()
	type changes []func(*packet.Connect)
	ask := func(p *packet.Connect) {
		p.Properties.RequestResponseInfo = 1
		p.Properties.Set(packet.PropRequestResponseInfo)
	}
	refuse := func(p *packet.Connect) { p.Properties.Set(packet.PropRequestResponseInfo) }
	login := brokertest.Login("dev", "pencil")
	b := userBroker(t)
	for name, tc := range map[string]struct {
		template, clientID string
		changes            changes
		want               string
	}{
		"not asked for":     {"responses/%c", "c", nil, ""},
		"refused":           {"responses/%c", "c", changes{refuse}, ""},
		"none":              {"", "c", changes{ask}, ""},
		"client identifier": {"responses/%c", "c", changes{ask}, "responses/c"},
		"username":          {"%u/responses/%c/", "dev-1", changes{ask, login}, "dev/responses/dev-1/"},
		"no username":       {"%u/responses/%c/", "c", changes{ask}, ""},
		"the same for all":  {"responses", "a/b", changes{ask}, "responses"},
		"more than a level": {"responses/%c", "a/b", changes{ask}, ""},
		"a wildcard":        {"responses/%c", "+", changes{ask}, ""},
		"more than fits":    {"responses/%c", "c", changes{ask, maximumPacketSize(20)}, ""},
		"just fits":         {"responses/%c", "c", changes{ask, maximumPacketSize(40)}, "responses/c"},
	} {
		t.Run(name, func(t *testing.T) {
			b.MustReload(t, func(c *config.Config) { c.Settings.MQTT.ResponseInformation = tc.template })
			ack := b.Dial(t, v5).Connect(tc.clientID, tc.changes...)
			if got := string(ack.Properties.ResponseInfo); got != tc.want || ack.Properties.Has(packet.PropResponseInfo) != (tc.want != "") {
				t.Errorf("response information %q, want %q", got, tc.want)
			}
		})
	}
}
