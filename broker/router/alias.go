package router

import "github.com/godwit-mqtt/godwit/broker/packet"

// aliases are the topic aliases that stand for topic names on the way to one
// client, as far as the client allows them [MQTT-3.1.2-26]. The topics that come
// first get them, for as long as the connection stands. They are nil for a client
// that allows none.
type aliases struct {
	most    int // of the client
	byTopic map[string]uint16
}

func newAliases(most int) *aliases {
	if most == 0 {
		return nil
	}
	return &aliases{most: most}
}

// apply puts the alias of p's topic, if it has one, in the place of the topic.
// For a topic that can have a new one, both are sent, and assign is true: confirm
// follows if the packet is really sent.
func (a *aliases) apply(p *packet.Publish) (assign bool) {
	if a == nil {
		return false
	}
	alias, known := a.byTopic[string(p.Topic)]
	switch {
	case known:
		p.Topic = nil
	case len(a.byTopic) < a.most:
		alias = uint16(len(a.byTopic) + 1)
	default:
		return false
	}
	p.Properties.TopicAlias = alias
	p.Properties.Set(packet.PropTopicAlias)
	return !known
}

// confirm notes that the client knows the alias that apply has assigned.
func (a *aliases) confirm(topic []byte) {
	if a.byTopic == nil {
		a.byTopic = map[string]uint16{}
	}
	a.byTopic[string(topic)] = uint16(len(a.byTopic) + 1)
}
