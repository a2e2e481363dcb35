// Package client is an MQTT client for a broker that is killed: it keeps its half
// of the session from one connection to the next and to the letter, so that a
// message that is lost or comes twice is the broker's doing. What it does not do
// is to connect again by itself.
package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Options of a Client. The functions are called by the goroutine that reads, one
// after the other; nil is not called.
type Options struct {
	Address string // host and port
	ID      string
	Version packet.Version
	// Username and Password are presented unless Username is empty.
	Username, Password string
	// TLS is what the connection is wrapped in; nil is a plain one.
	TLS *tls.Config
	// Expiry is how long the session outlives its connection, in seconds; MQTT 3
	// leaves that to the broker, and 0 is a session that does not.
	Expiry uint32
	// ReceiveMaximum is for MQTT 5; 0 is that of the specification.
	ReceiveMaximum uint16

	// Message is called with what arrives, at QoS 2 once for each message. It may
	// not keep p.
	Message func(p *packet.Publish)
	// Answered is called with what comes of a message that was published.
	Answered func(m *Outgoing, o Outcome)
	// Fault is called with what the broker did against the specification. The
	// connection ends.
	Fault func(error)
	// Linger returns how long acknowledgements are held back that wait to be
	// sent.
	Linger func() time.Duration
}

// Client is one client. One goroutine uses it.
type Client struct {
	options Options

	mu      sync.Mutex // guards session and the outbound buffer of conn
	session Session
	conn    *connection
	room    chan struct{} // has a value when an exchange was completed
}

// ErrEnded is what a request gets whose connection ended before the answer.
var ErrEnded = errors.New("the connection has ended")

// New makes a client that is not connected.
func New(o Options) *Client {
	ended := make(chan struct{})
	close(ended)
	return &Client{options: o, room: make(chan struct{}, 1), conn: &connection{ended: ended}}
}

// connectPatience bounds the wait for a connection and its CONNACK.
const connectPatience = 30 * time.Second

// Connect opens a connection and resumes the session, unless clean asks for a new
// one. present is what the broker says: without a session there, the client
// forgets its half.
func (c *Client) Connect(ctx context.Context, clean bool, will *packet.Will) (present bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, connectPatience)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", c.options.Address)
	if err != nil {
		return false, err
	}
	if c.options.TLS != nil {
		raw = tls.Client(raw, c.options.TLS)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	in := bufio.NewReaderSize(raw, 64<<10)
	ack, err := c.handshake(raw, in, clean, will)
	if err == nil && !stop() {
		err = ctx.Err()
	}
	if err != nil {
		_ = raw.Close()
		return false, fmt.Errorf("connect %s: %w", c.options.ID, err)
	}
	c.resume(raw, in, ack.SessionPresent)
	return ack.SessionPresent, nil
}

func (c *Client) handshake(raw net.Conn, in *bufio.Reader, clean bool, will *packet.Will) (*packet.Connack, error) {
	p := packet.Connect{Version: c.options.Version, ClientID: []byte(c.options.ID), CleanStart: clean}
	if will != nil {
		p.HasWill, p.Will = true, *will
	}
	if c.options.Username != "" {
		p.HasUsername, p.Username = true, []byte(c.options.Username)
		p.HasPassword, p.Password = true, []byte(c.options.Password)
	}
	if c.options.Expiry > 0 {
		p.Properties.SessionExpiry = c.options.Expiry
		p.Properties.Set(packet.PropSessionExpiry)
	}
	if c.options.ReceiveMaximum > 0 {
		p.Properties.ReceiveMaximum = c.options.ReceiveMaximum
		p.Properties.Set(packet.PropReceiveMaximum)
	}
	if _, err := raw.Write(p.Append(nil, c.options.Version)); err != nil {
		return nil, err
	}
	h, body, err := ReadPacket(in, nil)
	if err != nil {
		return nil, err
	}
	var ack packet.Connack
	if h.Type != packet.TypeConnack {
		return nil, fmt.Errorf("the first packet is %v", h.Type)
	}
	if err := ack.Decode(c.options.Version, body); err != nil {
		return nil, err
	}
	if ack.Reason.IsError() {
		return nil, fmt.Errorf("refused: %v", ack.Reason)
	}
	return &ack, nil
}

// resume begins to read and write.
func (c *Client) resume(raw net.Conn, in *bufio.Reader, present bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !present {
		c.session = Session{lastID: c.session.lastID}
	}
	c.conn = &connection{
		Conn: raw, wake: make(chan struct{}, 1), ended: make(chan struct{}),
		answers: make(chan answer, 1), out: c.session.Resume(nil, c.options.Version),
	}
	c.conn.rouse()
	go c.write(c.conn)
	go c.read(c.conn, in)
}

// Ended is closed when there is no connection.
func (c *Client) Ended() <-chan struct{} { return c.conn.ended }

// Connected reports whether there is a connection.
func (c *Client) Connected() bool {
	select {
	case <-c.conn.ended:
		return false
	default:
		return true
	}
}

// InFlight is the number of exchanges of published messages that are not
// complete.
func (c *Client) InFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session.InFlight()
}

// Room waits until fewer than window exchanges are under way. It is false where
// the connection or ctx ended before.
func (c *Client) Room(ctx context.Context, window int) bool {
	for c.InFlight() >= window {
		select {
		case <-c.room:
		case <-c.conn.ended:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return c.Connected()
}

// Publish sends m, which the client keeps until its exchange is complete.
func (c *Client) Publish(m *Outgoing) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.QoS > packet.QoS0 {
		c.session.Send(m)
	}
	c.conn.out = m.Append(c.conn.out, c.options.Version)
	c.conn.rouse()
}

// Subscribe subscribes to filters and waits for the SUBACK, which has to grant
// what is asked for.
func (c *Client) Subscribe(ctx context.Context, q packet.QoS, filters ...string) error {
	p := &packet.Subscribe{ID: c.nextID()}
	for _, f := range filters {
		p.Subscriptions = append(p.Subscriptions, packet.Subscription{Filter: []byte(f), QoS: q})
	}
	granted, err := c.ask(ctx, p.ID, p)
	for _, reason := range granted {
		if reason != packet.ReasonCode(q) {
			return fmt.Errorf("subscribe %q: %v granted for QoS %d", filters, reason, q)
		}
	}
	return err
}

// Unsubscribe takes a subscription back and waits for the UNSUBACK. existed is
// what the broker says of it, and always true with MQTT 3, which does not.
func (c *Client) Unsubscribe(ctx context.Context, filter string) (existed bool, err error) {
	p := &packet.Unsubscribe{ID: c.nextID(), Filters: [][]byte{[]byte(filter)}}
	reasons, err := c.ask(ctx, p.ID, p)
	return !slices.Contains(reasons, packet.ReasonNoSubscriptionExisted), err
}

// Ping waits for the answer to a PINGREQ.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.ask(ctx, 0, &packet.Pingreq{})
	return err
}

func (c *Client) nextID() uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session.nextID()
}

// ask sends a request and waits for its answer.
func (c *Client) ask(ctx context.Context, id uint16, request packetAppender) ([]packet.ReasonCode, error) {
	c.send(c.conn, request.Append(nil, c.options.Version))
	for {
		select {
		case a := <-c.conn.answers:
			if a.id == id {
				return a.reasons, nil
			}
		case <-c.conn.ended:
			return nil, ErrEnded
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Disconnect says good-bye and waits for the broker to end the connection.
func (c *Client) Disconnect(ctx context.Context) {
	c.send(c.conn, (&packet.Disconnect{}).Append(nil, c.options.Version))
	select {
	case <-c.conn.ended:
	case <-ctx.Done():
		c.Drop()
	}
}

// Drop ends the connection without a word.
func (c *Client) Drop() {
	if c.conn.Conn == nil {
		return
	}
	_ = c.conn.Close()
	<-c.conn.ended
}
