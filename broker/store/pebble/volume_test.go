package pebble_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/pebble"
	"github.com/godwit-mqtt/godwit/broker/store/storetest"
)

// volume is a disk of a size, which files take by what was written to them or
// allocated for them.
type volume struct {
	vfs.FS

	mu     sync.Mutex
	size   int64
	others int64 // taken by somebody else
	files  map[string]*extent
}

// extent is what a file takes.
type extent struct{ bytes int64 }

func newVolume(size int64) *volume {
	return &volume{FS: vfs.NewMem(), size: size, files: map[string]*extent{}}
}

// free returns what is free. mu is held.
func (v *volume) free() int64 {
	free := v.size - v.others
	for _, e := range v.files {
		free -= e.bytes
	}
	return max(free, 0)
}

// grow has a file reach to an offset, or as far as there is space.
func (v *volume) grow(e *extent, to int64) (reached int64, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if to <= e.bytes {
		return to, nil
	}
	if free := v.free(); to-e.bytes > free {
		e.bytes += free
		return e.bytes, syscall.ENOSPC
	}
	e.bytes = to
	return to, nil
}

// crowd has somebody else take all that is free but so many bytes.
func (v *volume) crowd(left int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.others += v.free() - left
}

// clear takes away what somebody else has taken.
func (v *volume) clear() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.others = 0
}

// taken returns what a file takes, 0 if there is none.
func (v *volume) taken(name string) int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e := v.files[name]; e != nil {
		return e.bytes
	}
	return 0
}

func (v *volume) move(from, to string) *extent {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.files[from]
	if e == nil {
		e = &extent{}
	}
	delete(v.files, from)
	v.files[to] = e
	return e
}

func (v *volume) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := v.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	e := &extent{}
	v.files[name] = e
	return &volumeFile{File: f, volume: v, extent: e}, nil
}

func (v *volume) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := v.FS.ReuseForWrite(from, to, c)
	if err != nil {
		return nil, err
	}
	return &volumeFile{File: f, volume: v, extent: v.move(from, to)}, nil
}

func (v *volume) Rename(from, to string) error {
	v.move(from, to)
	return v.FS.Rename(from, to)
}

func (v *volume) Remove(name string) error {
	v.mu.Lock()
	delete(v.files, name)
	v.mu.Unlock()
	return v.FS.Remove(name)
}

func (v *volume) GetDiskUsage(string) (vfs.DiskUsage, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return vfs.DiskUsage{AvailBytes: uint64(v.free()), TotalBytes: uint64(v.size)}, nil
}

type volumeFile struct {
	vfs.File
	volume *volume
	extent *extent
	at     int64
}

func (f *volumeFile) Write(p []byte) (int, error) {
	reached, full := f.volume.grow(f.extent, f.at+int64(len(p)))
	n, err := f.File.Write(p[:max(reached-f.at, 0)])
	if f.at += int64(n); err != nil {
		return n, err
	}
	return n, full
}

func (f *volumeFile) WriteAt(p []byte, off int64) (int, error) {
	if _, err := f.volume.grow(f.extent, off+int64(len(p))); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f *volumeFile) Preallocate(off, n int64) error {
	_, err := f.volume.grow(f.extent, off+n)
	return err
}

const smallVolume = 64 << 20

// openOn opens a store on a volume.
func openOn(t testing.TB, v *volume) *pebble.Store {
	t.Helper()
	s, err := pebble.Open(pebble.Options{Dir: "store", FS: v, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.Retry(time.Millisecond)
	storetest.Read(t, s)
	return s
}

// large is a message that waits for session 1.
func large(seq uint64) *store.Batch {
	m := &session.Message{ID: seq, Topic: "t", Payload: noise(seq, 32<<10), QoS: packet.QoS1}
	return &store.Batch{Deliveries: []store.Delivery{{Session: 1, Delivery: &session.Delivery{Message: m, QoS: packet.QoS1, Seq: seq}}}}
}

// fillWith has so many messages wait for session 1.
func fillWith(t testing.TB, s *pebble.Store, messages uint64) {
	t.Helper()
	storetest.Commit(t, s, &store.Batch{Sessions: []store.Session{{ID: 1, ClientID: "c"}}})
	for seq := range messages {
		storetest.Commit(t, s, large(seq+1))
	}
}

const reserveRunning, reserveOpening = "store/reserve.running", "store/reserve.opening"

func TestTheReserveTakesItsSpaceInAdvance(t *testing.T) {
	v := newVolume(smallVolume)
	s := openOn(t, v)
	defer closeStore(t, s)
	if running, opening := v.taken(reserveRunning), v.taken(reserveOpening); running < 6<<20 || opening < 3<<20 {
		t.Errorf("%d and %d bytes are in reserve", running, opening)
	}
}

func TestMuchFitsOnASmallDisk(t *testing.T) {
	v := newVolume(smallVolume)
	s := openOn(t, v)
	defer closeStore(t, s)
	const messages = 700 // a third of the disk
	fillWith(t, s, messages)
	eventually(t, "no space is missing", func() bool {
		s.Look()
		return s.Health().Err == nil
	})
}

func TestAFullDiskIsDrainedFromTheReserve(t *testing.T) {
	const messages = 500
	v := newVolume(smallVolume)
	s := openOn(t, v)
	defer closeStore(t, s)
	fillWith(t, s, messages)
	v.crowd(0)
	s.Look()
	if h := s.Health(); h.Err == nil || h.Failed || h.Total != smallVolume {
		t.Errorf("the full disk is not told of: %+v", h)
	}
	storetest.Commit(t, s, &store.Batch{Sessions: []store.Session{{ID: 1, ClientID: "c", Username: "resumed"}}})
	for seq := range uint64(messages) {
		if ds, err := s.Deliveries(1, seq+1, 1, 1); err != nil || len(ds) != 1 {
			t.Fatalf("message %d is read as %v: %v", seq+1, ds, err)
		}
		storetest.Commit(t, s, &store.Batch{Done: []store.Done{{Session: 1, Seq: seq + 1, Message: seq + 1}}})
	}
	v.mu.Lock()
	v.others -= 16 << 20
	v.mu.Unlock()
	eventually(t, "what was drained is free, and the reserve is there again", func() bool {
		s.Look()
		return s.Health().Err == nil && v.taken(reserveRunning) > 0 && v.taken(reserveOpening) > 0
	})
}

func TestAStoreOpensOnAFullDisk(t *testing.T) {
	v := newVolume(smallVolume)
	s := openOn(t, v)
	fillWith(t, s, 100)
	closeStore(t, s)
	for round := range 3 {
		v.crowd(0)
		s = openOn(t, v)
		if h := s.Health(); h.Err == nil || h.Failed {
			t.Errorf("round %d: the full disk is not told of: %+v", round, h)
		}
		storetest.Commit(t, s, &store.Batch{Done: []store.Done{{Session: 1, Seq: uint64(round + 1), Message: uint64(round + 1)}}})
		closeStore(t, s)
		v.clear()
		s = openOn(t, v)
		if v.taken(reserveRunning) == 0 || v.taken(reserveOpening) == 0 {
			t.Errorf("round %d: the reserve is not allocated again", round)
		}
		closeStore(t, s)
	}
}

func TestAStoreWithoutAnySpaceSaysSo(t *testing.T) {
	v := newVolume(smallVolume)
	s := openOn(t, v)
	fillWith(t, s, 10)
	closeStore(t, s)
	for _, name := range []string{reserveRunning, reserveOpening} {
		if err := v.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	v.crowd(0)
	if s, err := openQuietly(v); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("open returns %v", err)
		if err == nil {
			closeStore(t, s)
		}
	}
}

// A write that finds the disk full tries again with the reserve, and waits only
// where that is used up.
func TestCommitsWaitOnceTheReserveIsUsedUp(t *testing.T) {
	v := newVolume(smallVolume)
	s := openOn(t, v)
	defer closeStore(t, s)
	fillWith(t, s, 1)
	v.crowd(0)
	seq, waiting := uint64(1), make(chan error, 1000)
	for n := 0; n < 900 && !isFull(s); n++ {
		seq++
		s.Commit(large(seq), func(err error) { waiting <- err })
	}
	eventually(t, "the disk is full", func() bool { return isFull(s) })
	if v.taken(reserveRunning) != 0 || v.taken(reserveOpening) == 0 {
		t.Error("commits wait with the reserve, or that for opening is given up")
	}
	if err := s.Health().Err; !strings.Contains(fmt.Sprint(err), "wait for space") {
		t.Errorf("health says %v", err)
	}
	v.clear()
	for range seq - 1 {
		if err := <-waiting; err != nil {
			t.Fatal(err)
		}
	}
}
