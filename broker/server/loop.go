package server

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/router"
)

// loop is one event loop: it reads the connections given to it, runs what they
// ask for, and at the end of each round flushes every connection that was written
// to, once. All fields but those of post belong to the goroutine that runs it;
// which one that is, its loopGroup decides.
type loop struct {
	server  *Server
	poller  *poller
	worker  *router.Worker
	events  []event
	read    []byte // what was read in this turn, parsed in place
	cipher  []byte // TLS records as they come from the socket
	wheel   wheel
	owed    int  // seconds by which wheel is late
	looking bool // lookOn is under way

	// Decoded packets, used again and again.
	publish     packet.Publish
	ack         packet.Ack
	subscribe   packet.Subscribe
	unsubscribe packet.Unsubscribe
	reply       []byte
	topic       []byte // that an alias stands for
	subscribed  []router.Subscribed
	reasons     []packet.ReasonCode

	beat   atomic.Int64 // when the loop last ticked, in Unix nanoseconds
	worked atomic.Int64 // nanoseconds in which there was something to do
	awake  atomic.Bool  // the loop will look at posted before it waits, or was woken
	mu     sync.Mutex
	posted []func()
	spare  []func()
}

// readSize is how much of a connection is read in one turn.
const readSize = 256 << 10

func newLoop(s *Server) (*loop, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	l := &loop{
		server: s,
		poller: p,
		read:   make([]byte, readSize),
	}
	l.worker = s.router.NewWorker(l.post)
	return l, nil
}

// post runs f on the loop's goroutine, soon. It may be called from any
// goroutine.
func (l *loop) post(f func()) {
	l.mu.Lock()
	l.posted = append(l.posted, f)
	l.mu.Unlock()
	if l.awake.CompareAndSwap(false, true) {
		l.poller.wake()
	}
}

func (l *loop) runPosted() {
	l.mu.Lock()
	todo := l.posted
	l.posted, l.spare = l.spare[:0], todo
	l.mu.Unlock()
	for i, f := range todo {
		todo[i] = nil
		l.guard(f)
	}
}

// guard keeps a fault from the rest of the round.
func (l *loop) guard(f func()) {
	defer func() {
		if r := recover(); r != nil {
			l.server.log.Error("panic in an event loop", "panic", r, "stack", stack())
		}
	}()
	f()
}

// closeAll ends the connections.
func (l *loop) closeAll() {
	for c := range l.server.table.all() {
		if c.loop == l {
			l.finish(c)
		}
	}
	l.worker.EndRound()
}

// finish closes c, whose handshake may have to end first.
func (l *loop) finish(c *conn) {
	for c.close(); c.state != stateClosed; {
		l.rest()
		if _, err := l.poller.wait(nil); err != nil {
			return
		}
		l.runPosted()
	}
}

// turn waits for something to do and does it.
func (l *loop) turn() error {
	l.rest()
	events, err := l.poller.wait(l.events[:0])
	if err != nil {
		return err
	}
	now := time.Now()
	l.serve(events, now)
	l.endRound()
	l.count(time.Since(now))
	return nil
}

// rest comes before a wait. What is posted from then on ends the wait.
func (l *loop) rest() {
	l.awake.Store(false)
	l.mu.Lock()
	pending := len(l.posted) > 0
	l.mu.Unlock()
	if pending {
		l.poller.wake()
	}
}

// serve does what there is to do, but for writing.
func (l *loop) serve(events []event, now time.Time) {
	l.awake.Store(true)
	l.events = events
	l.worker.Now = now
	for _, e := range events {
		l.server.ready(l, e)
	}
	l.runPosted()
	l.guard(l.worker.Settle) // before a client can answer to it
}

// endRound writes what was made by serve.
func (l *loop) endRound() {
	l.flush()
	l.guard(l.worker.EndRound)
}

// count adds to the time in which there was something to do.
func (l *loop) count(d time.Duration) { l.worked.Store(l.worked.Load() + int64(d)) }

// flush writes to each link that was touched. Writing may let waiting messages
// go on, which touches links again.
func (l *loop) flush() {
	for i := 0; i < len(l.worker.Touched); i++ {
		link := l.worker.Touched[i]
		l.worker.Touched[i] = nil
		l.flushLink(link)
	}
	l.worker.Touched = l.worker.Touched[:0]
}

// flushLink keeps a fault of one link from the others.
func (l *loop) flushLink(link router.Link) {
	defer func() {
		if r := recover(); r != nil {
			l.server.log.Error("panic while writing to a client", "panic", r, "stack", stack())
			link.Kick(packet.ReasonUnspecifiedError, "")
		}
	}()
	link.Flush(l.worker)
}
