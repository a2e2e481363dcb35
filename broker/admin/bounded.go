package admin

import (
	"container/list"
	"net"
	"sync"
)

// mostConnections bounds the connections to the endpoint: each takes a file
// descriptor of those that are kept for it and the listeners.
const mostConnections = 64

// bounded is a listener with a bound on its open connections. A new one ends the
// oldest: a probe is answered however many others there are.
type bounded struct {
	net.Listener
	most int

	mu   sync.Mutex
	open list.List // of net.Conn, the oldest first
}

func (l *bounded) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open.Len() >= l.most {
		_ = l.open.Remove(l.open.Front()).(net.Conn).Close() // its server sees it end
	}
	return &boundedConn{Conn: c, of: l, at: l.open.PushBack(c)}, nil
}

// boundedConn counts until it is closed.
type boundedConn struct {
	net.Conn
	of *bounded
	at *list.Element
}

func (c *boundedConn) Close() error {
	c.of.mu.Lock()
	c.of.open.Remove(c.at) // or it was the oldest, and is out already
	c.of.mu.Unlock()
	return c.Conn.Close()
}
