package conformance

import (
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

const (
	v31, v311, v5    = packet.V31, packet.V311, packet.V5
	qos0, qos1, qos2 = packet.QoS0, packet.QoS1, packet.QoS2
)

// each runs a test for some versions, with a broker each.
func each(t *testing.T, versions []packet.Version, test func(t *testing.T, b *brokertest.Broker, v packet.Version)) {
	t.Helper()
	t.Parallel()
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			test(t, brokertest.Start(t), v)
		})
	}
}

var (
	everyVersion = []packet.Version{v31, v311, v5}
	withNumbers  = []packet.Version{v311, v5} // whose statements are numbered
)

// limits starts a broker with limits of the protocol.
func limits(t *testing.T, change func(*config.MQTT)) *brokertest.Broker {
	t.Helper()
	return brokertest.Start(t, func(c *config.Config) { change(&c.Settings.MQTT) })
}

// drop ends a connection without a DISCONNECT.
func drop(c *brokertest.Client) { _ = c.Close() }

// unhex reads bytes written as hexadecimal digits; 'quoted' parts are text.
func unhex(t *testing.T, s string) []byte {
	t.Helper()
	var out []byte
	for i, part := range strings.Split(s, "'") {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(part), ""))
		if err != nil {
			t.Fatalf("%q: %v", part, err)
		}
		out = append(out, b...)
	}
	return out
}

// expectBytes reads the next bytes of the broker. Nothing may have been read
// ahead of them.
func expectBytes(t *testing.T, c *brokertest.Client, want string) {
	t.Helper()
	b := unhex(t, want)
	got := make([]byte, len(b))
	_ = c.SetReadDeadline(time.Now().Add(brokertest.Patience))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != string(b) {
		t.Fatalf("got % x (%v), want % x", got[:n], err, b)
	}
}

// ack is an acknowledgement of success.
func ack(t packet.Type, id uint16) *packet.Ack { return &packet.Ack{Type: t, ID: id} }

// refusal is an acknowledgement of MQTT 5 with a reason.
func refusal(t packet.Type, id uint16, reason packet.ReasonCode) *packet.Ack {
	return &packet.Ack{Type: t, ID: id, Reason: reason}
}

// message is a PUBLISH at a quality of service.
func message(q packet.QoS, id uint16, topic, payload string, changes ...func(*packet.Publish)) *packet.Publish {
	p := brokertest.NewPublish(topic, payload, changes...)
	p.QoS, p.ID = q, id
	return p
}

// subscribe is a SUBSCRIBE to filters at QoS 2.
func subscribe(id uint16, filters ...string) *packet.Subscribe {
	p := &packet.Subscribe{ID: id}
	for _, f := range filters {
		p.Subscriptions = append(p.Subscriptions, packet.Subscription{Filter: []byte(f), QoS: qos2})
	}
	return p
}

// unsubscribe is an UNSUBSCRIBE from filters.
func unsubscribe(id uint16, filters ...string) *packet.Unsubscribe {
	p := &packet.Unsubscribe{ID: id}
	for _, f := range filters {
		p.Filters = append(p.Filters, []byte(f))
	}
	return p
}

// dup marks a PUBLISH as sent again.
func dup(p *packet.Publish) { p.Dup = true }

// expiry sets a session expiry interval in seconds.
func expiry(seconds uint32) func(*packet.Connect) {
	return func(p *packet.Connect) {
		p.CleanStart = false
		p.Properties.SessionExpiry = seconds
		p.Properties.Set(packet.PropSessionExpiry)
	}
}

// receiveMaximum bounds the messages in flight to the client.
func receiveMaximum(n uint16) func(*packet.Connect) {
	return func(p *packet.Connect) {
		p.Properties.ReceiveMaximum = n
		p.Properties.Set(packet.PropReceiveMaximum)
	}
}

// maximumPacketSize bounds the packets to the client.
func maximumPacketSize(n uint32) func(*packet.Connect) {
	return func(p *packet.Connect) {
		p.Properties.MaximumPacketSize = n
		p.Properties.Set(packet.PropMaximumPacketSize)
	}
}

// alias sets a topic alias.
func alias(n uint16) func(*packet.Publish) {
	return func(p *packet.Publish) {
		p.Properties.TopicAlias = n
		p.Properties.Set(packet.PropTopicAlias)
	}
}

// messageExpiry sets a message expiry interval in seconds.
func messageExpiry(seconds uint32) func(*packet.Publish) {
	return func(p *packet.Publish) {
		p.Properties.MessageExpiry = seconds
		p.Properties.Set(packet.PropMessageExpiry)
	}
}

// expectDelivery takes a PUBLISH at a quality of service and returns it.
func expectDelivery(t *testing.T, c *brokertest.Client, topic, payload string, q packet.QoS) *packet.Publish {
	t.Helper()
	p := c.ExpectPublish(topic, payload)
	if p.QoS != q {
		t.Fatalf("%q came at QoS %d, want %d", payload, p.QoS, q)
	}
	return p
}
