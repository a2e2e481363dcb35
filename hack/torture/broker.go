package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/godwit-mqtt/godwit/broker/config"
)

// broker is a `godwit broker` that is started again and again over the same
// files.
type broker struct {
	godwit, dir string
	port, admin int
	log         *os.File

	mu  sync.Mutex
	cmd *exec.Cmd // nil while none is meant to run
	// ended is closed when cmd has ended.
	ended chan struct{}
	// onEnd is called with how a process ended that nobody has asked to.
	onEnd func(error)
}

// With -sync interval the disk is waited for so often, and a sync takes its time:
// what was acknowledged longer than the window before a kill has to be there.
const (
	syncEvery  = time.Second
	syncWindow = syncEvery + 500*time.Millisecond
)

// newBroker writes the configuration of a broker that keeps everything below dir.
func newBroker(godwit, dir string, persistence config.Persistence) (*broker, error) {
	b := &broker{godwit: godwit, dir: dir}
	err := os.MkdirAll(dir, 0o755)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(b.data()); err == nil {
		return nil, fmt.Errorf("%s is there already, of another broker", b.data())
	}
	if b.port, err = freePort(); err != nil {
		return nil, err
	}
	if b.admin, err = freePort(); err != nil {
		return nil, err
	}
	if err := writeConfig(dir, b.port, persistence); err != nil {
		return nil, err
	}
	b.log, err = os.Create(filepath.Join(dir, "broker.log"))
	return b, err
}

// freePort is one that nobody listens on and that no connection is given as its
// own: while the broker is down, a client that tries to reach a port of that
// range can be connected to itself.
func freePort() (int, error) {
	const from, to = 20000, 30000
	for range 100 {
		port := from + rand.IntN(to-from)
		l, err := net.Listen("tcp", address(port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no port from %d to %d is free", from, to)
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// writeConfig admits everybody to everything, and lets as much wait as it takes.
func writeConfig(dir string, port int, persistence config.Persistence) error {
	const many = 1 << 30
	settings := config.Settings{
		Name:      "torture/godwit",
		Listeners: []config.Listener{{Name: "torture", Address: "127.0.0.1", Port: port}},
		Anonymous: true, DefaultEffect: config.Allow,
		MQTT: config.MQTT{
			MaxQueuedMessages: many, MaxQueuedBytes: many, MaxRetainedMessages: many, MaxRetainedBytes: 16 * many,
			SysInterval: -1,
		},
		Persistence: &persistence,
		Drain:       config.Drain{DisconnectRate: 100000, Timeout: config.Duration(10 * time.Second)},
	}
	for name, content := range map[string]any{config.SettingsFile: settings, config.AccessFile: config.Access{}} {
		b, err := json.Marshal(content)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// data is the directory that is to survive.
func (b *broker) data() string { return filepath.Join(b.dir, "data") }

// start begins a process, and does not wait until it serves.
func (b *broker) start() error {
	cmd := exec.Command(b.godwit, "broker", "--settings-dir", b.dir, "--access-dir", b.dir, "--data-dir", b.data(),
		"--admin-address", address(b.admin), "--log-format", "text")
	cmd.Stdout, cmd.Stderr = b.log, b.log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cmd, b.ended = cmd, ended
	go func() {
		defer close(ended)
		_ = cmd.Wait() // ProcessState tells
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.cmd == cmd && b.onEnd != nil {
			b.onEnd(fmt.Errorf("the broker ended by itself: %v", cmd.ProcessState))
		}
	}()
	return nil
}

// waitServing waits until the broker accepts connections.
func (b *broker) waitServing(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address(b.port))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait for the broker to serve: %w", err)
		}
	}
}

// end sends a signal and waits until the process has ended.
func (b *broker) end(signal syscall.Signal) error {
	b.mu.Lock()
	cmd, ended := b.cmd, b.ended
	b.cmd = nil
	b.mu.Unlock()
	if cmd == nil {
		return nil
	}
	_ = cmd.Process.Signal(signal) // it may have ended
	select {
	case <-ended:
	case <-time.After(time.Minute):
		_ = cmd.Process.Kill()
		<-ended
		return fmt.Errorf("%v did not end the broker within a minute", signal)
	}
	if signal != syscall.SIGKILL && !cmd.ProcessState.Success() {
		return fmt.Errorf("after %v the broker ended with %v", signal, cmd.ProcessState)
	}
	return nil
}

// note writes a line into the log, where it helps to read what is around it.
func (b *broker) note(format string, args ...any) {
	_, _ = fmt.Fprintf(b.log, "=== "+format+"\n", args...) // a log that lacks it is still a log
}

// close ends a process that still runs.
func (b *broker) close() error {
	return errors.Join(b.end(syscall.SIGKILL), b.log.Close())
}

// complaints are the errors in the log.
func (b *broker) complaints() (lines []string) {
	f, err := os.Open(b.log.Name())
	if err != nil {
		return []string{err.Error()}
	}
	defer f.Close() //nolint:errcheck // it was read
	for s := bufio.NewScanner(f); s.Scan(); {
		if strings.Contains(s.Text(), "level=ERROR") {
			lines = append(lines, s.Text())
		}
	}
	return lines
}
