package bench

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"
)

// network moves the bytes of all clients. Its methods, and those of its links,
// are for the loop; it calls clients only from open, poll and flush.
type network interface {
	// open begins to connect a client. The client hears of the outcome later,
	// except for an error that is returned.
	open(c *client) (link, error)
	// poll hands what has arrived to the clients. If there is nothing it waits
	// for it, for so long at most.
	poll(wait time.Duration) error
	// close ends all connections.
	close()
}

// link is the connection of one client.
type link interface {
	// flush takes bytes from the front of c.out. What is left it takes later by
	// itself, and then calls c.drained.
	flush(c *client)
	close()
}

// streams is the network of goroutines: for each connection one that dials and
// reads, and one for each write.
type streams struct {
	dial   func(context.Context) (net.Conn, error)
	ctx    context.Context
	cancel context.CancelFunc
	ended  sync.WaitGroup
	events chan func() // to be called by the loop
	timer  *time.Timer
}

const (
	maxEvents  = 4096
	streamRead = 64 << 10
)

func newStreams(ctx context.Context, t target, c *tls.Config) *streams {
	s := &streams{
		dial:   func(ctx context.Context) (net.Conn, error) { return dialStream(ctx, t, c) },
		events: make(chan func(), maxEvents),
		timer:  time.NewTimer(0),
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

// post lets the loop call f, unless the network is closed.
func (s *streams) post(f func()) {
	select {
	case s.events <- f:
	case <-s.ctx.Done():
	}
}

func (s *streams) open(c *client) (link, error) {
	l := &stream{network: s}
	s.ended.Go(func() { l.run(c) })
	return l, nil
}

func (s *streams) poll(wait time.Duration) error {
	s.timer.Reset(wait)
	select {
	case f := <-s.events:
		f()
	case <-s.timer.C:
		return nil
	}
	for range maxEvents {
		select {
		case f := <-s.events:
			f()
		default:
			return nil
		}
	}
	return nil
}

func (s *streams) close() {
	s.cancel()
	s.ended.Wait()
}

// stream is a link of streams. Its fields belong to the loop.
type stream struct {
	network *streams
	conn    net.Conn
	writing []byte // what a goroutine is writing
	spare   []byte
	stop    func() bool
}

// run dials and reads until the connection ends.
func (l *stream) run(c *client) {
	conn, err := l.network.dial(l.network.ctx)
	if err != nil {
		l.network.post(func() { c.lost(err) })
		return
	}
	stop := context.AfterFunc(l.network.ctx, func() { _ = conn.Close() })
	l.network.post(func() {
		if l.conn, l.stop = conn, stop; c.state == closedDown {
			l.close()
			return
		}
		c.connected()
	})
	for {
		buf := readBuffers.Get().(*[]byte)
		n, err := conn.Read(*buf)
		if n > 0 {
			l.network.post(func() { l.arrived(c, buf, n) })
		}
		if err != nil {
			l.network.post(func() { c.lost(fmt.Errorf("the connection ended: %w", err)) })
			return
		}
	}
}

var readBuffers = sync.Pool{New: func() any { b := make([]byte, streamRead); return &b }}

func (l *stream) arrived(c *client, buf *[]byte, n int) {
	defer readBuffers.Put(buf)
	switch {
	case c.state == closedDown:
	case len(c.part) == 0:
		c.received((*buf)[:n])
	default:
		c.part = append(c.part, (*buf)[:n]...)
		c.received(c.part)
	}
}

// flush writes everything at once, on a goroutine of its own.
func (l *stream) flush(c *client) {
	if l.writing != nil || len(c.out) == 0 {
		return
	}
	data := c.out
	l.writing, l.spare, c.out = data, nil, l.spare[:0]
	l.network.ended.Go(func() {
		_, err := l.conn.Write(data)
		l.network.post(func() { l.written(c, err) })
	})
}

func (l *stream) written(c *client, err error) {
	l.spare, l.writing = l.writing, nil
	switch {
	case c.state == closedDown:
		l.closeNow()
	case err != nil:
		c.lost(err)
	case len(c.out) > 0:
		l.flush(c)
	default:
		c.drained()
	}
}

// close waits for the write that goes on.
func (l *stream) close() {
	if l.writing == nil {
		l.closeNow()
	}
}

func (l *stream) closeNow() {
	if l.conn != nil {
		l.stop()
		_ = l.conn.Close()
	}
}

// dialStream connects, with TLS and WebSocket where the target asks for them.
func dialStream(ctx context.Context, t target, cfg *tls.Config) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	secured, err := secure(ctx, conn, t, cfg)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secured, nil
}

func secure(ctx context.Context, conn net.Conn, t target, cfg *tls.Config) (net.Conn, error) {
	if t.tls {
		if cfg = cfg.Clone(); cfg == nil {
			cfg = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		if cfg.ServerName == "" {
			cfg.ServerName = t.host
		}
		conn = tls.Client(conn, cfg)
	}
	if !t.webSocket {
		if c, ok := conn.(*tls.Conn); ok {
			return c, c.HandshakeContext(ctx)
		}
		return conn, nil
	}
	return openWebSocket(conn, t)
}
