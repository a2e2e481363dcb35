package pebble_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	driver "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/pebble"
	"github.com/godwit-mqtt/godwit/broker/store/storetest"
)

func TestASecondProcessIsRefused(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"on disk": vfs.Default, "in memory": vfs.NewMem()} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := fs.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			s := open(t, fs, dir)
			second, err := pebble.Open(pebble.Options{Dir: dir, FS: fs, Logger: slog.New(slog.DiscardHandler)})
			if err == nil {
				closeStore(t, second)
				t.Fatal("the directory was opened twice")
			}
			if !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "another process") {
				t.Errorf("the error does not say it: %v", err)
			}
			closeStore(t, s)
			closeStore(t, open(t, fs, dir))
		})
	}
}

// A message that nothing refers to, since what did was damaged, does not stay.
func TestAMessageGoesWithItsDamagedDeliveries(t *testing.T) {
	const id = "\x00\x00\x00\x00\x00\x00\x00"
	fs := vfs.NewMem()
	fill(t, fs)
	raw(t, fs, func(db *driver.DB) error {
		return errors.Join(
			db.Set([]byte("d"+id+"\x01\x03"+id+"\x01"), []byte("?"), driver.Sync),
			db.Set([]byte("d"+id+"\x02\x03"+id+"\x01"), []byte("?"), driver.Sync),
			db.Set([]byte("b?"), []byte("?"), driver.Sync),
		)
	})
	s := open(t, fs, "store")
	defer closeStore(t, s)
	storetest.Read(t, s)
	if n := s.Health().Damaged; n != 3 {
		t.Errorf("%d records are left out", n)
	}
	if n := s.Messages(); n != 0 {
		t.Errorf("%d messages are left", n)
	}
}

// raw changes the database behind the store's back.
func raw(t testing.TB, fs vfs.FS, change func(*driver.DB) error) {
	t.Helper()
	db, err := driver.Open("store", &driver.Options{FS: fs, FormatMajorVersion: driver.FormatNewest, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(change(db), db.Close()); err != nil {
		t.Fatal(err)
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)              {}
func (quiet) Errorf(string, ...any)             {}
func (quiet) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func TestAFormatThatIsNotKnownIsRefused(t *testing.T) {
	for name, tc := range map[string]struct{ version, want string }{
		"a newer one":   {"\x00\x00\x00\x63", "format 99"},
		"a damaged one": {"?", "version"},
		"none":          {"", "version"},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			s := open(t, fs, "store")
			storetest.Read(t, s)
			storetest.Commit(t, s, &store.Batch{Sessions: []store.Session{{ID: 1}}})
			closeStore(t, s)
			raw(t, fs, func(db *driver.DB) error {
				if tc.version == "" {
					return db.Delete([]byte("\x00version"), driver.Sync)
				}
				return db.Set([]byte("\x00version"), []byte(tc.version), driver.Sync)
			})
			s, err := openQuietly(fs)
			if err == nil {
				closeStore(t, s)
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

// fill leaves a store with sessions 1 and 2, clients a and b, for each of which
// a message of its own waits and one of both, and two retained messages.
func fill(t testing.TB, fs vfs.FS) {
	t.Helper()
	s := open(t, fs, "store")
	defer closeStore(t, s)
	storetest.Read(t, s)
	message := func(id uint64, topic, payload string) *session.Message {
		return &session.Message{ID: id, Topic: topic, Payload: []byte(payload), QoS: packet.QoS2}
	}
	b := &store.Batch{Retained: []*session.Message{message(0, "r/1", "x"), message(0, "r/2", "y")}}
	add := func(id, seq uint64, m *session.Message) {
		d := &session.Delivery{Message: m, QoS: packet.QoS2, Seq: seq}
		b.Deliveries = append(b.Deliveries, store.Delivery{Session: id, Delivery: d})
	}
	both := message(10, "t", "both")
	for id := range uint64(2) {
		b.Sessions = append(b.Sessions, store.Session{ID: id + 1, ClientID: string(rune('a' + id))})
		b.Received = append(b.Received, store.Identifier{Session: id + 1, ID: 7})
		b.Subscriptions = append(b.Subscriptions, store.Subscription{Session: id + 1, Subscription: session.Subscription{Filter: "t"}})
		add(id+1, 1, both)
	}
	for id := range uint64(2) {
		add(id+1, 2, message(11+id, "t", "own"))
	}
	b.Sent = append(b.Sent, store.Sent{Session: 1, Seq: 1, Message: 10, ID: 5})
	storetest.Commit(t, s, b)
}

func TestADamagedRecordIsLeftOut(t *testing.T) {
	const id = "\x00\x00\x00\x00\x00\x00\x00"
	for name, tc := range map[string]struct {
		key, value string
		damaged    int
		lost       string // that the log names
		sessions   int
		waiting    int // and sent
		retained   int
	}{
		"a session":                    {"f" + id + "\x01", "?", 1, "a session, with its", 1, 2, 2},
		"the record of a session":      {"f" + id + "\x01", "", 1, "session=1", 1, 2, 2},
		"a subscription":               {"d" + id + "\x01\x04t", "?", 1, "client=a filter=t", 2, 4, 2},
		"the end of a subscription":    {"d" + id + "\x01\x04t", "\x00\x00\x00\x00\x00\x00?", 1, "client=a filter=t", 2, 4, 2},
		"a delivery":                   {"d" + id + "\x01\x03" + id + "\x02", "?", 1, "client=a number=2", 2, 3, 2},
		"the flags of a delivery":      {"d" + id + "\x01\x03" + id + "\x02", "\x1f\x00\x00\x00\x00\x00", 1, "client=a number=2", 2, 3, 2},
		"a delivery that was sent":     {"d" + id + "\x01\x03" + id + "\x01", "?", 1, "client=a number=1", 2, 3, 2},
		"an exchange":                  {"d" + id + "\x01\x02" + id + "\x01", "?", 1, "client=a number=1", 2, 4, 2},
		"a retained message":           {"er/1", "?", 1, "topic=r/1", 2, 4, 1},
		"the key of a session":         {"f?", "?", 1, "nothing", 2, 4, 2},
		"the key of a part of session": {"d" + id + "\x02\x01?????", "?", 1, "nothing", 2, 4, 2},
		"a key of no session":          {"d?", "?", 1, "nothing", 2, 4, 2},
		"a part that is not known":     {"d" + id + "\x02\x05" + id + "\x01", "?", 1, "nothing", 2, 4, 2},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			fill(t, fs)
			raw(t, fs, func(db *driver.DB) error {
				if tc.value == "" {
					return db.Delete([]byte(tc.key), driver.Sync)
				}
				return db.Set([]byte(tc.key), []byte(tc.value), driver.Sync)
			})
			for round, damaged := range []int{tc.damaged, 0} { // it is removed at once
				var log bytes.Buffer
				s, err := pebble.Open(pebble.Options{Dir: "store", FS: fs, Logger: slog.New(slog.NewTextHandler(&log, nil))})
				if err != nil {
					t.Fatal(err)
				}
				c := storetest.Read(t, s)
				waiting := 0
				for id := range c.Sessions {
					waiting += len(c.Waiting[id]) + len(c.Sent[id])
					if have := len(c.Deliveries[id]); have != len(c.Waiting[id])+len(c.Sent[id]) {
						t.Errorf("load %d: session %d has %d bodies: %v", round, id, have, c)
					}
				}
				if len(c.Sessions) != tc.sessions || waiting != tc.waiting || len(c.Retained) != tc.retained {
					t.Errorf("load %d: %v", round, c)
				}
				if got := s.Health().Damaged; got != damaged || damaged > 0 && !strings.Contains(log.String(), tc.lost) {
					t.Errorf("load %d leaves %d records out, want %d; log:\n%s", round, got, damaged, log.String())
				}
				closeStore(t, s)
			}
		})
	}
}

// A body is looked at when it is read, and not by Load.
func TestADamagedBodyIsLeftOut(t *testing.T) {
	const id = "\x00\x00\x00\x00\x00\x00\x00"
	for name, tc := range map[string]struct {
		key  string
		gone bool
	}{
		"of its own":             {"d" + id + "\x01\x03" + id + "\x02", false},
		"of many":                {"b" + id + "\x0a", false},
		"of many, which is gone": {"b" + id + "\x0a", true},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			fill(t, fs)
			raw(t, fs, func(db *driver.DB) error {
				if tc.gone {
					return db.Delete([]byte(tc.key), driver.Sync)
				}
				value, closer, err := db.Get([]byte(tc.key))
				if err != nil {
					return err
				}
				short := bytes.Clone(value[:len(value)-1])
				return errors.Join(closer.Close(), db.Set([]byte(tc.key), short, driver.Sync))
			})
			s := open(t, fs, "store")
			defer closeStore(t, s)
			c := storetest.Read(t, s)
			if len(c.Waiting[1])+len(c.Sent[1]) != 2 || len(c.Deliveries[1]) != 1 || s.Health().Damaged == 0 {
				t.Errorf("%v, %+v", c, s.Health())
			}
		})
	}
}
