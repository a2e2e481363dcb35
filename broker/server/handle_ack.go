package server

import "github.com/godwit-mqtt/godwit/broker/packet"

// handleAck takes PUBACK, PUBREC and PUBCOMP for messages that were sent to the
// client.
func (c *conn) handleAck(t packet.Type, body []byte) error {
	p := &c.loop.ack
	if err := p.Decode(c.version, t, body); err != nil {
		return err
	}
	known := c.loop.worker.Acknowledge(c.subscriber, c, t, p.ID, p.Reason)
	if t != packet.TypePubrec || p.Reason.IsError() { // [MQTT-4.3.3-4]
		return nil
	}
	reason := packet.ReasonSuccess
	if !known {
		reason = packet.ReasonPacketIdentifierNotFound
	}
	c.acknowledge(packet.TypePubrel, p.ID, reason)
	return nil
}

// handlePubrel completes the receipt of a QoS 2 message [MQTT-4.3.3-11].
func (c *conn) handlePubrel(body []byte) error {
	p := &c.loop.ack
	if err := p.Decode(c.version, packet.TypePubrel, body); err != nil {
		return err
	}
	reason := packet.ReasonSuccess
	if !c.loop.worker.Release(c.subscriber, p.ID) {
		reason = packet.ReasonPacketIdentifierNotFound
	}
	c.acknowledge(packet.TypePubcomp, p.ID, reason)
	return nil
}
