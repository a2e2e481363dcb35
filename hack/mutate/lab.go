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
}

// newLab runs the tests once without a fault, in a directory inside dir.
func newLab(ctx context.Context, t target, dir string) (*lab, error) {
	scratch, err := os.MkdirTemp(dir, "lab")
	if err != nil {
		return nil, err
	}
	l := &lab{target: t, scratch: scratch, timeout: 10 * time.Minute}
	program := filepath.Join(scratch, "clean.test")
	if output, err := l.build(ctx, program, ""); err != nil {
		return nil, fmt.Errorf("%w: %s", err, output)
	}
	start := time.Now()
	if output, err := l.test(ctx, program); err != nil {
		return nil, fmt.Errorf("the tests fail without a fault: %w: %s", err, output)
	}
	l.timeout = 10*time.Second + 5*time.Since(start)
	return l, nil
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

// try builds the tests with a fault and runs them.
func (l *lab) try(ctx context.Context, f *fault) (trial, error) {
	if f.accepted {
		return trial{fault: f, outcome: nothingNew}, nil
	}
	dir, err := os.MkdirTemp(l.scratch, "fault")
	if err != nil {
		return trial{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	overlay, err := writeOverlay(dir, f)
	if err != nil {
		return trial{}, err
	}
	program := filepath.Join(dir, "fault.test")
	if _, err := l.build(ctx, program, overlay); err != nil {
		return trial{fault: f, outcome: noFault}, ctx.Err()
	}
	output, err := l.test(ctx, program)
	if ctx.Err() != nil {
		return trial{}, ctx.Err()
	}
	t := trial{fault: f, outcome: judge(output, err)}
	if t.outcome == noticed {
		t.by = firstFailure(output)
	}
	return t, nil
}

// writeOverlay writes the changed file and the go command's overlay, whose path it returns.
func writeOverlay(dir string, f *fault) (string, error) {
	changed := filepath.Join(dir, "changed.go")
	if err := os.WriteFile(changed, f.mutated(), 0o600); err != nil {
		return "", err
	}
	content, err := json.Marshal(map[string]any{"Replace": map[string]string{f.file.path: changed}})
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

// test runs a built test program as the go command does. The shell bounds its memory.
func (l *lab) test(ctx context.Context, program string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout+30*time.Second) // it ends by itself before
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", fmt.Sprintf(`ulimit -v %d && exec "$@"`, maxMemory), "sh",
		program, "-test.failfast", "-test.short=false", "-test.timeout="+l.timeout.String())
	cmd.Dir = l.dir
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
