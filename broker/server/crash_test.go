package server_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

// cut is a store whose power can be cut: then only what it has reported as
// durable, and what came before that, is there for the next broker.
type cut struct {
	*memory.Store // what this broker sees
	numbers       *atomic.Uint64

	mu       sync.Mutex
	durable  []*store.Batch
	pending  []*store.Batch // come to durable with the next report
	off      bool
	withhold bool
	waiting  []func(error) // of commits that are not reported yet
	health   error
	failed   bool
}

func newCut() *cut { return &cut{Store: memory.New(), numbers: new(atomic.Uint64)} }

// NextID implements store.Store.
func (s *cut) NextID() uint64 { return s.numbers.Add(1) }

// Health implements store.Store.
func (s *cut) Health() store.Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	return store.Health{Err: s.health, Failed: s.failed}
}

// Commit implements store.Store.
func (s *cut) Commit(b *store.Batch, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.off {
		return
	}
	s.Store.Commit(b, nil)
	s.pending = append(s.pending, &store.Batch{
		Ended: slices.Clone(b.Ended), Sessions: slices.Clone(b.Sessions),
		Subscriptions: slices.Clone(b.Subscriptions), Deliveries: slices.Clone(b.Deliveries),
		Sent: slices.Clone(b.Sent), Done: slices.Clone(b.Done), Retained: slices.Clone(b.Retained),
		Received: slices.Clone(b.Received), Released: slices.Clone(b.Released),
	})
	if done == nil {
		return
	}
	if s.waiting = append(s.waiting, done); !s.withhold {
		s.report()
	}
}

// report tells of all commits. mu is held.
func (s *cut) report() {
	s.durable, s.pending = append(s.durable, s.pending...), nil
	for _, done := range s.waiting {
		done(nil)
	}
	s.waiting = nil
}

// set withholds reports, as a disk does that takes its time, or makes up for it.
func (s *cut) set(withhold bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.withhold = withhold; !withhold {
		s.report()
	}
}

// ail lets the store say how it is.
func (s *cut) ail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health = err
}

// fail has the store fail for good, and tells all who wait.
func (s *cut) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.health, s.failed, s.off = err, true, true
	for _, done := range s.waiting {
		done(err)
	}
	s.waiting = nil
}

// crash cuts the power of b, and starts the next broker over what is left.
func (s *cut) crash(t *testing.T, b *brokertest.Broker) (*brokertest.Broker, *cut) {
	t.Helper()
	s.mu.Lock()
	s.off = true
	s.mu.Unlock()
	b.Stop()
	next := &cut{Store: memory.New(), numbers: s.numbers, durable: s.durable}
	for _, batch := range next.durable {
		next.Store.Commit(batch, nil)
	}
	return brokertest.Open(t, brokertest.Options{Store: next}), next
}

// toDurable is a broker with a durable session that has subscribed to t.
func toDurable(t *testing.T, v packet.Version) (*brokertest.Broker, *cut, *brokertest.Client) {
	t.Helper()
	st := newCut()
	b := brokertest.Open(t, brokertest.Options{Store: st})
	c := b.Connect(t, v, "c", brokertest.Persistent)
	c.Subscribe("t", qos2)
	return b, st, c
}

// The broker crashes at each step of an exchange with a subscriber.
func TestQoS2ToASubscriberAcrossCrashes(t *testing.T) { // [MQTT-4.3.3-1] to [MQTT-4.3.3-6]
	t.Parallel()
	for name, tc := range map[string]struct {
		crash func(*testing.T, *brokertest.Client, *cut, uint16)
		// What comes first, to the client that is back, and what then.
		published, released bool
	}{
		"before the client answers": {func(*testing.T, *brokertest.Client, *cut, uint16) {}, true, false},
		"before PUBREC is durable": {func(t *testing.T, c *brokertest.Client, st *cut, id uint16) {
			t.Helper()
			st.set(true)
			c.Send(ack(packet.TypePubrec, id))
			c.ExpectSilence()
		}, true, false},
		"after PUBREL": {func(t *testing.T, c *brokertest.Client, _ *cut, id uint16) {
			t.Helper()
			c.Send(ack(packet.TypePubrec, id))
			c.ExpectAck(packet.TypePubrel, id)
		}, false, true},
		"after PUBCOMP, which nobody waits for": {func(t *testing.T, c *brokertest.Client, _ *cut, id uint16) {
			t.Helper()
			c.Send(ack(packet.TypePubrec, id))
			c.ExpectAck(packet.TypePubrel, id)
			c.Send(ack(packet.TypePubcomp, id))
			c.ExpectSilence()
		}, false, true},
		"after PUBCOMP, and a commit": {func(t *testing.T, c *brokertest.Client, _ *cut, id uint16) {
			t.Helper()
			c.Send(ack(packet.TypePubrec, id))
			c.ExpectAck(packet.TypePubrel, id)
			c.Send(ack(packet.TypePubcomp, id))
			c.Subscribe("other", qos0)
		}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, v packet.Version) {
				b, st, c := toDurable(t, v)
				b.Connect(t, v, "pub").Publish("t", "once", qos2)
				id := c.ExpectPublish("t", "once").ID
				tc.crash(t, c, st, id)
				b, _ = st.crash(t, b)
				c = b.Connect(t, v, "c", brokertest.Persistent)
				if tc.published {
					if p := c.ExpectPublish("t", "once"); p.ID != id || !p.Dup {
						t.Fatalf("identifier %d, DUP %t, want %d", p.ID, p.Dup, id)
					}
					c.Send(ack(packet.TypePubrec, id))
				}
				if tc.published || tc.released {
					c.ExpectAck(packet.TypePubrel, id)
					c.Send(ack(packet.TypePubcomp, id))
				}
				c.ExpectSilence()
			})
		})
	}
}

// A subscriber may not see a message whose identifier a crash can take back.
func TestQoS2WaitsForItsCommit(t *testing.T) {
	t.Parallel()
	b, st, c := toDurable(t, v5)
	pub := b.Connect(t, v5, "pub", brokertest.Persistent)
	st.set(true)
	p := brokertest.NewPublish("t", "once", atQoS(qos2, 9))
	pub.Send(p)
	pub.ExpectSilence()
	c.ExpectSilence()
	b, _ = st.crash(t, b)
	pub, c = b.Connect(t, v5, "pub", brokertest.Persistent), b.Connect(t, v5, "c", brokertest.Persistent)
	c.ExpectSilence()
	p.Dup = true
	pub.Send(p)
	pub.ExpectAck(packet.TypePubrec, 9)
	if got := c.ExpectPublish("t", "once"); got.Dup {
		t.Error("a message that was never sent has the DUP flag")
	}
	c.ExpectSilence()
}

// The broker crashes at each step of an exchange with a publisher.
func TestQoS2FromAPublisherAcrossCrashes(t *testing.T) { // [MQTT-4.3.3-8] to [MQTT-4.3.3-12]
	t.Parallel()
	each(t, func(t *testing.T, v packet.Version) {
		b, st, _ := toDurable(t, v)
		pub := b.Connect(t, v, "pub", brokertest.Persistent)
		p := brokertest.NewPublish("t", "once", atQoS(qos2, 9))
		pub.Send(p)
		pub.ExpectAck(packet.TypePubrec, 9)

		b, st = st.crash(t, b)
		pub = b.Connect(t, v, "pub", brokertest.Persistent)
		p.Dup = true
		pub.Send(p, ack(packet.TypePubrel, 9))
		pub.ExpectAck(packet.TypePubrec, 9)
		pub.ExpectAck(packet.TypePubcomp, 9)

		b, _ = st.crash(t, b)
		c := b.Connect(t, v, "c", brokertest.Persistent)
		c.ExpectPublish("t", "once")
		c.ExpectSilence()
	})
}

func TestWhatIsAcknowledgedIsThereAfterACrash(t *testing.T) {
	t.Parallel()
	b, st, c := toDurable(t, v5)
	offline(t, b, c)
	pub := b.Connect(t, v5, "pub")
	pub.Publish("t", "QoS 1", qos1)
	pub.Publish("r", "retained", qos1, brokertest.Retained)
	b.Connect(t, v5, "new", brokertest.Persistent).Subscribe("new", qos1)
	b, _ = st.crash(t, b)
	c, present := connack(t, b, v5, "c", brokertest.Persistent)
	if !present.SessionPresent {
		t.Error("the session is gone")
	}
	c.ExpectPublish("t", "QoS 1")
	c.Subscribe("r", qos0)
	c.ExpectPublish("r", "retained")
	b.Connect(t, v5, "pub").Publish("new", "m", qos1)
	c, present = connack(t, b, v5, "new", brokertest.Persistent)
	if !present.SessionPresent {
		t.Error("the new session is gone")
	}
	c.ExpectPublish("new", "m")
}

// A connection that stood ends with its broker, and its will is published after
// the delay, once.
func TestWillAfterACrash(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		delay uint32
		end   func(*brokertest.Client)
		comes bool
	}{
		"of a connection that stood":         {0, nil, true},
		"of one that stood, with a delay":    {1, nil, true},
		"of a client that has said good-bye": {0, (*brokertest.Client).Disconnect, false},
		"of one that has, before its delay":  {1, (*brokertest.Client).Disconnect, false},
		"with a delay that is not over yet":  {1000, nil, false},
		"with a delay, of one that was lost": {1, func(c *brokertest.Client) { _ = c.Close() }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, st, w := toDurable(t, v5)
			w.Subscribe("will", qos2)
			c := b.Connect(t, v5, "mourned", expiry(2000), brokertest.Will("will", "gone", delay(tc.delay), willQoS(qos2)))
			if tc.end != nil {
				clients := b.Status().Clients
				tc.end(c)
				brokertest.WaitFor(t, "the end of the connection", func() bool { return b.Status().Clients < clients })
				w.Subscribe("commit", qos0) // all before is durable
			}
			for range 2 {
				b, st = st.crash(t, b)
				w = b.Connect(t, v5, "c", brokertest.Persistent)
				if tc.comes {
					w.Acknowledge(w.ExpectPublish("will", "gone"))
					tc.comes = false
					w.Subscribe("commit again", qos0) // what is there already is not stored, and waits for nothing
					continue
				}
				b.Connect(t, v5, "clock", expiry(2)).Disconnect()
				brokertest.WaitFor(t, "time", func() bool { return b.Sessions() == 2 })
				w.ExpectSilence()
			}
		})
	}
}

// publishMany publishes n messages at QoS 1, and waits for their acknowledgements.
func publishMany(t *testing.T, b *brokertest.Broker, n int, topic func(int) string, changes ...func(*packet.Publish)) {
	t.Helper()
	pub := b.Connect(t, v5, "pub")
	var sent []brokertest.Packet
	for i := range n {
		with := append([]func(*packet.Publish){atQoS(qos1, uint16(i+1))}, changes...)
		sent = append(sent, brokertest.NewPublish(topic(i), fmt.Sprint(i), with...))
	}
	for some := range slices.Chunk(sent, 100) {
		pub.Send(some...)
		for range some {
			brokertest.Expect[*packet.Ack](pub)
		}
	}
}

// What waits for a client is read from the store as it takes it.
func TestLongQueueAcrossACrash(t *testing.T) {
	t.Parallel()
	const n = 5000
	b, st, c := toDurable(t, v5)
	c.Disconnect()
	publishMany(t, b, n, func(int) string { return "t" })
	b, _ = st.crash(t, b)
	c = b.Connect(t, v5, "c", brokertest.Persistent, receiveMaximum(50))
	for i := range n {
		c.Acknowledge(c.ExpectPublish("t", fmt.Sprint(i)))
	}
	c.ExpectSilence()
}

func TestOldestAreDroppedOfALongQueue(t *testing.T) {
	t.Parallel()
	const n, limit = 1000, 400
	b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.MaxQueuedMessages, m.Overflow = limit, config.DropOldest }))
	c := b.Connect(t, v5, "c", brokertest.Persistent)
	c.Subscribe("t", qos1)
	c.Disconnect()
	pub := b.Connect(t, v5, "pub")
	for i := range n {
		pub.Publish("t", fmt.Sprint(i), qos1)
	}
	c = b.Connect(t, v5, "c", brokertest.Persistent)
	for i := n - limit; i < n; i++ {
		c.Acknowledge(c.ExpectPublish("t", fmt.Sprint(i)))
	}
	c.ExpectSilence()
}

// A client that reads slowly gets all retained messages, and goes on where it was
// cut off.
func TestReplayToASlowReader(t *testing.T) {
	t.Parallel()
	const n = 10_000
	b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.MaxQueuedMessages = 100 }))
	publishMany(t, b, n, func(i int) string { return fmt.Sprintf("r/%05d", i) }, brokertest.Retained)
	slow := []func(*packet.Connect){brokertest.Persistent, receiveMaximum(3)}
	c := b.Connect(t, v5, "c", slow...)
	c.Send(&packet.Subscribe{ID: 7, Subscriptions: []packet.Subscription{{Filter: []byte("r/+"), QoS: qos1}}})
	brokertest.Expect[*packet.Suback](c)
	got := map[string]bool{}
	for len(got) < n {
		p := brokertest.Expect[*packet.Publish](c)
		if i, err := strconv.Atoi(string(p.Payload)); err != nil || string(p.Topic) != fmt.Sprintf("r/%05d", i) || !p.Retain {
			t.Fatalf("got %q on %q", p.Payload, p.Topic)
		}
		got[string(p.Topic)] = true
		if len(got)%2500 == 0 && !p.Dup {
			offline(t, b, c)
			c = b.Connect(t, v5, "c", slow...)
			continue
		}
		c.Acknowledge(p)
	}
}

func TestStoreThatTakesNothingNew(t *testing.T) {
	t.Parallel()
	b, st, c := toDurable(t, v5)
	pub, old := b.Connect(t, v5, "pub"), b.Connect(t, v311, "old")
	passing := b.Connect(t, v5, "passing")
	passing.Subscribe("other", qos1)
	if err := b.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	full := errors.New("the disk is full")
	st.ail(full)
	if err := b.Ready(); err != nil { // who has a session there has to reach it
		t.Errorf("not ready while the disk is full: %v", err)
	}
	refused := func() bool {
		p := brokertest.NewPublish("t", "m", atQoS(qos1, pub.NextID()))
		pub.Send(p)
		return brokertest.Expect[*packet.Ack](pub).Reason == packet.ReasonQuotaExceeded
	}
	brokertest.WaitFor(t, "publishers to be refused", refused)
	c.Send(&packet.Pingreq{})
	for { // what was taken until then
		if _, ok := c.Next().(*packet.Pingresp); ok {
			break
		}
	}

	pub.Send(brokertest.NewPublish("t", "m", atQoS(qos2, 999)))
	pub.Expect(ackReason(packet.TypePubrec, 999, packet.ReasonQuotaExceeded))
	pub.Publish("other", "those who are there get it", qos1)
	passing.ExpectPublish("other", "those who are there get it")
	old.Send(brokertest.NewPublish("t", "m", atQoS(qos1, 1)))
	old.ExpectClosed()
	c.Send(&packet.Subscribe{ID: 9, Subscriptions: []packet.Subscription{{Filter: []byte("u")}}})
	c.Expect(&packet.Suback{ID: 9, Reasons: []packet.ReasonCode{packet.ReasonQuotaExceeded}})
	c.Unsubscribe("t")
	for _, v := range []packet.Version{v311, v5} {
		refusedConnect := b.Dial(t, v)
		refusedConnect.Send(brokertest.NewConnect("new", brokertest.Persistent))
		refusedConnect.ExpectRefused(packet.ReasonQuotaExceeded)
		b.Connect(t, v, "passes").ExpectSilence()
	}

	st.ail(nil)
	brokertest.WaitFor(t, "sessions to be taken", func() bool {
		next := b.Dial(t, v5)
		next.Send(brokertest.NewConnect("new", brokertest.Persistent))
		return !brokertest.Expect[*packet.Connack](next).Reason.IsError()
	})
	if err := b.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
}
