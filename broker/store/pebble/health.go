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

var errFull = errors.New("the disk is full; commits wait for space")

// space is what the watcher has seen last.
type space struct {
	mu   sync.Mutex            // one looks at a time, so that nothing older is stored last
	low  atomic.Pointer[error] // nil while enough is free
	used atomic.Int64
}

// Health implements store.Store.
func (s *Store) Health() store.Health {
	return store.Health{Err: s.trouble(), Damaged: int(s.damaged.Load()), Disk: s.space.used.Load()}
}

func (s *Store) trouble() error {
	select {
	case <-s.failed:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.unusable()
	default:
	}
	if s.disk.full() {
		return errFull
	}
	if low := s.space.low.Load(); low != nil {
		return *low
	}
	return nil
}

// watch is the watcher's goroutine.
func (s *Store) watch() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		s.look()
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
		s.space.seen(u.AvailBytes, u.TotalBytes)
	}
	m := s.db.Metrics()
	used := m.DiskSpaceUsage() - m.WAL.PhysicalSize + max(m.WAL.PhysicalSize, m.WAL.Size) // the log that is written to
	s.space.used.Store(int64(used))
}

// seen judges how much is free. What is nearly full stays so until twice as much
// is free.
func (s *space) seen(free, total uint64) {
	least := min(lowBytes, total/lowPart)
	if s.low.Load() != nil {
		least *= 2
	}
	if free >= least {
		s.low.Store(nil)
		return
	}
	err := fmt.Errorf("the disk is nearly full: %d MiB of %d MiB are free", free>>20, total>>20)
	s.low.Store(&err)
}
