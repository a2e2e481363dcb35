// Package brokertest runs a broker inside the process of a test and talks to it
// packet by packet.
//
//	b := brokertest.Start(t)
//	sub := b.Connect(t, packet.V5, "sub")
//	sub.Subscribe("a/#", packet.QoS1)
//	pub := b.Connect(t, packet.V311, "pub")
//	pub.Publish("a/b", "hello", packet.QoS1)
//	sub.ExpectPublish("a/b", "hello")
//
// Whatever fails ends the test. Nothing sleeps: every wait is for a packet or a
// condition, and has a deadline.
package brokertest

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/server"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

// Patience is how long anything is waited for.
const Patience = 20 * time.Second

// Names of the listeners of a broker that the test did not configure otherwise.
const (
	Plain = "tcp"
	TLS   = "tls"
)

// Options of a Broker. The zero value is fit for use.
type Options struct {
	// Configure changes the configuration, which otherwise has the listeners
	// Plain and TLS on free ports and admits everybody to everything.
	Configure func(*config.Config)
	// Store outlives the broker, for a next one. nil is an empty one in memory.
	Store store.Store
	// OpenFiles is what the broker takes for the limit of open files; 0 is that of
	// the process.
	OpenFiles int
}

// Broker is a broker that runs until Stop or the end of the test.
type Broker struct {
	*server.Server
	Metrics *metrics.Metrics
	// CA signs the certificate of the listener TLS.
	CA *CA

	dir  string
	log  *log
	stop func()

	mu     sync.Mutex
	config config.Config
}

// Start runs a broker whose configuration was changed by configure, one after
// the other.
func Start(t testing.TB, configure ...func(*config.Config)) *Broker {
	t.Helper()
	return Open(t, Options{Configure: func(c *config.Config) {
		for _, change := range configure {
			change(c)
		}
	}})
}

// Open runs a broker.
func Open(t testing.TB, o Options) *Broker {
	t.Helper()
	b := &Broker{Metrics: metrics.New(), CA: NewCA(t), dir: t.TempDir(), log: &log{}}
	b.RenewCertificate(t)
	b.config = b.open()
	if o.Configure != nil {
		o.Configure(&b.config)
	}
	if o.Store == nil {
		o.Store = memory.New()
	}
	var err error
	b.Server, err = server.New(server.Options{
		Config: b.snapshot(), Metrics: b.Metrics, Store: o.Store, Version: "test", OpenFiles: o.OpenFiles,
		Logger: slog.New(slog.NewTextHandler(b.log, nil)),
	})
	if err != nil {
		t.Fatalf("start the broker: %v", err)
	}
	b.serve(t)
	return b
}

func (b *Broker) serve(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Serve(ctx) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		b.stop()
		if t.Failed() {
			t.Logf("log of the broker:\n%s", b.Log())
		}
	})
}

// open is a configuration that lets everybody do everything.
func (b *Broker) open() config.Config {
	return config.Config{Settings: config.Settings{
		Name: "test/broker",
		Listeners: []config.Listener{
			{Name: Plain, Address: "127.0.0.1"},
			{Name: TLS, Address: "127.0.0.1", TLS: &config.TLS{CertFile: b.certFile(), KeyFile: b.keyFile()}},
		},
		Anonymous:     true,
		DefaultEffect: config.Allow,
		Drain:         config.Drain{DisconnectRate: 1 << 20, Timeout: config.Duration(Patience)},
	}}
}

func (b *Broker) certFile() string { return filepath.Join(b.dir, "tls.crt") }
func (b *Broker) keyFile() string  { return filepath.Join(b.dir, "tls.key") }

// snapshot is a configuration that the broker may keep.
func (b *Broker) snapshot() *config.Config {
	c := b.config
	c.Settings.Listeners = slices.Clone(c.Settings.Listeners)
	c.Access.Users = slices.Clone(c.Access.Users)
	c.Access.Policies = slices.Clone(c.Access.Policies)
	return &c
}

// Reload changes the configuration and puts it in force. After an error the
// old one stays. Any goroutine may call it.
func (b *Broker) Reload(change func(*config.Config)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := *b.snapshot()
	change(&b.config)
	err := b.Apply(b.snapshot())
	if err != nil {
		b.config = before
	}
	return err
}

// MustReload is Reload where it has to succeed.
func (b *Broker) MustReload(t testing.TB, change func(*config.Config)) {
	t.Helper()
	if err := b.Reload(change); err != nil {
		t.Fatalf("reload: %v", err)
	}
}

// RenewCertificate replaces the files of the listener TLS by a new certificate,
// which is served from the next Reload on.
func (b *Broker) RenewCertificate(t testing.TB) {
	t.Helper()
	b.CA.Issue(t, "localhost").Write(t, b.certFile(), b.keyFile())
}

// Dir is a directory of the broker's, for files that its configuration names.
func (b *Broker) Dir() string { return b.dir }

// Stop ends the broker as its process would on SIGTERM, and waits for that.
func (b *Broker) Stop() { b.stop() }

// Log returns what the broker has logged.
func (b *Broker) Log() string { return b.log.String() }

// WaitFor waits until a condition holds that the broker comes to by itself.
func WaitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// log is a buffer that goroutines share.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
