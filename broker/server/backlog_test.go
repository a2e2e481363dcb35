package server_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

// stuckStore is a store over a disk that takes nothing until it is let go. So that few
// bytes are many, each counts for a thousand.
type stuckStore struct {
	store.Store

	mu      sync.Mutex
	on      bool
	backlog int64
	waiting []func(error)
}

func newStuckStore() *stuckStore { return &stuckStore{Store: memory.New()} }

// Commit implements store.Store.
func (s *stuckStore) Commit(b *store.Batch, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.on {
		s.Store.Commit(b, done)
		return
	}
	s.Store.Commit(b, nil)
	s.backlog += int64(b.Size()) * 1000
	if done != nil {
		s.waiting = append(s.waiting, done)
	}
}

// Backlog implements store.Store.
func (s *stuckStore) Backlog() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.backlog
}

// Close implements store.Store: what waits is never reported.
func (s *stuckStore) Close() error { return nil }

// set has the disk take nothing any more, or all that waits.
func (s *stuckStore) set(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = on
	if !on {
		for _, done := range s.waiting {
			done(nil)
		}
		s.waiting, s.backlog = nil, 0
	}
}

// What a single packet adds beyond the bound at most, in this test.
const onePacket = 2 << 20

func TestWhatWaitsForTheStoreIsBounded(t *testing.T) {
	t.Parallel()
	const most, messages = 32 << 20, 100
	payload := strings.Repeat("x", 1000)
	for name, send := range map[string]func(c *brokertest.Client, i int){
		"retained at QoS 0": func(c *brokertest.Client, i int) {
			c.Send(&packet.Publish{Topic: fmt.Append(nil, "r/", i), Payload: []byte(payload), Retain: true})
		},
		"retained that are removed": func(c *brokertest.Client, i int) {
			c.Send(&packet.Publish{Topic: fmt.Append(nil, "r/", i, payload), Retain: true})
		},
		"for a durable session": func(c *brokertest.Client, i int) {
			c.Send(&packet.Publish{Topic: []byte("durable"), Payload: []byte(payload), QoS: qos1, ID: uint16(i + 1)})
		},
		"subscriptions": func(c *brokertest.Client, i int) {
			c.Send(withID(uint16(i+1), 0, fmt.Sprint(i, payload)))
		},
		"subscriptions that end": func(c *brokertest.Client, i int) {
			filter := fmt.Append(nil, i, payload)
			c.Send(&packet.Subscribe{ID: uint16(2*i + 1), Subscriptions: []packet.Subscription{{Filter: filter}}})
			c.Send(&packet.Unsubscribe{ID: uint16(2*i + 2), Filters: [][]byte{filter}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := newStuckStore()
			b := brokertest.Open(t, brokertest.Options{Store: st})
			b.Connect(t, v5, "durable", brokertest.Persistent).Subscribe("durable", qos1)
			c := b.Connect(t, v5, "busy", brokertest.Persistent)
			other := b.Connect(t, v5, "other")
			other.Subscribe("live", qos1)
			st.set(true)
			for i := range messages {
				send(c, i)
			}
			c.Send((*packet.Pingreq)(nil))
			brokertest.WaitFor(t, "the bound", func() bool { return b.Metrics.Total(metrics.StoreDelayed) > 0 })
			if got := st.Backlog(); got < most || got > most+onePacket {
				t.Errorf("%d bytes wait, and the bound is %d", got, most)
			}
			late := b.Dial(t, v5)
			late.Send(brokertest.NewConnect("late", brokertest.Persistent, brokertest.Will("w", payload)))
			other.Publish("live", "m", qos0) // who writes nothing goes on
			if _, ok := other.Next().(*packet.Publish); !ok {
				t.Error("somebody else's message does not come")
			}
			b.Connect(t, v5, "passing").Subscribe("live", qos1)
			if got := st.Backlog(); got > most+onePacket {
				t.Errorf("%d bytes wait after a CONNECT, and the bound is %d", got, most)
			}
			st.set(false)
			if ack, ok := late.Next().(*packet.Connack); !ok || ack.Reason != 0 {
				t.Errorf("CONNECT is answered by %v", ack)
			}
			brokertest.WaitFor(t, "all packets", func() bool {
				_, pong := c.Next().(*packet.Pingresp)
				return pong
			})
		})
	}
}

func TestABrokerEndsWhileClientsWaitForTheStore(t *testing.T) {
	t.Parallel()
	st := newStuckStore()
	b := brokertest.Open(t, brokertest.Options{Store: st})
	c := b.Connect(t, v5, "busy")
	st.set(true)
	for i := range 100 {
		c.Send(&packet.Publish{Topic: fmt.Append(nil, "r/", i), Payload: make([]byte, 1000), Retain: true})
	}
	late := b.Dial(t, v5)
	late.Send(brokertest.NewConnect("late", brokertest.Persistent))
	brokertest.WaitFor(t, "the bound", func() bool { return b.Metrics.Total(metrics.StoreDelayed) > 0 })
	b.Stop()
}
