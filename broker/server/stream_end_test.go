package server_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// transport is what stands between a client and the broker.
type transport struct {
	name    string
	tls, ws bool
}

var transports = []transport{
	{"TCP", false, false},
	{"TLS", true, false},
	{"WebSocket", false, true},
	{"WebSocket over TLS", true, true},
}

// allTransports has a listener for each of transports, by name.
func allTransports(c *config.Config) {
	own := c.Settings.Listeners[1].TLS
	for _, tr := range transports {
		l := config.Listener{Name: tr.name, Address: "127.0.0.1"}
		if tr.tls {
			l.TLS = own
		}
		if tr.ws {
			l.Protocol = config.ProtocolWebSocket
		}
		c.Settings.Listeners = append(c.Settings.Listeners, l)
	}
}

// leaver is a client that collects what it has to say, down to the bytes of TLS,
// until it is told to write.
type leaver struct {
	*net.TCPConn
	t      *testing.T
	over   transport
	secure *tls.Conn // nil without TLS
	out    []byte    // what was not written yet
}

// Write collects b.
func (l *leaver) Write(b []byte) (int, error) {
	l.out = append(l.out, b...)
	return len(b), nil
}

// Read writes what it is to get an answer to.
func (l *leaver) Read(b []byte) (int, error) {
	l.write()
	_ = l.SetReadDeadline(time.Now().Add(brokertest.Patience))
	return l.TCPConn.Read(b)
}

// write writes what was collected, at once.
func (l *leaver) write() {
	l.t.Helper()
	if len(l.out) == 0 {
		return
	}
	_ = l.SetWriteDeadline(time.Now().Add(brokertest.Patience))
	if _, err := l.TCPConn.Write(l.out); err != nil {
		l.t.Fatalf("send: %v", err)
	}
	l.out = nil
}

// top is what takes the bytes of MQTT, or of WebSocket.
func (l *leaver) top() io.ReadWriter {
	if l.secure != nil {
		return l.secure
	}
	return l
}

const upgradeRequest = "GET /mqtt HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

// newLeaver dials, and gets TLS and the upgrade done as far as can be without
// writing: the end of the handshake, and the request, are collected.
func newLeaver(t *testing.T, b *brokertest.Broker, over transport) *leaver {
	t.Helper()
	l := &leaver{TCPConn: b.DialAt(t, over.name, v311).Conn.(*net.TCPConn), t: t, over: over}
	if over.tls {
		l.secure = tls.Client(l, &tls.Config{ServerName: "localhost", RootCAs: b.CA.Pool(), MinVersion: tls.VersionTLS13})
		if err := l.secure.Handshake(); err != nil {
			t.Fatal(err)
		}
	}
	if over.ws {
		_, _ = io.WriteString(l.top(), upgradeRequest)
	}
	return l
}

// open is newLeaver with all of that written, and answered.
func open(t *testing.T, b *brokertest.Broker, over transport) *leaver {
	t.Helper()
	l := newLeaver(t, b, over)
	if l.write(); !over.ws {
		return l
	}
	var response []byte
	for one := make([]byte, 1); !bytes.HasSuffix(response, []byte("\r\n\r\n")); {
		if _, err := io.ReadFull(l.top(), one); err != nil {
			t.Fatal(err)
		}
		response = append(response, one...)
	}
	return l
}

// say collects packets.
func (l *leaver) say(packets ...brokertest.Packet) {
	var b []byte
	for _, p := range packets {
		b = p.Append(b, v311)
	}
	if l.over.ws {
		b = clientFrame(ws.OpBinary, b)
	}
	_, _ = l.top().Write(b)
}

func clientFrame(op ws.OpCode, payload []byte) []byte {
	return ws.MustCompileFrame(ws.MaskFrameWith(ws.NewFrame(op, true, payload), [4]byte{1, 2, 3, 4}))
}

// ending is a way in which a client ends its stream.
type ending struct {
	disconnect bool // it says DISCONNECT
	close      bool // it ends WebSocket and TLS, where it has them
	reset      bool // it resets the connection
}

func (e ending) String() string {
	var how []string
	for _, x := range []struct {
		is   bool
		name string
	}{{e.disconnect, "DISCONNECT"}, {e.close, "close"}, {e.reset, "RST"}, {!e.reset, "FIN"}} {
		if x.is {
			how = append(how, x.name)
		}
	}
	return strings.Join(how, ", ")
}

// end writes what was collected and ends the stream.
func (l *leaver) end(e ending) {
	l.t.Helper()
	if e.disconnect {
		l.say(&packet.Disconnect{})
	}
	if e.close && l.over.ws {
		_, _ = l.top().Write(clientFrame(ws.OpClose, []byte{3, 232}))
	}
	if e.close && l.secure != nil {
		_ = l.secure.CloseWrite()
	}
	l.write()
	if e.reset {
		_ = l.SetLinger(0)
		_ = l.Close()
		return
	}
	_ = l.CloseWrite()
}

// endings are all ways to end a transport.
func endings(over transport) (all []ending) {
	for i := range 8 {
		e := ending{disconnect: i&1 != 0, close: i&2 != 0, reset: i&4 != 0}
		if over.tls || over.ws || !e.close {
			all = append(all, e)
		}
	}
	return all
}

// holdup is a reason for which a connection waits.
type holdup struct {
	messages  int
	configure func(c *config.Config, name string) // for the client of one case
	store     func() *delayed                     // nil is one that commits at once
	// begin has the client say so much that the connection waits, and go returns
	// what lets it go on, nil for nothing, once the client has ended its stream.
	begin func(t *testing.T, b *brokertest.Broker, over transport, name string) (l *leaver, release func())
}

// hello is the CONNECT of a client whose will says that it went without a word.
func hello(name string, changes ...func(*packet.Connect)) *packet.Connect {
	return brokertest.NewConnect(name, append(changes, brokertest.Will("t", "gone"))...)
}

var holdups = map[string]holdup{
	"nothing": {messages: 20, begin: func(t *testing.T, b *brokertest.Broker, over transport, name string) (*leaver, func()) {
		l := open(t, b, over)
		l.say(hello(name))
		return l, nil
	}},
	"the end of the handshake": {messages: 20, begin: func(t *testing.T, b *brokertest.Broker, over transport, name string) (*leaver, func()) {
		l := newLeaver(t, b, over)
		l.say(hello(name))
		return l, nil
	}},
	"the end of the handshake in a segment of its own": {messages: 20, begin: func(t *testing.T, b *brokertest.Broker, over transport, name string) (*leaver, func()) {
		l := newLeaver(t, b, over)
		l.write()
		l.say(hello(name))
		return l, nil
	}},
	"the check of a password": {
		messages: 20,
		configure: func(c *config.Config, name string) {
			c.Access.Users = append(c.Access.Users, config.User{Username: name, PasswordHashes: []string{hash}})
		},
		begin: func(t *testing.T, b *brokertest.Broker, over transport, name string) (*leaver, func()) {
			release := b.HoldLogins()
			l := open(t, b, over)
			l.say(hello(name, brokertest.Login(name, secret)))
			return l, func() {
				brokertest.WaitFor(t, "the login to wait", func() bool { return b.WaitingLogins() == 1 })
				release()
			}
		},
	},
	"the rate of its user": {
		messages: 60,
		configure: func(c *config.Config, name string) {
			c.Access.Users = append(c.Access.Users, config.User{
				Username: name, PasswordHashes: []string{hash}, Limits: config.UserLimits{PublishRate: 50},
			})
		},
		begin: func(t *testing.T, b *brokertest.Broker, over transport, name string) (*leaver, func()) {
			l := open(t, b, over)
			l.say(hello(name, brokertest.Login(name, secret)))
			return l, nil
		},
	},
	"the commit of its session": {messages: 20, store: slowStore, begin: func(t *testing.T, b *brokertest.Broker, over transport, name string) (*leaver, func()) {
		l := open(t, b, over)
		l.say(hello(name, func(p *packet.Connect) { p.CleanStart = false }))
		return l, nil
	}},
	"the commits of its messages": {messages: 1100, store: slowStore, begin: func(t *testing.T, b *brokertest.Broker, over transport, name string) (*leaver, func()) {
		l := open(t, b, over)
		l.say(hello(name))
		return l, nil
	}},
	"the end of its other connection": {messages: 20, begin: func(t *testing.T, b *brokertest.Broker, over transport, name string) (*leaver, func()) {
		for range 3 { // on other loops
			b.Dial(t, v311)
		}
		b.Connect(t, v311, name)
		l := open(t, b, over)
		l.say(hello(name))
		return l, nil
	}},
	"its reading of answers": {messages: 20, begin: func(t *testing.T, b *brokertest.Broker, over transport, name string) (*leaver, func()) {
		const size, most = 512 << 10, 16 // more than the kernel takes
		l := open(t, b, over)
		before := b.Metrics.Total(metrics.BytesReceived)
		l.say(hello(name), withID(1, 0, "self/"+name))
		for range most {
			l.say(brokertest.NewPublish("self/"+name, strings.Repeat("x", size)))
		}
		l.say(&packet.Pingreq{})
		sent := uint64(len(l.out))
		l.write()
		brokertest.WaitFor(t, "all that to be read", func() bool { return b.Metrics.Total(metrics.BytesReceived) >= before+sent })
		return l, func() { go func() { _, _ = io.Copy(io.Discard, l.TCPConn) }() }
	}},
}

// TestWhatWasSentBeforeTheEndIsHandled: whatever a connection waits for when its
// client leaves, and however it leaves, its messages arrive. Its will is published
// if it has not said DISCONNECT, and then alone.
func TestWhatWasSentBeforeTheEndIsHandled(t *testing.T) {
	for why, h := range holdups {
		t.Run("held by "+why, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Open(t, h.options())
			for _, over := range transports {
				for _, e := range endings(over) {
					name := over.name + ", " + e.String()
					t.Run(name, func(t *testing.T) { h.run(t, b, over, e, name) })
				}
			}
		})
	}
}

// options of a broker for all cases of h.
func (h *holdup) options() brokertest.Options {
	o := brokertest.Options{Configure: func(c *config.Config) {
		allTransports(c)
		for _, over := range transports {
			for _, e := range endings(over) {
				if h.configure != nil {
					h.configure(c, over.name+", "+e.String())
				}
			}
		}
	}}
	if h.store != nil {
		o.Store = h.store()
	}
	return o
}

func (h *holdup) run(t *testing.T, b *brokertest.Broker, over transport, e ending, name string) {
	sub := b.Connect(t, v5, "sub "+name, brokertest.Persistent)
	sub.Subscribe("t", qos1)
	l, release := h.begin(t, b, over, name)
	for i := range h.messages {
		l.say(brokertest.NewPublish("t", fmt.Sprint(i), atQoS(qos1, uint16(i+1))))
	}
	if l.end(e); release != nil {
		release()
	}
	for i := range h.messages {
		sub.Acknowledge(sub.ExpectPublish("t", fmt.Sprint(i)))
	}
	if !e.disconnect {
		sub.ExpectPublish("t", "gone")
	}
	brokertest.WaitFor(t, "the end of the connection", func() bool { return b.Status().Clients == 1 })
	sub.ExpectSilence()
	sub.Disconnect()
	brokertest.WaitFor(t, "the end of the subscriber", func() bool { return b.Status().Clients == 0 })
}

// TestAThrottledClientOverTLSMayLeave does what mosquitto_pub -l does: it waits for
// CONNACK, and then is faster than its user may be.
func TestAThrottledClientOverTLSMayLeave(t *testing.T) {
	t.Parallel()
	const rate, messages = 60, 100
	b := limited(t, config.UserLimits{PublishRate: rate})
	sub := b.Connect(t, v5, "sub")
	sub.Subscribe("#", qos0)
	c := b.DialTLS(t, v311)
	c.Connect("pub", slow, brokertest.Will("w", "gone"))
	for i := range messages {
		c.Send(brokertest.NewPublish("t", fmt.Sprint(i)))
	}
	c.Send(&packet.Disconnect{})
	_ = c.Close() // close_notify, and the end
	for i := range messages {
		sub.ExpectPublish("t", fmt.Sprint(i))
	}
	brokertest.WaitFor(t, "its end", func() bool { return b.Status().Clients == 1 })
	sub.ExpectSilence()
}

// TestAClientThatClosesItsSideIsAnswered: it may yet read.
func TestAClientThatClosesItsSideIsAnswered(t *testing.T) {
	t.Parallel()
	b := brokertest.Open(t, brokertest.Options{Store: slowStore(), Configure: allTransports})
	b.Connect(t, v5, "sub", brokertest.Persistent).Subscribe("t", qos1)
	for _, over := range transports[:2] {
		t.Run(over.name, func(t *testing.T) {
			l := open(t, b, over)
			l.say(brokertest.NewConnect("c"))
			want := []brokertest.Packet{&packet.Connack{}}
			for i := range uint16(50) {
				l.say(brokertest.NewPublish("t", "m", atQoS(qos1, i+1)))
				want = append(want, ack(packet.TypePuback, i+1))
			}
			l.end(ending{close: true})
			c := brokertest.NewClient(t, l.TCPConn, v311)
			if over.tls {
				c = brokertest.NewClient(t, l.secure, v311)
			}
			c.Expect(want...)
			c.ExpectClosed()
		})
	}
}

// TestAClientThatDoesNotWaitForItsLoginIsNoticed: nobody checks its password.
func TestAClientThatDoesNotWaitForItsLoginIsNoticed(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, users, allTransports)
	release := b.HoldLogins()
	for _, over := range transports {
		for _, e := range endings(over) {
			if e.disconnect {
				continue
			}
			t.Run(over.name+", "+e.String(), func(t *testing.T) {
				closed := b.Metrics.Total(metrics.ConnectionsClosed)
				l := open(t, b, over)
				waiting := b.WaitingLogins()
				l.say(brokertest.NewConnect("c", brokertest.Login("bob", secret)))
				if !e.reset { // else it may be gone before it was heard
					l.write()
					brokertest.WaitFor(t, "the login to wait", func() bool { return b.WaitingLogins() > waiting })
				}
				l.end(e)
				go func() { _, _ = io.Copy(io.Discard, l.TCPConn); _ = l.Close() }()
				brokertest.WaitFor(t, "its end", func() bool { return b.Metrics.Total(metrics.ConnectionsClosed) > closed })
			})
		}
	}
	release()
	brokertest.WaitFor(t, "the end of the checks", func() bool { return b.WaitingLogins() == 0 })
	if n := b.Logins(); n.Succeeded+n.Failed != 0 {
		t.Errorf("%+v, and nobody waited", n)
	}
}

// TestAWebSocketIsClosedOnce: with the client's own status, or with what was wrong,
// and what came before is handled.
func TestAWebSocketIsClosedOnce(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, allTransports, mqtt(func(m *config.MQTT) { m.MaxPacketSize = 1000 }))
	sub := b.Connect(t, v5, "sub")
	sub.Subscribe("t", qos0)
	bye := (&packet.Disconnect{}).Append(nil, v311)
	for name, tc := range map[string]struct {
		sent   []byte
		status ws.StatusCode
		will   bool
	}{
		"after its close frame":              {clientFrame(ws.OpClose, ws.NewCloseFrameBody(3001, "x")), 3001, true},
		"after DISCONNECT":                   {clientFrame(ws.OpBinary, bye), ws.StatusNormalClosure, false},
		"after DISCONNECT and a close frame": {append(clientFrame(ws.OpBinary, bye), clientFrame(ws.OpClose, ws.NewCloseFrameBody(1001, ""))...), 1001, false},
		"after text":                         {clientFrame(ws.OpText, bye), ws.StatusUnsupportedData, true},
		"after a frame that is none":         {clientFrame(ws.OpContinuation, bye), ws.StatusProtocolError, true},
		"after a packet that is none":        {clientFrame(ws.OpBinary, []byte{0, 0}), ws.StatusProtocolError, true},
		"after a packet that is too large":   {clientFrame(ws.OpBinary, []byte{0x30, 0xff, 0x7f}), ws.StatusMessageTooBig, true},
		"after DISCONNECT, and then garbage": {append(clientFrame(ws.OpBinary, bye), clientFrame(ws.OpText, nil)...), ws.StatusUnsupportedData, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t, b, transports[2])
			l.say(hello("c"))
			for i := range 3 {
				l.say(brokertest.NewPublish("t", fmt.Sprint(i)))
			}
			_, _ = l.Write(tc.sent)
			l.write()
			for i := range 3 {
				sub.ExpectPublish("t", fmt.Sprint(i))
			}
			if tc.will {
				sub.ExpectPublish("t", "gone")
			}
			answer, err := io.ReadAll(l)
			want := ws.MustCompileFrame(ws.NewBinaryFrame((&packet.Connack{}).Append(nil, v311)))
			want = append(want, ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(tc.status, "")))...)
			if err != nil || !bytes.Equal(answer, want) {
				t.Errorf("answer % x, want % x, error %v", answer, want, err)
			}
			sub.ExpectSilence()
		})
	}
}
