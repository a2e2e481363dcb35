package pebble

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-mqtt/godwit/broker/store"
)

const (
	// retryFull is the time between attempts to write to a full disk.
	retryFull = 100 * time.Millisecond
	// watchEvery is the time between looks at the space that is left.
	watchEvery = time.Second
	// The disk is nearly full where less than this is free, or less than that
	// part of it: removals have to be written too before they give space back.
	lowBytes = 64 << 20
	lowPart  = 20
)

var errFull = errors.New("the disk is full, and commits wait for space")

// space is what the watcher has seen last.
type space struct {
	mu   sync.Mutex            // one looks at a time, so that nothing older is stored last
	low  atomic.Pointer[error] // nil while enough is free
	used atomic.Int64
	// free and total bytes of the disk; 0 where they are not known.
	free, total atomic.Int64
}

// Health implements store.Store.
func (s *Store) Health() store.Health {
	h := store.Health{
		Damaged: int(s.damaged.Load()), Disk: s.space.used.Load(),
		Free: s.space.free.Load(), Total: s.space.total.Load(),
	}
	h.Failed, h.Err = s.trouble()
	return h
}

func (s *Store) trouble() (failed bool, err error) {
	select {
	case <-s.failed:
		s.mu.Lock()
		defer s.mu.Unlock()
		return true, s.unusable()
	default:
	}
	if s.disk.full() {
		return false, errFull
	}
	if low := s.space.low.Load(); low != nil {
		return false, *low
	}
	return false, nil
}

// watch is the watcher's goroutine.
func (s *Store) watch() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		s.look()
		s.relieve()
		s.mark()
		select {
		case <-tick.C:
		case <-s.closing:
			return
		case <-s.failed:
			return
		}
	}
}

func (s *Store) look() {
	s.space.mu.Lock()
	defer s.space.mu.Unlock()
	if u, err := s.disk.GetDiskUsage(s.options.Dir); err == nil {
		free, total := int64(min(u.AvailBytes, 1<<60)), int64(min(u.TotalBytes, 1<<60))
		free, missing := s.disk.spare.refill(free, leastFree(total))
		s.space.seen(free, missing, total)
		s.disk.scarce.Store(s.space.low.Load() != nil)
	}
	m := s.db.Metrics()
	used := m.DiskSpaceUsage() - m.WAL.PhysicalSize + max(m.WAL.PhysicalSize, m.WAL.Size) // the log that is written to
	s.space.used.Store(int64(used))
}

// relieve has what was removed leave the disk while that is nearly full: a table
// that is full goes there by itself, and little is written that would fill one.
func (s *Store) relieve() {
	written := s.written.Load()
	if s.space.low.Load() == nil || written == s.flushed {
		return
	}
	if _, err := s.db.AsyncFlush(); err != nil {
		s.options.Logger.Debug("the store cannot be flushed", "error", err)
		return
	}
	s.flushed = written
}

// leastFree is what has to be free of a disk that is not nearly full, besides the
// reserve.
func leastFree(total int64) int64 { return min(lowBytes, total/lowPart) }

// seen judges how much is free, of which the reserve takes what it misses. What is
// nearly full stays so until twice as much is free.
func (s *space) seen(free, missing, total int64) {
	s.free.Store(free)
	s.total.Store(total)
	least := leastFree(total)
	if s.low.Load() != nil {
		least *= 2
	}
	if free-missing >= least {
		s.low.Store(nil)
		return
	}
	err := fmt.Errorf("the disk is nearly full: %d MiB of %d MiB are free", free>>20, total>>20)
	s.low.Store(&err)
}
