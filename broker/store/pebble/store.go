package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwit-mqtt/godwit/broker/store"
)

// formatVersion of what is on disk.
const formatVersion = 3

// Options of a Store.
type Options struct {
	// Dir is where the store is, and is made if it is not there.
	Dir string
	// SyncEvery bounds what a power cut can take of what was committed. 0 syncs
	// before a commit is reported.
	SyncEvery time.Duration
	Logger    *slog.Logger
	// OpenFiles is how many files the store keeps open; 0 is 1000. While a merge of
	// tables runs it has some more.
	OpenFiles int
	// FS to be used in place of the operating system's; nil is that one.
	FS vfs.FS

	tune func(*pebble.Options) // of tests
}

// Store is a store.Store on disk. One process at a time may open a directory.
type Store struct {
	options Options
	disk    *disk
	db      *pebble.DB
	writer  *writer // of Load, and then of the committer
	spare   *group  // of the committer, empty: what is to be next

	lastID   atomic.Uint64
	reserved uint64        // of the committer; see reserve
	last     uint64        // group, of the committer
	written  atomic.Uint64 // last, once it is applied
	durable  atomic.Uint64 // what written was before the last sync
	marked   uint64        // durable when it was written down; see mark
	flushed  uint64        // of the watcher: written when it was flushed; see relieve
	damaged  atomic.Int64
	backlog  atomic.Int64 // the sizes of next and applying
	space    space

	running sync.WaitGroup // the store's goroutines
	readers sync.WaitGroup
	handed  chan struct{} // capacity 1: next is not empty, or closed is set
	applied chan struct{} // capacity 1: unreported is not empty; closed at the end of the committer
	closing chan struct{} // closed by Close
	failed  chan struct{} // closed with cause

	telling sync.Mutex // held while commits are reported; taken before mu

	mu       sync.Mutex
	next     *group // takes what comes
	applying *group // by the committer, nil while that waits
	// unreported commits are applied; the reporter has taken over reporting.
	unreported, reporting []func(error)
	closed                bool
	cause                 error // why the store has failed
}

// Open opens the store in a directory, which no other process has open. It does
// not wait for space on a full disk, but gives up the reserve.
func Open(o Options) (*Store, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	s := &Store{
		options: o,
		handed:  make(chan struct{}, 1), applied: make(chan struct{}, 1),
		closing: make(chan struct{}), failed: make(chan struct{}),
		next: &group{}, spare: &group{},
	}
	err := o.FS.MkdirAll(o.Dir, 0o755)
	s.disk = newDisk(o.FS, o.Logger, newReserve(o.FS, o.Dir, o.Logger), s.fail)
	if err == nil {
		err = s.do(s.open)
	}
	if err != nil {
		s.disk.halt()
		s.disk.unlock()
		return nil, fmt.Errorf("open store in %s: %w", o.Dir, err)
	}
	s.look()
	s.disk.serve()
	s.run(s.commitAll)
	s.run(s.reportAll)
	s.run(s.watch)
	return s, nil
}

// do waits for what opens or closes the database, unless the store fails under
// it.
func (s *Store) do(what func() error) error {
	end := make(chan error, 1)
	go func() {
		defer s.guard()
		end <- what()
	}()
	select {
	case err := <-end:
		return err
	case <-s.failed:
		return s.failure()
	}
}

// run starts a goroutine of the store.
func (s *Store) run(what func()) {
	s.running.Go(func() {
		defer s.guard()
		what()
	})
}

// guard makes a panic a failure of the store.
func (s *Store) guard() {
	if p := recover(); p != nil {
		s.fail(fmt.Errorf("%v", p))
	}
}

// Backlog implements store.Store.
func (s *Store) Backlog() int64 { return s.backlog.Load() }

// NextID implements store.Store.
func (s *Store) NextID() uint64 { return s.lastID.Add(1) }

// numbers are reserved so many at a time.
const numbers = 1 << 20

// reserve sees to it that no number of a record is above the one that is stored,
// from which the next start goes on. It is moved along long before it is
// reached, so that neither is one that was returned and not stored yet.
func (s *Store) reserve() {
	if last := s.lastID.Load(); last+numbers/2 >= s.reserved {
		s.reserved = last + numbers
		must(s.writer.batch.Set(keyNumbers, binary.BigEndian.AppendUint64(nil, s.reserved), nil))
	}
}

// fail records that nothing can be made durable any more, and why. The first
// reason counts.
func (s *Store) fail(err error) {
	s.mu.Lock()
	again := s.cause != nil
	if !again {
		s.cause = err
		s.backlog.Store(0) // nothing waits any more
		s.disk.halt()
		close(s.failed)
	}
	err = s.unusable()
	s.mu.Unlock()
	if again {
		return
	}
	s.options.Logger.Error(err.Error())
	go s.report(err)
}

// failure returns why the store has failed.
func (s *Store) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// unusable returns why nothing is taken. mu is held.
func (s *Store) unusable() error {
	switch {
	case s.cause != nil:
		return fmt.Errorf("the store has failed, and takes nothing until the broker starts again: %w", s.cause)
	case s.closed:
		return store.ErrClosed
	}
	return nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	close(s.closing)
	s.disk.stopWaiting()
	wake(s.handed)
	err := s.do(func() error {
		s.running.Wait()
		s.readers.Wait()
		if err := s.failure(); err != nil {
			return err
		}
		s.mark()
		return errors.Join(s.writer.batch.Close(), s.db.Close())
	})
	s.disk.halt()
	s.disk.unlock()
	if err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}
