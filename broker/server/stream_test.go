package server_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

// conversation is what a client sends, and what it gets.
func conversation() (sent []byte, want []brokertest.Packet) {
	subscribe := withID(1, 0, "t")
	p := brokertest.NewPublish("t", strings.Repeat("m", 200), atQoS(qos1, 2))
	echo := brokertest.NewPublish("t", strings.Repeat("m", 200), atQoS(qos1, 1))
	for _, p := range []brokertest.Packet{brokertest.NewConnect("c"), subscribe, p, ack(packet.TypePuback, 1), &packet.Pingreq{}} {
		sent = p.Append(sent, v311)
	}
	return sent, []brokertest.Packet{
		&packet.Connack{}, &packet.Suback{ID: 1, Reasons: []packet.ReasonCode{1}}, echo, ack(packet.TypePuback, 2), &packet.Pingresp{},
	}
}

func TestPacketsMayBeCutAnywhere(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	sent, want := conversation()
	for _, size := range []int{1, 2, 3, 7, 100, len(sent)} {
		c := b.Dial(t, v311)
		for part := range chunks(sent, size) {
			c.SendBytes(part)
		}
		c.Expect(want...)
		c.Disconnect()
	}
}

func chunks(b []byte, size int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			n := min(size, len(b))
			if !yield(b[:n]) {
				return
			}
			b = b[n:]
		}
	}
}

// dribble is a connection that writes in small pieces.
type dribble struct{ net.Conn }

func (d dribble) Write(b []byte) (n int, err error) {
	for part := range chunks(b, 5) {
		k, err := d.Conn.Write(part)
		if n += k; err != nil {
			return n, err
		}
	}
	return n, nil
}

func TestTLSRecordsMayBeCutAnywhere(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	sent, want := conversation()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		raw := b.DialAt(t, brokertest.TLS, v311).Conn
		conn := tls.Client(dribble{raw}, &tls.Config{ServerName: "localhost", RootCAs: b.CA.Pool(), MinVersion: version, MaxVersion: version})
		c := brokertest.NewClient(t, conn, v311)
		for part := range chunks(sent, 11) {
			c.SendBytes(part)
		}
		c.Expect(want...)
		c.Disconnect()
	}
}

func TestManyRecordsAtOnce(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	c := b.DialTLS(t, v5)
	c.Connect("c")
	c.Subscribe("t", qos0)
	const n = 2000
	go func() {
		var out []byte
		for i := range n {
			out = brokertest.NewPublish("t", fmt.Sprint(i)).Append(out, v5)
		}
		_, _ = c.Write(out)
	}()
	for i := range n {
		c.ExpectPublish("t", fmt.Sprint(i))
	}
}

func TestManyPacketsInOneWrite(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	c := b.Connect(t, v5, "c")
	c.Subscribe("t/#", qos2)
	const n = 5000
	var sent []byte
	for i := range n {
		sent = brokertest.NewPublish(fmt.Sprintf("t/%d", i%7), fmt.Sprint(i)).Append(sent, v5)
	}
	go func() { _, _ = c.Write(sent) }()
	for i := range n {
		c.ExpectPublish(fmt.Sprintf("t/%d", i%7), fmt.Sprint(i))
	}
	c.ExpectSilence()
}

// Whatever one client sends costs that client its connection, and nobody else
// anything.
func TestMalformedPackets(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	bystander := b.Connect(t, v5, "bystander")
	bystander.Subscribe("#", qos1)
	for name, tc := range map[string]struct {
		bytes  string
		reason packet.ReasonCode
	}{
		"a reserved type":                    {"\x00\x00", packet.ReasonMalformedPacket},
		"a packet of the server's":           {"\x20\x03\x00\x00\x00", packet.ReasonProtocolError},
		"PINGRESP":                           {"\xd0\x00", packet.ReasonProtocolError},
		"SUBACK":                             {"\x90\x04\x00\x01\x00\x00", packet.ReasonProtocolError},
		"PUBLISH with QoS 3":                 {"\x36\x06\x00\x01a\x00\x01\x00", packet.ReasonMalformedPacket},
		"PUBLISH of QoS 0 with DUP":          {"\x38\x04\x00\x01a\x00", packet.ReasonMalformedPacket},
		"PUBLISH that ends within its topic": {"\x30\x03\x00\x05a", packet.ReasonMalformedPacket},
		"PUBLISH with an unknown property":   {"\x30\x06\x00\x01a\x02\x7f\x00", packet.ReasonMalformedPacket},
		"SUBSCRIBE with wrong flags":         {"\x80\x07\x00\x01\x00\x00\x01a\x00", packet.ReasonMalformedPacket},
		"SUBSCRIBE without a filter":         {"\x82\x03\x00\x01\x00", packet.ReasonProtocolError},
		"SUBSCRIBE with reserved options":    {"\x82\x07\x00\x01\x00\x00\x01a\xc0", packet.ReasonMalformedPacket},
		"SUBSCRIBE with identifier zero":     {"\x82\x07\x00\x00\x00\x00\x01a\x00", packet.ReasonProtocolError},
		"UNSUBSCRIBE without a filter":       {"\xa2\x03\x00\x01\x00", packet.ReasonProtocolError},
		"UNSUBSCRIBE with an empty filter":   {"\xa2\x05\x00\x01\x00\x00\x00", packet.ReasonMalformedPacket},
		"UNSUBSCRIBE with # before its end":  {"\xa2\x08\x00\x01\x00\x00\x03#/a", packet.ReasonMalformedPacket},
		"UNSUBSCRIBE with # within a level":  {"\xa2\x07\x00\x01\x00\x00\x02a#", packet.ReasonMalformedPacket},
		"UNSUBSCRIBE with + within a level":  {"\xa2\x07\x00\x01\x00\x00\x02a+", packet.ReasonMalformedPacket},
		"UNSUBSCRIBE from a nameless share":  {"\xa2\x0e\x00\x01\x00\x00\x09$share//a", packet.ReasonMalformedPacket},
		"SUBSCRIBE with an empty filter":     {"\x82\x06\x00\x01\x00\x00\x00\x00", packet.ReasonMalformedPacket},
		"SUBSCRIBE with # before its end":    {"\x82\x09\x00\x01\x00\x00\x03#/a\x00", packet.ReasonMalformedPacket},
		"PUBREL with wrong flags":            {"\x60\x02\x00\x01", packet.ReasonMalformedPacket},
		"PINGREQ with a body":                {"\xc0\x01\x00", packet.ReasonMalformedPacket},
		"a length that is too long":          {"\x30\xff\xff\xff\xff", packet.ReasonMalformedPacket},
		"a length that is not the shortest":  {"\xc0\x80\x00", packet.ReasonMalformedPacket},
		"a packet beyond the limit":          {"\x30\xff\xff\xff\x7f", packet.ReasonPacketTooLarge},
		"AUTH without a method":              {"\xf0\x02\x18\x00", packet.ReasonProtocolError},
	} {
		t.Run(name, func(t *testing.T) {
			c := b.Connect(t, v5, "c")
			c.SendBytes([]byte(tc.bytes + "\xc0\x00")) // what follows is not handled
			c.ExpectDisconnect(tc.reason)
			bystander.ExpectSilence()
		})
	}
}

func TestMalformedPacketsOfMQTT3(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for name, sent := range map[string]string{
		"AUTH":                               "\xf0\x00",
		"PUBLISH with QoS 3":                 "\x36\x05\x00\x01a\x00\x01",
		"PUBLISH without a topic":            "\x30\x02\x00\x00",
		"PUBLISH with a wildcard":            "\x30\x03\x00\x01#",
		"SUBSCRIBE with an option of MQTT 5": "\x82\x06\x00\x01\x00\x01a\x04",
		"SUBSCRIBE without a filter":         "\x82\x02\x00\x01",
		"UNSUBSCRIBE with an empty filter":   "\xa2\x04\x00\x01\x00\x00",
		"UNSUBSCRIBE with # within a level":  "\xa2\x06\x00\x01\x00\x02a#",
		"PUBACK with a reason":               "\x40\x03\x00\x01\x00",
		"DISCONNECT with a reason":           "\xe0\x01\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := b.Connect(t, v311, name)
			c.SendBytes([]byte(sent + "\xc0\x00"))
			c.ExpectClosed()
		})
	}
}

// The reason arrives although the client has sent more than the broker read.
func TestDisconnectArrives(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for name, dial := range map[string]func() *brokertest.Client{
		"plain": func() *brokertest.Client { return b.Dial(t, v5) },
		"TLS":   func() *brokertest.Client { return b.DialTLS(t, v5) },
	} {
		t.Run(name, func(t *testing.T) {
			c := dial()
			c.Connect("c")
			c.SendBytes(append([]byte{0, 0}, bytes.Repeat([]byte{0xc0, 0}, 300<<10)...))
			c.ExpectDisconnect(packet.ReasonMalformedPacket)
		})
	}
}

// A client that closes its side, or loses its connection, is gone at once.
func TestLostConnections(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	for name, lose := range map[string]func(c *brokertest.Client){
		"it closes":           func(c *brokertest.Client) { _ = c.Close() },
		"it closes its side":  func(c *brokertest.Client) { _ = c.Conn.(*net.TCPConn).CloseWrite() },
		"it resets":           func(c *brokertest.Client) { _ = c.Conn.(*net.TCPConn).SetLinger(0); _ = c.Close() },
		"it ends in a packet": func(c *brokertest.Client) { c.SendBytes([]byte{0x30, 100, 0}); _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			c := b.Connect(t, v311, "c")
			lose(c)
			brokertest.WaitFor(t, "the end", func() bool { return b.Status().Clients == 0 })
		})
	}
}

// A subscriber that does not read costs the broker a bounded amount of memory,
// and the others nothing.
func TestSlowConsumer(t *testing.T) {
	t.Parallel()
	for name, dial := range map[string]func(*brokertest.Broker) *brokertest.Client{
		"plain": func(b *brokertest.Broker) *brokertest.Client { return b.Dial(t, v5) },
		"TLS":   func(b *brokertest.Broker) *brokertest.Client { return b.DialTLS(t, v5) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const limit, size, n = 1 << 20, 10 << 10, 2000
			b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.MaxQueuedBytes = limit }))
			slow, quick := dial(b), b.Connect(t, v5, "quick")
			slow.Connect("slow")
			slow.Subscribe("0", qos0)
			slow.Subscribe("1", qos1)
			quick.Subscribe("0", qos0)
			payload := strings.Repeat("x", size)
			pub := b.Connect(t, v5, "pub")
			for range n {
				pub.Publish("0", payload, qos0)
				quick.ExpectPublish("0", payload)
			}
			brokertest.WaitFor(t, "messages of QoS 0 to be dropped", func() bool { return b.Metrics.Total(metrics.DroppedSlowConsumer) > 0 })
			for i := range n / 10 {
				pub.Publish("1", fmt.Sprint(i, " ", payload), qos1)
			}
			if b.Metrics.Total(metrics.DroppedQueueFull) == 0 {
				t.Error("no message of QoS 1 is dropped")
			}
			// It goes on as soon as the client reads: those of QoS 0 that were
			// taken, and then the first of QoS 1, in order.
			taken, next := 0, 0
			for next < limit/size/2 {
				p := brokertest.Expect[*packet.Publish](slow)
				if p.QoS == qos0 {
					taken++
					continue
				}
				if !strings.HasPrefix(string(p.Payload), fmt.Sprint(next, " ")) {
					t.Fatalf("got %.10s, want %d", p.Payload, next)
				}
				next++
				slow.Acknowledge(p)
			}
			dropped := int(b.Metrics.Total(metrics.DroppedSlowConsumer))
			if taken+dropped != n {
				t.Errorf("%d taken and %d dropped of %d", taken, dropped, n)
			}
			quick.ExpectSilence()
		})
	}
}

// panicking is a store that cannot stand one client.
type panicking struct{ store.Store }

// Commit implements store.Store.
func (s *panicking) Commit(b *store.Batch, done func(error)) {
	for _, record := range b.Sessions {
		if record.ClientID == "bad" {
			panic("no more of this client")
		}
	}
	s.Store.Commit(b, done)
}

func TestPanicReachesNobodyElse(t *testing.T) {
	t.Parallel()
	b := brokertest.Open(t, brokertest.Options{Store: &panicking{Store: memory.New()}})
	bystander := b.Connect(t, v5, "bystander", brokertest.Persistent)
	for range 20 { // on each loop
		c := b.Dial(t, v5)
		c.Send(brokertest.NewConnect("bad", brokertest.Persistent))
		c.ExpectClosed()
		bystander.Publish("t", "m", qos1)
	}
	if !strings.Contains(b.Log(), "no more of this client") {
		t.Error("the panic is not logged")
	}
}

// failing is a store whose disk is full.
type failing struct {
	store.Store
	mu  sync.Mutex
	err error
}

func (s *failing) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// Commit implements store.Store.
func (s *failing) Commit(b *store.Batch, done func(error)) {
	s.mu.Lock()
	err := s.err
	s.mu.Unlock()
	switch {
	case err == nil:
		s.Store.Commit(b, done)
	case done != nil:
		done(err)
	}
}

func TestNothingIsAcknowledgedThatIsNotStored(t *testing.T) {
	t.Parallel()
	st := &failing{Store: memory.New()}
	b := brokertest.Open(t, brokertest.Options{Store: st})
	b.Connect(t, v5, "sub", brokertest.Persistent).Subscribe("t", qos2)
	five, three := b.Connect(t, v5, "five"), b.Connect(t, v311, "three")
	st.set(io.ErrShortWrite)
	five.Send(brokertest.NewPublish("t", "m", atQoS(qos1, 1)), brokertest.NewPublish("t", "m", atQoS(qos2, 2)))
	five.Expect(ackReason(packet.TypePuback, 1, packet.ReasonQuotaExceeded), ackReason(packet.TypePubrec, 2, packet.ReasonQuotaExceeded))
	three.Send(brokertest.NewPublish("t", "m", atQoS(qos1, 1)))
	three.ExpectClosed()
	c := b.Dial(t, v5)
	c.Send(brokertest.NewConnect("new", brokertest.Persistent))
	c.ExpectRefused(packet.ReasonServerUnavailable)
	st.set(nil)
	five.Publish("t", "m", qos1)
	b.Connect(t, v5, "new", brokertest.Persistent)
}

// An acknowledgement that waits for a commit does not let others pass.
func TestAcknowledgementsKeepTheirOrder(t *testing.T) { // [MQTT-4.6.0-2]
	t.Parallel()
	b := brokertest.Open(t, brokertest.Options{Store: slowStore()})
	sub := b.Connect(t, v5, "sub", brokertest.Persistent)
	sub.Subscribe("durable", qos1)
	pub := b.Connect(t, v5, "pub")
	const n = 100
	var sent []brokertest.Packet
	for i := range n {
		topic := []string{"durable", "nobody"}[i%2]
		sent = append(sent, brokertest.NewPublish(topic, fmt.Sprint(i), atQoS(qos1, uint16(i+1))))
	}
	pub.Send(sent...)
	for i := range n {
		if p := brokertest.Expect[*packet.Ack](pub); p.ID != uint16(i+1) {
			t.Fatalf("PUBACK for %d, want %d", p.ID, i+1)
		}
	}
}

func TestReceiveMaximumCountsQoS1ThatWaitsForACommit(t *testing.T) { // [MQTT-3.3.4-7]
	t.Parallel()
	b := brokertest.Open(t, brokertest.Options{
		Store: &stuck{Store: memory.New()}, Configure: mqtt(func(m *config.MQTT) { m.ReceiveMaximum = 3 }),
	})
	c := b.Connect(t, v5, "c")
	for i := range uint16(4) {
		c.Send(brokertest.NewPublish("r", "m", atQoS(qos1, i+1), brokertest.Retained))
	}
	c.ExpectDisconnect(packet.ReasonReceiveMaximumExceeded)
}

// stuck is a store that does not get beyond the first retained message.
type stuck struct {
	store.Store
	reached atomic.Bool
}

// Commit implements store.Store.
func (s *stuck) Commit(b *store.Batch, done func(error)) {
	if len(b.Retained) > 0 {
		s.reached.Store(true)
	}
	if !s.reached.Load() {
		s.Store.Commit(b, done)
	}
}

func TestClientsThatDoNotWaitForTheirLogin(t *testing.T) {
	t.Parallel()
	const n = 30
	b := brokertest.Start(t, users)
	for range n {
		c := b.Dial(t, v5)
		c.Send(brokertest.NewConnect("c", brokertest.Login("ann", "wrong")))
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	brokertest.WaitFor(t, "the end of all connections", func() bool {
		return b.Metrics.Total(metrics.ConnectionsClosed) == n
	})
}
