package testenv

import (
	"bytes"
	"context"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// Engine runs a broker from its mounted files, with its admin endpoint at an
// address, until ctx ends.
type Engine func(ctx context.Context, settingsDir, accessDir, adminAddress string) error

// EnginePod is a pod whose container is a real broker, and whose volumes are kept
// up to date as a kubelet would.
type EnginePod struct {
	env    *Env
	broker types.NamespacedName
	name   types.NamespacedName
	engine Engine

	admin            string // host:port
	settings, access string // directories
	runs             int
	end              context.CancelFunc
	ended            chan error
}

// RunEngine waits for the StatefulSet of a Broker, and runs its first pod, of which
// the broker's listeners take the ports on all addresses of the machine.
func (e *Env) RunEngine(t *testing.T, b *v1alpha1.Broker, engine Engine) *EnginePod {
	t.Helper()
	p := &EnginePod{
		env: e, broker: client.ObjectKeyFromObject(b), engine: engine, settings: t.TempDir(), access: t.TempDir(),
	}
	listener := listen(t)
	p.admin = listener.Addr().String()
	if err := listener.Close(); err != nil { // the engine takes it
		t.Fatal(err)
	}
	p.name = e.place(t, p.broker, addressOf(listener))
	p.followFiles(t)
	p.start(t)
	t.Cleanup(func() { p.stop(t) })
	e.rollOut(t, p.broker)
	return p
}

// Admin is the URL of the admin endpoint.
func (p *EnginePod) Admin() string { return "http://" + p.admin }

// Restart ends the container and runs it again from the files of its volumes.
func (p *EnginePod) Restart(t *testing.T) {
	t.Helper()
	p.stop(t)
	p.start(t)
	pod := &corev1.Pod{}
	if err := p.env.Client.Get(t.Context(), p.name, pod); err != nil {
		t.Fatal(err)
	}
	host, _, _ := net.SplitHostPort(p.admin)
	p.env.sayRunning(t, pod, host, strconv.Itoa(p.runs))
}

func (p *EnginePod) start(t *testing.T) {
	ctx, end := context.WithCancel(context.Background())
	p.runs++
	p.end, p.ended = end, make(chan error, 1)
	go func(ended chan<- error) {
		defer close(ended)
		ended <- p.engine(ctx, p.settings, p.access, p.admin)
	}(p.ended)
	p.env.Eventually(t, func() error {
		select {
		case err := <-p.ended:
			t.Fatal("the broker ended:", err)
		default:
		}
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", p.admin)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
}

func (p *EnginePod) stop(t *testing.T) {
	p.end()
	if err := <-p.ended; err != nil {
		t.Error("run the broker:", err)
	}
}

// followFiles fills the volumes, and keeps them as the objects are until the end
// of the test.
func (p *EnginePod) followFiles(t *testing.T) {
	t.Helper()
	settings, access := &volume{dir: p.settings}, &volume{dir: p.access}
	refresh := func(ctx context.Context) error {
		content, files, err := p.env.mounted(ctx, p.broker)
		if err == nil {
			err = settings.swap(config.Files{config.SettingsFile: content})
		}
		if err == nil {
			err = access.swap(files)
		}
		return err
	}
	p.env.Eventually(t, func() error { return refresh(t.Context()) })
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for ctx.Err() == nil {
			_ = refresh(ctx) // tried again
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	t.Cleanup(func() { stop(); <-stopped })
}

// volume is a directory of files that are links through ..data, a link that is
// swapped for each new content.
type volume struct {
	dir   string
	files config.Files
}

func (v *volume) swap(files config.Files) error {
	if maps.EqualFunc(v.files, files, bytes.Equal) {
		return nil
	}
	data, err := os.MkdirTemp(v.dir, "..")
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(data, name), content, 0o600); err != nil {
			return err
		}
	}
	link := filepath.Join(v.dir, "..data")
	if err := os.Symlink(filepath.Base(data), link+"_tmp"); err != nil {
		return err
	}
	if err := os.Rename(link+"_tmp", link); err != nil {
		return err
	}
	v.files = files
	return v.link()
}

// link makes the names of the files what they are now.
func (v *volume) link() error {
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, wanted := v.files[e.Name()]; !wanted && e.Name()[:2] != ".." {
			if err := os.Remove(filepath.Join(v.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	for name := range v.files {
		err := os.Symlink(filepath.Join("..data", name), filepath.Join(v.dir, name))
		if err != nil && !os.IsExist(err) {
			return err
		}
	}
	return nil
}
