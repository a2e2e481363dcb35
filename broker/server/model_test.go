package server_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// TestRandomClientsGetWhatTheModelSays drives clients at random, one step at a
// time, and compares what each receives with what a model of MQTT says.
func TestRandomClientsGetWhatTheModelSays(t *testing.T) {
	const seeds, steps = 12, 150
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			m := newModel(t, seed)
			for range steps {
				m.step()
			}
		})
	}
}

var (
	modelTopics  = []string{"a", "a/b", "a/b/c", "b", "b/", "/b", "$x/b"}
	modelFilters = []string{"a", "a/b", "+", "+/b", "a/+", "a/#", "#", "/+", "b/+", "$x/+", "+/+/c"}
)

// model is a broker, its clients, and what is known of them.
type model struct {
	t        *testing.T
	rng      *rand.Rand
	broker   *brokertest.Broker
	clients  []*modelClient
	retained map[string]modelMessage
	sent     int
	log      []string
}

// modelClient is a client and the session that it should have.
type modelClient struct {
	id         string
	conn       *brokertest.Client // nil while it is not connected
	persistent bool
	subs       map[string]packet.Subscription // nil where there is no session
	queue      []string                       // deliveries while it was away
	expected   []string                       // deliveries of this step
	unanswered int                            // exchanges in which the broker has the word
}

type modelMessage struct {
	topic, payload string
	qos            packet.QoS
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{
		t: t, rng: rand.New(rand.NewPCG(seed, seed)), broker: brokertest.Start(t),
		retained: map[string]modelMessage{},
	}
	for i := range 5 {
		m.clients = append(m.clients, &modelClient{id: fmt.Sprint("c", i)})
	}
	return m
}

// step lets one client do something, and looks at what all of them got.
func (m *model) step() {
	c := m.clients[m.rng.IntN(len(m.clients))]
	switch n := m.rng.IntN(20); {
	case c.conn == nil:
		m.connect(c)
	case n < 2:
		m.leave(c)
	case n < 7:
		m.subscribe(c)
	case n < 9:
		m.unsubscribe(c)
	default:
		m.publish(c)
	}
	m.settle(c) // what it did has been done then, and reached the others
	for _, other := range m.clients {
		m.settle(other)
	}
}

func (m *model) note(format string, args ...any) { m.log = append(m.log, fmt.Sprintf(format, args...)) }

func (m *model) fail(format string, args ...any) {
	m.t.Helper()
	for _, line := range m.log {
		m.t.Log(line)
	}
	m.t.Fatalf(format, args...)
}

func (m *model) connect(c *modelClient) {
	v := []packet.Version{packet.V311, packet.V5}[m.rng.IntN(2)]
	clean := m.rng.IntN(3) == 0
	c.persistent = m.rng.IntN(3) > 0 && (v == packet.V5 || !clean)
	if v == packet.V311 && !clean {
		c.persistent = true
	}
	m.note("%s connects: %v, clean %t, persistent %t", c.id, v, clean, c.persistent)
	c.conn = m.broker.Dial(m.t, v)
	ack := c.conn.Connect(c.id, func(p *packet.Connect) {
		p.CleanStart = clean
		if c.persistent && v == packet.V5 {
			p.Properties.SessionExpiry = 3600
			p.Properties.Set(packet.PropSessionExpiry)
		}
	})
	if want := c.subs != nil && !clean; ack.SessionPresent != want {
		m.fail("session present of %s is %t, want %t", c.id, ack.SessionPresent, want)
	}
	if clean || c.subs == nil {
		c.subs, c.queue = map[string]packet.Subscription{}, nil
	}
	c.expected, c.queue = append(c.expected, c.queue...), nil
}

// leave ends a connection, in good order or not.
func (m *model) leave(c *modelClient) {
	m.note("%s leaves", c.id)
	before := m.broker.Status().Clients
	if m.rng.IntN(2) == 0 {
		c.conn.Disconnect()
	} else if err := c.conn.Close(); err != nil {
		m.fail("close: %v", err)
	}
	brokertest.WaitFor(m.t, "the broker sees that "+c.id+" is gone", func() bool {
		return m.broker.Status().Clients < before
	})
	if c.conn = nil; !c.persistent {
		c.subs = nil
	}
}

func (m *model) subscribe(c *modelClient) {
	s := packet.Subscription{
		Filter: []byte(modelFilters[m.rng.IntN(len(modelFilters))]),
		QoS:    packet.QoS(m.rng.IntN(3)),
	}
	if c.conn.Version == packet.V5 {
		s.NoLocal, s.RetainAsPublished = m.rng.IntN(4) == 0, m.rng.IntN(2) == 0
		s.RetainHandling = byte(m.rng.IntN(3))
	}
	m.note("%s subscribes: %s %+v", c.id, s.Filter, s)
	_, had := c.subs[string(s.Filter)]
	c.subs[string(s.Filter)] = s
	if s.RetainHandling == 0 || s.RetainHandling == 1 && !had {
		for _, r := range m.retained {
			if topic.Match(string(s.Filter), r.topic) {
				c.expected = append(c.expected, delivered(r, min(r.qos, s.QoS), true))
			}
		}
	}
	p := &packet.Subscribe{ID: c.conn.NextID(), Subscriptions: []packet.Subscription{s}}
	c.conn.Send(p)
	c.conn.Expect(&packet.Suback{ID: p.ID, Reasons: []packet.ReasonCode{packet.ReasonCode(s.QoS)}})
}

func (m *model) unsubscribe(c *modelClient) {
	if len(c.subs) == 0 {
		return
	}
	filters := slices.Sorted(maps.Keys(c.subs))
	filter := filters[m.rng.IntN(len(filters))]
	m.note("%s unsubscribes: %s", c.id, filter)
	delete(c.subs, filter)
	c.conn.Unsubscribe(filter)
}

func (m *model) publish(c *modelClient) {
	m.sent++
	msg := modelMessage{
		topic:   modelTopics[m.rng.IntN(len(modelTopics))],
		payload: fmt.Sprint("message ", m.sent),
		qos:     packet.QoS(m.rng.IntN(3)),
	}
	retain := m.rng.IntN(4) == 0
	if retain && m.rng.IntN(3) == 0 {
		msg.payload = ""
	}
	m.note("%s publishes: %+v, retain %t", c.id, msg, retain)
	for _, to := range m.clients {
		to.take(msg, retain, to == c)
	}
	if retain {
		if m.retained[msg.topic] = msg; msg.payload == "" {
			delete(m.retained, msg.topic)
		}
	}
	m.send(c, msg, retain)
}

// send goes through the exchange of a message, among whatever else arrives.
func (m *model) send(c *modelClient, msg modelMessage, retain bool) {
	p := brokertest.NewPublish(msg.topic, msg.payload)
	p.QoS, p.Retain = msg.qos, retain
	if p.QoS > packet.QoS0 {
		p.ID = 30_000 + uint16(m.sent)
		c.unanswered++
	}
	c.conn.Send(p)
}

// take says what a message means to a session.
func (c *modelClient) take(msg modelMessage, retain, own bool) {
	matched, local, asPublished, qos := false, false, false, packet.QoS0
	for filter, s := range c.subs {
		if !topic.Match(filter, msg.topic) {
			continue
		}
		matched = true
		local = local || !s.NoLocal
		asPublished = asPublished || s.RetainAsPublished
		qos = max(qos, s.QoS)
	}
	if !matched || own && !local {
		return
	}
	d := delivered(msg, min(qos, msg.qos), retain && asPublished)
	switch {
	case c.conn != nil:
		c.expected = append(c.expected, d)
	case min(qos, msg.qos) > packet.QoS0:
		c.queue = append(c.queue, d)
	}
}

func delivered(m modelMessage, q packet.QoS, retain bool) string {
	return fmt.Sprintf("%s %q qos %d retain %t", m.topic, m.payload, q, retain)
}

// settle takes all that has arrived at a client and compares it with what should
// have. A PINGRESP comes after everything that came before its PINGREQ; what has
// to be read or stored first may come later.
func (m *model) settle(c *modelClient) {
	if c.conn == nil {
		return
	}
	got := m.drain(c, nil)
	for len(got) < len(c.expected) || c.unanswered > 0 {
		got = m.take(c, c.conn.Next(), got)
	}
	got = m.drain(c, got)
	slices.Sort(got)
	slices.Sort(c.expected)
	if !slices.Equal(got, c.expected) {
		m.fail("%s got\n%q\nwant\n%q", c.id, got, c.expected)
	}
	c.expected = nil
}

func (m *model) drain(c *modelClient, got []string) []string {
	c.conn.Send(&packet.Pingreq{})
	for {
		p := c.conn.Next()
		if _, ok := p.(*packet.Pingresp); ok {
			return got
		}
		got = m.take(c, p, got)
	}
}

func (m *model) take(c *modelClient, p brokertest.Packet, got []string) []string {
	switch p := p.(type) {
	case *packet.Publish:
		if p.Dup {
			m.fail("%s got a repeat of %q", c.id, p.Payload)
		}
		got = append(got, delivered(modelMessage{string(p.Topic), string(p.Payload), p.QoS}, p.QoS, p.Retain))
		m.answer(c, p)
	case *packet.Ack:
		m.goOn(c, p)
	default:
		m.fail("%s got a %T", c.id, p)
	}
	return got
}

// answer acknowledges a message.
func (m *model) answer(c *modelClient, p *packet.Publish) {
	if t := map[packet.QoS]packet.Type{packet.QoS1: packet.TypePuback, packet.QoS2: packet.TypePubrec}[p.QoS]; t != 0 {
		c.conn.Send(&packet.Ack{Type: t, ID: p.ID})
		if t == packet.TypePubrec {
			c.unanswered++
		}
	}
}

// goOn takes the next step of an exchange of QoS 2, in either direction.
func (m *model) goOn(c *modelClient, p *packet.Ack) {
	if p.Reason.IsError() {
		m.fail("%s got %v with %v", c.id, p.Type, p.Reason)
	}
	next := map[packet.Type]packet.Type{packet.TypePubrec: packet.TypePubrel, packet.TypePubrel: packet.TypePubcomp}
	if p.Type != packet.TypePubrec {
		c.unanswered--
	}
	if t := next[p.Type]; t != 0 {
		c.conn.Send(&packet.Ack{Type: t, ID: p.ID})
	}
}
