// Package testenv runs the operator in tests against a real kube-apiserver and
// etcd. There is no kubelet and no controller of Kubernetes' own: RunPod does
// what they would do for a broker.
package testenv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/go-logr/logr"

	"github.com/godwit-mqtt/godwit/controllers"
	"github.com/godwit-mqtt/godwit/controllers/broker"
	"github.com/godwit-mqtt/godwit/controllers/lookup"
	"github.com/godwit-mqtt/godwit/controllers/render"
)

// patience is how long Eventually waits. It is long because machines may be busy;
// nothing waits longer than it has to.
const patience = time.Minute

// Env is an API server with an operator.
type Env struct {
	Client client.Client
	// Image of the brokers.
	Image string
	// Requests are those that the operators have made.
	Requests *Requests
	// Log is what the operators have logged.
	Log *Log

	env       *envtest.Environment
	passwords func() *render.Passwords
	stop      context.CancelFunc
	done      chan error
}

// Options of an Env.
type Options struct {
	// CertManager installs the CRDs of cert-manager before the operator starts.
	CertManager bool
	// Passwords of each operator; nil is NewPasswords, whose hashes no engine knows.
	Passwords func() *render.Passwords
}

// Main runs the tests of a package with one Env for all of them, which it hands
// to use before the first: os.Exit(testenv.Main(m, options, func(e *testenv.Env) {...})).
func Main(m *testing.M, options Options, use func(*Env)) int {
	env, err := start(options)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testenv:", err)
		return 1
	}
	use(env)
	code := m.Run()
	if err := env.close(); err != nil {
		fmt.Fprintln(os.Stderr, "testenv:", err)
		return 1
	}
	return code
}

// Start runs an Env for one test.
func Start(t *testing.T, options Options) *Env {
	t.Helper()
	env, err := start(options)
	if err != nil {
		t.Fatal("testenv:", err)
	}
	t.Cleanup(func() {
		if err := env.close(); err != nil {
			t.Error("testenv:", err)
		}
	})
	return env
}

func start(options Options) (*Env, error) {
	log.SetLogger(logr.Discard())
	assets, err := assets()
	if err != nil {
		return nil, err
	}
	e := &Env{
		Image:     "godwit:test",
		Requests:  &Requests{},
		Log:       &Log{},
		passwords: options.Passwords,
		env: &envtest.Environment{
			BinaryAssetsDirectory: assets,
			CRDDirectoryPaths:     []string{filepath.Join(root(), "config", "crd", "bases")},
			ErrorIfCRDPathMissing: true,
			// A machine with other work takes its time.
			ControlPlaneStartTimeout: patience,
		},
	}
	if e.passwords == nil {
		e.passwords = NewPasswords
	}
	cfg, err := e.env.Start()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the API server: %w", err), e.env.Stop())
	}
	cfg.QPS, cfg.Burst = 500, 1000
	if err := e.prepare(cfg, options); err != nil {
		return nil, errors.Join(err, e.env.Stop())
	}
	if err := e.StartOperator(); err != nil {
		return nil, errors.Join(err, e.env.Stop())
	}
	return e, nil
}

func (e *Env) prepare(cfg *rest.Config, options Options) error {
	scheme, err := controllers.Scheme()
	if err != nil {
		return err
	}
	if e.Client, err = client.New(cfg, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	if options.CertManager {
		return e.InstallCertManager()
	}
	return nil
}

// InstallCertManager installs the CRDs of cert-manager, of the version that the
// operator is built with.
func (e *Env) InstallCertManager() error {
	dir, err := output("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cert-manager/cert-manager")
	if err != nil {
		return err
	}
	_, err = envtest.InstallCRDs(e.env.Config, envtest.CRDInstallOptions{
		Paths: []string{filepath.Join(dir, "deploy", "crds")},
	})
	return err
}

// StartOperator runs an operator until StopOperator or the end of the Env.
func (e *Env) StartOperator() error {
	scheme, err := controllers.Scheme()
	if err != nil {
		return err
	}
	operator := rest.CopyConfig(e.env.Config)
	operator.Wrap(e.Requests.record)
	mgr, err := ctrl.NewManager(operator, ctrl.Options{
		Logger:  logr.FromSlogHandler(slog.NewTextHandler(e.Log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Scheme:  scheme,
		Cache:   lookup.CacheOptions(),
		Metrics: metricsserver.Options{BindAddress: "0"},
		// Many operators run in one process.
		Controller: config.Controller{SkipNameValidation: new(true)},
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	options := broker.Options{Image: e.Image, ClusterDomain: "cluster.local", Namespace: "godwit-system"}
	if err := controllers.Add(ctx, mgr, e.passwords(), options); err != nil {
		stop()
		return err
	}
	e.stop, e.done = stop, make(chan error, 1)
	go func() { e.done <- mgr.Start(ctx) }()
	return nil
}

// StopOperator ends the operator and waits for it.
func (e *Env) StopOperator() error {
	e.stop()
	return <-e.done
}

func (e *Env) close() error { return errors.Join(e.StopOperator(), e.env.Stop()) }

// Namespace makes a namespace of the test's own, with labels.
func (e *Env) Namespace(t *testing.T, labels map[string]string) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Labels: labels}}
	e.Create(t, ns)
	return ns.Name
}

// Create makes objects or ends the test.
func (e *Env) Create(t *testing.T, objs ...client.Object) {
	t.Helper()
	for _, o := range objs {
		if err := e.Client.Create(t.Context(), o); err != nil {
			t.Fatalf("create %T %s: %v", o, o.GetName(), err)
		}
	}
}

// Update changes the object as it is now.
func Update[T client.Object](t *testing.T, e *Env, obj T, change func(T)) {
	t.Helper()
	e.Eventually(t, func() error {
		if err := e.Client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
			return err
		}
		change(obj)
		return e.Client.Update(t.Context(), obj)
	})
}

// Eventually waits until check returns nil, and fails the test with its last
// error if it does not.
func (e *Env) Eventually(t *testing.T, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
	}
	t.Fatal("not in time:", err)
}

// assets is the directory of the binaries, which the project's own tools build
// where the environment names none.
func assets() (string, error) {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return dir, nil
	}
	return output(filepath.Join(root(), "hack", "tools", "build.sh"), "envtest")
}

func output(name string, args ...string) (string, error) {
	cmd := exec.CommandContext(context.Background(), name, args...) //nolint:gosec // the project's own tools
	cmd.Dir, cmd.Stderr = root(), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// root of the repository.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}
