package pebble_test

import (
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/pebble"
	"github.com/godwit-mqtt/godwit/broker/store/storetest"
)

func open(t testing.TB, fs vfs.FS, dir string) *pebble.Store {
	t.Helper()
	s, err := pebble.Open(pebble.Options{Dir: dir, FS: fs, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeStore(t testing.TB, s *pebble.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t testing.TB) storetest.Open {
		dir := t.TempDir()
		return func(t testing.TB) store.Store { return open(t, nil, dir) }
	})
}

// openSmall opens a store that writes and merges tables soon.
func openSmall(fs vfs.FS) (*pebble.Store, error) {
	return pebble.Open(pebble.Small(pebble.Options{Dir: "store", FS: fs, Logger: slog.New(slog.DiscardHandler)}))
}

// openQuietly opens a store that may not be.
func openQuietly(fs vfs.FS) (*pebble.Store, error) {
	return pebble.Open(pebble.Options{Dir: "store", FS: fs, Logger: slog.New(slog.DiscardHandler)})
}
