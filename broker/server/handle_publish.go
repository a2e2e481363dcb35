package server

import (
	"unicode/utf8"

	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// handlePublish takes an application message.
func (c *conn) handlePublish(flags byte, frame, body []byte) error {
	p := &c.loop.publish
	if err := p.Decode(c.version, flags, body); err != nil {
		return err
	}
	c.loop.worker.Counts[metrics.PublishReceivedQoS0+metrics.Counter(p.QoS)]++
	if err := c.vetPublish(p); err != nil {
		return err
	}
	if c.quota != nil && c.quota.limited.Load() {
		c.charge(len(frame))
	}
	switch p.QoS {
	case packet.QoS0:
		return publishFault(c.loop.worker.Publish(&c.publisher, p, frame))
	case packet.QoS1:
		return c.publishQoS1(p, frame)
	default:
		return c.publishQoS2(p, frame)
	}
}

// vetPublish judges p by itself, and puts the topic in place of an alias.
func (c *conn) vetPublish(p *packet.Publish) error {
	if p.QoS > c.server.maxQoS() { // [MQTT-3.2.2-11]
		return publishError(packet.ReasonQoSNotSupported, "the QoS is above the server's maximum")
	}
	if c.version != packet.V5 || p.Properties.Empty() {
		if len(p.Topic) == 0 {
			return publishError(packet.ReasonTopicNameInvalid, "the topic name is empty")
		}
		return nil
	}
	if p.Properties.Has(packet.PropSubscriptionID) { // [MQTT-3.3.4-6]
		return publishError(packet.ReasonProtocolError, "a client sent a subscription identifier")
	}
	if !payloadValid(&p.Properties, p.Payload) {
		return publishError(packet.ReasonPayloadFormatInvalid, "the payload is not UTF-8 as it claims")
	}
	return c.resolveAlias(p)
}

// payloadValid checks the claim of a payload format indicator.
func payloadValid(p *packet.Properties, payload []byte) bool {
	return !p.Has(packet.PropPayloadFormat) || p.PayloadFormat == 0 || utf8.Valid(payload)
}

// resolveAlias sets or uses a topic alias [MQTT-3.3.2-8], [MQTT-3.3.2-12].
func (c *conn) resolveAlias(p *packet.Publish) error {
	if !p.Properties.Has(packet.PropTopicAlias) {
		if len(p.Topic) == 0 {
			return publishError(packet.ReasonProtocolError, "neither a topic name nor a topic alias")
		}
		return nil
	}
	alias := int(p.Properties.TopicAlias)
	if alias > c.limits.topicAliasMax {
		return publishError(packet.ReasonTopicAliasInvalid, "the topic alias is above the maximum")
	}
	if len(p.Topic) > 0 {
		if c.aliases == nil {
			c.aliases = make([]string, c.limits.topicAliasMax+1)
		}
		if c.aliases[alias] != string(p.Topic) {
			c.aliases[alias] = string(p.Topic)
		}
		return nil
	}
	if alias >= len(c.aliases) || c.aliases[alias] == "" {
		return publishError(packet.ReasonProtocolError, "the topic alias was never set")
	}
	c.loop.topic = append(c.loop.topic[:0], c.aliases[alias]...)
	p.Topic = c.loop.topic
	return nil
}

func publishError(reason packet.ReasonCode, detail string) error {
	return &packet.Error{Type: packet.TypePublish, Reason: reason, Detail: detail}
}

// publishFault turns the reason codes that end the connection into an error. A
// message that was refused otherwise, at QoS 0, is dropped without a word.
func publishFault(reason packet.ReasonCode) error {
	if reason == packet.ReasonTopicNameInvalid {
		return publishError(reason, "the topic name has a wildcard or U+0000 in it")
	}
	return nil
}

func (c *conn) publishQoS1(p *packet.Publish, frame []byte) error {
	id := p.ID
	reason := c.loop.worker.Publish(&c.publisher, p, frame)
	if err := publishFault(reason); err != nil {
		return err
	}
	c.acknowledge(packet.TypePuback, id, reason)
	return nil
}

// publishQoS2 delivers a message when it comes first, and acknowledges each
// repeat until the client has released it [MQTT-4.3.3-8].
func (c *conn) publishQoS2(p *packet.Publish, frame []byte) error {
	id, w := p.ID, c.loop.worker
	if !w.Receive(c.subscriber, id) {
		c.acknowledge(packet.TypePubrec, id, packet.ReasonSuccess)
		return nil
	}
	if c.version == packet.V5 && c.subscriber.Received() > c.server.settings().MQTT.ReceiveMaximum {
		return publishError(packet.ReasonReceiveMaximumExceeded, "more messages in flight than the receive maximum allows")
	}
	reason := w.Publish(&c.publisher, p, frame)
	if err := publishFault(reason); err != nil {
		return err
	}
	if reason.IsError() && c.version == packet.V5 {
		w.Release(c.subscriber, id) // no PUBREL follows a failure
	}
	c.acknowledge(packet.TypePubrec, id, reason)
	return nil
}

// acknowledge answers a PUBLISH when it is safe. MQTT 3 has no way to refuse
// one: it is acknowledged all the same [MQTT-3.3.5-2].
func (c *conn) acknowledge(t packet.Type, id uint16, reason packet.ReasonCode) {
	if !c.loop.worker.Dirty() && c.waiting == 0 {
		c.sendAck(t, id, reason)
		return
	}
	c.afterCommit(func(err error) {
		if err != nil {
			c.unstored(t, id)
			return
		}
		c.sendAck(t, id, reason)
	})
}

// unstored tells a client that its message could not be made durable. MQTT 3
// can only be left without the acknowledgement.
func (c *conn) unstored(t packet.Type, id uint16) {
	if c.version != packet.V5 {
		c.disconnect(packet.ReasonUnspecifiedError, "")
		return
	}
	if t == packet.TypePubrec {
		c.loop.worker.Release(c.subscriber, id)
	}
	c.sendAck(t, id, packet.ReasonQuotaExceeded)
}

func (c *conn) sendAck(t packet.Type, id uint16, reason packet.ReasonCode) {
	if c.version != packet.V5 || reason == packet.ReasonSuccess {
		c.send(packet.AppendAck(c.loop.reply[:0], t, id))
		return
	}
	c.send(packet.AppendAckReason(c.loop.reply[:0], c.version, t, id, reason))
}
