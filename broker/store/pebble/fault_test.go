package pebble_test

import (
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/pebble"
	"github.com/godwit-mqtt/godwit/broker/store/storetest"
)

// run is a script that is played to a store.
type run struct {
	durable, failed atomic.Int64 // commits that were reported
	batches         int
}

// play commits a script without waiting, so that groups form.
func play(t testing.TB, s *pebble.Store, script *storetest.Script) *run {
	t.Helper()
	r := &run{batches: len(script.Batches)}
	for i, b := range script.Batches {
		s.Commit(b, func(err error) {
			if err != nil {
				r.failed.Add(1)
			} else if n := r.durable.Add(1); n != int64(i+1) {
				t.Errorf("commit %d is reported as number %d", i+1, n)
			}
		})
	}
	return r
}

// wait waits until all is reported, or the store has failed.
func (r *run) wait(t testing.TB, s *pebble.Store) {
	t.Helper()
	eventually(t, "all commits are reported", func() bool {
		return int(r.durable.Load()+r.failed.Load()) == r.batches
	})
	if r.failed.Load() > 0 && s.Health().Err == nil {
		t.Error("commits have failed, and the store says that it is well")
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// faultAt is a disk of which one call fails: the call with this number, from 1
// on, of those that change something.
type faultAt struct {
	vfs.FS
	calls atomic.Int64
	met   atomic.Pointer[errorfs.Op]
}

func newFaultAt(fs vfs.FS, number int, errno syscall.Errno) *faultAt {
	f := &faultAt{}
	f.FS = errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || f.calls.Add(1) != int64(number) {
			return nil
		}
		f.met.Store(&op)
		return &os.PathError{Op: "test", Path: op.Path, Err: errno}
	}))
	return f
}

// remains says what a power cut leaves of a disk, in parts of what was not
// synced; or what is there if only the process ends.
func remains(disk *vfs.MemFS, percent int, seed uint64) vfs.FS {
	random := rand.New(rand.NewPCG(1, seed))
	return disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: random})
}

// checkRemains opens what is left of a disk, with a part of what was not synced
// that depends on seed, and compares it with a script of which so many commits
// were reported.
func checkRemains(t testing.TB, disk *vfs.MemFS, seed int, script *storetest.Script, reported int) {
	t.Helper()
	percent := []int{0, 50, 100}[seed%3]
	s, err := openSmall(remains(disk, percent, uint64(seed)))
	if err != nil {
		t.Fatalf("with %d %% of what was not synced: %v", percent, err)
	}
	script.Check(t, storetest.Read(t, s), reported)
	if n := s.Health().Damaged; n != 0 {
		t.Errorf("%d records are left out", n)
	}
	if stored, referred := s.Messages(), s.Shared(); stored != referred {
		t.Errorf("%d messages have keys of their own, and deliveries refer to %d", stored, referred)
	}
	closeStore(t, s)
}

// step is how many calls are passed over after each one that is tried.
func step() int {
	if testing.Short() {
		return 7
	}
	return 1
}

func TestAnErrorAtAnyCallCostsNothingThatWasReported(t *testing.T) {
	script := storetest.NewScript(1, 120)
	for number := 1; ; number += step() {
		disk := vfs.NewCrashableMem()
		faulty := newFaultAt(disk, number, syscall.EIO)
		reported := 0
		if s, err := openSmall(faulty); err == nil {
			storetest.Read(t, s)
			r := play(t, s, script)
			r.wait(t, s)
			reported = int(r.durable.Load())
			_ = s.Close() // which says again what Health does
		}
		checkRemains(t, disk, number, script, reported)
		if faulty.met.Load() == nil {
			break // it ended without an error
		}
		if t.Failed() {
			t.Fatalf("at call %d, %+v", number, *faulty.met.Load())
		}
	}
}

func TestAnErrorAtAnyCallOfOpenCostsNothing(t *testing.T) {
	script := storetest.NewScript(2, 120)
	before := vfs.NewCrashableMem()
	s, err := openSmall(before)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Read(t, s)
	play(t, s, script).wait(t, s)
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		for number := 1; ; number += step() {
			disk := before.CrashClone(vfs.CrashCloneCfg{})
			faulty := newFaultAt(disk, number, errno)
			s, err := openSmall(faulty)
			if err == nil {
				script.Check(t, storetest.Read(t, s), len(script.Batches))
				_ = s.Close()
			} else if !strings.Contains(err.Error(), "store") {
				t.Errorf("the error does not name the directory: %v", err)
			}
			for seed := range 4 {
				checkRemains(t, disk, number+seed, script, len(script.Batches))
			}
			if faulty.met.Load() == nil {
				break
			}
			if t.Failed() {
				t.Fatalf("%v at call %d, %+v", errno, number, *faulty.met.Load())
			}
		}
	}
	closeStore(t, s)
}

func TestAFailedStoreSaysWhyAndTakesNothing(t *testing.T) {
	disk := vfs.NewCrashableMem()
	var broken atomic.Bool
	var changes atomic.Int64
	s, err := openSmall(errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			changes.Add(1)
		}
		if broken.Load() && op.Kind == errorfs.OpFileSyncData {
			return syscall.EIO
		}
		return nil
	})))
	if err != nil {
		t.Fatal(err)
	}
	storetest.Read(t, s)
	commit := func() error {
		done := make(chan error, 1)
		s.Commit(&store.Batch{Sessions: []store.Session{{ID: 1}}}, func(err error) { done <- err })
		return <-done
	}
	if err := commit(); err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	var before int64
	for range 2 {
		if err := commit(); err == nil || !strings.Contains(err.Error(), "input/output error") {
			t.Fatalf("the commit is reported with %v", err)
		}
		broken.Store(false) // that it would go by then changes nothing
		before = changes.Load()
	}
	err = s.Health().Err
	for _, want := range []string{"sync store/", ".log", "input/output error", "starts again"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("health says %q, which does not have %q", err, want)
		}
	}
	if _, err := s.Deliveries(1, 0, 1, 1); err == nil {
		t.Error("deliveries are read")
	}
	if err := s.Close(); err == nil {
		t.Error("it closes as if it were well")
	}
	if n := changes.Load() - before; n > 1 { // the directory is unlocked
		t.Errorf("the failed store has changed something %d times", n)
	}
	if s, err = openSmall(disk); err != nil {
		t.Fatal(err)
	}
	storetest.Read(t, s)
	if err := commit(); err != nil {
		t.Error(err)
	}
	closeStore(t, s)
}
