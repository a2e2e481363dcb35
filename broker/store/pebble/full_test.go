package pebble_test

import (
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

// tight is a disk that is full from a call on, of those that need space, until
// more of it is given. A write that finds it full writes a half.
type tight struct {
	vfs.FS

	mu    sync.Mutex
	left  int // calls, -1 is no limit
	usage vfs.DiskUsage
}

// take reports whether a call has space.
func (d *tight) take() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.left == 0:
		return false
	case d.left > 0:
		d.left--
	}
	return true
}

func (d *tight) give(calls int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = calls
}

func (d *tight) full() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.left == 0
}

func (d *tight) open(open func() (vfs.File, error)) (vfs.File, error) {
	if !d.take() {
		return nil, syscall.ENOSPC
	}
	f, err := open()
	if err != nil {
		return nil, err
	}
	return &tightFile{f, d}, nil
}

func (d *tight) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open(func() (vfs.File, error) { return d.FS.Create(name, c) })
}

func (d *tight) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return d.open(func() (vfs.File, error) { return d.FS.OpenReadWrite(name, c, o...) })
}

func (d *tight) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open(func() (vfs.File, error) { return d.FS.ReuseForWrite(from, to, c) })
}

func (d *tight) Rename(from, to string) error {
	if !d.take() {
		return syscall.EDQUOT
	}
	return d.FS.Rename(from, to)
}

func (d *tight) GetDiskUsage(string) (vfs.DiskUsage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.usage == (vfs.DiskUsage{}) {
		return d.usage, vfs.ErrUnsupported
	}
	return d.usage, nil
}

type tightFile struct {
	vfs.File
	disk *tight
}

func (f *tightFile) Write(p []byte) (int, error) {
	if f.disk.take() {
		return f.File.Write(p)
	}
	n, err := f.File.Write(p[:len(p)/2])
	if err == nil {
		err = syscall.ENOSPC
	}
	return n, err
}

func (f *tightFile) Preallocate(int64, int64) error {
	if f.disk.full() {
		return syscall.ENOSPC
	}
	return nil
}

func isFull(s *pebble.Store) bool {
	err := s.Health().Err
	return err != nil && strings.Contains(err.Error(), "disk is full")
}

// openTight opens a store on a tight disk.
func openTight(t testing.TB, fs vfs.FS) (*pebble.Store, *tight) {
	t.Helper()
	disk := &tight{FS: fs, left: -1}
	s, err := openSmall(disk)
	if err != nil {
		t.Fatal(err)
	}
	s.Retry(time.Millisecond)
	storetest.Read(t, s)
	return s, disk
}

func TestADiskThatIsFullAtAnyCallOnlyDelays(t *testing.T) {
	script := storetest.NewScript(3, 120)
	for calls, met := 0, true; met; calls += step() {
		mem := vfs.NewCrashableMem()
		s, disk := openTight(t, mem)
		disk.give(calls)
		r := play(t, s, script)
		eventually(t, "the disk is full, or all is reported", func() bool {
			return isFull(s) || int(r.durable.Load()) == r.batches
		})
		met = isFull(s)
		if met {
			checkRemains(t, mem, calls, script, int(r.durable.Load()))
			disk.give(2) // and full again
			eventually(t, "the disk is full again, or all is reported", func() bool {
				return isFull(s) || int(r.durable.Load()) == r.batches
			})
		}
		disk.give(-1)
		r.wait(t, s)
		eventually(t, "the store is well", func() bool { return s.Health().Err == nil })
		if r.failed.Load() > 0 {
			t.Errorf("%d commits have failed", r.failed.Load())
		}
		closeStore(t, s)
		checkRemains(t, mem, calls, script, r.batches)
		if t.Failed() {
			t.Fatalf("full at call %d", calls)
		}
	}
}

func addTo(id, seq uint64) *store.Batch {
	m := &session.Message{ID: seq, Topic: "t", Payload: []byte("m"), QoS: packet.QoS1}
	d := &session.Delivery{Message: m, QoS: packet.QoS1, Seq: seq}
	return &store.Batch{Deliveries: []store.Delivery{{Session: id, Delivery: d}}}
}

func TestWhatWaitsIsReadWhileTheDiskIsFull(t *testing.T) {
	s, disk := openTight(t, vfs.NewMem())
	storetest.Commit(t, s, &store.Batch{Sessions: []store.Session{{ID: 1}}})
	storetest.Commit(t, s, addTo(1, 1))
	disk.give(0)
	reported := make(chan error, 1)
	s.Commit(&store.Batch{Done: []store.Done{{Session: 1, Seq: 1, Message: 1}}}, func(err error) { reported <- err })
	s.Commit(addTo(1, 2), nil)
	eventually(t, "the disk is full", func() bool { return isFull(s) })
	ds, err := s.Deliveries(1, 0, 10, 1000)
	if err != nil || len(ds) != 1 || ds[0].Seq != 2 {
		t.Errorf("read %v: %v", ds, err)
	}
	select {
	case err := <-reported:
		t.Fatalf("reported on a full disk with %v", err)
	default:
	}
	disk.give(-1)
	if err := <-reported; err != nil {
		t.Error(err)
	}
	closeStore(t, s)
}

func TestCloseDoesNotWaitForSpace(t *testing.T) {
	s, disk := openTight(t, vfs.NewMem())
	disk.give(0)
	reported := make(chan error, 1)
	s.Commit(&store.Batch{Sessions: []store.Session{{ID: 1}}}, func(err error) { reported <- err })
	eventually(t, "the disk is full", func() bool { return isFull(s) })
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("close returns %v", err)
	}
	if err := <-reported; err == nil {
		t.Error("what is not on disk is reported as durable")
	}
}

func TestADiskThatIsNearlyFullIsReportedInTime(t *testing.T) {
	const gib = 1 << 30
	disk := &tight{FS: vfs.NewMem(), left: -1}
	s, err := pebble.Open(pebble.Options{Dir: "store", FS: disk, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	for _, tc := range []struct {
		free, total uint64
		low         bool
	}{
		{500 << 20, 100 * gib, false}, {65 << 20, 100 * gib, false},
		{63 << 20, 100 * gib, true}, {127 << 20, 100 * gib, true}, {128 << 20, 100 * gib, false}, {65 << 20, 100 * gib, false},
		{60 << 20, gib, false}, {51 << 20, gib, true}, {60 << 20, gib, true}, {103 << 20, gib, false},
	} {
		disk.mu.Lock()
		disk.usage = vfs.DiskUsage{AvailBytes: tc.free, TotalBytes: tc.total}
		disk.mu.Unlock()
		s.Look()
		if err := s.Health().Err; (err != nil) != tc.low || tc.low && !strings.Contains(err.Error(), "nearly full") {
			t.Errorf("%d of %d MiB free: %v", tc.free>>20, tc.total>>20, err)
		}
	}
}

func TestHealthTellsTheSpaceThatIsTaken(t *testing.T) {
	s := open(t, vfs.NewMem(), "store")
	defer closeStore(t, s)
	storetest.Read(t, s)
	s.Look()
	before := s.Health().Disk
	b := &store.Batch{Sessions: []store.Session{{ID: 1, Username: strings.Repeat("x", 60_000)}}}
	storetest.Commit(t, s, b)
	s.Look()
	if after := s.Health().Disk; after < before+60_000 {
		t.Errorf("%d bytes of disk, and %d before 60 kB were written", after, before)
	}
}
