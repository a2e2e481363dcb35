//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// outcome is what a program left behind.
type outcome struct {
	command string
	output  string // standard output and standard error
	code    int    // -1 where it did not end by itself
}

func (o outcome) String() string {
	return fmt.Sprintf("%s\nexit code %d, output:\n%s", o.command, o.code, indent(o.output))
}

// run runs a program to its end, for at most limit.
func run(t *testing.T, limit time.Duration, name string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	out, err := cmd.CombinedOutput()
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		t.Fatalf("%s: %v", commandLine(name, args), err)
	}
	return outcome{commandLine(name, args), string(out), cmd.ProcessState.ExitCode()}
}

// process is a program that runs beside the story. What it writes is kept by line, and read
// by one goroutine.
type process struct {
	command string
	cmd     *exec.Cmd

	mu    sync.Mutex
	lines []string
	news  chan struct{} // closed and replaced with every line
	ended chan struct{}

	read int // lines that expect has passed
}

// start starts a program that lives until it ends, is stopped, or the test is over.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p, err := launch(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	return p
}

// launch starts a program that the caller stops.
func launch(name string, args ...string) (*process, error) {
	p := &process{
		command: commandLine(name, args),
		cmd:     exec.Command(name, args...),
		news:    make(chan struct{}),
		ended:   make(chan struct{}),
	}
	reader, writer := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = writer, writer
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.command, err)
	}
	var collecting sync.WaitGroup
	collecting.Go(func() { p.collect(reader) }) // ends with the pipe
	go func() {                                 // ends with the program
		p.cmd.Wait()   //nolint:errcheck // ProcessState tells
		writer.Close() //nolint:errcheck // closing a pipe for writing cannot fail
		collecting.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) collect(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		close(p.news)
		p.news = make(chan struct{})
		p.mu.Unlock()
	}
}

// stop asks the program to end, and makes it end.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended
	select {
	case <-p.ended:
	case <-time.After(3 * time.Second):
		p.cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-p.ended
	}
}

// hasEnded says that the program does not run.
func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// await is expect, and fails the test.
func (p *process) await(t *testing.T, limit time.Duration, what string, wanted func(line string) bool) string {
	t.Helper()
	line, err := p.expect(limit, what, wanted)
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, p.command, indent(p.output()))
	}
	return line
}

// expect returns the next line, after those that were expected before, that is wanted. It gives up
// when the limit has passed or the program has ended without it.
func (p *process) expect(limit time.Duration, what string, wanted func(line string) bool) (string, error) {
	deadline := time.After(limit)
	for {
		ended := p.hasEnded()
		line, ok, news := p.next(wanted)
		switch {
		case ok:
			return line, nil
		case ended:
			return "", fmt.Errorf("the program ended with %q before: %s", p.cmd.ProcessState, what)
		}
		select {
		case <-news:
		case <-p.ended:
		case <-deadline:
			return "", fmt.Errorf("not within %s: %s", limit, what)
		}
	}
}

// next moves to the next wanted line, past those that are not; news is closed when there is more.
func (p *process) next(wanted func(string) bool) (line string, ok bool, news <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.read < len(p.lines) {
		line := p.lines[p.read]
		p.read++
		if wanted(line) {
			return line, true, nil
		}
	}
	return "", false, p.news
}

// count says how many lines there are, of those that were written so far, that match.
func (p *process) count(match func(line string) bool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, line := range p.lines {
		if match(line) {
			n++
		}
	}
	return n
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// containing matches lines that hold all of the parts.
func containing(parts ...string) func(string) bool {
	return func(line string) bool {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				return false
			}
		}
		return true
	}
}

// eventually tries until f has no objection. It returns how long that took.
func eventually(t *testing.T, limit time.Duration, what string, f func() error) time.Duration {
	t.Helper()
	begun := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		took := time.Since(begun)
		if err == nil {
			return took
		}
		if took > limit {
			t.Fatalf("not within %s: %s: %v", limit, what, err)
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("%s: %v", what, t.Context().Err())
		}
	}
}

func commandLine(name string, args []string) string {
	return strings.Join(append([]string{filepath.Base(name)}, args...), " ")
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}

// writeFile writes a file of the test and returns its path.
func writeFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
