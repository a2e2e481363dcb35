package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// disk is the file system that the brokers' data is on.
type disk struct{ kind, device string }

func (d disk) String() string { return fmt.Sprintf("data on %s (%s)", d.kind, d.device) }

// diskOf finds the file system of a directory.
func diskOf(dir string) (disk, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return disk{}, err
	}
	if real, err = filepath.Abs(real); err != nil {
		return disk{}, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return disk{}, err
	}
	return findDisk(mounts, real)
}

// check refuses memory, which would make a promise to keep messages look cheap.
func (d disk) check() error {
	if d.kind == "tmpfs" || d.kind == "ramfs" {
		return fmt.Errorf("%s, which is memory: choose a directory on a disk with -data", d)
	}
	return nil
}

// findDisk reads the format of /proc/self/mountinfo, which proc(5) describes.
// Where several are mounted on a directory, the last one is what one sees.
func findDisk(mounts []byte, path string) (found disk, err error) {
	err = errors.New("no file system holds " + path)
	longest := 0
	for line := range bytes.Lines(mounts) {
		before, after, _ := strings.Cut(string(line), " - ")
		mount, super := strings.Fields(before), strings.Fields(after)
		if len(mount) < 5 || len(super) < 2 {
			continue
		}
		point := mount[4]
		if len(point) >= longest && within(path, point) {
			longest, found, err = len(point), disk{kind: super[0], device: super[1]}, nil
		}
	}
	return found, err
}

func within(path, dir string) bool {
	return dir == "/" || path == dir || strings.HasPrefix(path, dir+"/")
}
