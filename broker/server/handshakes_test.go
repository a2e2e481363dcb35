package server_test

import (
	"crypto/tls"
	"net"
	"sync"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/metrics"
)

// TestHandshakesWaitForTheirTurn: few compute at a time, event loops go on
// meanwhile, and clients that leave are passed over.
func TestHandshakesWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	free := b.FreeHandshakes()
	release := b.HoldHandshakes()
	before := b.Connect(t, v5, "before")
	before.Subscribe("t", qos1)
	raw := make([]net.Conn, 40)
	var shaken sync.WaitGroup
	for i := range raw {
		raw[i] = b.DialAt(t, brokertest.TLS, v5).Conn
		shaken.Go(func() {
			c := tls.Client(raw[i], &tls.Config{ServerName: "localhost", RootCAs: b.CA.Pool()})
			if err := c.Handshake(); i >= 20 && err != nil {
				t.Errorf("handshake %d: %v", i, err)
			}
		})
	}
	brokertest.WaitFor(t, "all handshakes wait", func() bool { return b.WaitingHandshakes() == len(raw) })
	b.Connect(t, v5, "publisher").Publish("t", "m", qos1)
	before.ExpectPublish("t", "m")
	for _, c := range raw[:20] {
		_ = c.Close()
	}
	release()
	shaken.Wait()
	brokertest.WaitFor(t, "every place is free again", func() bool { return b.FreeHandshakes() == free })
}

// unanswering is a connection whose peer is never heard.
type unanswering struct {
	net.Conn
	ended chan struct{}
}

func (c unanswering) Read([]byte) (int, error) {
	<-c.ended
	return 0, net.ErrClosed
}

// TestAHandshakeThatStallsTakesNoPlace: it is the client who waits.
func TestAHandshakeThatStallsTakesNoPlace(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	free := b.FreeHandshakes()
	ended := make(chan struct{})
	var stalled sync.WaitGroup
	for range 50 {
		raw := b.DialAt(t, brokertest.TLS, v5).Conn
		stalled.Go(func() { _ = tls.Client(unanswering{raw, ended}, &tls.Config{ServerName: "localhost"}).Handshake() })
	}
	brokertest.WaitFor(t, "all wait for their clients", func() bool {
		const hello = 200 // bytes at least
		return b.Metrics.Total(metrics.BytesReceived) > 50*hello && b.WaitingHandshakes() == 0 && b.FreeHandshakes() == free
	})
	b.DialTLS(t, v5).Connect("quick")
	close(ended)
	stalled.Wait()
}
