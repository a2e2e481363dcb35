package brokertest

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Client is one network connection to a broker, on which the test sends and
// expects packets. It does nothing by itself: it acknowledges nothing and keeps
// nothing alive. One goroutine may use it.
type Client struct {
	// Conn may be used to send and receive bytes that are not packets.
	net.Conn
	Version packet.Version

	t      testing.TB
	lastID uint16
	in     []byte // received, and not parsed yet
	ended  error  // the connection's end, once it was seen
}

// Packet is one of the packets of package packet, by pointer.
type Packet interface {
	Append(dst []byte, v packet.Version) []byte
}

// Dial opens a connection to the listener Plain and sends nothing.
func (b *Broker) Dial(t testing.TB, v packet.Version) *Client {
	t.Helper()
	return b.DialAt(t, Plain, v)
}

// DialAt opens a connection to a listener that has no TLS, and sends nothing.
func (b *Broker) DialAt(t testing.TB, listener string, v packet.Version) *Client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", b.Addr(listener).String(), Patience)
	if err != nil {
		t.Fatalf("dial %s: %v", listener, err)
	}
	return NewClient(t, conn, v)
}

// DialTLS opens a connection to the listener TLS, over which no MQTT was sent
// yet. The client shows certificates if it is asked.
func (b *Broker) DialTLS(t testing.TB, v packet.Version, certificates ...tls.Certificate) *Client {
	t.Helper()
	raw := b.DialAt(t, TLS, v).Conn
	conn := tls.Client(raw, &tls.Config{ServerName: "localhost", RootCAs: b.CA.Pool(), Certificates: certificates})
	c := NewClient(t, conn, v)
	_ = conn.SetDeadline(time.Now().Add(Patience))
	if err := conn.Handshake(); err != nil {
		t.Fatalf("TLS handshake: %v", err)
	}
	return c
}

// NewClient speaks MQTT over a connection, which is closed at the end of the
// test.
func NewClient(t testing.TB, conn net.Conn, v packet.Version) *Client {
	t.Cleanup(func() { _ = conn.Close() })
	return &Client{Conn: conn, Version: v, t: t}
}

// Connect opens a connection to the listener Plain and has it accepted. The
// session is clean unless a change says otherwise.
func (b *Broker) Connect(t testing.TB, v packet.Version, clientID string, changes ...func(*packet.Connect)) *Client {
	t.Helper()
	c := b.Dial(t, v)
	c.Connect(clientID, changes...)
	return c
}

// NewConnect is the CONNECT of a client with a clean session and no keep alive.
func NewConnect(clientID string, changes ...func(*packet.Connect)) *packet.Connect {
	p := &packet.Connect{ClientID: []byte(clientID), CleanStart: true}
	for _, change := range changes {
		change(p)
	}
	return p
}

// Persistent asks for the session that there is, and has it last for an hour.
func Persistent(p *packet.Connect) {
	p.CleanStart = false
	p.Properties.SessionExpiry = 3600
	p.Properties.Set(packet.PropSessionExpiry)
}

// Login presents a username and a password.
func Login(username, password string) func(*packet.Connect) {
	return func(p *packet.Connect) {
		p.HasUsername, p.Username = true, []byte(username)
		p.HasPassword, p.Password = true, []byte(password)
	}
}

// Will leaves a will message.
func Will(topic, payload string, changes ...func(*packet.Will)) func(*packet.Connect) {
	return func(p *packet.Connect) {
		p.HasWill = true
		p.Will.Topic, p.Will.Payload = []byte(topic), []byte(payload)
		for _, change := range changes {
			change(&p.Will)
		}
	}
}

// Connect sends CONNECT and returns the CONNACK, which has to be a success.
func (c *Client) Connect(clientID string, changes ...func(*packet.Connect)) *packet.Connack {
	c.t.Helper()
	c.Send(NewConnect(clientID, changes...))
	ack := Expect[*packet.Connack](c)
	if ack.Reason.IsError() {
		c.t.Fatalf("CONNECT of %q refused: %v", clientID, ack.Reason)
	}
	return ack
}

// Send sends packets in one write.
func (c *Client) Send(packets ...Packet) {
	c.t.Helper()
	var b []byte
	for _, p := range packets {
		b = p.Append(b, c.Version)
	}
	c.SendBytes(b)
}

// SendBytes sends bytes that may be anything.
func (c *Client) SendBytes(b []byte) {
	c.t.Helper()
	_ = c.SetWriteDeadline(time.Now().Add(Patience))
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// NextID returns a packet identifier that was not used for long.
func (c *Client) NextID() uint16 {
	c.lastID = max(c.lastID+1, 1)
	return c.lastID
}

// Subscribe subscribes to one filter and waits for the SUBACK, which has to
// grant the quality of service. The changes are to the subscription.
func (c *Client) Subscribe(filter string, q packet.QoS, changes ...func(*packet.Subscription)) {
	c.t.Helper()
	s := packet.Subscription{Filter: []byte(filter), QoS: q}
	for _, change := range changes {
		change(&s)
	}
	p := &packet.Subscribe{ID: c.NextID(), Subscriptions: []packet.Subscription{s}}
	c.Send(p)
	c.Expect(&packet.Suback{ID: p.ID, Reasons: []packet.ReasonCode{packet.ReasonCode(q)}})
}

// Unsubscribe takes back a subscription that there is.
func (c *Client) Unsubscribe(filter string) {
	c.t.Helper()
	p := &packet.Unsubscribe{ID: c.NextID(), Filters: [][]byte{[]byte(filter)}}
	c.Send(p)
	c.Expect(&packet.Unsuback{ID: p.ID, Reasons: []packet.ReasonCode{packet.ReasonSuccess}})
}

// NewPublish is a PUBLISH, of which changes say the rest.
func NewPublish(topic, payload string, changes ...func(*packet.Publish)) *packet.Publish {
	p := &packet.Publish{Topic: []byte(topic), Payload: []byte(payload)}
	for _, change := range changes {
		change(p)
	}
	return p
}

// Retained sets the retain flag.
func Retained(p *packet.Publish) { p.Retain = true }

// Publish sends a message and goes through the exchange of its quality of
// service. The broker must have nothing else to say meanwhile.
func (c *Client) Publish(topic, payload string, q packet.QoS, changes ...func(*packet.Publish)) {
	c.t.Helper()
	p := NewPublish(topic, payload, changes...)
	if p.QoS = q; q > packet.QoS0 {
		p.ID = c.NextID()
	}
	c.Send(p)
	switch q {
	case packet.QoS0:
	case packet.QoS1:
		c.expectTaken(packet.TypePuback, p.ID)
	case packet.QoS2:
		c.expectTaken(packet.TypePubrec, p.ID)
		c.Send(&packet.Ack{Type: packet.TypePubrel, ID: p.ID})
		c.ExpectAck(packet.TypePubcomp, p.ID)
	}
}

// Acknowledge ends the exchange of a message that was received.
func (c *Client) Acknowledge(p *packet.Publish) {
	c.t.Helper()
	switch p.QoS {
	case packet.QoS0:
	case packet.QoS1:
		c.Send(&packet.Ack{Type: packet.TypePuback, ID: p.ID})
	case packet.QoS2:
		c.Send(&packet.Ack{Type: packet.TypePubrec, ID: p.ID})
		c.ExpectAck(packet.TypePubrel, p.ID)
		c.Send(&packet.Ack{Type: packet.TypePubcomp, ID: p.ID})
	}
}

// Disconnect says good-bye and waits for the end of the connection.
func (c *Client) Disconnect() {
	c.t.Helper()
	c.Send(&packet.Disconnect{})
	c.ExpectClosed()
}
