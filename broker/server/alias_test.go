package server_test

import (
	"fmt"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// aliasReader takes up to most topic aliases, and resolves them.
type aliasReader struct {
	*brokertest.Client
	topics map[uint16]string
}

func withAliases(most uint16) func(*packet.Connect) {
	return func(p *packet.Connect) {
		p.Properties.TopicAliasMaximum = most
		p.Properties.Set(packet.PropTopicAliasMaximum)
	}
}

// next returns the topic of the next message, and whether an alias stood for it.
func (r *aliasReader) next(t *testing.T) (topic string, aliased bool) {
	t.Helper()
	p := brokertest.Expect[*packet.Publish](r.Client)
	if !p.Properties.Has(packet.PropTopicAlias) {
		return string(p.Topic), false
	}
	alias := p.Properties.TopicAlias
	if len(p.Topic) > 0 {
		r.topics[alias] = string(p.Topic)
		return string(p.Topic), false
	}
	return r.topics[alias], true
}

func TestTopicsGetAliasesAsFarAsTheClientAllows(t *testing.T) {
	b := brokertest.Start(t)
	pub := b.Connect(t, packet.V5, "pub")
	sub := &aliasReader{b.Connect(t, packet.V5, "sub", withAliases(2)), map[uint16]string{}}
	sub.Subscribe("t/#", packet.QoS1)
	for round := range 3 {
		for i := range 3 {
			topic := fmt.Sprint("t/", i)
			pub.Publish(topic, "x", packet.QoS(i%2))
			got, aliased := sub.next(t)
			if want := round > 0 && i < 2; got != topic || aliased != want {
				t.Fatalf("round %d: topic %q by alias %t, want %q by alias %t", round, got, aliased, topic, want)
			}
		}
	}
	for alias := range sub.topics { // [MQTT-3.1.2-26]
		if alias == 0 || alias > 2 {
			t.Errorf("alias %d is above the client's maximum", alias)
		}
	}
}

func TestAliasesEndWithTheConnection(t *testing.T) {
	b := brokertest.Start(t)
	pub := b.Connect(t, packet.V5, "pub")
	for range 2 {
		sub := &aliasReader{b.Connect(t, packet.V5, "sub", brokertest.Persistent, withAliases(8)), map[uint16]string{}}
		sub.Subscribe("t", packet.QoS0)
		pub.Publish("t", "x", packet.QoS0)
		if got, aliased := sub.next(t); got != "t" || aliased {
			t.Fatalf("first message: topic %q by alias %t", got, aliased)
		}
		sub.Disconnect()
	}
}

func TestAMessageThatIsTooLargeTeachesNoAlias(t *testing.T) {
	b := brokertest.Start(t)
	pub := b.Connect(t, packet.V5, "pub")
	sub := &aliasReader{b.Connect(t, packet.V5, "sub", withAliases(8), func(p *packet.Connect) {
		p.Properties.MaximumPacketSize = 60
		p.Properties.Set(packet.PropMaximumPacketSize)
	}), map[uint16]string{}}
	sub.Subscribe("t", packet.QoS0)
	pub.Publish("t", fmt.Sprintf("%100d", 1), packet.QoS0)
	pub.Publish("t", "small", packet.QoS0)
	if got, aliased := sub.next(t); got != "t" || aliased {
		t.Fatalf("topic %q by alias %t", got, aliased)
	}
}

func TestAliasesAreNotForMQTT3(t *testing.T) {
	b := brokertest.Start(t)
	sub := b.Connect(t, packet.V311, "sub")
	sub.Subscribe("t", packet.QoS0)
	pub := b.Connect(t, packet.V5, "pub")
	for range 2 {
		pub.Publish("t", "x", packet.QoS0)
		sub.ExpectPublish("t", "x")
	}
}
