package server

import (
	"errors"
	"io"
	"net/netip"

	"github.com/gobwas/ws"

	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/listener"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// What stands between the socket and MQTT, from the outside in: a PROXY
// protocol header, TLS, WebSocket. Each is optional.

// begin starts with the outermost.
func (c *conn) begin() {
	c.limits.maxPacket = limit32(min(c.server.settings().MQTT.MaxPacketSize, maxConnect))
	if p := c.listener; p.settings.Load().ProxyProtocol && listener.Trusted(*p.trusted.Load(), c.remote.Addr()) {
		c.state = stateProxy
		return
	}
	c.secure(nil)
}

// secure goes on with TLS, or with what comes after it. data is what arrived
// already.
func (c *conn) secure(data []byte) {
	if c.listener.settings.Load().Protocol == config.ProtocolWebSocket {
		c.ws = new(listener.WebSocket)
	}
	t := c.listener.tls.Load()
	if t == nil {
		c.state = stateConnect
		if len(data) > 0 {
			c.arrived(data, 0)
		}
		return
	}
	c.state = stateHandshake
	c.tls = newTLSStream(c, t)
	c.tls.feed(data)
	c.tls.begin()
}

// readProxy reads the PROXY protocol header, and learns who the client is.
func (c *conn) readProxy() {
	n, err := readSocket(c.fd, c.loop.read)
	if n == 0 {
		if err == nil || !wouldBlock(err) {
			c.close()
		}
		return
	}
	data := append(c.part, c.loop.read[:n]...)
	client, size, err := listener.ProxyHeader(data)
	switch {
	case err != nil:
		c.loop.worker.Counts[metrics.FailedProxyHeaders]++
		c.tellFault("PROXY protocol header refused", err)
		c.close()
	case size == 0:
		c.part = data
	default:
		c.identify(client)
		c.part = nil
		c.secure(data[size:])
	}
}

// identify replaces the proxy's address by that of the client.
func (c *conn) identify(client netip.AddrPort) {
	if client.IsValid() {
		c.remote = client
	}
	c.server.newcomers.step(c)
}

// arrived takes what was read, without TLS, behind the first have bytes of data.
func (c *conn) arrived(data []byte, have int) {
	if c.ws != nil {
		data = data[:have+c.unwrap(data[have:])]
	}
	if c.state < stateLingering {
		c.received(data)
	}
}

// unwrap takes the bytes of a WebSocket, moves what is MQTT in them to the front,
// and returns how many bytes that is.
func (c *conn) unwrap(data []byte) (n int) {
	if !c.ws.IsOpen() {
		response, after, err := c.ws.Open(data, c.listener.settings.Load().WebSocket)
		c.writeRaw(response)
		if err != nil {
			c.loop.worker.Counts[metrics.FailedUpgrades]++
			c.tellFault("WebSocket upgrade refused", err)
			c.linger()
			return 0
		}
		data = data[:copy(data, after)]
	}
	payload, reply, err := c.ws.Decode(data)
	if err != nil {
		c.end = endOfWebSocket
	}
	if len(reply) > 0 {
		c.writeRaw(reply)
		c.choke()
	}
	return len(payload)
}

// streamEnd says that nothing more comes from a client. What it has sent before is
// handled first, whatever the connection waits for at the moment.
type streamEnd uint8

const (
	goesOn          streamEnd = iota
	endOfConnection           // the client has closed or lost it, or broken TLS
	endOfWebSocket            // a close frame, or a frame that is none
)

// settle ends the connection if the client has ended its stream and nothing that
// came before is left to be handled or answered. Else it sees to it that the
// connection is read as long as there is a reason to, and no longer.
func (c *conn) settle() {
	switch {
	case c.end == goesOn || c.state >= stateLingering:
	case c.handles() && c.waiting == 0, c.waitsForConnect():
		c.finish()
		return
	}
	c.pause(!c.reads())
}

// finish ends the connection of a client that has ended its stream.
func (c *conn) finish() {
	if c.end == endOfConnection {
		c.Flush(c.loop.worker) // answers, or the alert: it may have closed its side alone
		c.close()
		return
	}
	if err := c.ws.Err(); errors.Is(err, io.EOF) {
		c.linger()
	} else {
		c.fail(err)
	}
}

// reads reports whether the connection is to be read.
func (c *conn) reads() bool {
	switch {
	case c.state >= stateLingering:
		return true // to find the end
	case c.end != goesOn:
		return false
	case c.state == stateHandshake:
		return c.tls.hasRoom()
	default:
		return c.held == 0 || c.waitsForConnect()
	}
}

// waitsForConnect reports whether CONNECT is being judged and nothing has come
// behind it. Such a connection is read, so that a client that does not wait is
// noticed.
func (c *conn) waitsForConnect() bool {
	return c.state == stateAuth && c.held == heldConnect && len(c.part) == 0
}

// closeStatus is what a WebSocket is closed with that ends for a reason.
func closeStatus(reason packet.ReasonCode) ws.StatusCode {
	switch reason {
	case packet.ReasonPacketTooLarge:
		return ws.StatusMessageTooBig
	case packet.ReasonMalformedPacket, packet.ReasonProtocolError:
		return ws.StatusProtocolError
	case packet.ReasonServerShuttingDown, packet.ReasonUseAnotherServer:
		return ws.StatusGoingAway
	case packet.ReasonNormalDisconnection:
		return ws.StatusNormalClosure
	default:
		return ws.StatusPolicyViolation
	}
}

// writeRaw writes bytes that are no control packet.
func (c *conn) writeRaw(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended && !c.fin {
		c.out.append(b)
		c.touch(c.loop.worker)
	}
}
