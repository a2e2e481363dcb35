package router

import (
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

// tapped is a store that shows the batches it is given.
type tapped struct {
	*memory.Store
	batch func(*store.Batch)
}

// Commit implements store.Store.
func (s *tapped) Commit(b *store.Batch, done func(error)) {
	s.batch(b)
	s.Store.Commit(b, done)
}

// A crash between the end of a session and the hand-over of what its share of a
// subscription has left cannot lose that.
func TestHandOverIsStoredWithTheEndOfTheSession(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, w *Worker, s *Subscriber, l *link){
		"of a client that gives it up": func(_ *testing.T, w *Worker, s *Subscriber, l *link) {
			var zero time.Duration
			w.Disconnect(s, l, true, &zero)
		},
		"that has expired": func(_ *testing.T, w *Worker, s *Subscriber, l *link) {
			w.Disconnect(s, l, true, nil)
			w.Now = w.Now.Add(90 * time.Minute)
			w.Tick()
		},
		"of a client that begins anew": func(t *testing.T, w *Worker, s *Subscriber, l *link) {
			w.Disconnect(s, l, true, nil)
			connect(t, w, "leaves", lasting, func(c *Connect) { c.CleanStart = true })
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := &tapped{Store: memory.New(), batch: func(*store.Batch) {}}
			r, w := openOver(t, st, rules(t, allow("#")))
			s, l := connect(t, w, "leaves", lasting)
			subscribe(t, w, s, "$share/g/t", packet.QoS1)
			publishTo(t, w, "t", packet.QoS1)
			stays, _ := connect(t, w, "stays", lasting, func(c *Connect) { c.Expiry = 3 * time.Hour })
			subscribe(t, w, stays, "$share/g/t", packet.QoS1)
			settle(r)
			together := false
			st.batch = func(b *store.Batch) {
				together = together || len(b.Done) == 1 && b.Done[0].Session == s.ID &&
					len(b.Deliveries) == 1 && b.Deliveries[0].Session == stays.ID
			}
			end(t, w, s, l)
			settle(r)
			if !together {
				t.Error("the end of the session and the hand-over are not stored together")
			}
		})
	}
}

// What a member of a shared subscription has left is handed over after a restart
// too.
func TestWhatWasLoadedIsHandedOver(t *testing.T) {
	r, w := openWith(t, rules(t, allow("#")))
	s, l := connect(t, w, "leaves", lasting)
	subscribe(t, w, s, "$share/g/t", packet.QoS1)
	w.Disconnect(s, l, true, nil)
	publishTo(t, w, "t", packet.QoS1)
	settle(r)
	next, later := openOver(t, r.store, rules(t, allow("#")))
	stays, to := connect(t, later, "stays")
	subscribe(t, later, stays, "$share/g/t", packet.QoS1)
	later.Now = w.Now.Add(2 * time.Hour)
	later.Tick()
	settle(next)
	if to.written != 1 {
		t.Errorf("%d messages come, want 1", to.written)
	}
}
