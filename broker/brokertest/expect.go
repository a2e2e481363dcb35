package brokertest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Next returns the next packet from the broker, which has to come.
func (c *Client) Next() Packet {
	c.t.Helper()
	p, err := c.next()
	if err != nil {
		c.t.Fatalf("waiting for a packet: %v", err)
	}
	return p
}

// Receive returns the next packet from the broker, or how the connection ended.
// It never fails the test, so that any goroutine may call it.
func (c *Client) Receive() (Packet, error) { return c.next() }

// Expect returns the next packet from the broker, which has to be of a type.
func Expect[P Packet](c *Client) P {
	c.t.Helper()
	got := c.Next()
	p, ok := got.(P)
	if !ok {
		c.t.Fatalf("got %s, want a %T", c.describe(got), p)
	}
	return p
}

// Expect takes the next packets, which have to be these.
func (c *Client) Expect(want ...Packet) {
	c.t.Helper()
	for _, p := range want {
		got := c.Next()
		if !bytes.Equal(got.Append(nil, c.Version), p.Append(nil, c.Version)) {
			c.t.Fatalf("got  %s\nwant %s", c.describe(got), c.describe(p))
		}
	}
}

// ExpectPublish takes the next packet, which has to be a PUBLISH with this topic
// and payload, and returns it.
func (c *Client) ExpectPublish(topic, payload string) *packet.Publish {
	c.t.Helper()
	p := Expect[*packet.Publish](c)
	if string(p.Topic) != topic || string(p.Payload) != payload {
		c.t.Fatalf("got message %s, want %q on %q", c.describe(p), payload, topic)
	}
	return p
}

// ExpectAck takes the next packet, which has to be an acknowledgement of
// success.
func (c *Client) ExpectAck(t packet.Type, id uint16) {
	c.t.Helper()
	c.Expect(&packet.Ack{Type: t, ID: id})
}

// expectTaken takes an acknowledgement that says that the message was taken,
// whether or not somebody has subscribed to it.
func (c *Client) expectTaken(t packet.Type, id uint16) {
	c.t.Helper()
	p := Expect[*packet.Ack](c)
	if p.Type != t || p.ID != id || p.Reason.IsError() {
		c.t.Fatalf("got %s, want %v for %d", c.describe(p), t, id)
	}
}

// ExpectSilence says that the broker has nothing to say but the answer to a
// PINGREQ.
func (c *Client) ExpectSilence() {
	c.t.Helper()
	c.Send(&packet.Pingreq{})
	c.Expect(&packet.Pingresp{})
}

// ExpectClosed waits for the broker to end the connection without another
// packet.
func (c *Client) ExpectClosed() {
	c.t.Helper()
	p, err := c.next()
	var timeout net.Error
	switch {
	case p != nil:
		c.t.Fatalf("got %s, want the end of the connection", c.describe(p))
	case errors.As(err, &timeout) && timeout.Timeout():
		c.t.Fatal("the broker does not end the connection")
	}
}

// ExpectDisconnect waits for the broker to end the connection, which it explains
// to a client that speaks MQTT 5: with the DISCONNECT that is returned, else nil.
func (c *Client) ExpectDisconnect(reason packet.ReasonCode) *packet.Disconnect {
	c.t.Helper()
	var p *packet.Disconnect
	if c.Version == packet.V5 {
		if p = Expect[*packet.Disconnect](c); p.Reason != reason {
			c.t.Fatalf("got DISCONNECT with %#x (%s), want %#x (%v)", byte(p.Reason), p.Properties.ReasonString, byte(reason), reason)
		}
	}
	c.ExpectClosed()
	return p
}

// ExpectRefused waits for a CONNACK with a reason, and for the end of the
// connection.
func (c *Client) ExpectRefused(reason packet.ReasonCode) {
	c.t.Helper()
	ack := Expect[*packet.Connack](c)
	same := ack.Reason == reason
	if c.Version < packet.V5 {
		same = ack.Reason.ConnackV3() == reason.ConnackV3()
	}
	if !same {
		c.t.Fatalf("CONNACK with %v, want %v", ack.Reason, reason)
	}
	c.ExpectClosed()
}

// next reads until a packet is complete.
func (c *Client) next() (Packet, error) {
	for {
		if p, n, err := c.parse(c.in); n > 0 || err != nil {
			c.in = c.in[n:]
			return p, err
		}
		if c.ended != nil {
			return nil, c.ended
		}
		c.read()
	}
}

func (c *Client) read() {
	var buf [16 << 10]byte
	_ = c.SetReadDeadline(time.Now().Add(Patience))
	n, err := c.Read(buf[:])
	c.in = append(c.in, buf[:n]...)
	if err != nil {
		c.ended = err
		if len(c.in) > 0 && errors.Is(err, io.EOF) {
			c.ended = fmt.Errorf("the broker stopped within a packet: %w", err)
		}
	}
}

// parse cuts the first packet out of b. n is its size, 0 if it is not complete.
func (c *Client) parse(b []byte) (p Packet, n int, err error) {
	h, n, err := packet.ParseHeader(b)
	if err != nil || n == 0 || n+h.Length > len(b) {
		return nil, 0, err
	}
	body := bytes.Clone(b[n : n+h.Length])
	p, err = decode(c.Version, h, body)
	return p, n + h.Length, err
}

// decode decodes a packet that a broker sends.
func decode(v packet.Version, h packet.Header, body []byte) (Packet, error) {
	switch h.Type {
	case packet.TypeConnack:
		p := &packet.Connack{}
		return p, p.Decode(v, body)
	case packet.TypePublish:
		p := &packet.Publish{}
		return p, p.Decode(v, h.Flags, body)
	case packet.TypePuback, packet.TypePubrec, packet.TypePubrel, packet.TypePubcomp:
		p := &packet.Ack{}
		return p, p.Decode(v, h.Type, body)
	case packet.TypeSuback:
		p := &packet.Suback{}
		return p, p.Decode(v, body)
	case packet.TypeUnsuback:
		p := &packet.Unsuback{}
		return p, p.Decode(v, body)
	case packet.TypePingresp:
		p := &packet.Pingresp{}
		return p, p.Decode(v, body)
	case packet.TypeDisconnect:
		p := &packet.Disconnect{}
		return p, p.Decode(v, body)
	case packet.TypeAuth:
		p := &packet.Auth{}
		return p, p.Decode(v, body)
	default:
		return nil, fmt.Errorf("the broker sent a %v", h.Type)
	}
}

// describe shows a packet in a message about a failure.
func (c *Client) describe(p Packet) string {
	b := p.Append(nil, c.Version)
	h, _, err := packet.ParseHeader(b)
	if err != nil {
		return fmt.Sprintf("%T % x", p, b)
	}
	if pub, ok := p.(*packet.Publish); ok {
		return fmt.Sprintf("PUBLISH %q %.60q qos %d id %d dup %t retain %t", pub.Topic, pub.Payload, pub.QoS, pub.ID, pub.Dup, pub.Retain)
	}
	const most = 64
	return fmt.Sprintf("%v % x", h.Type, b[:min(len(b), most)])
}
