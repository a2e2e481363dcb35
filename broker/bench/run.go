package bench

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// run is the loop and all that it owns. Only stopped may be touched by another
// goroutine.
type run struct {
	options   Options
	id        uint32
	copies    int  // deliveries of each message
	unbounded bool // nothing but the socket says when to send more
	clock     clock
	network   network
	report    func(Progress)

	clients     []*client // all of them, subscribers before publishers
	subscribers []*client
	publishers  []*client
	lasting     []*client // whose sessions are to be ended
	ready       int
	opening     int
	err         error // why the first connection was lost

	stage    string // of Progress
	sending  bool
	schedule schedule
	touched  []*client // publishers that may have something to send
	filling  []*client
	pings    pacer

	now      int64
	count    count
	latency  Histogram // of deliveries
	acks     Histogram // of acknowledgements
	connects Histogram
	lag      Histogram // of the loop behind its schedule
	from, to int64     // the messages whose latency counts were sent between
	ticker   ticker
	stopped  atomic.Bool
}

// Times of a run that are no options, in nanoseconds.
const (
	tick        = int64(10 * time.Millisecond)  // the loop looks around this often at least
	settle      = int64(300 * time.Millisecond) // between connecting and sending
	stall       = int64(time.Second)            // without a delivery: what is on its way is written off
	drainFor    = int64(2 * time.Second)        // without a delivery: nothing more will come
	goodbye     = int64(50 * time.Millisecond)
	lateAfter   = int64(time.Millisecond) // of a send
	never       = int64(1<<63 - 1)
	oncePerTick = int64(time.Second) // of progress
)

// Run puts the load on the broker and returns what was measured. It calls
// progress, if that is not nil, about once a second; the call holds up the loop.
//
// When ctx ends while messages are sent or connections held, Run stops early and
// returns what it has; Retained and Offline fail then. It fails if the options
// are wrong or a client cannot connect or subscribe; connections that are lost
// later are counted. In any case it ends lasting sessions and removes retained
// messages of Retained before it returns.
func Run(ctx context.Context, o Options, progress func(Progress)) (*Result, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	target, err := parseTarget(o.URL)
	if err != nil {
		return nil, err
	}
	r := newRun(o, progress)
	if r.network, err = newNetwork(ctx, &r.options, target); err != nil {
		return nil, err
	}
	defer r.network.close()
	defer context.AfterFunc(ctx, func() { r.stopped.Store(true) })()
	result, err := r.measure(ctx)
	if left := r.finish(); left != nil && err == nil {
		result.Warnings = append(result.Warnings, fmt.Sprintf("the broker may keep what this run has left there: %v", left))
	}
	return result, err
}

func newRun(o Options, progress func(Progress)) *run {
	r := &run{
		options: o, id: randomID(), copies: o.copies(), clock: newClock(), report: progress,
		unbounded: o.copies() == 0 && o.QoS == 0 && o.Rate == 0,
		stage:     stageConnect,
		from:      never,
	}
	if r.options.ClientIDPrefix == "" {
		r.options.ClientIDPrefix = fmt.Sprintf("bench-%08x-", r.id)
	}
	for i := range o.Subscribers {
		c := &client{run: r, number: i, name: fmt.Sprintf("%ss%d", r.options.ClientIDPrefix, i)}
		c.filters, c.subscriber = filters(&o, i), newSubscriber(&o)
		if o.Persistent || o.Scenario == Offline {
			c.session = lasting
		}
		r.subscribers = append(r.subscribers, c)
	}
	payloads := noise(&o)
	for i := range o.Publishers {
		c := &client{run: r, number: i, name: fmt.Sprintf("%sp%d", r.options.ClientIDPrefix, i)}
		c.publisher = newPublisher(&o, i)
		c.noise = payloads
		r.publishers = append(r.publishers, c)
	}
	r.clients = slices.Concat(r.subscribers, r.publishers)
	if o.KeepAlive > 0 {
		r.pings = pacer{interval: int64(o.KeepAlive) / 2 / int64(max(len(r.clients), 1))}
	}
	return r
}

func randomID() uint32 {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint32(b[:])
}

// filters are those of a subscriber.
func filters(o *Options, number int) (filters []string) {
	switch {
	case o.Scenario == Wildcard:
		for i := number; i < o.Filters; i += o.Subscribers {
			filters = append(filters, wildcardFilter(o.Topic, i))
		}
		return filters
	case o.Scenario == Retained:
		return []string{o.Topic + "/#"}
	case o.shared():
		return []string{levelWildcards(o.Topic)}
	default:
		return []string{expand(o.Topic, number)}
	}
}

// measure is the whole run but its end.
func (r *run) measure(ctx context.Context) (*Result, error) {
	s := samples{start: r.sample()}
	r.ticker.next, r.ticker.at = s.start.at+oncePerTick, s.start.at
	steps := []func(*samples) error{r.connect, r.load, r.drain}
	if r.options.stores() {
		steps = []func(*samples) error{r.goAway, r.connectPublishers, r.store, r.readBack}
	}
	for i, step := range steps {
		if err := step(&s); err != nil {
			return nil, err
		}
		if r.stopped.Load() && (i == 0 || r.options.stores()) {
			return nil, ctx.Err()
		}
	}
	return r.result(s), nil
}

// connect opens all connections.
func (r *run) connect(s *samples) error { return r.connectThese(r.clients, s) }

func (r *run) connectThese(clients []*client, s *samples) error {
	if err := r.connectAll(clients); err != nil {
		return err
	}
	s.connected = r.sample()
	err := r.turnUntil(s.connected.at + settle)
	s.ready = r.sample()
	return err
}

// load sends, if the scenario does, and takes a sample at either end of what is
// measured. It is no error if the broker goes away meanwhile.
func (r *run) load(s *samples) error {
	from := r.clock.now() + int64(r.options.WarmUp)
	to := from + int64(r.options.Duration)
	if r.options.Rate > 0 {
		r.schedule = newSchedule(r.options.Rate, r.clock.now(), to)
	}
	r.stage = stageWarmUp
	r.start(r.publishers)
	err := r.turnUntil(from)
	s.begin = r.sample()
	r.from, r.to, r.stage = from, to, stageMeasure
	if err == nil {
		err = r.turnUntil(to)
	}
	s.end = r.sample()
	r.to, r.stage = min(to, s.end.at), stageDrain
	r.schedule.end = r.to
	r.sending = r.options.Rate > 0 // what is due is sent
	if errors.Is(err, errAllLost) {
		return nil
	}
	return err
}

// start lets publishers send.
func (r *run) start(publishers []*client) {
	r.sending = true
	for _, c := range publishers {
		r.touch(c)
	}
}

// drain waits for what is on its way.
func (r *run) drain(*samples) error {
	r.stopped.Store(false) // that was the end of the load
	return r.await(r.complete, drainFor)
}

// await turns until something is done, or nothing more comes of the messages for
// so long.
func (r *run) await(done func() bool, patience int64) error {
	seen, since := r.count.received+r.count.acknowledged, r.clock.now()
	for !done() && r.ready > 0 && r.now-since < patience && !r.stopped.Load() {
		if err := r.turn(r.now + tick); err != nil {
			return err
		}
		if n := r.count.received + r.count.acknowledged; n != seen {
			seen, since = n, r.now
		}
	}
	return nil
}

// complete says that all that was sent has come, and was acknowledged.
func (r *run) complete() bool {
	if r.options.Rate > 0 && !r.schedule.done() {
		return false
	}
	return r.acknowledged() && r.count.delivered >= r.count.expected
}

// acknowledged says that publishers have nothing on its way.
func (r *run) acknowledged() bool {
	return !slices.ContainsFunc(r.publishers, func(c *client) bool {
		return c.state == ready && (c.due > 0 || c.inflight > 0 || len(c.out) > 0)
	})
}

var errAllLost = errors.New("the broker closed all connections")

// turnUntil runs the loop until a time, or until it is stopped.
func (r *run) turnUntil(end int64) error {
	seen, since := r.count.delivered, r.clock.now()
	for r.now = r.clock.now(); r.now < end && !r.stopped.Load(); {
		if err := r.turn(end); err != nil {
			return err
		}
		if r.ready == 0 {
			return fmt.Errorf("%w: %w", errAllLost, r.err)
		}
		if r.count.delivered != seen {
			seen, since = r.count.delivered, r.now
		}
		if r.now-since > stall {
			since = r.now
			r.writeOff()
		}
	}
	return nil
}

// writeOff lets publishers go on whose messages were dropped. They count as
// lost unless they come after all.
func (r *run) writeOff() {
	for _, c := range r.publishers {
		c.unreceived = 0
		r.touch(c)
	}
}

// turn sends what may be sent and handles what arrives, until end at the latest
// if nothing happens.
func (r *run) turn(end int64) error {
	r.now = r.clock.now()
	r.takeDue()
	r.fill()
	r.pingDue()
	r.progress()
	wait := min(end-r.now, tick)
	switch {
	case len(r.touched) > 0:
		wait = 0
	case r.options.Rate > 0 && r.sending:
		wait = r.schedule.wait(r.clock.now(), wait)
	}
	err := r.network.poll(time.Duration(max(wait, 0)))
	r.now = r.clock.now()
	return err
}

// takeDue hands the messages that are due to their publishers in turn.
func (r *run) takeDue() {
	if r.options.Rate == 0 || !r.sending {
		return
	}
	for {
		k, at, ok := r.schedule.take(r.now)
		if !ok {
			return
		}
		if r.now-at > lateAfter {
			r.count.lateSends++
		}
		if at >= r.from {
			r.lag.Record(r.now - at)
		}
		c := r.publishers[k%uint64(len(r.publishers))]
		c.due++
		r.touch(c)
	}
}

// touch notes that a publisher may have something to send.
func (r *run) touch(c *client) {
	if !c.touched {
		c.touched = true
		r.touched = append(r.touched, c)
	}
}

func (r *run) fill() {
	r.touched, r.filling = r.filling[:0], r.touched
	for _, c := range r.filling {
		c.fill()
	}
}

// account takes n messages that c has sent.
func (r *run) account(c *client, n int) {
	r.count.sent += uint64(n)
	r.count.expected += uint64(n * r.copies)
	if !r.options.stores() {
		c.unreceived += n * r.copies
	}
	if c.idAt >= 0 {
		c.inflight += n
	}
	if r.options.Rate > 0 {
		c.due -= n
	}
}

// record takes the latency of a message that was sent or due at a time, and was
// delivered or acknowledged now.
func (r *run) record(h *Histogram, at int64) {
	if at >= r.from && at < r.to {
		h.Record(r.now - at)
	}
}

func (r *run) pingDue() {
	for r.pings.interval > 0 {
		i, ok := r.pings.take(r.now)
		if !ok {
			return
		}
		r.clients[i%uint64(len(r.clients))].ping()
	}
}

// pacer counts up at a steady pace, and skips nothing.
type pacer struct {
	interval int64 // nanoseconds; zero counts nothing
	next     int64
	count    uint64
}

func (p *pacer) take(now int64) (n uint64, ok bool) {
	if p.next == 0 {
		p.next = now + p.interval
	}
	if now < p.next {
		return 0, false
	}
	p.next += p.interval
	p.count++
	return p.count - 1, true
}

// clock reads nanoseconds of Unix time that never go back within a run.
type clock struct {
	start time.Time
	unix  int64
}

func newClock() clock {
	start := time.Now()
	return clock{start, start.UnixNano()}
}

func (c clock) now() int64 { return c.unix + int64(time.Since(c.start)) }
