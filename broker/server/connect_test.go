package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

func TestConnackSaysWhatIsGranted(t *testing.T) {
	t.Parallel()
	one, aliases := byte(1), 9
	b := brokertest.Start(t, mqtt(func(m *config.MQTT) {
		m.MaxQoS, m.TopicAliasMaximum, m.MaxPacketSize = &one, &aliases, 5000
		m.ReceiveMaximum, m.KeepAliveMax = 7, config.Duration(100e9)
	}))
	_, ack := connack(t, b, v5, "c", func(p *packet.Connect) { p.KeepAlive = 200 })
	p := ack.Properties
	if p.MaximumQoS != 1 || p.TopicAliasMaximum != 9 || p.MaximumPacketSize != 5000 || p.ReceiveMaximum != 7 || p.ServerKeepAlive != 100 {
		t.Errorf("granted %+v", p)
	}
	if _, ack = connack(t, b, v5, "c", func(p *packet.Connect) { p.KeepAlive = 50 }); ack.Properties.Has(packet.PropServerKeepAlive) {
		t.Error("the keep alive was replaced without need")
	}
	for _, available := range []packet.PropertyID{packet.PropRetainAvailable, packet.PropWildcardAvailable, packet.PropSubscriptionIDAvailable, packet.PropSharedAvailable} {
		if ack.Properties.Has(available) {
			t.Errorf("property %#x is sent for what is always there", available)
		}
	}
}

func TestClientIdentifiers(t *testing.T) { // [MQTT-3.1.3-5] to [MQTT-3.1.3-8]
	t.Parallel()
	b := brokertest.Start(t)
	unclean := func(p *packet.Connect) { p.CleanStart = false }
	for name, tc := range map[string]struct {
		v       packet.Version
		id      string
		changes []func(*packet.Connect)
		reason  packet.ReasonCode
	}{
		"3.1 needs one":                       {v31, "", nil, packet.ReasonClientIdentifierNotValid},
		"3.1.1 needs one to come back":        {v311, "", []func(*packet.Connect){unclean}, packet.ReasonClientIdentifierNotValid},
		"3.1.1 gets one for a clean session":  {v311, "", nil, 0},
		"5 gets one":                          {v5, "", nil, 0},
		"5 gets one for a session that lasts": {v5, "", []func(*packet.Connect){brokertest.Persistent}, 0},
		"a long one":                          {v311, strings.Repeat("x", 65535), nil, 0},
		"more than letters and digits":        {v5, "ä/+#$ \U0001F600", nil, 0},
		"one with U+0000":                     {v5, "a\x00", nil, packet.ReasonMalformedPacket},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := b.Dial(t, tc.v)
			c.Send(brokertest.NewConnect(tc.id, tc.changes...))
			if tc.reason.IsError() {
				c.ExpectRefused(tc.reason)
				return
			}
			ack := brokertest.Expect[*packet.Connack](c)
			if assigned := ack.Properties.AssignedClientID; (len(assigned) > 0) != (tc.id == "" && tc.v == v5) || ack.Reason.IsError() {
				t.Errorf("%v, assigned %q", ack.Reason, assigned)
			}
		})
	}
}

func TestFirstPacket(t *testing.T) { // [MQTT-3.1.0-1], [MQTT-3.1.2-1], [MQTT-3.1.2-2]
	t.Parallel()
	b := brokertest.Start(t)
	for name, tc := range map[string]struct {
		bytes  string
		v      packet.Version // to read the answer, 0 is none
		reason packet.ReasonCode
	}{
		"not CONNECT":              {"\xc0\x00", 0, 0},
		"not MQTT":                 {"GET / HTTP/1.1\r\n\r\n", 0, 0},
		"another protocol":         {"\x10\x0d\x00\x05HELLO\x04\x02\x00\x00\x00\x01a", 0, 0},
		"a version to come":        {"\x10\x0d\x00\x04MQTT\x06\x02\x00\x00\x00\x01a", v5, packet.ReasonUnsupportedProtocolVersion},
		"a version that never was": {"\x10\x0d\x00\x04MQTT\x02\x02\x00\x00\x00\x01a", v311, packet.ReasonUnsupportedProtocolVersion},
		"a reserved flag":          {"\x10\x0d\x00\x04MQTT\x04\x03\x00\x00\x00\x01a", 0, 0},
		"a body that ends early":   {"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x01", 0, 0},
		"wrong flags":              {"\x11\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a", 0, 0},
		"too large":                {"\x10\xff\xff\xff\x7f", 0, 0},
		"a length without an end":  {"\x10\xff\xff\xff\xff", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := b.Dial(t, tc.v)
			c.SendBytes([]byte(tc.bytes))
			if tc.v == 0 {
				c.ExpectClosed()
				return
			}
			c.ExpectRefused(tc.reason)
		})
	}
}

func TestSecondConnect(t *testing.T) { // [MQTT-3.1.0-2]
	t.Parallel()
	each(t, func(t *testing.T, v packet.Version) {
		c := brokertest.Start(t).Connect(t, v, "c")
		c.Send(brokertest.NewConnect("c"))
		c.ExpectDisconnect(packet.ReasonProtocolError)
	})
}

func TestPacketsBehindConnectAreHandled(t *testing.T) {
	t.Parallel()
	st := slowStore()
	b := brokertest.Open(t, brokertest.Options{Store: st})
	for name, dial := range map[string]func() *brokertest.Client{
		"plain": func() *brokertest.Client { return b.Dial(t, v5) },
		"TLS":   func() *brokertest.Client { return b.DialTLS(t, v5) },
	} {
		t.Run(name, func(t *testing.T) {
			c := dial()
			// Each in a record of its own.
			c.Send(brokertest.NewConnect(name, brokertest.Persistent))
			c.Send(withID(1, 0, name))
			c.Send(brokertest.NewPublish(name, "m", atQoS(qos1, 2)))
			c.Send(&packet.Pingreq{})
			if _, ok := c.Next().(*packet.Connack); !ok { // [MQTT-3.2.0-1]
				t.Fatal("CONNACK is not the first packet")
			}
			got := map[string]bool{}
			for range 4 {
				got[fmt.Sprintf("%T", c.Next())] = true
			}
			if len(got) != 4 {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestWillThatIsNotAllowed(t *testing.T) {
	t.Parallel()
	one := byte(1)
	b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.MaxQoS = &one }))
	for name, tc := range map[string]struct {
		will   func(*packet.Connect)
		reason packet.ReasonCode
	}{
		"a topic with a wildcard": {brokertest.Will("a/#", ""), packet.ReasonTopicNameInvalid},
		"no topic":                {brokertest.Will("", ""), packet.ReasonTopicNameInvalid},
		"QoS above the maximum":   {brokertest.Will("a", "", willQoS(qos2)), packet.ReasonQoSNotSupported}, // [MQTT-3.2.2-12]
		"text that is not UTF-8":  {brokertest.Will("a", "\xff", func(w *packet.Will) { w.Properties.PayloadFormat = 1; w.Properties.Set(packet.PropPayloadFormat) }), packet.ReasonPayloadFormatInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := b.Dial(t, v5)
			c.Send(brokertest.NewConnect("c", tc.will))
			c.ExpectRefused(tc.reason)
		})
	}
}

func TestKeepAlive(t *testing.T) { // [MQTT-3.1.2-22]
	t.Parallel()
	b := brokertest.Start(t)
	for _, v := range []packet.Version{v311, v5} {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			c := b.Connect(t, v, v.String(), func(p *packet.Connect) { p.KeepAlive = 1 })
			c.ExpectDisconnect(packet.ReasonKeepAliveTimeout)
		})
	}
	t.Run("a client that has turned it off", func(t *testing.T) {
		t.Parallel()
		silent := b.Connect(t, v311, "silent")
		b.Connect(t, v311, "other", func(p *packet.Connect) { p.KeepAlive = 1 }).ExpectClosed()
		silent.ExpectSilence()
	})
}

func TestServerKeepAliveIsEnforced(t *testing.T) { // [MQTT-3.2.2-21]
	t.Parallel()
	b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.KeepAliveMax = config.Duration(1e9) }))
	c, ack := connack(t, b, v5, "c")
	if ack.Properties.ServerKeepAlive != 1 {
		t.Fatalf("server keep alive %d", ack.Properties.ServerKeepAlive)
	}
	c.ExpectDisconnect(packet.ReasonKeepAliveTimeout)
}

func TestClientsThatDoNotComeToConnect(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for name, c := range map[string]*brokertest.Client{
		"silent":           b.Dial(t, v5),
		"half a CONNECT":   b.Dial(t, v5),
		"no TLS handshake": b.DialAt(t, brokertest.TLS, v5),
		"half a handshake": b.DialAt(t, brokertest.TLS, v5),
		"TLS and nothing":  b.DialTLS(t, v5),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			switch name {
			case "half a CONNECT":
				c.SendBytes([]byte("\x10\x0d\x00\x04MQ"))
			case "half a handshake":
				c.SendBytes([]byte("\x16\x03\x01\x02\x00\x01"))
			}
			c.ExpectClosed()
		})
	}
}
