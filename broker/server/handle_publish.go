package server

import (
	"unicode/utf8"

	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// handlePublish takes an application message.
func (c *conn) handlePublish(flags byte, frame, body []byte) error {
	p := &c.loop.publish
	if err := p.Decode(c.version, flags, body); err != nil {
		return err
	}
	if err := c.vetPublish(p); err != nil {
		return err
	}
	if c.tooFast() {
		return nil
	}
	refused := c.loop.worker.Refuses(&c.publisher, p)
	if !refused && c.loop.worker.Delays(&c.publisher, p) {
		return c.awaitStore()
	}
	c.loop.worker.Counts[metrics.PublishReceivedQoS0+metrics.Counter(p.QoS)]++
	if refused {
		return c.refusePublish(p)
	}
	err := c.publish(p, frame)
	if err == nil {
		c.rest(c.price(len(frame)))
	}
	return err
}

func (c *conn) publish(p *packet.Publish, frame []byte) error {
	switch p.QoS {
	case packet.QoS0:
		return c.published(p, c.loop.worker.Publish(&c.publisher, p, frame))
	case packet.QoS1:
		return c.publishQoS1(p, frame)
	default:
		return c.publishQoS2(p, frame)
	}
}

// vetPublish judges p by itself, and puts the topic in place of an alias.
func (c *conn) vetPublish(p *packet.Publish) error {
	if p.QoS > c.limits.maxQoS { // [MQTT-3.2.2-11]
		return publishError(packet.ReasonQoSNotSupported, "the QoS is above the server's maximum")
	}
	if p.Properties.Empty() {
		if len(p.Topic) == 0 { // [MQTT-4.7.3-1]
			return publishError(packet.ReasonProtocolError, "the topic name is empty")
		}
		return nil
	}
	if p.Properties.Has(packet.PropSubscriptionID) { // [MQTT-3.3.4-6]
		return publishError(packet.ReasonProtocolError, "a client sent a subscription identifier")
	}
	if !payloadValid(&p.Properties, p.Payload) {
		return publishError(packet.ReasonPayloadFormatInvalid, "the payload is not UTF-8 as it claims")
	}
	if !responseTopicValid(&p.Properties) { // [MQTT-3.3.2-14]
		return publishError(packet.ReasonProtocolError, "the response topic is not a valid topic name")
	}
	return c.resolveAlias(p)
}

func responseTopicValid(p *packet.Properties) bool {
	return !p.Has(packet.PropResponseTopic) || topic.ValidateName(p.ResponseTopic) == nil
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
	if alias > int(c.limits.topicAliasMax) {
		return publishError(packet.ReasonTopicAliasInvalid, "the topic alias is above the maximum")
	}
	if len(p.Topic) > 0 {
		if c.aliases == nil {
			c.aliases = make([]string, int(c.limits.topicAliasMax)+1)
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

// published tells of a message that was refused, and turns the reason codes that end the connection into an error. A
// message that was refused otherwise, at QoS 0, is dropped without a word.
func (c *conn) published(p *packet.Publish, reason packet.ReasonCode) error {
	if reason == packet.ReasonNotAuthorized {
		c.tellDenied("publish", p.Topic)
	}
	if reason == packet.ReasonTopicNameInvalid {
		return publishError(reason, "the topic name has a wildcard or U+0000 in it")
	}
	return nil
}

func (c *conn) publishQoS1(p *packet.Publish, frame []byte) error {
	if err := c.takeQuota(); err != nil {
		return err
	}
	id := p.ID
	reason := c.loop.worker.Publish(&c.publisher, p, frame)
	if err := c.published(p, reason); err != nil {
		return err
	}
	c.acknowledge(packet.TypePuback, id, reason)
	return nil
}

// publishQoS2 delivers a message when it comes first, and acknowledges each
// repeat until the client has released it [MQTT-4.3.3-10].
func (c *conn) publishQoS2(p *packet.Publish, frame []byte) error {
	id, w := p.ID, c.loop.worker
	if !w.Receive(c.subscriber, id) {
		c.acknowledge(packet.TypePubrec, id, packet.ReasonSuccess)
		return nil
	}
	err := c.takeQuota()
	reason := packet.ReasonReceiveMaximumExceeded
	if err == nil {
		reason = w.Publish(&c.publisher, p, frame)
		err = c.published(p, reason)
	}
	if err != nil || reason.IsError() && c.version == packet.V5 {
		w.Release(c.subscriber, id) // it was not taken, and no PUBREL follows
	}
	if err != nil {
		return err
	}
	c.acknowledge(packet.TypePubrec, id, reason)
	return nil
}

// takeQuota counts a message of QoS 1 or 2 against the receive maximum that the
// client was told [MQTT-3.3.4-7]. It counts until its last acknowledgement is
// sent.
func (c *conn) takeQuota() error {
	if c.version == packet.V5 && c.unanswered >= c.limits.receiveMax {
		return publishError(packet.ReasonReceiveMaximumExceeded, "more messages in flight than the receive maximum allows")
	}
	c.unanswered++
	return nil
}

// answered takes back what takeQuota counted, if t and reason end an exchange.
// What the client releases from an earlier connection was not counted.
func (c *conn) answered(t packet.Type, reason packet.ReasonCode) {
	ends := t == packet.TypePuback || t == packet.TypePubrec && reason.IsError() ||
		t == packet.TypePubcomp && !reason.IsError()
	if ends && c.unanswered > 0 {
		c.unanswered--
	}
}

// refusePublish answers a message that would have to be stored while the store
// takes nothing new. One at QoS 0 is dropped without a word.
func (c *conn) refusePublish(p *packet.Publish) error {
	c.loop.worker.Counts[metrics.PublishRefused]++
	if p.QoS == packet.QoS0 {
		return nil
	}
	if err := c.takeQuota(); err != nil {
		return err
	}
	t, id := packet.TypePuback, p.ID
	if p.QoS == packet.QoS2 {
		t = packet.TypePubrec
	}
	c.afterCommit(func(error) { c.unstored(t, id) })
	return nil
}

// acknowledge answers a packet when what it changed is durable. MQTT 3 has no way
// to refuse a PUBLISH: it is acknowledged all the same (3.1.1: [MQTT-3.3.5-2]).
func (c *conn) acknowledge(t packet.Type, id uint16, reason packet.ReasonCode) {
	if reason == packet.ReasonQuotaExceeded {
		c.afterCommit(func(err error) {
			if err != nil {
				c.unstored(t, id)
				return
			}
			c.sendNotRetained(t, id)
		})
		return
	}
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
// can only be left without the acknowledgement, and PUBREL and PUBCOMP have no
// failure that fits.
func (c *conn) unstored(t packet.Type, id uint16) {
	if c.version != packet.V5 || t == packet.TypePubrel || t == packet.TypePubcomp {
		c.disconnect(packet.ReasonQuotaExceeded, "the state of the message cannot be stored")
		return
	}
	if t == packet.TypePubrec {
		c.loop.worker.Release(c.subscriber, id)
	}
	c.sendAck(t, id, packet.ReasonQuotaExceeded)
}

func (c *conn) sendAck(t packet.Type, id uint16, reason packet.ReasonCode) {
	c.answered(t, reason)
	if c.version != packet.V5 || reason == packet.ReasonSuccess {
		c.send(packet.AppendAck(c.loop.reply[:0], t, id))
		return
	}
	c.send(packet.AppendAckReason(c.loop.reply[:0], c.version, t, id, reason))
}

// sendNotRetained acknowledges a message that was delivered, but not retained.
func (c *conn) sendNotRetained(t packet.Type, id uint16) {
	p := packet.Ack{Type: t, ID: id, Reason: packet.ReasonQuotaExceeded}
	p.Properties.ReasonString = []byte("delivered, but not retained: no more may be retained for this user or in all")
	p.Properties.Set(packet.PropReasonString)
	if c.version != packet.V5 || !c.limits.problemInfo || !c.fits(p.Size(c.version)) { // [MQTT-3.4.2-2]
		c.sendAck(t, id, p.Reason)
		return
	}
	c.answered(t, p.Reason)
	c.send(p.Append(c.loop.reply[:0], c.version))
}
