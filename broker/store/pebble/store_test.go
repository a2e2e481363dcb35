package pebble_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	driver "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
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

func TestASecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, nil, dir)
	defer closeStore(t, s)
	if second, err := pebble.Open(pebble.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)}); err == nil {
		closeStore(t, second)
		t.Fatal("the directory was opened twice")
	}
}

func TestANewerFormatIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	if err := open(t, fs, "store").Close(); err != nil {
		t.Fatal(err)
	}
	db, err := driver.Open("store", &driver.Options{FS: fs, FormatMajorVersion: driver.FormatNewest, Logger: quiet{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Set([]byte("\x00version"), []byte{0, 0, 0, 99}, driver.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	_, err = pebble.Open(pebble.Options{Dir: "store", FS: fs, Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "format 99") {
		t.Fatalf("error %v", err)
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

// seen is what a store has loaded: payloads by client, and by topic.
type seen struct {
	sessions map[string]bool
	waiting  map[string]bool
	retained map[string]string
}

func load(t testing.TB, s *pebble.Store) *seen {
	t.Helper()
	l := &seen{map[string]bool{}, map[string]bool{}, map[string]string{}}
	if err := s.Load(l); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *seen) LoadSession(s store.Session) error {
	l.sessions[s.ClientID] = true
	return nil
}

func (l *seen) LoadDelivery(clientID string, d *session.Delivery) error {
	l.waiting[clientID+" "+string(d.Payload)] = true
	return nil
}

func (l *seen) LoadRetained(m *session.Message) error {
	l.retained[m.Topic] = string(m.Payload)
	return nil
}

// TestPowerCutLosesNothingThatWasReported commits from several goroutines while
// the power is cut again and again: a copy of the disk is taken that has all that
// was synced and an arbitrary part of what was not.
func TestPowerCutLosesNothingThatWasReported(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, fs, "store")
	load(t, s)
	var reported [4]atomic.Int64
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range reported {
		writers.Go(func() { write(t, s, w, &reported[w], stop) })
	}
	for cut := range 8 {
		waitForMore(&reported[cut%len(reported)])
		var before [len(reported)]int64
		for w := range reported {
			before[w] = reported[w].Load()
		}
		disk := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: cut * 14, RNG: rand.New(rand.NewPCG(1, uint64(cut)))})
		after := open(t, disk, "store")
		l := load(t, after)
		for w, n := range before {
			checkReported(t, l, w, n)
		}
		if err := after.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	writers.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// write commits messages to a client of its own, and of each ten completes one.
func write(t *testing.T, s *pebble.Store, w int, reported *atomic.Int64, stop chan struct{}) {
	clientID := fmt.Sprint("client-", w)
	begin := &store.Batch{Sessions: []store.Session{{ClientID: clientID}}}
	done := make(chan error)
	s.Commit(begin, func(err error) { done <- err })
	for n := int64(1); ; n++ {
		if err := <-done; err != nil {
			t.Error(err)
			return
		}
		reported.Store(n - 1)
		select {
		case <-stop:
			return
		default:
		}
		m := &session.Message{Topic: "t/" + clientID, Payload: []byte(fmt.Sprint(n)), QoS: packet.QoS1}
		b := &store.Batch{
			Deliveries: []store.Delivery{{ClientID: clientID, Delivery: &session.Delivery{Message: m, QoS: packet.QoS1, Seq: uint64(n)}}},
			Retained:   []*session.Message{m},
		}
		if n%10 == 0 {
			b.Done = []store.Done{{ClientID: clientID, Seq: uint64(n - 5)}}
		}
		go s.Commit(b, func(err error) { done <- err })
	}
}

func waitForMore(n *atomic.Int64) {
	for before := n.Load(); n.Load() < before+10; {
		runtime.Gosched()
	}
}

func checkReported(t *testing.T, l *seen, w int, reported int64) {
	t.Helper()
	clientID := fmt.Sprint("client-", w)
	for n := int64(1); n <= reported; n++ {
		gone := n%10 == 5 && n+5 <= reported
		mayBeGone := n%10 == 5 && n+5 == reported+1
		if have := l.waiting[fmt.Sprintf("%s %d", clientID, n)]; have == gone && !mayBeGone {
			t.Fatalf("message %d of %d of %s waits: %v", n, reported, clientID, have)
		}
	}
	value, err := strconv.ParseInt(l.retained["t/"+clientID], 10, 64)
	if reported > 0 && (err != nil || value < reported) {
		t.Fatalf("retained of %s is %d after %d was reported: %v", clientID, value, reported, err)
	}
}

func TestAnEmptyCommitWaitsForThoseBefore(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := open(t, fs, "store")
	defer closeStore(t, s)
	load(t, s)
	m := &session.Message{Topic: "t", Payload: []byte("m"), QoS: packet.QoS1}
	b := &store.Batch{}
	for _, id := range []string{"a", "b"} {
		d := &session.Delivery{Message: m, QoS: packet.QoS1, Seq: 1}
		b.Sessions = append(b.Sessions, store.Session{ClientID: id})
		b.Deliveries = append(b.Deliveries, store.Delivery{ClientID: id, Delivery: d})
	}
	s.Commit(b, nil)
	for s.Messages() == 0 { // written, and not synced
		runtime.Gosched()
	}
	done := make(chan error, 1)
	s.Commit(&store.Batch{}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	after := open(t, fs.CrashClone(vfs.CrashCloneCfg{}), "store")
	defer closeStore(t, after)
	if l := load(t, after); len(l.waiting) != 2 {
		t.Errorf("%d deliveries wait, want 2", len(l.waiting))
	}
}

func TestASharedMessageIsStoredOnceAndGoesWithItsLastDelivery(t *testing.T) {
	dir := t.TempDir()
	s := open(t, nil, dir)
	load(t, s)
	commit := func(b *store.Batch) {
		t.Helper()
		done := make(chan error)
		go s.Commit(b, func(err error) { done <- err })
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	m := &session.Message{Topic: "t", Payload: []byte(strings.Repeat("x", 10_000)), QoS: packet.QoS1}
	var b store.Batch
	for i := range 100 {
		clientID := fmt.Sprint("c", i)
		b.Sessions = append(b.Sessions, store.Session{ClientID: clientID})
		b.Deliveries = append(b.Deliveries, store.Delivery{
			ClientID: clientID, Delivery: &session.Delivery{Message: m, QoS: packet.QoS1, Seq: 1},
		})
	}
	commit(&b)
	if n := s.Messages(); n != 1 {
		t.Fatalf("%d messages are stored", n)
	}
	for i := range 99 {
		commit(&store.Batch{Done: []store.Done{{ClientID: fmt.Sprint("c", i), Seq: 1}}})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, nil, dir)
	defer closeStore(t, s)
	if l := load(t, s); len(l.waiting) != 1 || s.Messages() != 1 {
		t.Fatalf("%d deliveries wait for %d messages", len(l.waiting), s.Messages())
	}
	commit(&store.Batch{Ended: []string{"c99"}})
	if n := s.Messages(); n != 0 {
		t.Fatalf("%d messages are left", n)
	}
}
