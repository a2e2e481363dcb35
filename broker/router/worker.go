package router

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// Worker runs the router for one event loop. Only that loop's goroutine may use
// it.
type Worker struct {
	// Now is the time of this round, set by the loop.
	Now time.Time
	// Counts of this round, handed to the metrics by the loop.
	Counts metrics.Counts
	// Touched are the links that were written to in this round. Their loop
	// flushes each once, at its end.
	Touched []Link
	// Behind says that the last message went to a subscriber that does not keep up,
	// and may hold up its publisher. The loop gives it time, by not reading the
	// publisher for a while.
	Behind bool

	r         *Router
	post      func(func())
	routes    routes
	matches   topic.Matches[*Subscriber]
	frames    frames
	scratch   []byte
	outgoing  packet.Publish
	ids       []uint32
	batch     store.Batch
	owed      bool                // retained messages were handed to the store since the last Commit
	held      []held              // sent once batch is durable
	late      []store.Done        // for a batch behind that of another worker; see follow
	following bool                // late is asked for
	handed    atomic.Uint64       // batches that the store was given; other workers read it
	left      []*session.Delivery // of shared subscriptions, by sessions that have ended
	swept     swept
	waking    bool          // wakeSome was posted
	slow      []*Subscriber // that a message went to and that do not keep up
}

// NewWorker returns a Worker whose loop runs what is given to post, from any
// goroutine, soon and in order.
func (r *Router) NewWorker(post func(func())) *Worker {
	w := &Worker{r: r, post: post, Now: time.Now()}
	r.workers.add(w)
	return w
}

// workers are all Workers of a router.
type workers struct {
	mu  sync.Mutex
	all []*Worker
}

func (x *workers) add(w *Worker) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.all = append(x.all, w)
}

// settled calls then, from any goroutine, once every Worker has handed over to
// the store what it had changed before.
func (x *workers) settled(then func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var left atomic.Int32
	left.Store(int32(len(x.all)))
	for _, w := range x.all {
		w.post(func() {
			w.Settle()
			if left.Add(-1) == 0 {
				then()
			}
		})
	}
}

// Dirty reports whether calls since the last Commit have changed something
// durable, so that what is answered to the client has to wait for Commit.
func (w *Worker) Dirty() bool { return w.owed || !w.batch.Empty() }

// Commit makes durable what calls to w have changed since the last one. done
// runs on the worker's loop, later, in the order of the calls.
func (w *Worker) Commit(done func(error)) {
	w.owed = false
	w.commit(done)
}

// Settle hands changes over that nobody waits for. They are stored before those
// of later calls, of this worker and of others.
func (w *Worker) Settle() {
	if !w.batch.Empty() {
		w.commit(nil)
	}
}

// commit hands the batch over, and sends what is held once it is durable.
func (w *Worker) commit(done func(error)) {
	defer w.batch.Reset() // whatever the store does
	all := w.held
	w.held = nil
	defer w.handed.Add(1)
	if done == nil && all == nil {
		w.r.store.Commit(&w.batch, nil)
		return
	}
	w.r.store.Commit(&w.batch, func(err error) {
		w.post(func() {
			if err == nil {
				w.confirm(all)
			}
			if done != nil {
				done(err)
			}
		})
	})
}

// EndRound hands over the counts of the round, and settles what is left.
func (w *Worker) EndRound() {
	w.Settle()
	w.owed = false // nobody waits
	w.r.metrics.Add(&w.Counts)
}
