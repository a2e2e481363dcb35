package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwit-mqtt/godwit/broker/store"
)

// formatVersion of what is on disk.
const formatVersion = 1

// Options of a Store.
type Options struct {
	// Dir is where the store is, and is made if it is not there.
	Dir string
	// SyncEvery bounds what a power cut can take of what was committed. 0 syncs
	// before a commit is reported.
	SyncEvery time.Duration
	Logger    *slog.Logger
	// FS to be used in place of the operating system's; nil is that one.
	FS vfs.FS
}

// Store is a store.Store on disk. One process at a time may open a directory.
type Store struct {
	db      *pebble.DB
	options Options
	stopped chan struct{} // closed when the committer has ended
	wake    chan struct{} // capacity 1: next is not empty, or closed is set

	mu     sync.Mutex
	next   *group // takes what comes while the one before is committed
	closed bool
	// known sessions: changes of others are passed over. Each has the messages,
	// by the sequence number of its delivery, that have a key of their own; nil
	// while there are none.
	known  map[string]map[uint64]*body
	lastID uint64 // of a message

	damaged int // set by Load
}

// group is what is committed together.
type group struct {
	batch *pebble.Batch
	done  []func(error)
}

// body is a message that several deliveries share.
type body struct {
	id   uint64
	refs int
}

// ErrClosed is what commits get after Close.
var ErrClosed = errors.New("the store is closed")

// Open opens the store in a directory, which no other process has open.
func Open(o Options) (*Store, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	db, err := pebble.Open(o.Dir, &pebble.Options{
		FS:                 o.FS,
		Logger:             logger{o.Logger},
		FormatMajorVersion: pebble.FormatNewest,
		MemTableSize:       32 << 20,
	})
	if err != nil {
		return nil, fmt.Errorf("open store in %s: %w", o.Dir, err)
	}
	s := &Store{
		db: db, options: o,
		stopped: make(chan struct{}), wake: make(chan struct{}, 1),
		known: map[string]map[uint64]*body{},
	}
	s.next = s.newGroup()
	if err := s.checkVersion(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	go s.commitAll()
	return s, nil
}

func (s *Store) newGroup() *group { return &group{batch: s.db.NewBatch()} }

// checkVersion refuses the store of a newer release, and marks a new one.
func (s *Store) checkVersion() error {
	v, closer, err := s.db.Get(keyVersion)
	if errors.Is(err, pebble.ErrNotFound) {
		return s.db.Set(keyVersion, binary.BigEndian.AppendUint32(nil, formatVersion), pebble.Sync)
	}
	if err != nil {
		return fmt.Errorf("read the version of the store: %w", err)
	}
	defer func() { s.report(closer.Close()) }()
	if len(v) != 4 {
		return fmt.Errorf("read the version of the store: %w", errCorrupt)
	}
	if have := binary.BigEndian.Uint32(v); have != formatVersion {
		return fmt.Errorf("the store has format %d, and this release reads format %d; run the release that wrote it, or a newer one", have, formatVersion)
	}
	return nil
}

// Commit implements store.Store.
func (s *Store) Commit(b *store.Batch, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		if done != nil {
			go done(ErrClosed)
		}
		return
	}
	s.encode(b)
	if done != nil {
		s.next.done = append(s.next.done, done)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// commitAll is the committer's goroutine.
func (s *Store) commitAll() {
	defer close(s.stopped)
	sync := pebble.Sync
	var tick <-chan time.Time
	if s.options.SyncEvery > 0 {
		sync = pebble.NoSync
		t := time.NewTicker(s.options.SyncEvery)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-s.wake:
		case <-tick:
			s.report(s.db.LogData(nil, pebble.Sync))
			continue
		}
		g, last := s.takeGroup()
		s.commit(g, sync)
		if last {
			return
		}
	}
}

func (s *Store) report(err error) {
	if err != nil {
		s.options.Logger.Error("the store cannot be synced", "error", err)
	}
}

func (s *Store) takeGroup() (g *group, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, s.next = s.next, s.newGroup()
	return g, s.closed
}

func (s *Store) commit(g *group, sync *pebble.WriteOptions) {
	switch {
	case len(g.done) == 0:
		sync = pebble.NoSync
	case g.batch.Empty(): // else nothing would be synced of those before
		must(g.batch.LogData(nil, nil))
	}
	err := s.db.Apply(g.batch, sync)
	if err != nil {
		err = fmt.Errorf("commit: %w", err)
	}
	for _, done := range g.done {
		done(err)
	}
	s.report(g.batch.Close())
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
	select {
	case s.wake <- struct{}{}:
	default:
	}
	<-s.stopped
	err := s.next.batch.Close()
	if s.options.SyncEvery > 0 {
		err = errors.Join(err, s.db.LogData(nil, pebble.Sync))
	}
	if err := errors.Join(err, s.db.Close()); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// encode adds the changes of b to the next group. mu is held.
func (s *Store) encode(b *store.Batch) {
	w := s.next.batch
	for _, clientID := range b.Ended {
		s.end(clientID)
	}
	for i := range b.Sessions {
		s.putSession(&b.Sessions[i])
	}
	s.addDeliveries(b.Deliveries)
	for _, d := range b.Done {
		s.drop(d.ClientID, d.Seq)
	}
	for _, m := range b.Retained {
		if len(m.Payload) == 0 {
			must(w.Delete(retainedKey(m.Topic), nil))
		} else {
			must(w.Set(retainedKey(m.Topic), appendMessage(nil, m), nil))
		}
	}
	for _, i := range b.Received {
		if !s.knows(i.ClientID) {
			continue
		}
		must(w.Set(receivedKey(i.ClientID, i.ID), nil, nil))
	}
	for _, i := range b.Released {
		must(w.Delete(receivedKey(i.ClientID, i.ID), nil))
	}
}

// must holds for changes of a batch, which fail only after it was committed.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (s *Store) knows(clientID string) bool {
	_, ok := s.known[clientID]
	return ok
}

func (s *Store) putSession(rec *store.Session) {
	w := s.next.batch
	if !s.knows(rec.ClientID) {
		s.known[rec.ClientID] = nil
	}
	must(w.DeleteRange(sessionKey(rec.ClientID, partReceived), sessionKey(rec.ClientID, partDelivery), nil))
	must(w.Set(sessionKey(rec.ClientID, partRecord), appendSession(nil, rec), nil))
	for _, id := range rec.Received {
		must(w.Set(receivedKey(rec.ClientID, id), nil, nil))
	}
}

// addDeliveries writes each message once: within its delivery where that is the
// only one, and else under a key of its own.
func (s *Store) addDeliveries(ds []store.Delivery) {
	for i := 0; i < len(ds); {
		n := 1
		for i+n < len(ds) && ds[i+n].Message == ds[i].Message {
			n++
		}
		s.addMessage(ds[i : i+n])
		i += n
	}
}

// addMessage adds the deliveries of one message.
func (s *Store) addMessage(ds []store.Delivery) {
	ds = slices.DeleteFunc(slices.Clone(ds), func(d store.Delivery) bool { return !s.knows(d.ClientID) })
	var shared *body
	if len(ds) > 1 {
		s.lastID++
		shared = &body{id: s.lastID, refs: len(ds)}
		must(s.next.batch.Set(messageKey(shared.id), appendMessage(nil, ds[0].Message), nil))
	}
	for _, d := range ds {
		s.addDelivery(d, shared)
	}
}

func (s *Store) addDelivery(d store.Delivery, shared *body) {
	var id uint64
	if shared != nil {
		id = shared.id
		s.refer(d.ClientID, d.Seq, shared)
	}
	must(s.next.batch.Set(deliveryKey(d.ClientID, d.Seq), appendDelivery(nil, d.Delivery, id), nil))
}

// refer notes that a delivery has its message elsewhere.
func (s *Store) refer(clientID string, seq uint64, shared *body) {
	if s.known[clientID] == nil {
		s.known[clientID] = map[uint64]*body{}
	}
	s.known[clientID][seq] = shared
}

// drop removes a delivery, and its message with the last one.
func (s *Store) drop(clientID string, seq uint64) {
	must(s.next.batch.Delete(deliveryKey(clientID, seq), nil))
	if shared := s.known[clientID][seq]; shared != nil {
		delete(s.known[clientID], seq)
		s.release(shared)
	}
}

func (s *Store) release(shared *body) {
	if shared.refs--; shared.refs == 0 {
		must(s.next.batch.Delete(messageKey(shared.id), nil))
	}
}

// end removes a session.
func (s *Store) end(clientID string) {
	must(s.next.batch.DeleteRange(sessionKey(clientID, partRecord), sessionEnd(clientID), nil))
	for _, shared := range s.known[clientID] {
		s.release(shared)
	}
	delete(s.known, clientID)
}

// logger hands what the database says to the broker's log.
type logger struct{ log *slog.Logger }

func (l logger) Infof(format string, args ...any) {
	l.log.Debug("store: " + fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.log.Error("store: " + fmt.Sprintf(format, args...))
}

// Fatalf ends the process: what was not reported as committed is not, and the
// next start recovers what was.
func (l logger) Fatalf(format string, args ...any) {
	message := "store: " + fmt.Sprintf(format, args...)
	l.log.Error(message)
	panic(message)
}
