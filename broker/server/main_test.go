package server_test

import (
	"flag"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/server"
)

// TestMain gives the brokers several event loops, whatever the machine has. Most
// tests wait for the clock, so that many run at a time.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(max(4, runtime.NumCPU()))
	server.HurryGroups()
	server.SetLongestWait(longestWait)
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// longestWait is how long a message waits at most for its user's rate.
const longestWait = time.Second

// Short names for what every test speaks of.
const (
	v31, v311, v5    = packet.V31, packet.V311, packet.V5
	qos0, qos1, qos2 = packet.QoS0, packet.QoS1, packet.QoS2
)

// each runs a test with each version of the protocol.
func each(t *testing.T, test func(t *testing.T, v packet.Version)) {
	t.Helper()
	for _, v := range []packet.Version{v31, v311, v5} {
		t.Run(v.String(), func(t *testing.T) {
			t.Parallel()
			test(t, v)
		})
	}
}

// mqtt changes the limits of a configuration.
func mqtt(change func(*config.MQTT)) func(*config.Config) {
	return func(c *config.Config) { change(&c.Settings.MQTT) }
}

// connack connects a client and returns the answer.
func connack(t *testing.T, b *brokertest.Broker, v packet.Version, id string, changes ...func(*packet.Connect)) (*brokertest.Client, *packet.Connack) {
	t.Helper()
	c := b.Dial(t, v)
	return c, c.Connect(id, changes...)
}

// expiry asks for a session that lasts for seconds after its connection.
func expiry(seconds uint32) func(*packet.Connect) {
	return func(p *packet.Connect) {
		p.CleanStart = false
		p.Properties.SessionExpiry = seconds
		p.Properties.Set(packet.PropSessionExpiry)
	}
}

// receiveMaximum of the client.
func receiveMaximum(n uint16) func(*packet.Connect) {
	return func(p *packet.Connect) {
		p.Properties.ReceiveMaximum = n
		p.Properties.Set(packet.PropReceiveMaximum)
	}
}

// maximumPacketSize of the client.
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

// messageExpiry sets how long a message is worth anything, in seconds.
func messageExpiry(seconds uint32) func(*packet.Publish) {
	return func(p *packet.Publish) {
		p.Properties.MessageExpiry = seconds
		p.Properties.Set(packet.PropMessageExpiry)
	}
}

// atQoS makes a message that the test acknowledges by itself.
func atQoS(q packet.QoS, id uint16) func(*packet.Publish) {
	return func(p *packet.Publish) { p.QoS, p.ID = q, id }
}

func ack(t packet.Type, id uint16) *packet.Ack { return &packet.Ack{Type: t, ID: id} }

func ackReason(t packet.Type, id uint16, reason packet.ReasonCode) *packet.Ack {
	return &packet.Ack{Type: t, ID: id, Reason: reason}
}
