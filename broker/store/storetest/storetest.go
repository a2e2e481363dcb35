// Package storetest is the suite that every store.Store passes, and a Script of
// commits whose outcome is known at each step, for stores that can be cut off.
package storetest

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

// Open opens what an earlier call has left, or something empty the first time.
// The suite closes a store before it opens the next.
type Open func(t testing.TB) store.Store

// Run runs the suite. fresh returns an Open over a place of its own.
func Run(t *testing.T, fresh func(t testing.TB) Open) {
	tests := map[string]func(*testing.T, *place){}
	for _, part := range []map[string]func(*testing.T, *place){commits, sessions, subscriptions, deliveries, exchanges, retained} {
		maps.Copy(tests, part)
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t.Run(name, func(t *testing.T) {
			p := &place{open: fresh(t)}
			defer p.close(t)
			tests[name](t, p)
		})
	}
}

// place is a storage and the store that is open over it.
type place struct {
	open Open
	st   store.Store
}

func (p *place) close(t testing.TB) {
	t.Helper()
	if p.st == nil {
		return
	}
	if err := p.st.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	p.st = nil
}

// reopen closes the store, opens it again and returns what it has.
func (p *place) reopen(t testing.TB) *Content {
	t.Helper()
	p.close(t)
	p.st = p.open(t)
	c := Read(t, p.st)
	if n := p.st.Health().Damaged; n != 0 {
		t.Errorf("%d records are left out", n)
	}
	return c
}

// after commits batches one by one to a store without content and returns what
// the next one has.
func (p *place) after(t testing.TB, batches ...*store.Batch) *Content {
	t.Helper()
	p.reopen(t)
	for _, b := range batches {
		Commit(t, p.st, b)
	}
	return p.reopen(t)
}

// Commit waits until b is durable.
func Commit(t testing.TB, st store.Store, b *store.Batch) {
	t.Helper()
	done := make(chan error, 1)
	st.Commit(b, func(err error) { done <- err })
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("commit: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the commit is not reported")
	}
}

// begin creates sessions.
func begin(ids ...uint64) *store.Batch {
	b := &store.Batch{}
	for _, id := range ids {
		b.Sessions = append(b.Sessions, store.Session{ID: id, ClientID: clientID(id), Expiry: time.Hour})
	}
	return b
}

func clientID(session uint64) string { return "client-" + string(rune('a'+session)) }

func message(id uint64, payload string) *session.Message {
	return &session.Message{ID: id, Topic: "t", Payload: []byte(payload), QoS: packet.QoS2}
}

// wait adds a message to a session.
func wait(id, seq uint64, m *session.Message) store.Delivery {
	return store.Delivery{Session: id, Delivery: &session.Delivery{Message: m, QoS: m.QoS, Seq: seq}}
}

// waits adds small messages to a session, each with a number of its own.
func waits(id uint64, seqs ...uint64) *store.Batch {
	b := &store.Batch{}
	for _, seq := range seqs {
		b.Deliveries = append(b.Deliveries, wait(id, seq, message(id<<48|seq, "small")))
	}
	return b
}

// done removes messages of waits from session 1.
func done(seqs ...uint64) *store.Batch {
	b := &store.Batch{}
	for _, seq := range seqs {
		b.Done = append(b.Done, store.Done{Session: 1, Seq: seq, Message: 1<<48 | seq})
	}
	return b
}

func retain(topic, payload string) *store.Batch {
	return &store.Batch{Retained: []*session.Message{{Topic: topic, Payload: []byte(payload), Retain: true}}}
}
