package router

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

// storedRetained returns the retained messages of a store, by topic.
func storedRetained(t testing.TB, st store.Store) map[string]string {
	t.Helper()
	var found retainedRecords
	if err := st.Load(&found); err != nil {
		t.Fatal(err)
	}
	bodies, err := st.Retained(found.topics)
	if err != nil {
		t.Fatal(err)
	}
	payloads := map[string]string{}
	for i, m := range bodies {
		payloads[found.topics[i]] = string(m.Payload)
	}
	return payloads
}

type retainedRecords struct {
	nothing
	topics []string
}

// LoadRetained implements store.Loader.
func (r *retainedRecords) LoadRetained(m store.Retained) error {
	r.topics = append(r.topics, m.Topic)
	return nil
}

// Rounds of two workers end in another order than that of their messages.
func TestRetainedMessagesAreStoredInTheOrderOfTheIndex(t *testing.T) {
	r, first := openWith(t, rules(t, allow("#")))
	second := newWorker(r)
	first.PublishMessage(&session.Message{Topic: "t", Payload: []byte("1"), Retain: true})
	second.PublishMessage(&session.Message{Topic: "t", Payload: []byte("2"), Retain: true})
	second.EndRound()
	first.EndRound()
	if got := storedRetained(t, r.store)["t"]; got != "2" {
		t.Errorf("%q is stored, want the last one", got)
	}
}

func TestRetainedMessagesOfManyWorkersAreStoredAsTheyAreInMemory(t *testing.T) {
	r, _ := openWith(t, rules(t, allow("#")))
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			w := newWorker(r)
			for n := range 200 {
				w.PublishMessage(&session.Message{Topic: "t", Payload: fmt.Append(nil, i, n), Retain: true})
				w.EndRound()
			}
		})
	}
	writers.Wait()
	k, _ := r.retained.Get("t")
	if got := storedRetained(t, r.store); len(got) != 1 || k.change != 8*200 {
		t.Errorf("%q is stored, and change %d is the last one of the index", got, k.change)
	}
}

// What is acknowledged waits for the retained message too.
func TestWorkerIsDirtyUntilARetainedMessageIsCommitted(t *testing.T) {
	_, w := openWith(t, rules(t, allow("#")))
	w.PublishMessage(&session.Message{Topic: "t", Payload: []byte("1"), Retain: true})
	if !w.Dirty() {
		t.Error("nothing waits for the store")
	}
	w.Commit(func(error) {})
	if w.Dirty() {
		t.Error("something waits after Commit")
	}
}

func TestTickRemovesExpiredRetainedMessages(t *testing.T) {
	r, w := openWith(t, rules(t, allow("#")))
	const n = 3 * sweepMost / 2
	for i := range n {
		m := &session.Message{Topic: fmt.Sprint("t/", i), Payload: []byte("m"), Retain: true}
		if i%2 == 0 {
			m.Expires = w.Now.Add(time.Minute)
		}
		w.PublishMessage(m)
	}
	w.Now = w.Now.Add(2 * time.Minute)
	w.Tick()
	w.Tick()
	w.EndRound()
	left, bytes := r.Retained()
	if size := (&session.Message{Topic: "t/0000", Payload: []byte("m")}).Size(); left != n/2 || bytes > int64(n/2*size) {
		t.Errorf("%d messages of %d bytes are left, want %d", left, bytes, n/2)
	}
	if got := len(storedRetained(t, r.store)); got != n/2 {
		t.Errorf("%d are stored, want %d", got, n/2)
	}
}

func TestLoadRemovesExpiredRetainedMessages(t *testing.T) {
	st := memory.New()
	now := time.Now()
	st.Commit(&store.Batch{Retained: []*session.Message{
		{Topic: "old", Payload: []byte("m"), Expires: now.Add(-time.Second)},
		{Topic: "new", Payload: []byte("m"), Expires: now.Add(time.Hour)},
	}}, nil)
	r := New(st, metrics.New(), rules(t), Limits{})
	if err := r.Load(now); err != nil {
		t.Fatal(err)
	}
	if got := storedRetained(t, st); len(got) != 1 || got["new"] == "" {
		t.Errorf("%v are stored", got)
	}
}
