package pebble

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// disk is the file system under the database. The database ends the process, or
// goes on half way, where a write fails. A disk answers for it:
//
//   - Where it is full the reserve is given up, and then a write waits until there
//     is space, and goes on where it stopped. It waits between serve and
//     stopWaiting. A compaction does not wait: it fails, and is tried again, so
//     that it does not hold the space that others wait for.
//   - Where no more files can be open it waits until some are closed. That holds for
//     files that are read, too, and as long.
//   - Any other failure is told to fail, and the call never returns: what is in
//     the files is not known any more, so the database must not write again. Nor
//     does any later call that would change something. A sync that fails is of
//     this kind whatever the reason: a second one may succeed without having
//     written anything.
type disk struct {
	vfs.FS
	log   *slog.Logger
	fail  func(error)
	retry time.Duration // between attempts to write to a full disk
	spare *reserve

	scarce  atomic.Bool // nothing is allocated before it is needed
	patient atomic.Bool // to wait for space
	halted  atomic.Bool
	waiting atomic.Int32  // calls that wait for space
	closing chan struct{} // closed by stopWaiting

	mu    sync.Mutex
	locks []io.Closer // of directories
}

func newDisk(fs vfs.FS, log *slog.Logger, spare *reserve, fail func(error)) *disk {
	return &disk{FS: fs, log: log, fail: fail, retry: retryFull, spare: spare, closing: make(chan struct{})}
}

// serve begins to wait for space.
func (d *disk) serve() { d.patient.Store(true) }

// stopWaiting makes a full disk a failure. It is called once.
func (d *disk) stopWaiting() {
	d.patient.Store(false)
	close(d.closing)
}

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

// compaction is the category of files that a compaction writes.
const compaction vfs.DiskWriteCategory = "pebble-compaction"

// try does what needs space to a file until it succeeds, or yields to others.
func (d *disk) try(op, name string, yields bool, what func() error) error {
	for waits := false; ; {
		d.pass()
		err := what()
		if waits && !isFull(err) {
			d.found()
		}
		switch {
		case err == nil:
			return nil
		case isFull(err) && d.spare.giveUp(!d.patient.Load()):
			continue
		case isFull(err) && yields:
			d.pause(10 * d.retry)
			return err
		case !isFull(err) || !d.patient.Load():
			d.broken(op, name, err)
		}
		d.wait(err, waits)
		waits = true
	}
}

// once does what must not be done to a file again after a failure.
func (d *disk) once(op, name string, what func() error) error {
	d.pass()
	if err := what(); err != nil {
		d.broken(op, name, err)
	}
	return nil
}

// pass keeps the caller where nothing may be changed any more.
func (d *disk) pass() {
	if d.halted.Load() {
		select {}
	}
}

// broken reports a failure and does not return.
func (d *disk) broken(op, name string, err error) {
	if path, ok := errors.AsType[*os.PathError](err); ok { // which would say it again
		err = path.Err
	}
	d.fail(fmt.Errorf("%s %s: %w", op, name, err))
	d.halt()
	d.pass()
}

// wait waits before the next attempt.
func (d *disk) wait(err error, again bool) {
	if !again && d.waiting.Add(1) == 1 {
		d.log.Error("the disk is full; commits wait for space", "error", err)
	}
	d.pause(d.retry)
}

// pause waits for some time, unless the store is closed.
func (d *disk) pause(long time.Duration) {
	t := time.NewTimer(long)
	defer t.Stop()
	select {
	case <-d.closing:
	case <-t.C:
	}
}

func (d *disk) found() {
	if d.waiting.Add(-1) == 0 {
		d.log.Info("the disk has space again")
	}
}

// lacksFiles reports whether err says that no more files can be open.
func lacksFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// whenFilesCanBeOpen opens a file, and waits where others have to be closed first.
func (d *disk) whenFilesCanBeOpen(open func() (vfs.File, error)) (f vfs.File, err error) {
	for again := false; ; again = true {
		f, err = open()
		if !lacksFiles(err) || !d.patient.Load() {
			return f, err
		}
		if !again {
			d.log.Error("no more files can be open; the store waits", "error", err)
		}
		d.pause(d.retry)
	}
}

func (d *disk) open(op, name string, c vfs.DiskWriteCategory, open func() (vfs.File, error)) (f vfs.File, err error) {
	err = d.try(op, name, c == compaction, func() error {
		f, err = d.whenFilesCanBeOpen(open)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &file{f, d, name, c == compaction}, nil
}

// Create creates a file. A marker, which says by its name which manifest counts,
// is on disk by then, and before it the manifest: the database removes the
// marker before it at once, and syncs the directory only then. A file system may
// keep the one change of a directory without the other.
func (d *disk) Create(name string, c vfs.DiskWriteCategory) (f vfs.File, err error) {
	create := func() (vfs.File, error) { return d.FS.Create(name, c) }
	if !strings.HasPrefix(d.PathBase(name), "marker.") {
		return d.open("create", name, c, create)
	}
	if err := d.syncDir(d.PathDir(name)); err != nil {
		return nil, err
	}
	if f, err = d.open("create", name, c, create); err != nil {
		return nil, err
	}
	return f, d.syncDir(d.PathDir(name))
}

func (d *disk) syncDir(name string) error {
	dir, err := d.OpenDir(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (d *disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return d.open("open", name, c, func() (vfs.File, error) { return d.FS.OpenReadWrite(name, c, o...) })
}

func (d *disk) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return d.open("reuse", from, c, func() (vfs.File, error) { return d.FS.ReuseForWrite(from, to, c) })
}

// OpenDir opens a directory, which is done to sync it.
func (d *disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.whenFilesCanBeOpen(func() (vfs.File, error) { return d.FS.OpenDir(name) })
	if err != nil {
		return nil, err
	}
	return &file{f, d, name, false}, nil
}

// Open opens a file to read it.
func (d *disk) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	return d.whenFilesCanBeOpen(func() (vfs.File, error) { return d.FS.Open(name, o...) })
}

func (d *disk) Link(from, to string) error {
	return d.try("link", from, false, func() error { return d.FS.Link(from, to) })
}

func (d *disk) Rename(from, to string) error {
	return d.try("rename", from, false, func() error { return d.FS.Rename(from, to) })
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
	disk   *disk
	name   string
	yields bool // see disk.try
}

func (f *file) Write(p []byte) (n int, err error) {
	err = f.disk.try("write", f.name, f.yields, func() error {
		m, err := f.File.Write(p[n:])
		n += m
		return err
	})
	return n, err
}

func (f *file) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.disk.try("write", f.name, f.yields, func() error {
		m, err := f.File.WriteAt(p[n:], off+int64(n))
		n += m
		return err
	})
	return n, err
}

// Preallocate may fail: what is written asks for its space itself.
func (f *file) Preallocate(offset, length int64) error {
	f.disk.pass()
	if !f.disk.scarce.Load() {
		_ = f.File.Preallocate(offset, length)
	}
	return nil
}

func (f *file) Sync() error { return f.disk.once("sync", f.name, f.File.Sync) }

func (f *file) SyncData() error { return f.disk.once("sync", f.name, f.File.SyncData) }

func (f *file) SyncTo(length int64) (full bool, err error) {
	err = f.disk.once("sync", f.name, func() error {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}
