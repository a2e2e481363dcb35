package pebble

import (
	"errors"
	"log/slog"
	"os"
	"sync"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// reserve is space that the store has allocated in advance, in files of real
// blocks. What gives space back has to be written first, and a full disk has none
// for that.
//
// One part is given up when a write finds the disk full. The other one is for
// Open, which writes too before anything can be read: a broker that is started
// again on a full disk finds it there.
type reserve struct {
	fs  vfs.FS // that nothing waits in
	dir string
	log *slog.Logger

	mu               sync.Mutex
	running, opening part
}

// part is a file of the reserve.
type part struct {
	name string
	want int64 // bytes that it is to have; 0 is no such part
	have int64
}

func (p *part) missing() int64 { return max(p.want-p.have, 0) }

// The reserve of a disk takes at most these bytes, or that part of a small one.
const (
	runningBytes, runningPart = 64 << 20, 10
	openingBytes, openingPart = 32 << 20, 20
)

// newReserve returns what there is of the reserve in a directory. It has no parts
// where it is not known how large the disk is.
func newReserve(fs vfs.FS, dir string, log *slog.Logger) *reserve {
	r := &reserve{fs: fs, dir: dir, log: log}
	r.running.name, r.opening.name = fs.PathJoin(dir, "reserve.running"), fs.PathJoin(dir, "reserve.opening")
	for _, p := range []*part{&r.running, &r.opening} {
		if info, err := fs.Stat(p.name); err == nil {
			p.have = max(info.Size(), 1)
		}
	}
	if u, err := fs.GetDiskUsage(dir); err == nil {
		total := int64(min(u.TotalBytes, 1<<60))
		r.running.want = min(runningBytes, total/runningPart)
		r.opening.want = min(openingBytes, total/openingPart)
	}
	return r
}

// giveUp gives space back, and reports whether there was any. The part for
// opening is given by Open alone.
func (r *reserve) giveUp(opening bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.running.have > 0:
		return r.remove(&r.running)
	case opening && r.opening.have > 0:
		return r.remove(&r.opening)
	}
	return false
}

// remove gives a part back. A file system may have its blocks free only once that
// is on the disk.
func (r *reserve) remove(p *part) bool {
	err := r.fs.Remove(p.name)
	if dir, derr := r.fs.OpenDir(r.dir); derr == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
	r.log.Warn("the disk is full: the store gives up space that it has kept for this", "file", p.name, "bytes", p.have, "error", err)
	p.have = 0
	return err == nil
}

// refill allocates what is missing, as far as of free bytes so many are left as
// the disk needs not to be nearly full. It returns what is free then, and what is
// missing.
func (r *reserve) refill(free, least int64) (left, missing int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range []*part{&r.opening, &r.running} {
		if p.missing() > 0 && free-p.want >= least && r.allocate(p) {
			free -= p.want
		}
	}
	return free, r.opening.missing() + r.running.missing()
}

// allocate makes the file of a part, under another name until it has all blocks.
func (r *reserve) allocate(p *part) bool {
	name := p.name + ".new"
	err := r.fill(name, p.want)
	if err == nil {
		err = r.fs.Rename(name, p.name)
	}
	if err != nil {
		_ = r.fs.Remove(name)
		r.log.Debug("the reserve of the store cannot be allocated", "file", p.name, "error", err)
		return false
	}
	p.have = p.want
	return true
}

// fill makes a file that takes so many bytes of the disk.
func (r *reserve) fill(name string, size int64) (err error) {
	f, err := r.fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	switch err := f.Preallocate(0, size); {
	case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS), errors.Is(err, os.ErrInvalid):
		return writeZeros(f, size)
	case err != nil:
		return err
	}
	if _, err := f.WriteAt([]byte{0}, size-1); err != nil { // which makes it so long
		return err
	}
	return f.Sync()
}

// writeZeros is for file systems that allocate what is written alone.
func writeZeros(f vfs.File, size int64) error {
	zeros := make([]byte, 1<<20)
	for size > 0 {
		n, err := f.Write(zeros[:min(size, int64(len(zeros)))])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return f.Sync()
}
