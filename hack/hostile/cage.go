package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cage is a control group that bounds the memory of a process, where this process
// may make one.
type cage struct {
	dir  string // empty: there is none
	kind string
}

// Places of the memory controller.
const (
	unified     = "/sys/fs/cgroup"
	memoryV1    = "/sys/fs/cgroup/memory"
	controllers = "cgroup.controllers"
)

// newCage makes a control group with a limit in bytes. Without one, the process
// is bounded by its runtime alone and what it takes is looked at.
func newCage(limit int64) *cage {
	for _, c := range []cage{{memoryV1, "a control group, v1"}, {unified, "a control group, v2"}} {
		file := "memory.limit_in_bytes"
		if c.dir == unified {
			file = "memory.max"
			if have, err := os.ReadFile(filepath.Join(unified, controllers)); err != nil || !strings.Contains(string(have), "memory") {
				continue
			}
		}
		c.dir = filepath.Join(c.dir, fmt.Sprintf("godwit-hostile-%d", os.Getpid()))
		if os.Mkdir(c.dir, 0o755) != nil {
			continue
		}
		if os.WriteFile(filepath.Join(c.dir, file), []byte(strconv.FormatInt(limit, 10)), 0o600) == nil {
			return &c
		}
		_ = os.Remove(c.dir) // it has no memory controller
	}
	return &cage{kind: "GOMEMLIMIT and a look at the resident memory"}
}

// enter is the line of a shell that moves it into the cage.
func (c *cage) enter() string {
	if c.dir == "" {
		return ":"
	}
	return "echo $$ > " + filepath.Join(c.dir, "cgroup.procs")
}

// remove removes the cage, which takes a moment after the end of the process.
func (c *cage) remove() error {
	if c.dir == "" {
		return nil
	}
	var err error
	for range 100 {
		if err = os.Remove(c.dir); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}
