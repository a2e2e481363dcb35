package pebble

import (
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Small returns o with so little memory for the database that few commits make
// it write and merge tables.
func Small(o Options) Options {
	o.tune = func(d *pebble.Options) {
		d.MemTableSize = 64 << 10
		d.L0CompactionThreshold = 2
		d.Cache = nil
		d.CacheSize = 1 << 20
	}
	return o
}

// Retry sets the time between attempts to write to a full disk.
func (s *Store) Retry(every time.Duration) { s.disk.retry = every }

// Look looks at the space that is left at once.
func (s *Store) Look() { s.look() }

// Messages returns the number of messages that have a key of their own.
func (s *Store) Messages() (n int) {
	if err := s.beginRead(); err != nil {
		panic(err)
	}
	defer s.readers.Done()
	must(scan(s.db, []byte{prefixMessage}, []byte{prefixMessage + 1}, func(_, _ []byte) error {
		n++
		return nil
	}))
	return n
}

// Shared returns the number of messages that are counted in memory. It is called
// when nothing is committed.
func (s *Store) Shared() int { return len(s.writer.refs) }

// Written returns the bytes that were written to logs and tables.
func (s *Store) Written() uint64 {
	m := s.db.Metrics()
	n := m.WAL.BytesWritten
	for i := range m.Levels {
		l := &m.Levels[i]
		n += l.TableBytesFlushed + l.TableBytesCompacted + l.BlobBytesFlushed + l.BlobBytesCompacted
	}
	return n
}
