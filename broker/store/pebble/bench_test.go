package pebble_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/pebble"
)

// nothing takes what is loaded, and counts it.
type nothing struct{ sessions, waiting, retained int }

func (n *nothing) LoadSession(store.Session) error                   { n.sessions++; return nil }
func (*nothing) LoadReceived(uint64, uint16) error                   { return nil }
func (*nothing) LoadSent(store.Sent) error                           { return nil }
func (n *nothing) LoadWaiting(uint64, session.Waiting) error         { n.waiting++; return nil }
func (*nothing) LoadSubscription(uint64, session.Subscription) error { return nil }
func (n *nothing) LoadRetained(store.Retained) error                 { n.retained++; return nil }

// writer commits messages of one session, each of which is done when most others
// wait behind it.
type writer struct {
	st      *pebble.Store
	session uint64
	most    int
	payload []byte
	seq     uint64
	waiting []store.Done
	batch   store.Batch
	done    chan error
}

func newWriter(st *pebble.Store, id uint64, payload, most int) *writer {
	w := &writer{st: st, session: id, most: most, payload: noise(id, payload), done: make(chan error, 1)}
	w.batch.Sessions = []store.Session{{ID: id, ClientID: fmt.Sprint("client-", id)}}
	return w
}

// noise returns what cannot be compressed.
func noise(seed uint64, size int) []byte {
	random := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// commit commits n messages and waits until they are durable.
func (w *writer) commit(b *testing.B, n int) {
	for range n {
		w.seq++
		m := &session.Message{ID: w.st.NextID(), Topic: "sensors/kitchen/temperature", Payload: w.payload, QoS: packet.QoS1}
		d := &session.Delivery{Message: m, QoS: packet.QoS1, Seq: w.seq}
		w.batch.Deliveries = append(w.batch.Deliveries, store.Delivery{Session: w.session, Delivery: d})
		w.waiting = append(w.waiting, store.Done{Session: w.session, Seq: w.seq, Message: m.ID})
	}
	if over := len(w.waiting) - w.most; over > 0 {
		w.batch.Done = append(w.batch.Done, w.waiting[:over]...)
		w.waiting = append(w.waiting[:0], w.waiting[over:]...)
	}
	w.st.Commit(&w.batch, func(err error) { w.done <- err })
	w.batch.Reset()
	if err := <-w.done; err != nil {
		b.Error(err)
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, bc := range []struct{ batch, payload, waiting int }{
		{1, 100, 100}, {16, 100, 100}, {16, 4000, 100}, {16, 100, math.MaxInt}, {16, 4000, math.MaxInt},
	} {
		name := fmt.Sprintf("batch=%d/payload=%d/waiting=%d", bc.batch, bc.payload, bc.waiting)
		if bc.waiting == math.MaxInt {
			name = strings.Replace(name, fmt.Sprint(bc.waiting), "all", 1)
		}
		b.Run(name, func(b *testing.B) {
			const writers = 64
			st := open(b, nil, b.TempDir())
			defer closeStore(b, st)
			if err := st.Load(&nothing{}); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			var all sync.WaitGroup
			for id := range uint64(writers) {
				all.Go(func() {
					w := newWriter(st, id+1, bc.payload, bc.waiting)
					for range max(b.N/writers/bc.batch, 1) {
						w.commit(b, bc.batch)
					}
				})
			}
			all.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			b.ReportMetric(float64(st.Written())/float64(b.N), "disk-B/op")
		})
	}
}

// BenchmarkLoad loads a million messages that wait for 100,000 sessions, and as
// many that are retained.
func BenchmarkLoad(b *testing.B) {
	const sessions, waiting, retained = 100_000, 1_000_000, 1_000_000
	dir := b.TempDir()
	st := open(b, nil, dir)
	fillMany(b, st, sessions, waiting, retained)
	closeStore(b, st)
	for b.Loop() {
		before := heap()
		begin := time.Now()
		st := open(b, nil, dir)
		n := &nothing{}
		if err := st.Load(n); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(begin).Seconds(), "s/load")
		b.ReportMetric(float64(heap()-before)/1e6, "MB-kept")
		if n.sessions != sessions || n.waiting != waiting || n.retained != retained {
			b.Fatalf("loaded %+v", n)
		}
		closeStore(b, st)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func fillMany(b *testing.B, st *pebble.Store, sessions, waiting, retained int) {
	b.Helper()
	if err := st.Load(&nothing{}); err != nil {
		b.Fatal(err)
	}
	payload := noise(1, 200)
	var batch store.Batch
	done := make(chan error, 1)
	commit := func() {
		st.Commit(&batch, func(err error) { done <- err })
		batch.Reset()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	const each = 1000
	for i := range sessions {
		batch.Sessions = append(batch.Sessions, store.Session{
			ID: uint64(i + 1), ClientID: fmt.Sprint("client-", i), Username: "somebody",
		})
		batch.Subscriptions = append(batch.Subscriptions, store.Subscription{
			Session: uint64(i + 1), Subscription: session.Subscription{Filter: "sensors/#", QoS: packet.QoS1},
		})
		if i%each == each-1 {
			commit()
		}
	}
	for i := range waiting {
		m := &session.Message{ID: st.NextID(), Topic: "sensors/kitchen/temperature", Payload: payload, QoS: packet.QoS1}
		d := &session.Delivery{Message: m, QoS: packet.QoS1, Seq: uint64(i + 1)}
		batch.Deliveries = append(batch.Deliveries, store.Delivery{Session: uint64(i%sessions + 1), Delivery: d})
		if i%each == each-1 {
			commit()
		}
	}
	for i := range retained {
		m := &session.Message{Topic: fmt.Sprint("sensors/", i, "/temperature"), Payload: payload, QoS: packet.QoS1}
		batch.Retained = append(batch.Retained, m)
		if i%each == each-1 {
			commit()
		}
	}
}
