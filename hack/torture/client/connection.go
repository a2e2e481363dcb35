package client

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// connection is a network connection over which a session was resumed. A
// goroutine reads from it and another one writes, so that a broker that does not
// read can never keep the client from reading.
type connection struct {
	net.Conn
	out     []byte        // what is to be written
	wake    chan struct{} // has a value when there is something in out
	ended   chan struct{} // closed when nothing will be read any more
	answers chan answer   // to requests, of which there is one at a time
}

// answer is a SUBACK, an UNSUBACK or, with the identifier 0, a PINGRESP.
type answer struct {
	id      uint16
	reasons []packet.ReasonCode
}

type packetAppender interface {
	Append(dst []byte, v packet.Version) []byte
}

// rouse has out written.
func (n *connection) rouse() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// write writes what is in the outbound buffer, until the connection ends.
func (c *Client) write(n *connection) {
	var out []byte
	for {
		select {
		case <-n.wake:
		case <-n.ended:
			return
		}
		c.mu.Lock()
		out, n.out = n.out, out[:0]
		c.mu.Unlock()
		if _, err := n.Write(out); err != nil {
			_ = n.Close()
			return
		}
	}
}

// read handles what comes, until the connection ends.
func (c *Client) read(n *connection, in *bufio.Reader) {
	defer close(n.ended)
	defer n.Close() //nolint:errcheck // it is of no use any more
	var body, replies []byte
	for {
		h, b, err := ReadPacket(in, body[:0])
		body = b
		if err == nil {
			replies, err = c.handle(n, h, body, replies)
		}
		if err != nil {
			c.fault(err)
			return
		}
		if in.Buffered() == 0 && len(replies) > 0 {
			c.linger()
			c.send(n, replies)
			replies = replies[:0]
		}
	}
}

// fault tells of an error unless it is that of a connection that has ended.
func (c *Client) fault(err error) {
	var network net.Error
	if c.options.Fault == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network) {
		return
	}
	c.options.Fault(fmt.Errorf("%s: %w", c.options.ID, err))
}

func (c *Client) linger() {
	if c.options.Linger != nil {
		time.Sleep(c.options.Linger())
	}
}

func (c *Client) send(n *connection, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n.out = append(n.out, b...)
	n.rouse()
}

// ReadPacket reads a packet, whose body takes the place of dst if that is large
// enough.
func ReadPacket(in *bufio.Reader, dst []byte) (packet.Header, []byte, error) {
	var head []byte
	for {
		b, err := in.ReadByte()
		if err != nil {
			return packet.Header{}, nil, err
		}
		head = append(head, b)
		h, n, err := packet.ParseHeader(head)
		if err != nil {
			return packet.Header{}, nil, err
		}
		if n == 0 {
			continue
		}
		if cap(dst) < h.Length {
			dst = make([]byte, h.Length)
		}
		dst = dst[:h.Length]
		_, err = io.ReadFull(in, dst)
		return h, dst, err
	}
}

// handle takes one packet, and appends what is to be answered.
func (c *Client) handle(n *connection, h packet.Header, body, replies []byte) ([]byte, error) {
	v := c.options.Version
	switch h.Type {
	case packet.TypePublish:
		var p packet.Publish
		if err := p.Decode(v, h.Flags, body); err != nil {
			return replies, err
		}
		return c.receive(&p, replies), nil
	case packet.TypePuback, packet.TypePubrec, packet.TypePubcomp:
		var a packet.Ack
		if err := a.Decode(v, h.Type, body); err != nil {
			return replies, err
		}
		return c.answered(&a, replies)
	case packet.TypePubrel:
		var a packet.Ack
		if err := a.Decode(v, h.Type, body); err != nil {
			return replies, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.session.Release(a.ID).Append(replies, v), nil
	case packet.TypeSuback:
		var p packet.Suback
		err := p.Decode(v, body)
		n.answer(answer{p.ID, p.Reasons})
		return replies, err
	case packet.TypeUnsuback:
		var p packet.Unsuback
		err := p.Decode(v, body)
		n.answer(answer{p.ID, p.Reasons})
		return replies, err
	case packet.TypePingresp:
		n.answer(answer{})
		return replies, nil
	case packet.TypeDisconnect: // the broker ends, and with it the connection
		return replies, nil
	default:
		return replies, fmt.Errorf("the broker sent %v", h.Type)
	}
}

// answer hands an answer to whoever asked; if nobody waits any more it is dropped.
func (n *connection) answer(a answer) {
	select {
	case n.answers <- a:
	default:
	}
}

func (c *Client) receive(p *packet.Publish, replies []byte) []byte {
	c.mu.Lock()
	fresh, reply := c.session.Receive(p)
	c.mu.Unlock()
	if fresh && c.options.Message != nil {
		c.options.Message(p)
	}
	if reply == nil {
		return replies
	}
	return reply.Append(replies, c.options.Version)
}

func (c *Client) answered(a *packet.Ack, replies []byte) ([]byte, error) {
	c.mu.Lock()
	p, outcome, reply, err := c.session.Acknowledge(a)
	c.mu.Unlock()
	if err != nil {
		return replies, err
	}
	if outcome != Nothing && c.options.Answered != nil {
		c.options.Answered(p, outcome)
	}
	select {
	case c.room <- struct{}{}:
	default:
	}
	if reply == nil {
		return replies, nil
	}
	return reply.Append(replies, c.options.Version), nil
}
