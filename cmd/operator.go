package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/godwit-mqtt/godwit/broker/auth/password"
	"github.com/godwit-mqtt/godwit/controllers"
	"github.com/godwit-mqtt/godwit/controllers/broker"
	"github.com/godwit-mqtt/godwit/controllers/lookup"
	"github.com/godwit-mqtt/godwit/controllers/render"
)

// operatorFlags are the flags of `godwit operator`.
type operatorFlags struct {
	metricsAddress string
	healthAddress  string
	leaderElection bool
	namespace      string
	development    bool
	broker         broker.Options
}

func newOperatorCommand() *cobra.Command {
	var f operatorFlags
	command := &cobra.Command{
		Use:   "operator",
		Short: "Turn Broker, MQTTUser and TopicACL objects of a cluster into brokers",
		Long: `Runs the operator: it watches Broker, MQTTUser and TopicACL objects in all
namespaces and turns them into running brokers. It finds its cluster as kubectl
does, or by its service account when it runs in a pod.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return runOperator(command.Context(), f) },
	}
	flags := command.Flags()
	flags.StringVar(&f.metricsAddress, "metrics-address", ":8080", `address that serves Prometheus metrics over HTTP; "0" serves none`)
	flags.StringVar(&f.healthAddress, "health-address", ":8081", `address that serves /healthz and /readyz; "0" serves none`)
	flags.BoolVar(&f.leaderElection, "leader-elect", true, "let one of several operators be active")
	flags.StringVar(&f.namespace, "namespace", os.Getenv("POD_NAMESPACE"),
		"namespace of the operator, where its lease is (default $POD_NAMESPACE, or that of its service account)")
	flags.StringVar(&f.broker.Image, "broker-image", os.Getenv("GODWIT_IMAGE"),
		"image of brokers that name none (default $GODWIT_IMAGE)")
	flags.StringVar(&f.broker.ClusterDomain, "cluster-domain", "cluster.local",
		"domain of the cluster's DNS, for the names in certificates; empty leaves the full names out")
	flags.IntVar(&f.broker.Workers, "workers", 4, "Brokers that are reconciled at a time")
	flags.BoolVar(&f.development, "development", false, "log for people, not for machines")
	return command
}

func runOperator(ctx context.Context, f operatorFlags) error {
	ctrl.SetLogger(operatorLogger(f.development))
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("find a cluster: %w", err)
	}
	f.broker.Namespace = f.namespace
	scheme, err := controllers.Scheme()
	if err != nil {
		return fmt.Errorf("prepare the operator: %w", err)
	}
	mgr, err := ctrl.NewManager(config, managerOptions(f, scheme))
	if err != nil {
		return fmt.Errorf("prepare the operator: %w", err)
	}
	passwords := render.NewPasswords(password.Verify, password.Hash, password.Validate)
	if err := controllers.Add(ctx, mgr, passwords, f.broker); err != nil {
		return err
	}
	if err := errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("ping", healthz.Ping)); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// operatorLogger writes JSON, or lines for people with debug messages.
func operatorLogger(development bool) logr.Logger {
	if development {
		return logr.FromSlogHandler(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return logr.FromSlogHandler(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: legible}))
}

// legible writes values that know how to be read, such as watches, that way and
// not by their fields.
func legible(_ []string, a slog.Attr) slog.Attr {
	if s, ok := a.Value.Any().(fmt.Stringer); ok && a.Value.Kind() == slog.KindAny {
		return slog.String(a.Key, s.String())
	}
	return a
}

func managerOptions(f operatorFlags, scheme *runtime.Scheme) manager.Options {
	return manager.Options{
		Scheme:                        scheme,
		Cache:                         lookup.CacheOptions(),
		Metrics:                       metricsserver.Options{BindAddress: f.metricsAddress},
		HealthProbeBindAddress:        f.healthAddress,
		LeaderElection:                f.leaderElection,
		LeaderElectionID:              "godwit-operator",
		LeaderElectionNamespace:       f.namespace,
		LeaderElectionReleaseOnCancel: true,
	}
}
