package pebble

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwit-mqtt/godwit/broker/store"
)

// group is the batches that were handed over while an earlier group was applied,
// in one.
type group struct {
	all store.Batch
	// ends says where each batch ends in the slices of all.
	ends []lengths
	// done of those who wait for a batch of the group.
	done []func(error)
	// applied is closed when the group is; nil while nobody waits for that.
	applied chan struct{}
	size    int64 // of all, as the backlog counts it
}

// lengths of the slices of a batch, in their order.
type lengths [9]int

// groupSize is the number of batches, and of changes of a kind, up to which a
// group's memory is used again.
const groupSize = 1 << 14

func (g *group) add(b *store.Batch, done func(error)) {
	if done != nil {
		g.done = append(g.done, done)
	}
	if b.Empty() {
		return
	}
	a := &g.all
	a.Ended = append(a.Ended, b.Ended...)
	a.Sessions = append(a.Sessions, b.Sessions...)
	a.Subscriptions = append(a.Subscriptions, b.Subscriptions...)
	a.Deliveries = append(a.Deliveries, b.Deliveries...)
	a.Sent = append(a.Sent, b.Sent...)
	a.Done = append(a.Done, b.Done...)
	a.Retained = append(a.Retained, b.Retained...)
	a.Received = append(a.Received, b.Received...)
	a.Released = append(a.Released, b.Released...)
	g.ends = append(g.ends, lengths{
		len(a.Ended), len(a.Sessions), len(a.Subscriptions), len(a.Deliveries), len(a.Sent),
		len(a.Done), len(a.Retained), len(a.Received), len(a.Released),
	})
}

// each calls yield with the batches in order.
func (g *group) each(yield func(*store.Batch) bool) {
	a := &g.all
	var i lengths
	for _, j := range g.ends {
		if !yield(&store.Batch{
			Ended: a.Ended[i[0]:j[0]], Sessions: a.Sessions[i[1]:j[1]], Subscriptions: a.Subscriptions[i[2]:j[2]],
			Deliveries: a.Deliveries[i[3]:j[3]], Sent: a.Sent[i[4]:j[4]],
			Done: a.Done[i[5]:j[5]], Retained: a.Retained[i[6]:j[6]],
			Received: a.Received[i[7]:j[7]], Released: a.Released[i[8]:j[8]],
		}) {
			return
		}
		i = j
	}
}

func (g *group) empty() bool { return len(g.ends)+len(g.done) == 0 }

// reset empties g, and keeps its memory unless that is large.
func (g *group) reset() {
	if max(len(g.ends), len(g.all.Subscriptions), len(g.all.Deliveries), len(g.all.Done)) > groupSize {
		*g = group{}
		return
	}
	g.all.Reset()
	clear(g.done)
	g.ends, g.done, g.applied, g.size = g.ends[:0], g.done[:0], nil, 0
}

// Commit implements store.Store.
func (s *Store) Commit(b *store.Batch, done func(error)) {
	size := int64(b.Size())
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.unusable(); err != nil {
		if done != nil {
			go done(err)
		}
		return
	}
	s.next.add(b, done)
	s.next.size += size
	s.backlog.Add(size)
	wake(s.handed)
}

// wake tells whoever waits on c, of capacity 1, that there is something to do.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// commitAll is the committer's goroutine: it applies what is handed over, and
// does not wait until that is durable.
func (s *Store) commitAll() {
	defer close(s.applied)
	for {
		select {
		case <-s.handed:
		case <-s.failed:
			return
		}
		g, last := s.takeGroup()
		s.apply(g)
		if !s.putGroup(g) || last {
			return
		}
	}
}

func (s *Store) takeGroup() (g *group, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applying, s.next = s.next, s.spare
	return s.applying, s.closed
}

func (s *Store) apply(g *group) {
	s.reserve()
	for b := range g.each {
		s.writer.apply(b)
		if s.writer.batch.Len() >= writeSize {
			s.writer.write()
		}
	}
	if len(g.ends) > 0 {
		s.last++
		must(s.writer.batch.Set(keyLast, binary.BigEndian.AppendUint64(nil, s.last), nil))
	}
	s.writer.write()
	s.written.Store(s.last)
}

// putGroup hands those who wait for an applied group on to the reporter, and
// keeps the group for later. It reports false where the store has failed.
func (s *Store) putGroup(g *group) bool {
	s.mu.Lock()
	if s.cause != nil {
		s.mu.Unlock()
		return false
	}
	s.backlog.Add(-g.size)
	s.unreported = append(s.unreported, g.done...)
	if g.applied != nil {
		close(g.applied)
	}
	s.applying = nil
	s.mu.Unlock()
	wake(s.applied)
	g.reset()
	s.spare = g
	return true
}

// reportAll is the reporter's goroutine: it makes durable what was applied, and
// says so.
func (s *Store) reportAll() {
	var tick <-chan time.Time
	if s.options.SyncEvery > 0 {
		t := time.NewTicker(s.options.SyncEvery)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case _, more := <-s.applied:
			s.reportApplied()
			if !more {
				return
			}
		case <-tick:
			s.sync()
		case <-s.failed:
			return
		}
	}
}

// reportApplied reports to those who wait for what is applied by now.
func (s *Store) reportApplied() {
	s.mu.Lock()
	s.reporting, s.unreported = s.unreported, s.reporting
	n := len(s.reporting)
	s.mu.Unlock()
	if n == 0 {
		return
	}
	if s.options.SyncEvery == 0 {
		s.sync()
	}
	s.report(nil)
}

// sync makes durable what was applied.
func (s *Store) sync() {
	last := s.written.Load()
	must(s.db.LogData(nil, pebble.Sync))
	s.durable.Store(last)
}

// report tells those whom the reporter has taken over that their commits are
// durable; or, with an error, all who wait that theirs never will be. Only one
// call at a time does that.
func (s *Store) report(err error) {
	s.telling.Lock()
	defer s.telling.Unlock()
	s.mu.Lock()
	if err == nil && s.cause != nil { // which another call reports
		s.mu.Unlock()
		return
	}
	done := s.reporting
	if err != nil {
		done = slices.Concat(done, s.unreported)
		if s.applying != nil {
			done = append(done, s.applying.done...)
		}
		done = append(done, s.next.done...)
		s.unreported, s.applying, s.next = nil, nil, &group{}
	}
	s.mu.Unlock()
	for _, done := range done {
		done(err)
	}
	s.mu.Lock()
	clear(s.reporting)
	s.reporting = s.reporting[:0]
	s.mu.Unlock()
}
