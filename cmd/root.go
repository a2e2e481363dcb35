// Package cmd holds the commands of the godwit program, a file each: their
// flags, their wiring and their signals.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/godwit-mqtt/godwit/broker/admin/client"
)

// version is set by the linker.
var version string

// exitStatus is the error of a command that ends the process with a status of its
// own. Where err is nil, everything is said.
type exitStatus struct {
	code int
	err  error
}

func (e *exitStatus) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitStatus) Unwrap() error { return e.err }

// Execute runs the command that the arguments name, and ends the process with
// status 1 if it fails and does not say otherwise.
func Execute() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The first signal asks for an orderly end, a second one does not ask.
	context.AfterFunc(ctx, stop)
	if err := NewCommand().ExecuteContext(ctx); err != nil {
		os.Exit(report(os.Stderr, err))
	}
}

// report tells of the error of a command, and returns the status of the process.
func report(w io.Writer, err error) int {
	status, ok := errors.AsType[*exitStatus](err)
	if !ok {
		status = &exitStatus{1, err}
	}
	if status.err != nil {
		fmt.Fprintln(w, client.LastWords+indent(status.err))
	}
	return status.code
}

// NewCommand is the command line of the program. One command runs once.
func NewCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "godwit",
		Short:         "MQTT brokers on Kubernetes",
		Version:       programVersion(),
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	logs := &logOptions{}
	logs.register(root)
	root.AddCommand(
		newOperatorCommand(),
		newBrokerCommand(logs),
		newDevCommand(logs),
		newBenchCommand(),
		newPasswdCommand(),
		newACLCommand(),
		newImportCommand(),
	)
	return root
}

// programVersion is that of the build, or of the module where `go install` made
// it.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// indent sets the lines of joined errors below each other.
func indent(err error) string {
	lines := strings.Split(strings.TrimSpace(err.Error()), "\n")
	return strings.Join(lines, "\n  ")
}

// logOptions say how the program logs.
type logOptions struct {
	level  slog.Level
	format string
}

func (o *logOptions) register(root *cobra.Command) {
	root.PersistentFlags().TextVar(&o.level, "log-level", slog.LevelInfo, "least level to log: debug, info, warn or error")
	root.PersistentFlags().StringVar(&o.format, "log-format", "auto", "text or json; auto is text on a terminal")
}

// logger writes to standard error.
func (o *logOptions) logger() (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: o.level}
	format := o.format
	if format == "auto" {
		format = "json"
		if term.IsTerminal(int(os.Stderr.Fd())) {
			format = "text"
		}
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(os.Stderr, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(os.Stderr, options)), nil
	default:
		return nil, fmt.Errorf("--log-format %q: use text, json or auto", o.format)
	}
}
