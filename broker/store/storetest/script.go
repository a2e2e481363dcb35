package storetest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

// Script is a sequence of batches as an engine would commit them, with what is
// to be found in a store after each of them.
type Script struct {
	Batches []*store.Batch
	// after has the content of the store after so many batches.
	after []string
}

// author writes a script. It knows what is stored at each step.
type author struct {
	*rand.Rand
	sessions map[uint64]*waiting
	order    []uint64 // keys of sessions
	lastID   uint64
}

// waiting is what an author knows of a session.
type waiting struct {
	seq        uint64
	deliveries []store.Done // in order
	sent       map[uint64]bool
}

const (
	scriptSessions = 6
	scriptTopics   = 5
)

// NewScript writes a script of n batches, always the same for a seed.
func NewScript(seed uint64, n int) *Script {
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // the same script for the same seed
	a := &author{Rand: random, sessions: map[uint64]*waiting{}}
	s := &Script{after: []string{""}}
	model := memory.New()
	for range n {
		b := a.batch()
		s.Batches = append(s.Batches, b)
		model.Commit(b, nil)
		c, err := TryRead(model)
		if err != nil {
			panic(err) // a mistake of the script
		}
		s.after = append(s.after, c.String())
	}
	return s
}

// Clear returns a batch that leaves nothing of any script.
func (s *Script) Clear() *store.Batch {
	b := &store.Batch{}
	for id := range uint64(1000) {
		b.Ended = append(b.Ended, id)
	}
	for i := range scriptTopics {
		b.Retained = append(b.Retained, &session.Message{Topic: topic(i)})
	}
	return b
}

func topic(i int) string { return fmt.Sprint("retained/", i) }

// Check finds c to be what the script leaves after some batches, reported ones
// at least, and no batch half.
func (s *Script) Check(t testing.TB, c *Content, reported int) {
	t.Helper()
	got := c.String()
	for n := len(s.after) - 1; n >= reported; n-- {
		if s.after[n] == got {
			return
		}
	}
	for n, want := range s.after[:reported] {
		if want == got {
			t.Errorf("the store is as after %d batches, and %d were reported", n, reported)
			return
		}
	}
	t.Errorf("the store is as after no batch; %d were reported\ngot  %s\nwant %s", reported, got, s.after[reported])
}

func (a *author) batch() *store.Batch {
	b := &store.Batch{}
	if len(a.order) < 2 || len(a.order) < scriptSessions && a.IntN(4) == 0 {
		a.begin(b)
	} else if a.IntN(12) == 0 {
		a.end(b)
	}
	for range 1 + a.IntN(4) {
		switch a.IntN(9) {
		case 8:
			b.Subscriptions = append(b.Subscriptions, a.subscription())
		case 0, 1, 2:
			a.publish(b)
		case 3:
			a.send(b)
		case 4, 5:
			a.done(b)
		case 6:
			b.Retained = append(b.Retained, a.retained())
		case 7:
			id := store.Identifier{Session: a.session(), ID: uint16(a.IntN(3))}
			if a.IntN(2) == 0 {
				b.Received = append(b.Received, id)
			} else {
				b.Released = append(b.Released, id)
			}
		}
	}
	return b
}

func (a *author) nextID() uint64 {
	a.lastID++
	return a.lastID
}

func (a *author) session() uint64 { return a.order[a.IntN(len(a.order))] }

func (a *author) begin(b *store.Batch) {
	id := a.nextID()
	a.sessions[id] = &waiting{sent: map[uint64]bool{}}
	a.order = append(a.order, id)
	b.Sessions = append(b.Sessions, store.Session{
		ID: id, ClientID: fmt.Sprint("c", id), Username: "u", Expiry: time.Hour,
	})
}

// end ends a session, of which b changes nothing before.
func (a *author) end(b *store.Batch) {
	i := a.IntN(len(a.order))
	b.Ended = append(b.Ended, a.order[i])
	delete(a.sessions, a.order[i])
	a.order = append(a.order[:i:i], a.order[i+1:]...)
}

// publish has a message wait for some sessions.
func (a *author) publish(b *store.Batch) {
	m := a.message("t/x")
	m.ID = a.nextID()
	for _, id := range a.order {
		if a.IntN(3) > 0 {
			continue
		}
		w := a.sessions[id]
		w.seq++
		w.deliveries = append(w.deliveries, store.Done{Session: id, Seq: w.seq, Message: m.ID})
		b.Deliveries = append(b.Deliveries, wait(id, w.seq, m))
	}
}

func (a *author) message(topic string) *session.Message {
	size := []int{1, 50, 500, 3000}[a.IntN(4)]
	return &session.Message{
		Topic: topic, QoS: packet.QoS2, Payload: []byte(strings.Repeat(string(rune('a'+a.IntN(26))), size)),
	}
}

func (a *author) subscription() store.Subscription {
	return store.Subscription{
		Session: a.session(), Removed: a.IntN(3) == 0,
		Subscription: session.Subscription{Filter: fmt.Sprint("t/", a.IntN(4)), QoS: packet.QoS(a.IntN(3)), ID: a.Uint32N(1 << 28)},
	}
}

func (a *author) retained() *session.Message {
	m := a.message(topic(a.IntN(scriptTopics)))
	m.Retain = true
	if a.IntN(3) == 0 {
		m.Payload = nil
	}
	return m
}

// send brings the exchange of a delivery a step on.
func (a *author) send(b *store.Batch) {
	w := a.sessions[a.session()]
	if len(w.deliveries) == 0 {
		return
	}
	d := w.deliveries[a.IntN(min(3, len(w.deliveries)))]
	sent := w.sent[d.Seq]
	w.sent[d.Seq] = true
	b.Sent = append(b.Sent, store.Sent{Session: d.Session, Seq: d.Seq, Message: d.Message, ID: uint16(d.Seq), Released: sent})
}

func (a *author) done(b *store.Batch) {
	w := a.sessions[a.session()]
	if len(w.deliveries) == 0 {
		return
	}
	i := a.IntN(min(3, len(w.deliveries)))
	d := w.deliveries[i]
	w.deliveries = append(w.deliveries[:i:i], w.deliveries[i+1:]...)
	delete(w.sent, d.Seq)
	b.Done = append(b.Done, d)
}
