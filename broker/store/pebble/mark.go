package pebble

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// markFile says which group of commits was durable when it was written.
//
// A log ends where it cannot be read: that is where the power was cut, or where
// it is damaged, and the database does not always know which. What the mark
// names was synced before, so a store that ends earlier has lost something that
// was reported. The mark itself is not synced: an old one, or none, only says
// less.
const markFile = "durable"

// mark writes the mark, if it has moved. It is called by one goroutine at a time.
// That it cannot be written costs nothing.
func (s *Store) mark() {
	durable := s.durable.Load()
	if durable == s.marked {
		return
	}
	if err := writeMark(s.options.FS, s.options.Dir, durable); err != nil {
		s.options.Logger.Debug("the mark of what is durable cannot be written", "error", err)
		return
	}
	s.marked = durable
}

func writeMark(fs vfs.FS, dir string, durable uint64) error {
	name := fs.PathJoin(dir, markFile)
	f, err := fs.Create(name+".new", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, durable)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return fs.Rename(name+".new", name)
}

// checkMark refuses a store that has lost durable commits.
func (s *Store) checkMark() error {
	name := s.disk.PathJoin(s.options.Dir, markFile)
	f, err := s.disk.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	b, err := io.ReadAll(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	// A part of the number is a smaller one.
	durable, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err == nil && durable > s.last {
		return fmt.Errorf("it ends at commit %d, and commit %d was durable: its files are damaged or missing. "+
			"Restore the directory, or remove %s to go on without what is lost", s.last, durable, name)
	}
	return nil
}
