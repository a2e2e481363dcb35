package server

import (
	"fmt"

	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// readable reads once and handles the packets that are complete.
func (c *conn) readable() {
	switch {
	case c.state == stateLingering:
		c.discard()
		return
	case c.state == stateProxy:
		c.readProxy()
		return
	case c.tls != nil:
		c.readTLS()
		c.weigh()
		return
	}
	c.rested = 0
	buf, have := c.gather()
	n, err := readSocket(c.fd, buf[have:])
	if n == 0 {
		if err == nil || !wouldBlock(err) {
			c.end = endOfConnection
			c.settle()
		}
		return
	}
	c.loop.worker.Counts[metrics.BytesReceived] += uint64(n)
	c.arrived(buf[:have+n], have)
	c.weigh()
}

// discard reads what a client still sends after its connection was ended.
func (c *conn) discard() {
	n, err := readSocket(c.fd, c.loop.read)
	if n == 0 && (err == nil || !wouldBlock(err)) {
		c.close()
	}
}

// gather returns the buffer to read into, whose first have bytes are the packet
// begun earlier: the loop's buffer, or one of the connection's own where the
// packet is larger, or comes in pieces that are smaller than what would be copied
// for each. That one at most doubles what has arrived, so that a client has to
// send what it makes the server hold, and copying costs no more than receiving.
func (c *conn) gather() (buf []byte, have int) {
	have = len(c.part)
	if int(c.want) <= len(c.loop.read) && have <= max(minGather, int(c.brought)) {
		copy(c.loop.read, c.part)
		return c.loop.read, have
	}
	if have == cap(c.part) {
		grown := make([]byte, have, min(max(2*have, minGather), int(c.want)))
		copy(grown, c.part)
		c.part = grown
	}
	return c.part[:cap(c.part)], have
}

// minGather is how much of a packet is copied for any piece of it, and the smallest
// buffer of a connection's own.
const minGather = 4 << 10

// received handles the packets in data and keeps what is left.
func (c *conn) received(data []byte) {
	c.seen = c.loop.wheel.now
	c.brought = limit32(len(data) - len(c.part))
	n := c.handleAll(data)
	if c.state >= stateLingering {
		return
	}
	c.keep(data[n:])
	c.settle()
}

// keep holds the beginning of a packet until the rest has come.
func (c *conn) keep(rest []byte) {
	switch {
	case len(rest) == 0:
		c.part, c.want = nil, 0
	case cap(c.part) > 0 && &rest[0] == &c.part[:1][0]:
		c.part = rest // it was gathered in place
	default:
		c.part = append([]byte(nil), rest...)
	}
}

// handleAll handles the complete packets in data and returns how many bytes they
// took. It stops where the connection ends or is paused.
func (c *conn) handleAll(data []byte) (n int) {
	for c.handles() {
		frame, body, h, err := c.next(data[n:])
		if err != nil {
			c.fail(err)
			return n
		}
		if frame == nil {
			return n
		}
		err = c.handle(h, frame, body)
		if err == errLater { //nolint:errorlint // it is a sign, and never wrapped
			return n
		}
		n += len(frame)
		c.loop.worker.Counts[metrics.PacketsReceived]++
		if err != nil {
			c.fail(err)
			return n
		}
	}
	return n
}

// handles reports whether packets are handled at the moment.
func (c *conn) handles() bool {
	return c.held == 0 && (c.state == stateOpen || c.state == stateConnect || c.state == stateExchange)
}

// next cuts the first packet out of data; frame is nil if it is not complete.
func (c *conn) next(data []byte) (frame, body []byte, h packet.Header, err error) {
	var n int
	if c.version == packet.V31 {
		h, n, err = packet.ParseHeaderV31(data)
	} else {
		h, n, err = packet.ParseHeader(data)
	}
	if err != nil || n == 0 {
		c.want = 0
		return nil, nil, h, err
	}
	size := n + h.Length
	if size > int(c.limits.maxPacket) {
		return nil, nil, h, c.tooLarge(h, size, data[n:])
	}
	if size > len(data) {
		c.want = int32(size)
		return nil, nil, h, nil
	}
	return data[:size], data[n:size], h, nil
}

// tooLarge counts a packet that is larger than it may be, and says what limits it.
// body is as much of it as has arrived.
func (c *conn) tooLarge(h packet.Header, size int, body []byte) error {
	c.loop.worker.Counts[metrics.PacketsTooLarge]++
	limit, topic := "the size of a CONNECT", ""
	if c.subscriber != nil {
		limit = c.limitingField()
	}
	about := fmt.Sprintf("%d bytes are more than the %d that %s allows", size, c.limits.maxPacket, limit)
	if h.Type == packet.TypePublish && c.subscriber != nil {
		topic = clip(string(packet.TopicOf(body)), longestText)
		who := c.subscriber.Principal().Username
		c.server.metrics.TooLarge(c.loop.worker.Now, who, topic, about)
	}
	if topic != "" {
		about += fmt.Sprintf(", to topic %q", topic)
	}
	return &packet.Error{Type: h.Type, Reason: packet.ReasonPacketTooLarge, Detail: about}
}

// limitingField names what sets the size of the packets that a client may send.
func (c *conn) limitingField() string {
	who := c.subscriber.Principal()
	user, ok := c.server.access.Load().User(who.Username)
	own := ok && !who.Anonymous && user.Limits.MaxPacketSize > 0
	if own && int64(c.limits.maxPacket) < c.server.settings().MQTT.MaxPacketSize {
		return "spec.limits.maxPacketSize of the MQTTUser"
	}
	return "spec.mqtt.maxPacketSize of the Broker"
}

// handle does what a packet asks for. An error ends the connection, unless it is
// errLater.
func (c *conn) handle(h packet.Header, frame, body []byte) error {
	if c.state == stateConnect {
		return c.handleFirst(h, body)
	}
	if c.state == stateExchange {
		return c.handleExchange(h, body)
	}
	switch h.Type {
	case packet.TypePublish:
		return c.handlePublish(h.Flags, frame, body)
	case packet.TypePuback, packet.TypePubrec, packet.TypePubcomp:
		return c.handleAck(h.Type, body)
	case packet.TypePubrel:
		return c.handlePubrel(body)
	case packet.TypeSubscribe:
		return c.handleSubscribe(body)
	case packet.TypeUnsubscribe:
		return c.handleUnsubscribe(body)
	case packet.TypePingreq:
		return c.handlePingreq(body)
	case packet.TypeDisconnect:
		return c.handleDisconnect(body)
	case packet.TypeAuth:
		return c.handleAuth(body)
	case packet.TypeConnect: // [MQTT-3.1.0-2]
		return &packet.Error{Type: h.Type, Reason: packet.ReasonProtocolError, Detail: "a second CONNECT"}
	default:
		return &packet.Error{Type: h.Type, Reason: packet.ReasonProtocolError, Detail: "not a packet that a client may send now"}
	}
}
