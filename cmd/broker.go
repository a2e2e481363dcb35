package cmd

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/godwit-mqtt/godwit/broker/admin"
	"github.com/godwit-mqtt/godwit/broker/admin/client"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/server"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
	"github.com/godwit-mqtt/godwit/broker/store/pebble"
)

// brokerOptions say where a broker finds what it runs from.
type brokerOptions struct {
	settingsDir, accessDir, dataDir string
	adminAddress                    string
}

func newBrokerCommand(logs *logOptions) *cobra.Command {
	var o brokerOptions
	c := &cobra.Command{
		Use:   "broker",
		Short: "Run a broker from its configuration files",
		Long: `Run a broker from the files that the operator renders: settings.json and
access.json, each in a directory of its own. A change of them, or of a
certificate that they point to, takes force without a restart; a bad one is
refused, and the last good one stays in force.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := logs.logger()
			if err != nil {
				return err
			}
			b, err := openBroker(c.Context(), o, log)
			if err != nil {
				return err
			}
			return b.run(c.Context())
		},
	}
	f := c.Flags()
	f.StringVar(&o.settingsDir, "settings-dir", "/etc/godwit/settings", "directory of "+config.SettingsFile)
	f.StringVar(&o.accessDir, "access-dir", "/etc/godwit/access", "directory of "+config.AccessFile)
	f.StringVar(&o.dataDir, "data-dir", "/var/lib/godwit", "directory of sessions and messages, where the settings ask for persistence")
	f.StringVar(&o.adminAddress, "admin-address", fmt.Sprintf(":%d", admin.DefaultPort), "address of health, metrics and state")
	return c
}

// brokerProcess is a running broker and what surrounds it.
type brokerProcess struct {
	log      *slog.Logger
	watcher  *config.Watcher
	server   *server.Server
	store    store.Store
	admin    net.Listener
	registry *prometheus.Registry
	metrics  *metrics.Metrics
	ending   atomic.Bool
}

// openBroker reads the configuration and binds every address.
func openBroker(ctx context.Context, o brokerOptions, log *slog.Logger) (*brokerProcess, error) {
	watcher, err := config.NewWatcher(o.settingsDir, o.accessDir, log)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	m := metrics.New()
	registry := prometheus.NewRegistry()
	registry.MustRegister(m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.adminAddress)
	if err != nil {
		return nil, explainTaken(err, "--admin-address")
	}
	st, err := openStore(o.dataDir, watcher.Current().Settings.Persistence, log)
	if err != nil {
		_ = listener.Close()
		return nil, err
	}
	s, err := server.New(server.Options{
		Config: watcher.Current(), Logger: log, Metrics: m, Store: st, Version: programVersion(),
		Memory: server.LimitMemory(),
	})
	if err != nil {
		err = errors.Join(err, st.Close())
		_ = listener.Close()
		return nil, withStatus(explainTaken(err, "the Broker's spec.listeners"))
	}
	return &brokerProcess{
		log: log, watcher: watcher, server: s, store: st, admin: listener, registry: registry, metrics: m,
	}, nil
}

// withStatus has the process end with a status of its own where the storage does
// not work, so that others know.
func withStatus(err error) error {
	if errors.Is(err, server.ErrStorage) {
		return &exitStatus{client.ExitStorage, err}
	}
	return err
}

// openStore opens what outlives the process, if the settings want that.
func openStore(dir string, p *config.Persistence, log *slog.Logger) (store.Store, error) {
	if p == nil {
		return memory.New(), nil
	}
	st, err := pebble.Open(pebble.Options{Dir: dir, SyncEvery: time.Duration(p.SyncEvery), Logger: log, OpenFiles: server.StoreFiles()})
	if err != nil {
		return nil, withStatus(fmt.Errorf("%w: %w", server.ErrStorage, err))
	}
	return st, nil
}

// explainTaken says what to do about an address that another program has.
func explainTaken(err error, where string) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: stop the program that has this port (`ss -ltnp` names it), or choose another port in %s", err, where)
	}
	return err
}

// run serves until ctx ends, drains, and returns. Until the last client is gone
// the admin endpoint answers, and a right that is taken away is gone.
func (b *brokerProcess) run(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	context.AfterFunc(ctx, func() { b.ending.Store(true) })

	adminCtx, endAdmin := context.WithCancel(context.WithoutCancel(ctx))
	defer endAdmin()
	adminEnded := make(chan error, 1)
	go func() {
		adminEnded <- admin.Serve(adminCtx, b.admin, admin.Handler(b, b.registry), b.log)
		end() // without probes nobody knows that the broker lives
	}()
	watchCtx, endWatch := context.WithCancel(context.WithoutCancel(ctx))
	defer endWatch()
	watchEnded := make(chan struct{})
	go func() {
		defer close(watchEnded)
		b.watcher.Run(watchCtx, b.server.Apply)
	}()

	b.log.Info("serving", "broker", b.watcher.Current().Settings.Name, "revision", b.watcher.Current().Revision,
		"admin", b.admin.Addr().String(), "version", programVersion())
	err := b.server.Serve(ctx)
	endWatch()
	<-watchEnded
	endAdmin()
	return withStatus(errors.Join(err, <-adminEnded))
}

// Live says whether the engine turns. While it ends nobody should hurry it.
func (b *brokerProcess) Live() error {
	if b.ending.Load() {
		return nil
	}
	return b.server.Alive(time.Now())
}

// Ready says whether clients may be sent here.
func (b *brokerProcess) Ready() error {
	if b.ending.Load() {
		return errors.New("the broker is ending")
	}
	return b.server.Ready()
}

// Status of the engine, and of the configuration on disk.
func (b *brokerProcess) Status() client.Status {
	status := client.Status{Version: programVersion(), Revision: b.watcher.Current().Revision}
	if b.ending.Load() {
		status.Error = "the broker is ending"
		return status
	}
	s := b.server.Status()
	status.Revision, status.Clients = s.Revision, s.Clients
	status.Storage = storageStatus(b.store.Health())
	if err := b.watcher.Err(); err != nil {
		status.Error = err.Error()
	}
	for _, d := range b.metrics.Denials() {
		status.Denials = append(status.Denials, client.Denial(d))
	}
	for _, l := range s.Listeners {
		status.Listeners = append(status.Listeners, listenerStatus(l))
	}
	return status
}

// storageStatus tells of a store on disk.
func storageStatus(h store.Health) *client.Storage {
	if h.Disk == 0 && h.Total == 0 {
		return nil
	}
	s := &client.Storage{Used: h.Disk, Free: h.Free, Total: h.Total}
	if h.Err != nil {
		s.Error = h.Err.Error()
	}
	return s
}

func listenerStatus(l server.ListenerStatus) client.Listener {
	out := client.Listener{Name: l.Name, Address: l.Address, Certificate: certificateStatus(l.Certificate)}
	for _, a := range l.Additional {
		out.AdditionalCertificates = append(out.AdditionalCertificates,
			client.NamedCertificate{Name: a.Name, Certificate: *certificateStatus(a.Leaf)})
	}
	return out
}

func certificateStatus(c *x509.Certificate) *client.Certificate {
	if c == nil {
		return nil
	}
	sum := sha256.Sum256(c.Raw)
	return &client.Certificate{NotAfter: c.NotAfter.UTC(), SHA256: hex.EncodeToString(sum[:])}
}
