package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// outcome is what the tests say of a fault.
type outcome int

const (
	unnoticed outcome = iota
	noticed
	timedOut   // the tests did not end
	noFault    // it does not compile
	nothingNew // it was accepted, and not tried
)

// trial is the result of a fault.
type trial struct {
	fault   *fault
	outcome outcome
	by      string // the test that failed, where it is known
}

// maxMemory bounds the address space of tests, in KiB: a fault may allocate without end.
const maxMemory = 8 << 20

// lab runs the tests of one package.
type lab struct {
	target
	scratch string        // a directory of its own
	timeout time.Duration // of the tests, which is far from what they take without a fault
	program string        // with many faults built in
	ids     map[*fault]int
}

// newLab builds what it can of the faults into one program, in a directory inside dir, and runs
// the tests once without a fault.
func newLab(ctx context.Context, t target, dir string, files []*sourceFile, all []*fault) (*lab, error) {
	scratch, err := os.MkdirTemp(dir, "lab")
	if err != nil {
		return nil, err
	}
	l := &lab{target: t, scratch: scratch, timeout: 10 * time.Minute, program: filepath.Join(scratch, "faults.test")}
	l.ids, err = l.buildIn(ctx, files, all)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if output, err := l.test(ctx, l.program, 0); err != nil {
		return nil, fmt.Errorf("the tests fail without a fault: %w: %s", err, output)
	}
	l.timeout = 10*time.Second + 5*time.Since(start)
	return l, nil
}

// buildIn builds the program with many faults, and returns their numbers.
func (l *lab) buildIn(ctx context.Context, files []*sourceFile, all []*fault) (map[*fault]int, error) {
	c, err := newChecker(ctx, l.target)
	if err != nil {
		return nil, err
	}
	b, err := c.build(files, all)
	if err != nil {
		return nil, err
	}
	b.texts[filepath.Join(l.dir, "zz_mutate.go")] = guards(files[0].tree.Name.Name)
	overlay, err := writeOverlay(l.scratch, b.texts)
	if err != nil {
		return nil, err
	}
	if output, err := l.build(ctx, l.program, overlay); err != nil {
		return nil, fmt.Errorf("build with %d faults: %w: %s", len(b.ids), err, output)
	}
	return b.ids, nil
}

// tryAll tries faults in their order until count of them have a result, some side by side, and
// hands out the results from this goroutine, in the same order.
func (l *lab) tryAll(ctx context.Context, faults []*fault, count, parallel int, result func(trial)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	slots := make(chan struct{}, max(1, parallel))
	type pending struct {
		trial trial
		err   error
	}
	queue := make(chan chan pending, cap(slots))
	var running sync.WaitGroup
	running.Go(func() {
		defer close(queue)
		for _, f := range faults {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			done := make(chan pending, 1)
			running.Go(func() {
				t, err := l.try(ctx, f)
				<-slots
				done <- pending{t, err}
			})
			select {
			case queue <- done:
			case <-ctx.Done():
				return
			}
		}
	})
	defer running.Wait()
	defer cancel()
	for done := range queue {
		p := <-done
		if p.err != nil {
			return p.err
		}
		result(p.trial)
		if p.trial.outcome != noFault && p.trial.outcome != nothingNew {
			count--
		}
		if count <= 0 {
			return nil
		}
	}
	return ctx.Err()
}

// try runs the tests with a fault, which it builds where it is not built in.
func (l *lab) try(ctx context.Context, f *fault) (trial, error) {
	if f.accepted {
		return trial{fault: f, outcome: nothingNew}, nil
	}
	program := l.program
	if l.ids[f] == 0 {
		dir, err := os.MkdirTemp(l.scratch, "fault")
		if err != nil {
			return trial{}, err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		overlay, err := writeOverlay(dir, map[string][]byte{f.file.path: f.mutated()})
		if err != nil {
			return trial{}, err
		}
		program = filepath.Join(dir, "fault.test")
		if _, err := l.build(ctx, program, overlay); err != nil {
			return trial{fault: f, outcome: noFault}, ctx.Err()
		}
	}
	output, err := l.test(ctx, program, l.ids[f])
	if ctx.Err() != nil {
		return trial{}, ctx.Err()
	}
	t := trial{fault: f, outcome: judge(output, err)}
	if t.outcome == noticed {
		t.by = firstFailure(output)
	}
	return t, nil
}

// writeOverlay writes files, by the path that they stand for, and the go command's overlay, whose
// path it returns.
func writeOverlay(dir string, texts map[string][]byte) (string, error) {
	replace := make(map[string]string)
	for path, text := range texts {
		replace[path] = filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(replace[path], text, 0o600); err != nil {
			return "", err
		}
	}
	content, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, content, 0o600)
}

func (l *lab) build(ctx context.Context, program, overlay string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay="+overlay, "-o", program, l.path)
	cmd.Dir = l.dir
	return cmd.CombinedOutput()
}

// test runs a built test program as the go command does, with a fault that is built in by its
// number; 0 is none. The shell bounds its memory.
func (l *lab) test(ctx context.Context, program string, id int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout+30*time.Second) // it ends by itself before
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", fmt.Sprintf(`ulimit -v %d && exec "$@"`, maxMemory), "sh",
		program, "-test.failfast", "-test.short=false", "-test.timeout="+l.timeout.String())
	cmd.Dir = l.dir
	cmd.Env = append(cmd.Environ(), "MUTATE_FAULT="+strconv.Itoa(id))
	cmd.WaitDelay = time.Second
	return cmd.CombinedOutput()
}

// judge tells what the tests' output and error say of a fault.
func judge(output []byte, err error) outcome {
	switch {
	case err == nil:
		return unnoticed
	case errors.Is(err, exec.ErrWaitDelay) || bytes.Contains(output, []byte("panic: test timed out")):
		return timedOut
	default:
		return noticed
	}
}

// failure is the line that names a failed test, or the first of a panic.
var failure = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)|^(panic: .*|fatal error: .*)`)

func firstFailure(output []byte) string {
	m := failure.FindSubmatch(output)
	if m == nil {
		return ""
	}
	return string(append(m[1], m[2]...))
}
