//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a daemon of the cluster.
type process struct {
	name   string
	binary string   // path, or a name to look up
	args   []string // without the program's name
	config []string // configuration files: a change in one restarts the process
	ready  func(context.Context) error
}

// record is what the cluster remembers of a process that it started. Process identifiers are
// used again; together with the start time and the executable they are not mistaken.
type record struct {
	PID       int
	StartTime string // clock ticks since boot, from /proc/PID/stat
	Exe       string
	Digest    string // of what the process was started with
}

// ensure starts p unless it runs as wanted already, and waits until it is ready.
func (c *cluster) ensure(ctx context.Context, p process) error {
	digest, err := p.digest()
	if err != nil {
		return err
	}
	if r, ok := c.running(p.name); !ok || r.Digest != digest {
		if ok {
			log.Printf("%s has changed, restarting it", p.name)
			if err := c.stop(p.name, 20*time.Second); err != nil {
				return err
			}
		}
		if err := c.start(p, digest); err != nil {
			return fmt.Errorf("start %s: %w", p.name, err)
		}
	}
	return c.waitReady(ctx, p)
}

// start runs p in a session of its own, so that it outlives the caller, with its output in a log.
func (c *cluster) start(p process, digest string) error {
	path, err := lookPath(p.binary)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.path("logs"), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(c.logFile(p.name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer out.Close() //nolint:errcheck // the process has its own descriptor
	cmd := exec.Command(path, p.args...)
	cmd.Dir = "/"
	cmd.Env = environment("HOME")
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	go cmd.Wait() //nolint:errcheck // reaps it if it ends first; waitReady sees that it has
	return c.remember(p.name, cmd.Process.Pid, digest)
}

func (c *cluster) remember(name string, pid int, digest string) error {
	startTime, err := startTime(pid)
	if err != nil {
		return fmt.Errorf("ended at once; see %s", c.logFile(name))
	}
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return err
	}
	b, err := json.Marshal(record{PID: pid, StartTime: startTime, Exe: exe, Digest: digest})
	if err != nil {
		return err
	}
	return writeFile(c.recordFile(name), string(b), 0o644)
}

// running tells whether the process that was recorded under name is alive.
func (c *cluster) running(name string) (record, bool) {
	var r record
	b, err := os.ReadFile(c.recordFile(name))
	if err != nil || json.Unmarshal(b, &r) != nil {
		return r, false
	}
	return r, r.alive()
}

func (r record) alive() bool {
	startTime, err := startTime(r.PID)
	if err != nil || startTime != r.StartTime {
		return false
	}
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", r.PID))
	return err == nil && strings.TrimSuffix(exe, " (deleted)") == r.Exe
}

// startTime reads when a process started. One that has ended and only waits to be reaped counts as
// gone.
func startTime(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The second field is the program's name in parentheses, and may hold anything.
	_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')'):]), " ")
	fields := strings.Fields(rest) // from the third field on
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return "", os.ErrProcessDone
	}
	return fields[19], nil
}

// stop ends the recorded process: politely, and after grace for good.
func (c *cluster) stop(name string, grace time.Duration) error {
	r, ok := c.running(name)
	if ok {
		if err := end(r.alive, r.PID, grace); err != nil {
			return fmt.Errorf("stop %s: %w", name, err)
		}
	}
	if err := os.Remove(c.recordFile(name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// end signals a process until alive denies that it lives.
func end(alive func() bool, pid int, grace time.Duration) error {
	signal, deadline := syscall.SIGTERM, time.Now().Add(grace)
	for sent := syscall.Signal(0); alive(); time.Sleep(50 * time.Millisecond) {
		if signal != sent {
			if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
			sent = signal
		}
		switch now := time.Now(); {
		case now.After(deadline.Add(10 * time.Second)):
			return fmt.Errorf("pid %d does not end", pid)
		case now.After(deadline):
			signal = syscall.SIGKILL
		}
	}
	return nil
}

// waitReady waits for p, and gives up at once when it has ended.
func (c *cluster) waitReady(ctx context.Context, p process) error {
	deadline := time.Now().Add(readyTimeout)
	for {
		err := p.ready(ctx)
		if err == nil {
			return nil
		}
		if _, ok := c.running(p.name); !ok {
			return fmt.Errorf("%s has ended; the end of %s:\n%s", p.name, c.logFile(p.name), tail(c.logFile(p.name), 15))
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready after %s: %w; see %s", p.name, readyTimeout, err, c.logFile(p.name))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c *cluster) logFile(name string) string { return c.path("logs", name+".log") }
func (c *cluster) recordFile(name string) string {
	return filepath.Join(c.runDir, "processes", name+".json")
}

// digest identifies what a process is started with.
func (p process) digest() (string, error) {
	h := sha256.New()
	h.Write(fmt.Appendln(nil, p.binary, strconv.Quote(strings.Join(p.args, "\x00"))))
	for _, path := range p.config {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		h.Write(b)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}

// httpReady checks that url answers 200, as the cluster's administrator.
func (c *cluster) httpReady(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		client, err := c.httpClient()
		if err != nil {
			return err
		}
		defer client.CloseIdleConnections()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close() //nolint:errcheck // only the status counts
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, resp.Status)
		}
		return nil
	}
}

func (c *cluster) httpClient() (*http.Client, error) {
	ca, err := os.ReadFile(c.pki("ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	admin, err := tls.LoadX509KeyPair(c.pki("admin.crt"), c.pki("admin.key"))
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{ // no proxy: the node is this machine
			TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{admin}},
		},
	}, nil
}

// socketReady checks that something accepts connections on a Unix socket.
func socketReady(path string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// lookPath finds a program also where the caller's PATH has no directories for root's programs.
func lookPath(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}

// tail returns the last n lines of a file.
func tail(path string, n int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
