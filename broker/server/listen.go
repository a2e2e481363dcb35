package server

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"

	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/listener"
	"github.com/godwit-mqtt/godwit/broker/metrics"
)

// port accepts the connections of one address. Its settings may change while it
// is open; its address does not.
type port struct {
	server *Server
	fd     int // the listening socket
	addr   net.Addr

	settings    atomic.Pointer[config.Listener]
	tls         atomic.Pointer[listener.TLS] // nil on a plain port
	rate        atomic.Pointer[rate.Limiter] // nil is no limit
	trusted     atomic.Pointer[[]netip.Prefix]
	connections atomic.Int64

	mu      sync.Mutex // held while connections are accepted
	closed  bool
	resting bool // not watched: there was no descriptor for a connection
}

// openPort binds an address.
func openPort(s *Server, l *config.Listener) (*port, error) {
	fd, addr, err := listenSocket(s.ctx, net.JoinHostPort(l.Address, strconv.Itoa(l.Port)))
	if err != nil {
		return nil, fmt.Errorf("open listener %q: %w", l.Name, err)
	}
	return &port{server: s, fd: fd, addr: addr}, nil
}

func (p *port) name() string { return p.settings.Load().Name }

// close ends accepting. Connections that are on their way to their loops find the
// port closed.
func (p *port) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	closeSocket(p.fd)
}

func (p *port) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// acceptAgain watches ports again that have rested. It runs on the first loop.
func (s *Server) acceptAgain() {
	for _, p := range *s.byFD.Load() {
		p.mu.Lock()
		if p.resting && !p.closed {
			p.resting = false
			_ = s.loops[0].poller.watch(p.fd, true, false)
		}
		p.mu.Unlock()
	}
}

// configure puts settings in force for connections to come.
func (p *port) configure(l *config.Listener, t *listener.TLS) {
	if old := p.settings.Load(); old == nil || old.ConnectRate != l.ConnectRate {
		p.rate.Store(limiter(l.ConnectRate))
	}
	p.trusted.Store(prefixes(l.TrustedProxies))
	p.settings.Store(l)
	p.tls.Store(t)
}

// prefixes are CIDRs that the configuration's validation has found to be good.
func prefixes(cidrs []string) *[]netip.Prefix {
	var all []netip.Prefix
	for _, cidr := range cidrs {
		if p, err := netip.ParsePrefix(cidr); err == nil {
			all = append(all, p.Masked())
		}
	}
	return &all
}

func limiter(perSecond int) *rate.Limiter {
	if perSecond == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(perSecond), perSecond)
}

// acceptBatch bounds the connections taken in one turn of the loop.
const acceptBatch = 128

// accept takes the connections that wait. It runs on the first loop, and gives
// them to all loops in turn.
func (p *port) accept(l *loop) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range acceptBatch {
		if p.closed {
			return
		}
		fd, remote, err := acceptSocket(p.fd)
		if outOfDescriptors(err) { // the port stays readable: look again in a second
			p.resting = true
			_ = l.poller.watch(p.fd, false, false)
			p.tellRefused(remote, err.Error())
		}
		if err != nil {
			return
		}
		if why := p.refuses(); why != "" {
			l.worker.Counts[metrics.ConnectionsRefused]++
			p.tellRefused(remote, why)
			closeSocket(fd)
			continue
		}
		c := &conn{server: p.server, loop: p.server.nextLoop(), listener: p, fd: fd, remote: remote}
		l.worker.Counts[metrics.ConnectionsAccepted]++
		p.connections.Add(1)
		p.server.open.Add(1)
		p.server.newcomers.enter(c)
		c.start()
	}
}

// refuses returns why one more connection is not taken; empty if it is.
func (p *port) refuses() string {
	s := p.settings.Load()
	if s.MaxConnections > 0 && p.connections.Load() >= int64(s.MaxConnections) {
		return "the listener has all the connections that maxConnections allows"
	}
	if limit := p.rate.Load(); limit != nil && !limit.Allow() {
		return "the listener takes no more connections a second than connectRate"
	}
	if !p.server.hasRoom() {
		return "the broker has all the connections that the limit of open files allows"
	}
	return ""
}

// hasRoom reports whether one more connection leaves the files alone that are
// kept for the store and the admin endpoint. If need be, a newcomer makes room.
func (s *Server) hasRoom() bool {
	open := int(s.open.Load())
	return open < s.files.connections || open < s.files.connections+overshoot && s.newcomers.makeRoom()
}

// gone counts a connection out.
func (p *port) gone() {
	p.connections.Add(-1)
	p.server.open.Add(-1)
}

// start gives c to its loop.
func (c *conn) start() {
	c.loop.post(func() {
		defer c.recoverPanic()
		c.opened = c.loop.wheel.now
		c.loop.wheel.add(c, connectTimeout)
		c.server.table.set(c.fd, c)
		if c.listener.isClosed() {
			c.close()
			return
		}
		c.begin()
		if err := c.loop.poller.add(c.fd); err != nil {
			c.server.log.Error("a connection cannot be watched", "error", err)
			c.close()
		}
	})
}
