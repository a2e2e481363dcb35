package cmd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/godwit-mqtt/godwit/broker/admin"
	"github.com/godwit-mqtt/godwit/cmd/dev"
)

// devOptions of `godwit dev`.
type devOptions struct {
	dev.Options
	adminAddress string
}

func newDevCommand(logs *logOptions) *cobra.Command {
	var o devOptions
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run the broker of Kubernetes manifests on this machine, without a cluster",
		Long: `Run the broker that Kubernetes manifests describe on this machine, without a
cluster. The manifests are judged as the API server judges them. An edit takes
force at once, and no client is disconnected for it; a bad edit is explained, and
the last good one stays in force. A local CA stands in for cert-manager.`,
		Example: "  godwit dev -f config/samples",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := logs.logger()
			if err != nil {
				return err
			}
			return runDev(c.Context(), o, log, c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.StringVarP(&o.Manifests, "file", "f", "", "manifest, or directory of manifests")
	f.StringVar(&o.StateDir, "state-dir", ".godwit", "directory of the local CA and of what the broker runs from")
	f.StringVar(&o.Broker, "broker", "", "name of the Broker to run, where the manifests hold several")
	f.StringVar(&o.Address, "address", "127.0.0.1", "IP address that listeners bind; 0.0.0.0 is all")
	f.StringVar(&o.adminAddress, "admin-address", fmt.Sprintf("127.0.0.1:%d", admin.DefaultPort), "address of health, metrics and state")
	_ = c.MarkFlagRequired("file") // the flag is there
	return c
}

// runDev runs the broker of the manifests until ctx ends.
func runDev(ctx context.Context, o devOptions, log *slog.Logger, out io.Writer) error {
	w, err := dev.NewWorkspace(o.Options)
	if err != nil {
		return err
	}
	lock, err := w.Lock()
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	build, err := w.Build()
	if err != nil {
		return err
	}
	hints, err := build.Hints()
	if err != nil {
		return err
	}
	b, err := openBroker(ctx, brokerOptions{
		settingsDir: w.SettingsDir(), accessDir: w.AccessDir(), dataDir: w.DataDir(build.Config.Settings.Name), adminAddress: o.adminAddress,
	}, log)
	if err != nil {
		return err
	}
	t := &teller{out: out, broker: b, revision: build.Config.Revision}
	t.notes(build)
	fmt.Fprintf(out, "%sHealth, metrics and state: http://%s\nEdit %s and it takes force; Ctrl-C ends.\n",
		hints, b.admin.Addr(), o.Manifests)

	watchCtx, endWatch := context.WithCancel(ctx)
	watchEnded := make(chan struct{})
	go func() {
		defer close(watchEnded)
		w.Watch(watchCtx, func() { t.rebuild(watchCtx, w) })
	}()
	err = b.run(ctx)
	endWatch()
	<-watchEnded
	return err
}

// teller tells a person what becomes of the manifests.
type teller struct {
	out      io.Writer
	broker   *brokerProcess
	revision string // of the last good build
	told     string // the last notes
}

// notes tells what is not in force, unless it did so just before.
func (t *teller) notes(b *dev.Build) {
	var all strings.Builder
	for _, n := range b.Notes {
		fmt.Fprintf(&all, "note: %s\n", n)
	}
	if all.String() != t.told {
		fmt.Fprint(t.out, all.String())
	}
	t.told = all.String()
}

func (t *teller) rebuild(ctx context.Context, w *dev.Workspace) {
	b, err := w.Build()
	if err != nil {
		t.say("not in force, the last good manifests stay so:\n  %s", indent(err))
		return
	}
	t.notes(b)
	if b.Config.Revision == t.revision && t.broker.watcher.Err() == nil {
		t.say("in force, nothing changed")
		return
	}
	t.revision = b.Config.Revision
	t.await(ctx, b.Config.Revision)
}

// How long the broker may take to see a change: usually, and without an event.
const (
	soon       = time.Second
	settleTime = 8 * time.Second
)

// await tells when the broker has taken the revision, or why it has not.
func (t *teller) await(ctx context.Context, revision string) {
	begun := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for t.broker.watcher.Current().Revision != revision {
		waited := time.Since(begun)
		if err := t.broker.watcher.Err(); err != nil && waited > soon {
			t.say("not in force, the last good manifests stay so:\n  %s", indent(explainTaken(err, "the Broker's spec.listeners")))
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if waited > settleTime {
			t.say("not in force yet")
			return
		}
	}
	t.say("in force")
}

// say prints a line with the time of day.
func (t *teller) say(format string, args ...any) {
	fmt.Fprintf(t.out, "%s %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}
