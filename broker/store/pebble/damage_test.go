package pebble_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	driver "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/pebble"
)

// fill leaves a store with sessions a and b, for each of which a message of its
// own waits and one of both, and two retained messages.
func fill(t testing.TB, s *pebble.Store) {
	t.Helper()
	load(t, s)
	message := func(topic, payload string) *session.Message {
		return &session.Message{Topic: topic, Payload: []byte(payload), QoS: packet.QoS1}
	}
	b := &store.Batch{Retained: []*session.Message{message("r/1", "x"), message("r/2", "y")}}
	both := message("t", "both")
	for _, id := range []string{"a", "b"} {
		b.Sessions = append(b.Sessions, store.Session{ClientID: id, Received: []uint16{7}})
		b.Deliveries = append(b.Deliveries, store.Delivery{
			ClientID: id, Delivery: &session.Delivery{Message: both, QoS: packet.QoS1, Seq: 1},
		})
	}
	for _, id := range []string{"a", "b"} {
		b.Deliveries = append(b.Deliveries, store.Delivery{
			ClientID: id, Delivery: &session.Delivery{Message: message("t", "own"), QoS: packet.QoS1, Seq: 2},
		})
	}
	done := make(chan error, 1)
	s.Commit(b, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// damage sets a key behind the store's back; without a value it removes it.
func damage(t testing.TB, fs vfs.FS, key, value string) {
	t.Helper()
	db, err := driver.Open("store", &driver.Options{FS: fs, FormatMajorVersion: driver.FormatNewest, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	if value == "" {
		err = db.Delete([]byte(key), driver.Sync)
	} else {
		err = db.Set([]byte(key), []byte(value), driver.Sync)
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedRecordIsLeftOut(t *testing.T) {
	const id = "\x00\x00\x00\x00\x00\x00\x00"
	for name, tc := range map[string]struct {
		key, value string
		damaged    int
		lost       string // that the log names
		sessions   int
		waiting    int
		retained   int
	}{
		"a session":                    {"sa\x00\x00", "?", 1, "client=a", 1, 2, 2},
		"the record of a session":      {"sa\x00\x00", "", 1, "client=a", 1, 2, 2},
		"a delivery":                   {"sa\x00\x02" + id + "\x02", "?", 1, "client=a number=2", 2, 3, 2},
		"the quality of a delivery":    {"sa\x00\x02" + id + "\x01", "\x01\x07\x00\x00\x00" + id + "\x01", 1, "client=a number=1", 2, 3, 2},
		"a message of two sessions":    {"m" + id + "\x01", "?", 3, "client=b number=1", 2, 2, 2},
		"a retained message":           {"tr/1", "?", 1, "topic=r/1", 2, 4, 1},
		"the key of a message":         {"m?", "?", 1, "nothing", 2, 4, 2},
		"the key of a session":         {"s?", "?", 1, "nothing", 2, 4, 2},
		"the key of a part of session": {"sb\x00\x01?????", "?", 1, "nothing", 2, 4, 2},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s := open(t, fs, "store")
			fill(t, s)
			closeStore(t, s)
			damage(t, fs, tc.key, tc.value)
			for round, damaged := range []int{tc.damaged, 0} { // it is removed at once
				var log bytes.Buffer
				s, err := pebble.Open(pebble.Options{Dir: "store", FS: fs, Logger: slog.New(slog.NewTextHandler(&log, nil))})
				if err != nil {
					t.Fatal(err)
				}
				l := load(t, s)
				if len(l.sessions) != tc.sessions || len(l.waiting) != tc.waiting || len(l.retained) != tc.retained {
					t.Errorf("load %d: %+v", round, l)
				}
				if s.Damaged() != damaged || damaged > 0 && !strings.Contains(log.String(), tc.lost) {
					t.Errorf("load %d leaves %d records out, want %d; log:\n%s", round, s.Damaged(), damaged, log.String())
				}
				closeStore(t, s)
			}
		})
	}
}

// The database's own checksums are not passed over.
func TestADamagedFileIsAnError(t *testing.T) {
	dir := t.TempDir()
	s := open(t, nil, dir)
	fill(t, s)
	closeStore(t, s)
	closeStore(t, open(t, nil, dir)) // which makes a table of the log
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("no tables: %v", err)
	}
	for _, table := range tables {
		b, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		b[10] ^= 0xff
		if err := os.WriteFile(table, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var stopped any
	func() {
		defer func() { stopped = recover() }() // the database has it end the process
		if s, err = pebble.Open(pebble.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)}); err == nil {
			err = s.Load(&seen{map[string]bool{}, map[string]bool{}, map[string]string{}})
			closeStore(t, s)
		}
	}()
	if err == nil && stopped == nil {
		t.Error("a damaged file is loaded")
	}
}
