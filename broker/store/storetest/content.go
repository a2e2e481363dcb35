package storetest

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

// Content is all that a store has.
type Content struct {
	Sessions map[uint64]store.Session
	Received map[uint64][]uint16
	Sent     map[uint64][]store.Sent
	Waiting  map[uint64][]session.Waiting
	// Subscriptions by the number of their session.
	Subscriptions map[uint64][]session.Subscription
	Stubs         map[string]store.Retained // of retained messages
	// Deliveries and Retained are read after Load.
	Deliveries map[uint64][]*session.Delivery
	Retained   map[string]*session.Message

	stage   int // of Load
	current uint64
}

// NewContent returns the content of an empty store.
func NewContent() *Content {
	return &Content{
		Sessions: map[uint64]store.Session{},
		Received: map[uint64][]uint16{}, Sent: map[uint64][]store.Sent{}, Waiting: map[uint64][]session.Waiting{},
		Subscriptions: map[uint64][]session.Subscription{},
		Stubs:         map[string]store.Retained{},
		Deliveries:    map[uint64][]*session.Delivery{}, Retained: map[string]*session.Message{},
	}
}

// Read loads st and reads the bodies of all that it tells.
func Read(t testing.TB, st store.Store) *Content {
	t.Helper()
	c, err := TryRead(st)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TryRead is Read of a store that may be damaged.
func TryRead(st store.Store) (*Content, error) {
	c := NewContent()
	if err := st.Load(c); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	for id := range c.Sessions {
		ds, err := st.Deliveries(id, 0, math.MaxInt, math.MaxInt)
		if err != nil {
			return nil, fmt.Errorf("deliveries of session %d: %w", id, err)
		}
		c.Deliveries[id] = ds
	}
	topics := slices.Sorted(maps.Keys(c.Stubs))
	ms, err := st.Retained(topics)
	if err != nil {
		return nil, fmt.Errorf("retained messages: %w", err)
	}
	for i, topic := range topics {
		c.Retained[topic] = ms[i]
	}
	return c, nil
}

// The order in which a store tells what it has, and within a session.
const (
	toldSession = iota
	toldPart
	toldReceived
	toldSent
	toldWaiting
	toldSubscription
	toldRetained
)

// come reports an error where what is told comes too late.
func (c *Content) come(stage int, id uint64) error {
	if stage > toldPart && stage < toldRetained {
		if _, ok := c.Sessions[id]; !ok {
			return fmt.Errorf("there is no session %d", id)
		}
		if id != c.current {
			if len(c.Received[id])+len(c.Sent[id])+len(c.Waiting[id])+len(c.Subscriptions[id]) > 0 {
				return fmt.Errorf("session %d comes again", id)
			}
			c.current, c.stage = id, min(c.stage, toldPart)
		}
	}
	if stage < c.stage {
		return fmt.Errorf("stage %d of loading behind stage %d", stage, c.stage)
	}
	c.stage = stage
	return nil
}

// LoadSession implements store.Loader.
func (c *Content) LoadSession(s store.Session) error {
	if _, twice := c.Sessions[s.ID]; twice {
		return fmt.Errorf("session %d is loaded twice", s.ID)
	}
	c.Sessions[s.ID] = s
	return c.come(toldSession, s.ID)
}

// LoadReceived implements store.Loader.
func (c *Content) LoadReceived(id uint64, packetID uint16) error {
	err := c.come(toldReceived, id)
	c.Received[id] = append(c.Received[id], packetID)
	return err
}

// LoadSent implements store.Loader.
func (c *Content) LoadSent(s store.Sent) error {
	err := c.come(toldSent, s.Session)
	if before := c.Sent[s.Session]; len(before) > 0 && before[len(before)-1].Seq >= s.Seq {
		return fmt.Errorf("number %d that was sent behind %d", s.Seq, before[len(before)-1].Seq)
	}
	c.Sent[s.Session] = append(c.Sent[s.Session], s)
	return err
}

// LoadWaiting implements store.Loader.
func (c *Content) LoadWaiting(id uint64, w session.Waiting) error {
	err := c.come(toldWaiting, id)
	if before := c.Waiting[id]; len(before) > 0 && before[len(before)-1].Seq >= w.Seq {
		return fmt.Errorf("number %d that waits behind %d", w.Seq, before[len(before)-1].Seq)
	}
	c.Waiting[id] = append(c.Waiting[id], w)
	return err
}

// LoadSubscription implements store.Loader.
func (c *Content) LoadSubscription(id uint64, sub session.Subscription) error {
	err := c.come(toldSubscription, id)
	if slices.ContainsFunc(c.Subscriptions[id], func(s session.Subscription) bool { return s.Filter == sub.Filter }) {
		return fmt.Errorf("subscription to %q of session %d is loaded twice", sub.Filter, id)
	}
	c.Subscriptions[id] = append(c.Subscriptions[id], sub)
	return err
}

// LoadRetained implements store.Loader.
func (c *Content) LoadRetained(r store.Retained) error {
	if _, twice := c.Stubs[r.Topic]; twice {
		return fmt.Errorf("retained message of %q is loaded twice", r.Topic)
	}
	c.Stubs[r.Topic] = r
	return c.come(toldRetained, 0)
}

// String says all that counts of c, so that two stores with the same content are
// told apart by nothing.
func (c *Content) String() string {
	var s strings.Builder
	for _, id := range slices.Sorted(maps.Keys(c.Sessions)) {
		r := c.Sessions[id]
		fmt.Fprintf(&s, "session %d %q %q %t %v %d %s\n", id, r.ClientID, r.Username, r.Anonymous, r.Expiry,
			at(r.Disconnected), will(r.Will))
		slices.SortFunc(c.Subscriptions[id], func(a, b session.Subscription) int { return cmp.Compare(a.Filter, b.Filter) })
		fmt.Fprintf(&s, " subscriptions %+v\n", c.Subscriptions[id])
		fmt.Fprintf(&s, " received %v\n", slices.Sorted(slices.Values(c.Received[id])))
		fmt.Fprintf(&s, " sent %+v\n waiting %+v\n", c.Sent[id], c.Waiting[id])
		for _, d := range c.Deliveries[id] {
			fmt.Fprintf(&s, " delivery %d message %d %v %t %v %q %s\n", d.Seq, d.ID, d.QoS, d.Retain, d.IDs, d.Shared, encoded(d.Message))
		}
	}
	for _, topic := range slices.Sorted(maps.Keys(c.Stubs)) {
		stub := c.Stubs[topic]
		fmt.Fprintf(&s, "retained %q %d %d %s\n", topic, stub.Size, at(stub.Expires), encoded(c.Retained[topic]))
	}
	return s.String()
}

func will(w *store.Will) string {
	if w == nil {
		return "no will"
	}
	return fmt.Sprintf("will at %d after %v %s", at(w.At), w.Delay, encoded(w.Message))
}

// at is t to the nanosecond, in any zone; 0 is none.
func at(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// encoded is what is sent of m, and when it expires.
func encoded(m *session.Message) string {
	if m == nil {
		return "missing"
	}
	var p packet.Publish
	m.Fill(&p, time.Unix(1700000000, 0))
	p.QoS, p.Retain, p.ID = m.QoS, m.Retain, 1
	return fmt.Sprintf("expires %d %x", at(m.Expires), sha256.Sum256(p.Append(nil, packet.V5)))
}
