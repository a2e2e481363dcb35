package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/godwit-mqtt/godwit/cmd/dev"
)

// broker is the program that is attacked, in a directory of its own.
type broker struct {
	options options
	attack  attack
	dir     string
	files   *dev.Workspace
	name    string // "namespace/name"
	caFile  string
	plain   int // ports
	secure  int
	admin   int
	cage    *cage
	log     *os.File
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	unmount func() error
}

// newBroker renders the files of a broker, for an attack.
func newBroker(o options, a attack, dir string) (*broker, error) {
	b := &broker{options: o, attack: a, dir: dir, unmount: func() error { return nil }}
	for _, port := range []*int{&b.plain, &b.secure, &b.admin} {
		var err error
		if *port, err = freePort(); err != nil {
			return nil, err
		}
	}
	manifests := filepath.Join(dir, "manifests")
	err := writeManifests(manifests, a.spec(o.short), b.plain, b.secure, o.memory)
	if err != nil {
		return nil, err
	}
	b.files, err = dev.NewWorkspace(dev.Options{Manifests: manifests, StateDir: dir, Address: "127.0.0.1"})
	if err != nil {
		return nil, err
	}
	build, err := b.files.Build()
	if err != nil {
		return nil, err
	}
	if len(build.Notes) > 0 {
		return nil, fmt.Errorf("manifests: %s", strings.Join(build.Notes, "; "))
	}
	b.name, b.caFile = build.Broker.Namespace+"/"+build.Broker.Name, build.CAFiles[tlsListener]
	if a.volume > 0 {
		if b.unmount, err = mountVolume(b.data(), a.volume); err != nil {
			return nil, err
		}
	}
	b.log, err = os.Create(filepath.Join(dir, "broker.log"))
	return b, err
}

// data is the directory of what lasts.
func (b *broker) data() string { return b.files.DataDir(b.name) }

// mountVolume makes a volume of a size in MiB, which needs root and Linux.
func mountVolume(dir string, sizeMiB int64) (unmount func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	size := fmt.Sprintf("size=%dm,mode=0700", sizeMiB)
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", size, "hostile", dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mount a small volume, as root may on Linux: %w: %s", err, bytes.TrimSpace(out))
	}
	return func() error { return exec.Command("umount", dir).Run() }, nil
}

// freePort is one that nobody listens on and that no connection is given as its
// own.
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

// start starts the process and waits until it serves.
func (b *broker) start(ctx context.Context) error {
	b.cage = &cage{kind: "nothing but GOMEMLIMIT"}
	if !b.options.short {
		b.cage = newCage(b.options.memory << 20)
	}
	script := b.cage.enter()
	if b.attack.descriptors > 0 {
		script += fmt.Sprintf("\nulimit -n %d", b.attack.descriptors)
	}
	command := asBroker(b.options.godwit, "broker", "--settings-dir", b.files.SettingsDir(),
		"--access-dir", b.files.AccessDir(), "--data-dir", b.data(), "--admin-address", address(b.admin), "--log-format", "text")
	b.cmd = exec.Command("sh", append([]string{"-ec", script + "\nexec \"$@\"", "sh"}, command...)...)
	// As in the pod: nine tenths of the limit.
	b.cmd.Env = append(os.Environ(), fmt.Sprintf("GOMEMLIMIT=%d", b.options.memory<<20/10*9))
	b.cmd.Stdout, b.cmd.Stderr = b.log, b.log
	if err := b.cmd.Start(); err != nil {
		return err
	}
	ended, cmd := make(chan struct{}), b.cmd
	b.ended = ended
	go func() {
		defer close(ended)
		_ = cmd.Wait() // ProcessState tells
	}()
	return b.waitReady(ctx)
}

// waitReady waits until the broker says that clients may come.
func (b *broker) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for b.ask(ctx, "/readyz") != nil {
		select {
		case <-b.ended:
			log, _ := os.ReadFile(b.log.Name())
			return fmt.Errorf("it ended, %v, before it was ready: %s", b.cmd.ProcessState, log[max(0, len(log)-2000):])
		case <-ctx.Done():
			return fmt.Errorf("wait for the broker to be ready: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// probeTimeout is that of a pod's probes.
const probeTimeout = 5 * time.Second

// ask asks the admin endpoint. The error is nil where it answers that all is well.
func (b *broker) ask(ctx context.Context, path string) error {
	_, err := b.get(ctx, path)
	return err
}

// get is what the admin endpoint answers. It is an error where that is not well.
func (b *broker) get(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address(b.admin)+path, nil)
	if err != nil {
		return "", err
	}
	request.Close = true // as the kubelet does: each probe has to be accepted
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", path, answer.StatusCode, strings.TrimSpace(string(text)))
	}
	return string(text), err
}

// counts are the largest values of metrics, of those before and of now.
func (b *broker) counts(ctx context.Context, of map[string]bound, before map[string]float64) map[string]float64 {
	if len(of) == 0 {
		return nil
	}
	text, err := b.get(ctx, "/metrics")
	if err != nil {
		return before
	}
	counts := map[string]float64{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, wanted := of[name]; wanted {
			n, _ := strconv.ParseFloat(value, 64) // Prometheus reads it, too
			counts[name] = max(n, before[name])
		}
	}
	return counts
}

// running reports whether the process has not ended.
func (b *broker) running() bool {
	select {
	case <-b.ended:
		return false
	default:
		return true
	}
}

// end ends the process as a pod is ended, by force if that takes long.
func (b *broker) end() error {
	if b.cmd == nil || b.cmd.Process == nil {
		return nil
	}
	_ = b.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-b.ended:
	case <-time.After(20 * time.Second):
		_ = b.cmd.Process.Kill()
		<-b.ended
	}
	return b.cage.remove()
}

// close ends the process and frees what it had, but for its files.
func (b *broker) close() error { return errors.Join(b.end(), b.log.Close(), b.unmount()) }

// tlsConfig trusts the certificate of the broker.
func tlsConfig(caFile string) (*tls.Config, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", caFile)
	}
	return &tls.Config{ServerName: "localhost", RootCAs: pool}, nil
}
