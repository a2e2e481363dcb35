package bench

import (
	"os"
	"path/filepath"
	"testing"
)

func TestADirectoryIsAsLargeAsItsFiles(t *testing.T) {
	dir := t.TempDir()
	before := directorySize(dir)
	if err := os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(dir, "a", "b", "c"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // what counts is that it is synced
	if _, err := file.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := file.Sync(); err != nil { // which allocates its blocks
		t.Fatal(err)
	}
	if size := directorySize(dir) - before; size < 1<<20 || size > 2<<20 {
		t.Errorf("a file of 1 MiB takes %d bytes", size)
	}
	if size := directorySize(filepath.Join(dir, "none")); size != 0 {
		t.Errorf("a directory that is not there takes %d bytes", size)
	}
}

func TestCountersOfIOAreFoundByName(t *testing.T) {
	counters := []byte("rchar: 1\nwchar: 2\nread_bytes: 3\nwrite_bytes: 4096\ncancelled_write_bytes: 5\n")
	if n := ioCounter(counters, "write_bytes"); n != 4096 {
		t.Errorf("%d", n)
	}
	if n := ioCounter(nil, "write_bytes"); n != 0 {
		t.Errorf("%d of nothing", n)
	}
}

func TestThisProcessUsesSomething(t *testing.T) {
	u, err := processUsage(os.Getpid())
	if err != nil || u.resident == 0 {
		t.Errorf("%+v, %v", u, err)
	}
	if own, _ := ownCPU(); u.cpu <= 0 || u.cpu > own {
		t.Errorf("%v of CPU time, and %v a moment later", u.cpu, own)
	}
	if _, err := processUsage(-1); err == nil {
		t.Error("a process that is not there is no error")
	}
}
