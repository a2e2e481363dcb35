package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/hack/torture/client"
)

// link is a connection of an attacker. It does nothing by itself.
type link struct {
	net.Conn
	attacker *attacker
	version  packet.Version
	in       *bufio.Reader
	body     []byte
	lastID   uint16
	forget   func() bool  // that ctx ends it
	acked    atomic.Int64 // PUBACK, PUBREC, SUBACK and UNSUBACK that came
	over     atomic.Bool  // nothing comes any more
}

// adopt makes a link that is closed when ctx ends.
func (a *attacker) adopt(ctx context.Context, conn net.Conn, v packet.Version) *link {
	const buffer = 512 // bytes: there are thousands
	c := &link{Conn: conn, attacker: a, version: v, in: bufio.NewReaderSize(conn, buffer)}
	c.forget = context.AfterFunc(ctx, func() { _ = conn.Close() })
	return c
}

// secure wraps the link in TLS. A handshake that fails is heard.
func (c *link) secure(ctx context.Context) error {
	conn := tls.Client(c.Conn, c.attacker.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		if ctx.Err() == nil {
			c.attacker.hear("handshake failed")
		}
		return err
	}
	c.attacker.hear("handshake done")
	c.Conn = conn
	c.in.Reset(conn)
	return nil
}

// close ends the connection.
func (c *link) close() {
	c.forget()
	_ = c.Close()
}

// shout writes bytes that may be anything. An error is the end of the link.
func (c *link) shout(b []byte) error {
	_, err := c.Write(b)
	return err
}

type appender interface {
	Append(dst []byte, v packet.Version) []byte
}

// send writes packets at once.
func (c *link) send(packets ...appender) bool {
	var b []byte
	for _, p := range packets {
		b = p.Append(b, c.version)
	}
	return c.shout(b) == nil
}

// id is the next packet identifier.
func (c *link) id() uint16 {
	c.lastID = max(c.lastID+1, 1)
	return c.lastID
}

// receive reads a packet, whose body is good until the next. What it says, and
// the end of the connection, are heard.
func (c *link) receive() (packet.Header, []byte, error) {
	h, body, err := client.ReadPacket(c.in, c.body)
	c.body = body
	if err != nil {
		c.over.Store(true)
		c.ended(err)
		return h, nil, err
	}
	if isAck(h.Type) || h.Type == packet.TypeSuback || h.Type == packet.TypeUnsuback {
		c.acked.Add(1)
	}
	for _, reason := range reasonsOf(c.version, h, body) {
		if reason.IsError() || h.Type == packet.TypeConnack {
			c.attacker.hear(fmt.Sprintf("%v 0x%02x", h.Type, byte(reason)))
		}
	}
	return h, body, nil
}

// ended hears of the end of the connection, unless this side has brought it about.
func (c *link) ended(err error) {
	switch {
	case errors.Is(err, net.ErrClosed):
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		c.attacker.hear("reset")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		c.attacker.hear("closed")
	default:
		c.attacker.hear("failed")
	}
}

// drain reads whatever comes until the connection ends.
func (c *link) drain() {
	for {
		if _, _, err := c.receive(); err != nil {
			c.close()
			return
		}
	}
}

// reasonsOf are the reason codes of a packet of the broker that has some.
func reasonsOf(v packet.Version, h packet.Header, body []byte) []packet.ReasonCode {
	var (
		connack    packet.Connack
		disconnect packet.Disconnect
		ack        packet.Ack
		suback     packet.Suback
		unsuback   packet.Unsuback
	)
	switch {
	case h.Type == packet.TypeConnack && connack.Decode(v, body) == nil:
		return []packet.ReasonCode{connack.Reason}
	case h.Type == packet.TypeDisconnect && disconnect.Decode(v, body) == nil:
		return []packet.ReasonCode{disconnect.Reason}
	case isAck(h.Type) && ack.Decode(v, h.Type, body) == nil:
		return []packet.ReasonCode{ack.Reason}
	case h.Type == packet.TypeSuback && suback.Decode(v, body) == nil:
		return suback.Reasons
	case h.Type == packet.TypeUnsuback && unsuback.Decode(v, body) == nil:
		return unsuback.Reasons
	}
	return nil
}

// isAck reports whether a packet answers a PUBLISH.
func isAck(t packet.Type) bool { return t == packet.TypePuback || t == packet.TypePubrec }

// await waits until n acknowledgements have come to a link that is drained, or
// the link has ended.
func (c *link) await(ctx context.Context, n int64) {
	for c.acked.Load() < n && !c.over.Load() && ctx.Err() == nil {
		sleep(ctx, time.Millisecond)
	}
}
