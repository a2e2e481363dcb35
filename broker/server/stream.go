package server

import (
	"errors"
	"io"
	"net/netip"

	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/listener"
)

// What stands between the socket and MQTT, from the outside in: a PROXY
// protocol header, TLS, WebSocket. Each is optional.

// begin starts with the outermost.
func (c *conn) begin() {
	c.limits.maxPacket = limit32(min(c.server.settings().MQTT.MaxPacketSize, readSize)) // of CONNECT
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
		c.server.log.Info("connection refused", "remote", c.remote, "listener", c.listener.name(), "error", err)
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
}

// arrived takes what was read, without TLS, behind the first have bytes of data.
func (c *conn) arrived(data []byte, have int) {
	if c.ws == nil {
		c.received(data)
		return
	}
	payload, ok := c.unwrap(data[have:])
	if ok {
		c.received(data[:have+len(payload)])
	}
}

// unwrap takes the bytes of a WebSocket and moves what is MQTT in them to the
// front. ok is false if there is none yet or the connection has ended.
func (c *conn) unwrap(data []byte) (payload []byte, ok bool) {
	rest := data
	if !c.ws.IsOpen() {
		response, after, err := c.ws.Open(data)
		c.writeRaw(response)
		if err != nil {
			c.server.log.Info("connection refused", "remote", c.remote, "listener", c.listener.name(), "error", err)
			c.linger()
			return nil, false
		}
		rest = data[:copy(data, after)]
	}
	payload, reply, err := c.ws.Decode(rest)
	c.writeRaw(reply)
	if c.choke(); c.state >= stateLingering {
		return nil, false
	}
	switch {
	case errors.Is(err, io.EOF):
		c.linger()
		return nil, false
	case err != nil:
		c.fail(err)
		return nil, false
	}
	return payload, len(payload) > 0
}

// writeRaw writes bytes that are no control packet.
func (c *conn) writeRaw(b []byte) {
	if len(b) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended && !c.fin {
		c.out.append(b)
		c.touch(c.loop.worker)
	}
}
