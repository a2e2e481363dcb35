//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// A gateway makes one port of a Service answer on a port of localhost that stays the same for the
// whole story, so that clients can verify a certificate for "localhost" and connect again after the
// pod has been replaced. It passes bytes on, one connection for one connection.
type gateway struct {
	port     int
	listener net.Listener
	dial     func() (net.Conn, error)

	connections sync.WaitGroup
}

// openGateway opens a gateway; each connection to it is connected to what dial returns.
func openGateway(t *testing.T, dial func() (net.Conn, error)) *gateway {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{port: listener.Addr().(*net.TCPAddr).Port, listener: listener, dial: dial}
	g.connections.Go(g.serve)
	t.Cleanup(func() {
		listener.Close() //nolint:errcheck // closing is all that is left to do
		g.connections.Wait()
	})
	return g
}

// serve ends when the listener is closed; the connections end with their clients, which the story
// stops first.
func (g *gateway) serve() {
	for {
		client, err := g.listener.Accept()
		if err != nil {
			return
		}
		g.connections.Go(func() { g.relay(client) })
	}
}

func (g *gateway) relay(client net.Conn) {
	defer client.Close() //nolint:errcheck // the client sees the end, whatever it was
	broker, err := g.dial()
	if err != nil {
		return
	}
	defer broker.Close() //nolint:errcheck // as above
	var both sync.WaitGroup
	both.Go(func() { pass(broker, client) })
	both.Go(func() { pass(client, broker) })
	both.Wait()
}

// pass passes on what comes from one side, and then its end.
func pass(to, from net.Conn) {
	io.Copy(to, from)              //nolint:errcheck // an error is an end as well
	to.(*net.TCPConn).CloseWrite() //nolint:errcheck // it may be closed
}

// direct dials an address.
func direct(address string) func() (net.Conn, error) {
	return func() (net.Conn, error) { return net.DialTimeout("tcp", address, 5*time.Second) }
}

// A forward is a kubectl port-forward to a Service or pod, which is started again when it has
// ended, as it does with the pod that it chose.
type forward struct {
	command []string

	mu      sync.Mutex
	process *process
	address string
}

var forwarding = regexp.MustCompile(`^Forwarding from (127\.0\.0\.1:\d+) `)

func openForward(t *testing.T, c *cluster, namespace, resource string, port int) *forward {
	t.Helper()
	f := &forward{command: append(slices.Clone(c.kubectl),
		"port-forward", "--namespace", namespace, resource, ":"+strconv.Itoa(port))}
	t.Cleanup(f.close)
	return f
}

func (f *forward) dial() (net.Conn, error) {
	address, err := f.running()
	if err != nil {
		return nil, err
	}
	return direct(address)()
}

// running is the local address of the port-forward.
func (f *forward) running() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.process != nil && !f.process.hasEnded() {
		return f.address, nil
	}
	p, err := launch(f.command[0], f.command[1:]...)
	if err != nil {
		return "", err
	}
	line, err := p.expect(20*time.Second, "a local port", forwarding.MatchString)
	if err != nil {
		p.stop()
		return "", fmt.Errorf("%s: %w", p.command, err)
	}
	f.process, f.address = p, forwarding.FindStringSubmatch(line)[1]
	return f.address, nil
}

func (f *forward) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.process != nil {
		f.process.stop()
	}
}
