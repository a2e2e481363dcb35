package pebble_test

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/storetest"
)

// crowded is a disk on which no more files can be open for a while.
type crowded struct {
	vfs.FS
	why   atomic.Pointer[syscall.Errno] // nil: files can be open
	tried atomic.Int64
}

func (d *crowded) open(open func() (vfs.File, error)) (vfs.File, error) {
	if why := d.why.Load(); why != nil {
		d.tried.Add(1)
		return nil, *why
	}
	return open()
}

func (d *crowded) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open(func() (vfs.File, error) { return d.FS.Create(name, c) })
}

func (d *crowded) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	return d.open(func() (vfs.File, error) { return d.FS.Open(name, o...) })
}

func (d *crowded) OpenDir(name string) (vfs.File, error) {
	return d.open(func() (vfs.File, error) { return d.FS.OpenDir(name) })
}

func (d *crowded) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open(func() (vfs.File, error) { return d.FS.ReuseForWrite(from, to, c) })
}

func TestAStoreThatCanOpenNoFileWaits(t *testing.T) {
	for _, why := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE} {
		disk := &crowded{FS: vfs.NewMem()}
		s, err := openSmall(disk)
		if err != nil {
			t.Fatal(err)
		}
		s.Retry(time.Millisecond)
		storetest.Read(t, s)
		storetest.Commit(t, s, &store.Batch{Sessions: []store.Session{{ID: 1}}})
		disk.why.Store(&why)
		large := &store.Batch{Sessions: []store.Session{{ID: 2, Username: strings.Repeat("x", 60_000)}}}
		var reported atomic.Int64
		commits := 0
		for disk.tried.Load() < 3 && commits < 1000 { // until a table or a log is to be written
			s.Commit(large, func(err error) {
				if err != nil {
					t.Errorf("%v: a commit fails: %v", why, err)
				}
				reported.Add(1)
			})
			commits++
			eventually(t, "the commit is done, or a file is asked for", func() bool {
				return int(reported.Load()) == commits || disk.tried.Load() >= 3
			})
		}
		if disk.tried.Load() < 3 {
			t.Fatal("no file was asked for again")
		}
		disk.why.Store(nil)
		eventually(t, "all is reported", func() bool { return int(reported.Load()) == commits })
		if err := s.Health().Err; err != nil {
			t.Errorf("%v: the store has failed: %v", why, err)
		}
		closeStore(t, s)
	}
}
