package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/hack/torture/client"
)

// amounts are what is on disk when a start is measured.
type amounts struct {
	sessions, queued, retained int
	size                       int           // of a payload, in bytes
	rest                       time.Duration // until the memory is measured again
}

func (a *amounts) register(f *flag.FlagSet) {
	f.IntVar(&a.sessions, "measure-sessions", 100000, "with -measure-start: sessions, with one subscription each")
	f.IntVar(&a.queued, "measure-queued", 1000000, "with -measure-start: messages that wait for them, all together")
	f.IntVar(&a.retained, "measure-retained", 1000000, "with -measure-start: retained messages")
	f.IntVar(&a.size, "measure-size", 64, "with -measure-start: bytes of a payload")
	f.DurationVar(&a.rest, "measure-rest", 10*time.Second, "with -measure-start: how long a broker is left alone before its memory is measured again")
}

// start is what a start of a broker took.
type start struct {
	what         string
	ready, first time.Duration // until /readyz, until the CONNACK of a session
	atReady      int64         // resident memory, in bytes
	later, peak  int64         // the same when the process has rested, and at the most
	disk         int64
}

// measureStart fills a broker over the protocol, and prints how it starts: with
// nothing on disk, after an orderly end, and after a kill.
func measureStart(ctx context.Context, w io.Writer, godwit string, a amounts) error {
	dir, err := os.MkdirTemp("", "godwit-start-")
	if err != nil {
		return err
	}
	b, err := newBroker(godwit, dir, config.Persistence{})
	if err != nil {
		return err
	}
	m := &measurement{broker: b, amounts: a}
	if err := errors.Join(m.run(ctx), b.close()); err != nil {
		return fmt.Errorf("%w; log and data: %s", err, dir)
	}
	m.print(w)
	return os.RemoveAll(dir)
}

type measurement struct {
	*broker
	amounts
	starts []start
}

func (m *measurement) run(ctx context.Context) error {
	if err := m.measure(ctx, "nothing on disk"); err != nil {
		return err
	}
	if err := m.fill(ctx); err != nil {
		return err
	}
	for _, by := range []struct {
		signal syscall.Signal
		what   string
	}{{syscall.SIGTERM, "after an orderly end"}, {syscall.SIGKILL, "after a kill"}} {
		if err := m.end(by.signal); err != nil {
			return err
		}
		if err := m.measure(ctx, by.what); err != nil {
			return err
		}
	}
	return nil
}

// measure starts the broker.
func (m *measurement) measure(ctx context.Context, what string) error {
	began := time.Now()
	if err := m.start(); err != nil {
		return err
	}
	s := start{what: what}
	if err := m.waitReady(ctx); err != nil {
		return err
	}
	s.ready = time.Since(began)
	if s.atReady, _ = memory(m.cmd.Process.Pid); s.atReady == 0 {
		return errors.New("the memory of the broker is not known on this system")
	}
	if err := m.connect(ctx); err != nil {
		return err
	}
	s.first = time.Since(began)
	select {
	case <-time.After(m.rest):
	case <-ctx.Done():
		return ctx.Err()
	}
	s.later, s.peak = memory(m.cmd.Process.Pid)
	s.disk = usage(m.data())
	m.starts = append(m.starts, s)
	return nil
}

// waitReady waits until the admin endpoint says so.
func (m *measurement) waitReady(ctx context.Context) error {
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address(m.admin)+"/readyz", nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-m.ended:
			return errors.New("the broker has ended: see its log")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// newClient makes the i-th client, whose session lasts.
func (m *measurement) newClient(name string, i int, answered func(*client.Outgoing, client.Outcome)) *client.Client {
	return client.New(client.Options{
		Address: address(m.port), ID: fmt.Sprintf("%s-%d", name, i), Version: packet.V5, Expiry: sessionExpiry, Answered: answered,
	})
}

// connect takes up the first session.
func (m *measurement) connect(ctx context.Context) error {
	c := m.newClient("session", 0, nil)
	defer c.Drop()
	present, err := c.Connect(ctx, false, nil)
	if full := len(m.starts) > 0; err == nil && present != full {
		return fmt.Errorf("session present is %t", present)
	}
	return err
}

// fill makes sessions and has messages wait for them.
func (m *measurement) fill(ctx context.Context) error {
	if err := m.subscribe(ctx); err != nil {
		return err
	}
	if err := m.publish(ctx, m.queued, "queued", func(i int) packet.Publish {
		return packet.Publish{Topic: fmt.Appendf(nil, "q/%d", i%m.sessions)}
	}); err != nil {
		return err
	}
	return m.publish(ctx, m.retained, "retained", func(i int) packet.Publish {
		return packet.Publish{Topic: fmt.Appendf(nil, "r/%d", i), Retain: true}
	})
}

// parallel calls f from several goroutines with the numbers from 0 up to n, until
// one fails.
func parallel(n, workers int, f func(i int) error) error {
	var next, working = atomic.Int64{}, sync.WaitGroup{}
	failed := make(chan error, workers)
	for range workers {
		working.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := f(i); err != nil {
					next.Store(int64(n))
					failed <- err
					return
				}
			}
		})
	}
	working.Wait()
	close(failed)
	return <-failed
}

func (m *measurement) subscribe(ctx context.Context) error {
	const workers = 64
	defer progress(m.sessions, "sessions")()
	return parallel(m.sessions, workers, func(i int) error {
		c := m.newClient("session", i, nil)
		defer c.Drop()
		if _, err := c.Connect(ctx, false, nil); err != nil {
			return err
		}
		return c.Subscribe(ctx, packet.QoS1, fmt.Sprintf("q/%d", i))
	})
}

// publish publishes n messages of QoS 1 and waits until all are acknowledged.
func (m *measurement) publish(ctx context.Context, n int, what string, message func(i int) packet.Publish) error {
	const workers, window = 8, 500
	defer progress(n, what)()
	var taken atomic.Int64
	body := make([]byte, m.size)
	_, _ = rand.Read(body) // never fails; of what can be compressed there would be less on disk
	err := parallel(workers, workers, func(worker int) error {
		c := m.newClient("filler", worker, func(_ *client.Outgoing, o client.Outcome) {
			if o == client.Taken {
				taken.Add(1)
			}
		})
		defer c.Drop()
		if _, err := c.Connect(ctx, true, nil); err != nil {
			return err
		}
		for i := worker; i < n; i += workers {
			if !c.Room(ctx, window) {
				return client.ErrEnded
			}
			p := message(i)
			p.QoS, p.Payload = packet.QoS1, body
			c.Publish(&client.Outgoing{Publish: p})
		}
		if !c.Room(ctx, 1) {
			return client.ErrEnded
		}
		return nil
	})
	if err == nil && taken.Load() != int64(n) {
		err = fmt.Errorf("%d of %d messages were taken", taken.Load(), n)
	}
	return err
}

// progress tells that something was begun; what it returns, that it is done.
func progress(n int, what string) (done func()) {
	began := time.Now()
	fmt.Fprintf(os.Stderr, "%d %s ... ", n, what)
	return func() { fmt.Fprintf(os.Stderr, "%.1f s\n", time.Since(began).Seconds()) }
}

// memory is the resident memory of a process and the most that it ever was, in
// bytes; 0 where the system does not tell as Linux does.
func memory(pid int) (resident, peak int64) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	defer f.Close() //nolint:errcheck // it was read
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value, _ := bytes.Cut(s.Bytes(), []byte(":"))
		kilobytes, err := strconv.ParseInt(string(bytes.TrimSpace(bytes.TrimSuffix(value, []byte("kB")))), 10, 64)
		switch {
		case err != nil:
		case string(name) == "VmRSS":
			resident = kilobytes << 10
		case string(name) == "VmHWM":
			peak = kilobytes << 10
		}
	}
	return resident, peak
}

// usage is the size of all files below a directory.
func usage(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			if info, err := e.Info(); err == nil { // the database may have removed it
				bytes += info.Size()
			}
		}
		return nil
	})
	return bytes
}

func (m *measurement) print(w io.Writer) {
	fmt.Fprintf(w, "%d sessions, %d queued messages, %d retained messages of %d bytes\n\n", m.sessions, m.queued, m.retained, m.size)
	fmt.Fprintf(w, "| start | ready | first CONNACK | memory when ready | %.0f s later | at most | on disk |\n|---|---:|---:|---:|---:|---:|---:|\n", m.rest.Seconds())
	const mega = 1 << 20
	for _, s := range m.starts {
		fmt.Fprintf(w, "| %s | %.2f s | %.2f s | %d MiB | %d MiB | %d MiB | %d MiB |\n", s.what,
			s.ready.Seconds(), s.first.Seconds(), s.atReady/mega, s.later/mega, s.peak/mega, s.disk/mega)
	}
}
