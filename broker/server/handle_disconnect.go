package server

import (
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// handlePingreq answers that the server is there [MQTT-3.12.4-1].
func (c *conn) handlePingreq(body []byte) error {
	var p packet.Pingreq
	if err := p.Decode(c.version, body); err != nil {
		return err
	}
	c.send((*packet.Pingresp)(nil).Append(c.loop.reply[:0], c.version))
	return nil
}

// handleDisconnect ends the connection as the client wishes. The will is deleted
// by a normal end alone, and published after any other reason [MQTT-3.1.2-8],
// [MQTT-3.14.4-3].
func (c *conn) handleDisconnect(body []byte) error {
	var p packet.Disconnect
	if err := p.Decode(c.version, body); err != nil {
		return err
	}
	expiry, err := c.changedExpiry(&p.Properties)
	if err != nil {
		return err
	}
	c.loop.worker.Disconnect(c.subscriber, c, p.Reason == packet.ReasonNormalDisconnection, expiry)
	if c.ws != nil { // which has an exchange of its own to end with
		c.linger()
	} else {
		c.close()
	}
	return nil
}

// changedExpiry returns the session expiry interval that a DISCONNECT sets, nil
// if it sets none.
func (c *conn) changedExpiry(p *packet.Properties) (*time.Duration, error) {
	if !p.Has(packet.PropSessionExpiry) {
		return nil, nil
	}
	if p.SessionExpiry > 0 && !c.subscriber.Lasts() { // section 3.14.2.2.2
		return nil, &packet.Error{
			Type: packet.TypeDisconnect, Reason: packet.ReasonProtocolError,
			Detail: "session expiry is set at the end of a session that has none",
		}
	}
	expiry := sessionExpiry(p.SessionExpiry, time.Duration(c.server.settings().MQTT.SessionExpiryMax))
	return &expiry, nil
}
