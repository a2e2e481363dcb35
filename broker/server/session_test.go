package server_test

import (
	"fmt"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

// offline closes a client's connection and waits until the broker knows.
func offline(t *testing.T, b *brokertest.Broker, c *brokertest.Client) {
	t.Helper()
	clients := b.Status().Clients
	_ = c.Close()
	brokertest.WaitFor(t, "the end of the connection", func() bool { return b.Status().Clients == clients-1 })
}

func TestSessionPresent(t *testing.T) { // [MQTT-3.2.2-2], [MQTT-3.2.2-3], [MQTT-3.1.2-4], [MQTT-3.1.2-5]
	t.Parallel()
	clean := func(p *packet.Connect) { p.CleanStart = true }
	for name, tc := range map[string]struct {
		v             packet.Version
		first, second func(*packet.Connect)
		present       bool
	}{
		"3.1.1: a session that is not clean":       {v311, brokertest.Persistent, brokertest.Persistent, true},
		"3.1.1: a clean one behind it":             {v311, brokertest.Persistent, clean, false},
		"3.1.1: one that was clean is gone":        {v311, clean, brokertest.Persistent, false},
		"5: a session with an expiry":              {v5, brokertest.Persistent, brokertest.Persistent, true},
		"5: clean start discards it":               {v5, brokertest.Persistent, clean, false},
		"5: without an expiry it is gone":          {v5, expiry(0), brokertest.Persistent, false},
		"5: the next connection need not keep it":  {v5, brokertest.Persistent, expiry(0), true},
		"5: clean start makes one that lasts, too": {v5, func(p *packet.Connect) { brokertest.Persistent(p); p.CleanStart = true }, brokertest.Persistent, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t)
			c, ack := connack(t, b, tc.v, "c", tc.first)
			if ack.SessionPresent {
				t.Fatal("a session is present before the first")
			}
			c.Subscribe("t", qos1)
			offline(t, b, c)
			b.Connect(t, tc.v, "pub").Publish("t", "m", qos1)
			c, ack = connack(t, b, tc.v, "c", tc.second)
			if ack.SessionPresent != tc.present {
				t.Fatalf("session present is %t", ack.SessionPresent)
			}
			if tc.present {
				c.Acknowledge(c.ExpectPublish("t", "m"))
			}
			c.ExpectSilence()
		})
	}
}

func TestOfflineQueue(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, v packet.Version) {
		b := brokertest.Start(t)
		c := b.Connect(t, v, "c", brokertest.Persistent)
		c.Subscribe("t", qos2)
		c.Disconnect()
		pub := b.Connect(t, v5, "pub")
		for i := range 20 {
			pub.Publish("t", fmt.Sprint(i), packet.QoS(i%2+1))
		}
		pub.Publish("t", "nobody waits for QoS 0", qos0)
		pub.ExpectSilence() // it was taken
		c = b.Connect(t, v, "c", brokertest.Persistent)
		next := [3]int{qos1: 0, qos2: 1} // those of one QoS come in order [MQTT-4.6.0-6]
		for range 20 {
			p := brokertest.Expect[*packet.Publish](c)
			if p.Dup || string(p.Payload) != fmt.Sprint(next[p.QoS]) {
				t.Errorf("%s at QoS %d, DUP %t, want %d", p.Payload, p.QoS, p.Dup, next[p.QoS])
			}
			next[p.QoS] += 2
		}
		c.ExpectSilence()
	})
}

func TestUnfinishedExchangesAreTakenUp(t *testing.T) { // [MQTT-4.4.0-1]
	t.Parallel()
	each(t, func(t *testing.T, v packet.Version) {
		b := brokertest.Start(t)
		c := b.Connect(t, v, "c", brokertest.Persistent)
		c.Subscribe("t", qos2)
		pub := b.Connect(t, v, "pub")
		ids := map[string]uint16{}
		for i, q := range []packet.QoS{qos1, qos2, qos2, qos1} {
			name := fmt.Sprint(i)
			pub.Publish("t", name, q)
			ids[name] = c.ExpectPublish("t", name).ID
		}
		c.Send(ack(packet.TypePubrec, ids["1"]))
		c.ExpectAck(packet.TypePubrel, ids["1"])
		offline(t, b, c)
		pub.Publish("t", "later", qos1)

		c = b.Connect(t, v, "c", brokertest.Persistent)
		again := func(name string) {
			t.Helper()
			if p := c.ExpectPublish("t", name); !p.Dup || p.ID != ids[name] {
				t.Errorf("%s: DUP %t and identifier %d, want %d", name, p.Dup, p.ID, ids[name])
			}
		}
		c.ExpectAck(packet.TypePubrel, ids["1"])
		again("0")
		again("2")
		again("3")
		if p := c.ExpectPublish("t", "later"); p.Dup {
			t.Error("a message that was never sent has the DUP flag")
		}
		c.ExpectSilence()
	})
}

func TestResumeKeepsToTheNewReceiveMaximum(t *testing.T) { // [MQTT-3.3.4-9]
	t.Parallel()
	b := brokertest.Start(t)
	c := b.Connect(t, v5, "c", brokertest.Persistent)
	c.Subscribe("t", qos1)
	pub := b.Connect(t, v5, "pub")
	for i := range 4 {
		pub.Publish("t", fmt.Sprint(i), qos1)
		c.ExpectPublish("t", fmt.Sprint(i))
	}
	offline(t, b, c)
	c = b.Connect(t, v5, "c", brokertest.Persistent, receiveMaximum(2))
	first := c.ExpectPublish("t", "0")
	c.ExpectPublish("t", "1")
	c.ExpectSilence()
	c.Acknowledge(first)
	c.ExpectPublish("t", "2")
	c.ExpectSilence()
}

func TestPublisherTakesUpItsExchange(t *testing.T) { // [MQTT-4.3.3-10]
	t.Parallel()
	each(t, func(t *testing.T, v packet.Version) {
		b := brokertest.Start(t)
		sub := b.Connect(t, v, "sub")
		sub.Subscribe("t", qos0)
		pub := b.Connect(t, v, "pub", brokertest.Persistent)
		pub.Send(brokertest.NewPublish("t", "once", atQoS(qos2, 9)))
		pub.ExpectAck(packet.TypePubrec, 9)
		sub.ExpectPublish("t", "once")
		offline(t, b, pub)
		pub = b.Connect(t, v, "pub", brokertest.Persistent)
		again := brokertest.NewPublish("t", "once", atQoS(qos2, 9))
		again.Dup = true
		pub.Send(again, ack(packet.TypePubrel, 9))
		pub.ExpectAck(packet.TypePubrec, 9)
		pub.ExpectAck(packet.TypePubcomp, 9)
		sub.ExpectSilence()
	})
}

func TestSessionExpires(t *testing.T) { // [MQTT-3.1.2-23]
	t.Parallel()
	b := brokertest.Start(t)
	c := b.Connect(t, v5, "c", expiry(1))
	c.Subscribe("t", qos1)
	c.Disconnect()
	brokertest.WaitFor(t, "the end of the session", func() bool {
		_, ack := connack(t, b, v5, "probe")
		return !ack.SessionPresent && b.Sessions() == b.Status().Clients
	})
	if _, ack := connack(t, b, v5, "c", expiry(1)); ack.SessionPresent {
		t.Error("the session is still there")
	}
}

func TestSessionExpiryIsBounded(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.SessionExpiryMax = config.Duration(60e9) }))
	for asked, granted := range map[uint32]uint32{30: 0, 60: 0, 61: 60, 0xffffffff: 60} {
		_, ack := connack(t, b, v5, "c", expiry(asked))
		if p := ack.Properties; p.Has(packet.PropSessionExpiry) != (granted != 0) || p.SessionExpiry != granted {
			t.Errorf("asked for %d, told %d", asked, p.SessionExpiry)
		}
	}
}

func TestDisconnectChangesTheExpiry(t *testing.T) {
	t.Parallel()
	disconnect := func(seconds uint32) *packet.Disconnect {
		var p packet.Disconnect
		p.Properties.SessionExpiry = seconds
		p.Properties.Set(packet.PropSessionExpiry)
		return &p
	}
	b := brokertest.Start(t)
	c := b.Connect(t, v5, "ends", expiry(100))
	c.Send(disconnect(0))
	c.ExpectClosed()
	if _, ack := connack(t, b, v5, "ends", expiry(100)); ack.SessionPresent {
		t.Error("the session outlives its end")
	}
	c = b.Connect(t, v5, "lasts", expiry(1))
	c.Send(disconnect(100))
	c.ExpectClosed()
	if _, ack := connack(t, b, v5, "lasts", expiry(100)); !ack.SessionPresent {
		t.Error("the session is gone")
	}
	c = b.Connect(t, v5, "never", expiry(0))
	c.Send(disconnect(100))
	c.ExpectDisconnect(packet.ReasonProtocolError)
}

func TestTakeover(t *testing.T) { // [MQTT-3.1.4-3]
	t.Parallel()
	each(t, func(t *testing.T, v packet.Version) {
		b := brokertest.Start(t)
		old := b.Connect(t, v, "c", brokertest.Persistent)
		old.Subscribe("t", qos1)
		pub := b.Connect(t, v, "pub")
		pub.Publish("t", "in flight", qos1)
		id := old.ExpectPublish("t", "in flight").ID
		for range 10 {
			next, ack := connack(t, b, v, "c", brokertest.Persistent)
			if v != v31 && !ack.SessionPresent {
				t.Fatal("the session is not present")
			}
			if p := next.ExpectPublish("t", "in flight"); p.ID != id || !p.Dup {
				t.Fatalf("got %+v", p)
			}
			old.ExpectDisconnect(packet.ReasonSessionTakenOver)
			old = next
		}
		old.Send(ack(packet.TypePuback, id))
		pub.Publish("t", "after", qos1)
		old.ExpectPublish("t", "after")
		if n := b.Status().Clients; n != 2 {
			t.Errorf("%d clients, want 2", n)
		}
	})
}

func TestOverflow(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		overflow config.Overflow
		left     []string
	}{
		"the newest are dropped": {config.DropNewest, []string{"0", "1", "2"}},
		"the oldest are dropped": {config.DropOldest, []string{"2", "3", "4"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.MaxQueuedMessages, m.Overflow = 3, tc.overflow }))
			c := b.Connect(t, v5, "c", brokertest.Persistent)
			c.Subscribe("t", qos1)
			c.Disconnect()
			pub := b.Connect(t, v5, "pub")
			for i := range 5 {
				pub.Publish("t", fmt.Sprint(i), qos1)
			}
			c = b.Connect(t, v5, "c", brokertest.Persistent)
			for _, want := range tc.left {
				c.ExpectPublish("t", want)
			}
			c.ExpectSilence()
			brokertest.WaitFor(t, "the counter", func() bool { return b.Metrics.Total(metrics.DroppedQueueFull) == 2 })
		})
	}
}

func TestOverflowDisconnects(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.MaxQueuedMessages, m.Overflow = 2, config.Disconnect }))
	c, _ := connack(t, b, v5, "c", receiveMaximum(1))
	c.Subscribe("t", qos1)
	pub := b.Connect(t, v5, "pub")
	for range 4 {
		pub.Publish("t", "m", qos1)
	}
	c.ExpectPublish("t", "m")
	c.ExpectDisconnect(packet.ReasonQuotaExceeded)
}

func TestMessageExpiry(t *testing.T) { // [MQTT-3.3.2-5], [MQTT-3.3.2-6]
	t.Parallel()
	b := brokertest.Start(t)
	c := b.Connect(t, v5, "c", brokertest.Persistent)
	c.Subscribe("t", qos1)
	online := b.Connect(t, v5, "online")
	online.Subscribe("t", qos1)
	c.Disconnect()
	pub := b.Connect(t, v5, "pub")
	pub.Publish("t", "short", qos1, messageExpiry(1))
	pub.Publish("t", "long", qos1, messageExpiry(1000))
	for _, want := range []uint32{1, 1000} {
		if p := brokertest.Expect[*packet.Publish](online); p.Properties.MessageExpiry != want {
			t.Errorf("delivered at once with an expiry of %d, want %d", p.Properties.MessageExpiry, want)
		}
	}
	// The first tick after the end of a session that lasts two seconds is more
	// than one second away.
	b.Connect(t, v5, "clock", expiry(2)).Disconnect()
	brokertest.WaitFor(t, "time", func() bool { return b.Sessions() == 3 })
	c = b.Connect(t, v5, "c", brokertest.Persistent)
	if left := c.ExpectPublish("t", "long").Properties.MessageExpiry; left >= 999 || left < 900 {
		t.Errorf("%d seconds are left", left)
	}
	c.ExpectSilence()
}

// An engine goes on where an earlier one ended over the same store.
//
//api:semantics 14
func TestRestart(t *testing.T) {
	t.Parallel()
	st := memory.New()
	b := brokertest.Open(t, brokertest.Options{Store: st})
	c := b.Connect(t, v5, "c", brokertest.Persistent)
	c.Subscribe("t/#", qos2)
	short := b.Connect(t, v5, "short", expiry(1))
	short.Subscribe("t/#", qos1)
	gone := b.Connect(t, v5, "gone", expiry(0))
	gone.Subscribe("t/#", qos1)
	b.Connect(t, v5, "kept before", brokertest.Persistent).Disconnect()
	b.Connect(t, v5, "kept before", expiry(0)).Disconnect() // and not any more
	pub := b.Connect(t, v5, "pub", brokertest.Persistent)
	pub.Publish("r", "retained", qos1, brokertest.Retained)
	pub.Publish("gone", "retained", qos1, brokertest.Retained)
	pub.Publish("gone", "", qos1, brokertest.Retained)
	pub.Send(brokertest.NewPublish("elsewhere", "", atQoS(qos2, 77)))
	pub.Expect(ackReason(packet.TypePubrec, 77, packet.ReasonNoMatchingSubscribers))
	c.Disconnect()
	short.Disconnect()
	pub.Publish("t/1", "one", qos1)
	pub.Publish("t/2", "two", qos2, messageExpiry(1000))
	b.Stop()

	b = brokertest.Open(t, brokertest.Options{Store: st})
	if n := b.Sessions(); n > 3 {
		t.Errorf("%d sessions, want at most c, short and pub", n)
	}
	brokertest.WaitFor(t, "the end of the short session", func() bool { return b.Sessions() == 2 })
	pub, ack := connack(t, b, v5, "pub", brokertest.Persistent)
	if !ack.SessionPresent {
		t.Error("the publisher's session is not present")
	}
	again := brokertest.NewPublish("t/3", "not new", atQoS(qos2, 77))
	again.Dup = true
	pub.Send(again)
	pub.ExpectAck(packet.TypePubrec, 77)
	pub.Publish("t/4", "three", qos1)
	c, ack = connack(t, b, v5, "c", brokertest.Persistent)
	if !ack.SessionPresent {
		t.Error("the session is not present")
	}
	got := map[string]*packet.Publish{}
	for range 3 { // of two qualities of service
		p := brokertest.Expect[*packet.Publish](c)
		got[string(p.Topic)+" "+string(p.Payload)] = p
	}
	if got["t/1 one"] == nil || got["t/2 two"] == nil || got["t/4 three"] == nil {
		t.Fatalf("got %v", got)
	}
	if left := got["t/2 two"].Properties.MessageExpiry; left == 0 || left > 1000 {
		t.Errorf("%d seconds are left", left)
	}
	c.ExpectSilence()
	c.Subscribe("+", qos1)
	c.ExpectPublish("r", "retained")
	c.ExpectSilence()
}

// What waits for a session that was loaded is bounded as for any other.
func TestRestartedQueueIsBounded(t *testing.T) {
	t.Parallel()
	st := memory.New()
	limits := mqtt(func(m *config.MQTT) { m.MaxQueuedMessages = 2 })
	b := brokertest.Open(t, brokertest.Options{Store: st, Configure: limits})
	b.Connect(t, v5, "c", brokertest.Persistent).Subscribe("t", qos1)
	b.Stop()
	b = brokertest.Open(t, brokertest.Options{Store: st, Configure: limits})
	pub := b.Connect(t, v5, "pub")
	for i := range 4 {
		pub.Publish("t", fmt.Sprint(i), qos1)
	}
	c := b.Connect(t, v5, "c", brokertest.Persistent)
	c.ExpectPublish("t", "0")
	c.ExpectPublish("t", "1")
	c.ExpectSilence()
}
