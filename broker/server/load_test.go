package server_test

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// peer is a client of its own will: it acknowledges, loses its connection now
// and then, comes back to its session, and takes up where it was.
type peer struct {
	t    *testing.T
	b    *brokertest.Broker
	id   string
	v    packet.Version
	tls  bool
	lose int // packets after which it loses its connection, on average; 0 is never
	rand *rand.Rand

	*brokertest.Client
	left int // packets until it loses the connection
}

func newPeer(t *testing.T, b *brokertest.Broker, n int, id string) *peer {
	p := &peer{t: t, b: b, id: id, v: []packet.Version{v311, v5}[n%2], tls: n%3 == 0, rand: rand.New(rand.NewPCG(uint64(n), 7))}
	if n%4 == 1 {
		p.lose = 150
	}
	return p
}

// connect opens a connection and reports whether the session was there.
func (p *peer) connect() (present bool, err error) {
	name := brokertest.Plain
	if p.tls {
		name = brokertest.TLS
	}
	conn, err := net.DialTimeout("tcp", p.b.Addr(name).String(), brokertest.Patience)
	if err != nil {
		return false, err
	}
	if p.tls {
		conn = tls.Client(conn, &tls.Config{ServerName: "localhost", RootCAs: p.b.CA.Pool()})
	}
	p.Client = brokertest.NewClient(p.t, conn, p.v)
	if p.left = -1; p.lose > 0 {
		p.left = p.rand.IntN(2*p.lose) + 1
	}
	if err := p.send(brokertest.NewConnect(p.id, ann, brokertest.Persistent)); err != nil {
		return false, err
	}
	got, err := p.Receive()
	if err != nil {
		return false, err
	}
	ack, ok := got.(*packet.Connack)
	if !ok || ack.Reason.IsError() {
		return false, fmt.Errorf("%s: CONNECT is answered by %+v", p.id, got)
	}
	return ack.SessionPresent, nil
}

func (p *peer) send(packets ...brokertest.Packet) error {
	var b []byte
	for _, x := range packets {
		b = x.Append(b, p.v)
	}
	_ = p.SetWriteDeadline(time.Now().Add(brokertest.Patience))
	_, err := p.Write(b)
	return err
}

// loses reports whether the connection is lost at this packet.
func (p *peer) loses() bool {
	if p.left--; p.left != 0 {
		return false
	}
	_ = p.Close()
	return true
}

// subscribes is a subscriber, and counts what it got of each publisher.
type subscriber struct {
	*peer
	filter string
	want   int
	strict bool // each message exactly once

	open map[uint16]bool // QoS 2 that is received and not released
	next map[string]int  // by publisher: the number that has to come next
	got  int
}

// run receives until everything has come.
func (s *subscriber) run(ready func()) error {
	s.open, s.next = map[uint16]bool{}, map[string]int{}
	for first := true; s.got < s.want; first = false {
		present, err := s.connect()
		if err != nil {
			return err
		}
		if first {
			p := withID(1, 0, s.filter)
			p.Subscriptions[0].QoS = qos2
			if err := s.send(p); err != nil {
				return err
			}
		} else if !present {
			return fmt.Errorf("%s: the session is gone", s.id)
		}
		for lost := false; !lost && s.got < s.want; {
			x, err := s.Receive()
			if err != nil {
				return fmt.Errorf("%s: %d of %d came: %w", s.id, s.got, s.want, err)
			}
			if _, ok := x.(*packet.Suback); ok {
				ready()
				continue
			}
			if lost = s.loses(); lost {
				break
			}
			if err := s.take(x); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *subscriber) take(x brokertest.Packet) error {
	switch x := x.(type) {
	case *packet.Publish:
		if !s.open[x.ID] {
			if err := s.count(x); err != nil {
				return err
			}
		}
		switch x.QoS {
		case qos0:
			return nil
		case qos1:
			return s.send(ack(packet.TypePuback, x.ID))
		default:
			s.open[x.ID] = true
			return s.send(ack(packet.TypePubrec, x.ID))
		}
	case *packet.Ack:
		delete(s.open, x.ID)
		return s.send(ack(packet.TypePubcomp, x.ID))
	default:
		return fmt.Errorf("%s: got %+v", s.id, x)
	}
}

// count checks a message against those before it. One of QoS 1 may come again,
// and then it is an old one [MQTT-4.6.0-1].
func (s *subscriber) count(x *packet.Publish) error {
	from, number, _ := strings.Cut(string(x.Payload), " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	switch want := s.next[from]; {
	case n == want:
		s.next[from]++
		s.got++
	case n > want || s.strict || x.QoS != qos1:
		return fmt.Errorf("%s: got %s of %s at QoS %d, want %d", s.id, number, from, x.QoS, want)
	}
	return nil
}

// publisher sends numbered messages.
type publisher struct {
	*peer
	topic string
	qos   packet.QoS
	n     int

	sent     int
	inflight []flight
}

// flight is a message that is not acknowledged to its end.
type flight struct {
	id       uint16
	number   int
	released bool
}

const window = 20

func (p *publisher) run() error {
	for p.sent < p.n || len(p.inflight) > 0 {
		if _, err := p.connect(); err != nil {
			return err
		}
		for _, f := range p.inflight { // [MQTT-4.4.0-1]
			if err := p.send(p.again(f)); err != nil {
				return err
			}
		}
		if err := p.exchange(); err != nil {
			return err
		}
	}
	// The broker has read everything when it answers.
	if err := p.send(&packet.Pingreq{}); err != nil {
		return err
	}
	_, err := p.Receive()
	return err
}

func (p *publisher) again(f flight) brokertest.Packet {
	if f.released {
		return ack(packet.TypePubrel, f.id)
	}
	m := p.message(f)
	m.Dup = true
	return m
}

func (p *publisher) message(f flight) *packet.Publish {
	return brokertest.NewPublish(p.topic, fmt.Sprintf("%s %d", p.id, f.number), atQoS(p.qos, f.id))
}

// exchange goes on until all is done or the connection is lost.
func (p *publisher) exchange() error {
	for {
		for p.sent < p.n && len(p.inflight) < window {
			f := flight{id: uint16(p.sent%60000 + 1), number: p.sent}
			if p.qos == qos0 {
				f.id = 0
			} else {
				p.inflight = append(p.inflight, f)
			}
			p.sent++
			if err := p.send(p.message(f)); err != nil {
				return err
			}
		}
		if len(p.inflight) == 0 {
			return nil
		}
		x, err := p.Receive()
		if err != nil {
			return fmt.Errorf("%s: %d sent, %d in flight: %w", p.id, p.sent, len(p.inflight), err)
		}
		if p.loses() {
			return nil
		}
		if err := p.answered(x); err != nil {
			return err
		}
	}
}

func (p *publisher) answered(x brokertest.Packet) error {
	a, ok := x.(*packet.Ack)
	// A PUBREL is not known when it is sent again and the PUBCOMP was lost.
	if !ok || a.Reason.IsError() && a.Type != packet.TypePubcomp {
		return fmt.Errorf("%s: got %+v", p.id, x)
	}
	for i := range p.inflight {
		if f := &p.inflight[i]; f.id == a.ID {
			if a.Type == packet.TypePubrec {
				f.released = true
				return p.send(ack(packet.TypePubrel, a.ID))
			}
			p.inflight = append(p.inflight[:i], p.inflight[i+1:]...)
			return nil
		}
	}
	return fmt.Errorf("%s: %v for %d, which is not in flight", p.id, a.Type, a.ID)
}

// TestLoad has clients of all kinds publish to each other while others come and
// go and the configuration changes. Every message of QoS 1 and 2 is accounted
// for, and every one of QoS 0 to a subscriber that stays.
func TestLoad(t *testing.T) {
	t.Parallel()
	const each = 250
	b := brokertest.Start(t, users, rules(allow("#")), mqtt(func(m *config.MQTT) { m.MaxQueuedMessages = 1 << 20 }))
	l := &load{t: t, b: b}
	for n := range 12 { // pairs
		q := packet.QoS(n % 3)
		topic := fmt.Sprintf("pair/%d", n)
		l.subscriber(n+1, topic, each, q != qos1)
		l.publisher(n+2, topic, q, each)
	}
	l.subscriber(1, "in/+", 6*each, false) // fan-in
	for n := range 6 {
		l.publisher(n, fmt.Sprintf("in/%d", n), packet.QoS(n%2+1), each)
	}
	for n := range 10 { // fan-out
		l.subscriber(n, "out/#", 2*each, false)
	}
	l.publisher(3, "out/1", qos1, each)
	l.publisher(5, "out/2", qos2, each)
	l.run()
}

// load is the peers of one test.
type load struct {
	t           *testing.T
	b           *brokertest.Broker
	subscribers []*subscriber
	publishers  []*publisher
}

func (l *load) subscriber(n int, filter string, want int, strict bool) {
	p := newPeer(l.t, l.b, n, fmt.Sprintf("s%d", len(l.subscribers)))
	if strings.HasPrefix(filter, "pair/") && n%3 == 1 {
		p.lose = 0 // QoS 0: who is away gets none
	}
	l.subscribers = append(l.subscribers, &subscriber{peer: p, filter: filter, want: want, strict: strict})
}

func (l *load) publisher(n int, topic string, q packet.QoS, messages int) {
	p := newPeer(l.t, l.b, n, fmt.Sprintf("p%d", len(l.publishers)))
	if q == qos0 {
		p.lose = 0
	}
	l.publishers = append(l.publishers, &publisher{peer: p, topic: topic, qos: q, n: messages})
}

func (l *load) run() {
	var ready, done, others sync.WaitGroup
	check := func(err error) {
		if err != nil {
			l.t.Error(err)
		}
	}
	for _, s := range l.subscribers {
		ready.Add(1)
		subscribed := sync.OnceFunc(ready.Done)
		done.Go(func() {
			defer subscribed()
			check(s.run(subscribed))
		})
	}
	ready.Wait()
	var over atomic.Bool
	for n := range 3 {
		others.Go(func() { l.comeAndGo(n, &over) })
	}
	others.Go(func() { l.reload(&over) })
	for _, p := range l.publishers {
		done.Go(func() { check(p.run()) })
	}
	done.Wait()
	over.Store(true)
	others.Wait()
}

// comeAndGo connects, subscribes to everything, and leaves in many ways.
func (l *load) comeAndGo(n int, over *atomic.Bool) {
	p := newPeer(l.t, l.b, n, fmt.Sprintf("guest%d", n))
	for i := 0; !over.Load(); i++ {
		if _, err := p.connect(); err != nil {
			l.t.Error(err)
			return
		}
		_ = p.send(withID(1, 0, "#"), brokertest.NewPublish("guest", "m", brokertest.Retained))
		for range i % 7 {
			_, _ = p.Receive()
		}
		if i%3 == 0 {
			_ = p.send(&packet.Disconnect{})
		}
		if i%2 == 0 {
			_ = p.Close() // or the next connection takes over
		}
	}
	_ = p.Close()
}

// reload changes what the peers are not to notice.
func (l *load) reload(over *atomic.Bool) {
	for i := 0; !over.Load(); i++ {
		if i%5 == 0 {
			l.b.RenewCertificate(l.t)
		}
		err := l.b.Reload(func(c *config.Config) {
			rules(allow("#"), deny(config.ActionPublish, fmt.Sprint("denied/", i)))(c)
			c.Settings.Listeners = c.Settings.Listeners[:2]
			if i%2 == 0 {
				c.Settings.Listeners = append(c.Settings.Listeners, config.Listener{Name: "more", Address: "127.0.0.1"})
			}
		})
		if err != nil {
			l.t.Error(err)
			return
		}
		time.Sleep(10 * time.Millisecond) // a pace, not a wait
	}
}
