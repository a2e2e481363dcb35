package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// open opens the database and brings what is in it to the format of today.
func (s *Store) open() (err error) {
	if err := checkFiles(s.disk, s.options.Dir); err != nil {
		return err
	}
	s.db, err = pebble.Open(s.options.Dir, s.database())
	if err != nil {
		return err
	}
	s.writer = newWriter(s.db)
	if err := s.prepare(); err != nil {
		return errors.Join(err, s.writer.batch.Close(), s.db.Close())
	}
	return nil
}

// checkFiles refuses a directory that has data without the file that says which
// of it counts: the database would begin anew.
func checkFiles(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	switch {
	case errors.Is(err, os.ErrNotExist): // it is made
		return nil
	case err != nil:
		return err
	case slices.ContainsFunc(names, isManifest):
		return nil
	}
	for _, name := range names {
		switch filepath.Ext(name) {
		case ".sst", ".blob", ".log":
			return fmt.Errorf("%s is there, and the manifest that belongs to it is not: restore the directory, or remove it to begin with an empty store", name)
		}
	}
	return nil
}

func isManifest(name string) bool { return strings.HasPrefix(name, "marker.manifest.") }

// database returns the options of the database.
func (s *Store) database() *pebble.Options {
	o := &pebble.Options{
		FS:                 s.disk,
		Logger:             logger{s},
		MaxOpenFiles:       s.options.OpenFiles,
		EventListener:      s.events(),
		FormatMajorVersion: pebble.FormatNewest,

		// What is acknowledged soon is never in a table. The tables in memory count
		// as a part of the cache, so both together take CacheSize, unless the disk is
		// so slow that four of them wait.
		MemTableSize:                16 << 20,
		MemTableStopWritesThreshold: 4,
		CacheSize:                   64 << 20,
		// Commits do not wait for the merging of tables: they are on disk, and reads
		// take what they find.
		L0CompactionThreshold:      2,
		L0StopWritesThreshold:      1000,
		CompactionConcurrencyRange: func() (lower, upper int) { return 1, 2 },
	}
	if u, err := s.options.FS.GetDiskUsage(s.options.Dir); err == nil {
		fit(o, u.TotalBytes)
	}
	if s.options.tune != nil {
		s.options.tune(o)
	}
	return o
}

// fit has the files of the database fit into a small disk: logs, which are as
// large as the tables in memory, and what a compaction writes before it removes
// what it has read.
func fit(o *pebble.Options, disk uint64) {
	share := int(min(disk/64, 1<<30))
	o.MemTableSize = uint64(min(max(share, 1<<20), int(o.MemTableSize)))
	for i := range o.TargetFileSizes {
		o.TargetFileSizes[i] = int64(min(2<<20<<i, max(share, 2<<20)))
	}
}

// prepare checks the format of the store, and reserves numbers.
func (s *Store) prepare() error {
	version, err := s.number(keyVersion, 4)
	if err != nil {
		return fmt.Errorf("read the version of the store: %w", err)
	}
	switch version {
	case 0:
		if err := s.checkEmpty(); err != nil {
			return err
		}
	case 1:
		if err := s.convert1(); err != nil {
			return fmt.Errorf("convert the store from format 1: %w", err)
		}
	case 2:
		if err := s.convert2(); err != nil {
			return fmt.Errorf("convert the store from format 2: %w", err)
		}
	case formatVersion:
	default:
		return fmt.Errorf("it has format %d, and this release reads format %d; run the release that wrote it, or a newer one", version, formatVersion)
	}
	last, err := s.number(keyNumbers, 8)
	if err != nil {
		return fmt.Errorf("read the numbers of the store: %w", err)
	}
	s.lastID.Store(last)
	s.reserve()
	if s.last, err = s.number(keyLast, 8); err != nil {
		return fmt.Errorf("read the last commit of the store: %w", err)
	}
	if err := s.checkMark(); err != nil {
		return err
	}
	must(s.writer.batch.Set(keyVersion, binary.BigEndian.AppendUint32(nil, formatVersion), nil))
	s.writer.write()
	return s.db.LogData(nil, pebble.Sync)
}

// number returns the number under a key, which has size bytes; 0 if there is no
// such key.
func (s *Store) number(key []byte, size int) (n uint64, err error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(value) != size {
		return 0, errors.Join(errCorrupt, closer.Close())
	}
	for _, b := range value {
		n = n<<8 | uint64(b)
	}
	return n, closer.Close()
}

// checkEmpty refuses a store that has records and no version.
func (s *Store) checkEmpty() error {
	return scan(s.db, []byte{1}, []byte{0xff}, func([]byte, []byte) error {
		return fmt.Errorf("it has records, and its version is missing: %w", errCorrupt)
	})
}

// events makes the database's own troubles failures of the store. It would try
// what failed again without a pause.
func (s *Store) events() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			if isFull(err) { // a compaction that has yielded, and is tried again
				return
			}
			s.fail(err)
			select {}
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			s.fail(fmt.Errorf("%s is damaged: %w", info.Path, info.Details))
		},
	}
}

// logger hands what the database says to the broker's log.
type logger struct{ s *Store }

func (l logger) Infof(format string, args ...any) {
	l.s.options.Logger.Debug("store: " + fmt.Sprintf(format, args...))
}

func (l logger) Errorf(format string, args ...any) {
	l.s.options.Logger.Error("store: " + fmt.Sprintf(format, args...))
}

// Fatalf is called where the process is to end. The store ends instead, and the
// caller with it, which must not go on.
func (l logger) Fatalf(format string, args ...any) {
	l.s.fail(fmt.Errorf(format, args...))
	select {}
}
