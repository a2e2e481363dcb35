package pebble

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// disk is the file system under the database. The database ends the process, or
// goes on half way, where a write fails. A disk answers for it:
//
//   - Where it is full a write waits until there is space, and goes on where it
//     stopped.
//   - Any other failure is told to fail, and the call never returns: what is in
//     the files is not known any more, so the database must not write again. Nor
//     does any later call that would change something. A sync that fails is of
//     this kind whatever the reason: a second one may succeed without having
//     written anything.
//
// That holds between serve and the end of the store. Before, while the database
// opens, errors are returned.
type disk struct {
	vfs.FS
	log   *slog.Logger
	fail  func(error)
	retry time.Duration // between attempts to write to a full disk

	serving atomic.Bool
	halted  atomic.Bool
	waiting atomic.Int32  // calls that wait for space
	closing chan struct{} // closed by stopWaiting

	mu    sync.Mutex
	locks []io.Closer // of directories
}

func newDisk(fs vfs.FS, log *slog.Logger, fail func(error)) *disk {
	return &disk{FS: fs, log: log, fail: fail, retry: retryFull, closing: make(chan struct{})}
}

// serve begins to answer as the type says.
func (d *disk) serve() { d.serving.Store(true) }

// stopWaiting makes a full disk a failure. It is called once.
func (d *disk) stopWaiting() { close(d.closing) }

// halt lets nothing be changed any more.
func (d *disk) halt() { d.halted.Store(true) }

// full reports whether a call waits for space.
func (d *disk) full() bool { return d.waiting.Load() > 0 }

// unlock gives back the directories, which the database does only when it is
// closed in good order.
func (d *disk) unlock() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.locks {
		if err := l.Close(); err != nil {
			d.log.Error("the directory of the store cannot be unlocked", "error", err)
		}
	}
	d.locks = nil
}

// isFull reports whether err says that there is no space.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// try does what needs space until it succeeds.
func (d *disk) try(what func() error) error {
	for waits := false; ; {
		d.pass()
		err := what()
		if waits && !isFull(err) {
			d.found()
		}
		if err == nil || !d.serving.Load() {
			return err
		}
		if !isFull(err) || !d.wait(err, waits) {
			d.broken(err)
		}
		waits = true
	}
}

// once does what must not be done again after a failure.
func (d *disk) once(what func() error) error {
	d.pass()
	err := what()
	if err != nil && d.serving.Load() {
		d.broken(err)
	}
	return err
}

// pass keeps the caller where nothing may be changed any more.
func (d *disk) pass() {
	if d.halted.Load() {
		select {}
	}
}

// broken reports a failure and does not return.
func (d *disk) broken(err error) {
	d.fail(err)
	d.halt()
	d.pass()
}

// wait waits before the next attempt. It reports false where the store closes.
func (d *disk) wait(err error, again bool) bool {
	if !again && d.waiting.Add(1) == 1 {
		d.log.Error("the disk is full; commits wait for space", "error", err)
	}
	t := time.NewTimer(d.retry)
	defer t.Stop()
	select {
	case <-d.closing:
		return false
	case <-t.C:
		return true
	}
}

func (d *disk) found() {
	if d.waiting.Add(-1) == 0 {
		d.log.Info("the disk has space again")
	}
}

func (d *disk) open(open func() (vfs.File, error)) (f vfs.File, err error) {
	err = d.try(func() error {
		f, err = open()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &file{f, d}, nil
}

func (d *disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open(func() (vfs.File, error) { return d.FS.Create(name, c) })
}

func (d *disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return d.open(func() (vfs.File, error) { return d.FS.OpenReadWrite(name, c, o...) })
}

func (d *disk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open(func() (vfs.File, error) { return d.FS.ReuseForWrite(from, to, c) })
}

// OpenDir opens a directory, which is done to sync it.
func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &file{f, d}, nil
}

func (d *disk) Link(from, to string) error {
	return d.try(func() error { return d.FS.Link(from, to) })
}

func (d *disk) Rename(from, to string) error {
	return d.try(func() error { return d.FS.Rename(from, to) })
}

// Remove may fail: what was not removed is found at the next start.
func (d *disk) Remove(name string) error {
	d.pass()
	return d.FS.Remove(name)
}

// RemoveAll may fail; see Remove.
func (d *disk) RemoveAll(name string) error {
	d.pass()
	return d.FS.RemoveAll(name)
}

func (d *disk) Lock(name string) (io.Closer, error) {
	l, err := d.FS.Lock(name)
	if err != nil {
		return nil, fmt.Errorf("lock %s, which another process may have: %w", name, err)
	}
	once := onceCloser(sync.OnceValue(l.Close))
	d.mu.Lock()
	d.locks = append(d.locks, once)
	d.mu.Unlock()
	return once, nil
}

// onceCloser releases a lock that another may have by the second call.
type onceCloser func() error

func (c onceCloser) Close() error { return c() }

// GetDiskUsage has no error but that it does not know.
func (d *disk) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	u, err := d.FS.GetDiskUsage(path)
	if err != nil {
		return u, vfs.ErrUnsupported
	}
	return u, nil
}

// Unwrap implements vfs.FS.
func (d *disk) Unwrap() vfs.FS { return d.FS }

// file is a file or directory that is open to be written or synced.
type file struct {
	vfs.File
	disk *disk
}

func (f *file) Write(p []byte) (n int, err error) {
	err = f.disk.try(func() error {
		m, err := f.File.Write(p[n:])
		n += m
		return err
	})
	return n, err
}

func (f *file) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.disk.try(func() error {
		m, err := f.File.WriteAt(p[n:], off+int64(n))
		n += m
		return err
	})
	return n, err
}

// Preallocate may fail: what is written asks for its space itself.
func (f *file) Preallocate(offset, length int64) error {
	f.disk.pass()
	_ = f.File.Preallocate(offset, length)
	return nil
}

func (f *file) Sync() error { return f.disk.once(f.File.Sync) }

func (f *file) SyncData() error { return f.disk.once(f.File.SyncData) }

func (f *file) SyncTo(length int64) (full bool, err error) {
	err = f.disk.once(func() error {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}
