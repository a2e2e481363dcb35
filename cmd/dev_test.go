package cmd

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/admin/client"
	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/cmd/dev"
)

// freePort is one that was free a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// output is what the command tells, while it runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// devRun is `godwit dev` with its own copy of the samples.
type devRun struct {
	t                  *testing.T
	dir, state         string
	plain, secure, adm int
	out                *output
	stop               context.CancelFunc
	ended              chan error
}

func newDevRun(t *testing.T) *devRun {
	t.Helper()
	r := &devRun{
		t: t, dir: t.TempDir(), state: t.TempDir(), out: &output{},
		plain: freePort(t), secure: freePort(t), adm: freePort(t),
	}
	if err := os.CopyFS(r.dir, os.DirFS("../config/samples")); err != nil {
		t.Fatal(err)
	}
	r.edit("broker.yaml", "port: 1883", fmt.Sprintf("port: %d", r.plain))
	r.edit("broker.yaml", "port: 8883", fmt.Sprintf("port: %d", r.secure))
	return r
}

func (r *devRun) options() devOptions {
	return devOptions{
		Options:      dev.Options{Manifests: r.dir, StateDir: r.state, Address: "127.0.0.1"},
		adminAddress: fmt.Sprintf("127.0.0.1:%d", r.adm),
	}
}

// start runs the command until the end of the test.
func (r *devRun) start() {
	r.t.Helper()
	ctx, stop := context.WithCancel(r.t.Context())
	r.stop, r.ended = stop, make(chan error, 1)
	go func() { r.ended <- runDev(ctx, r.options(), slog.New(slog.DiscardHandler), r.out) }()
	r.t.Cleanup(stop)
	r.tells("Ctrl-C ends.")
}

// tells waits for the command to say something.
func (r *devRun) tells(what string) {
	r.t.Helper()
	brokertest.WaitFor(r.t, what, func() bool {
		select {
		case err := <-r.ended:
			r.t.Fatalf("ended: %v\n%s", err, r.out)
		default:
		}
		return strings.Contains(r.out.String(), what)
	})
}

func (r *devRun) edit(file, old, replacement string) {
	r.t.Helper()
	path := filepath.Join(r.dir, file)
	content, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	if !bytes.Contains(content, []byte(old)) {
		r.t.Fatalf("%s lacks %q", file, old)
	}
	content = bytes.Replace(content, []byte(old), []byte(replacement), 1)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// dial opens a connection over TLS, verified by the local CA.
func (r *devRun) dial() *brokertest.Client {
	r.t.Helper()
	caPEM, err := os.ReadFile(filepath.Join(r.state, "ca.crt"))
	if err != nil {
		r.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(caPEM)
	d := tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: "localhost"}}
	conn, err := d.DialContext(r.t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", r.secure))
	if err != nil {
		r.t.Fatal(err)
	}
	return brokertest.NewClient(r.t, conn, packet.V5)
}

func (r *devRun) connect(user, password string) *brokertest.Client {
	r.t.Helper()
	c := r.dial()
	c.Connect(user, brokertest.Login(user, password))
	return c
}

func (r *devRun) status() client.Status {
	r.t.Helper()
	s, err := new(client.Client).Status(r.t.Context(), fmt.Sprintf("http://127.0.0.1:%d", r.adm))
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func TestDevServesTheSamples(t *testing.T) {
	r := newDevRun(t)
	r.start()
	dashboard, sensor := r.connect("dashboard", "dashboard-password"), r.connect("sensor", "sensor-password")
	dashboard.Subscribe("telemetry/#", packet.QoS1)
	sensor.Publish("telemetry/sensor/t", "21", packet.QoS1)
	dashboard.Acknowledge(dashboard.ExpectPublish("telemetry/sensor/t", "21"))

	s := r.status()
	if s.Revision == "" || s.Error != "" || s.Clients != 2 || len(s.Listeners) != 2 {
		t.Errorf("status = %+v", s)
	}
	if c := s.Listeners[1].Certificate; c == nil || len(c.SHA256) != 64 || time.Until(c.NotAfter) < 24*time.Hour {
		t.Errorf("certificate = %+v", c)
	}

	stranger := r.dial()
	stranger.Send(brokertest.NewConnect("x", brokertest.Login("sensor", "wrong")))
	stranger.ExpectRefused(packet.ReasonBadUserNameOrPassword)
	_ = stranger.Close()

	r.stop()
	for _, c := range []*brokertest.Client{dashboard, sensor} {
		c.ExpectDisconnect(packet.ReasonServerShuttingDown)
		_ = c.Close()
	}
	select {
	case err := <-r.ended:
		if err != nil {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("does not end")
	}
}

func TestDevTakesEditsWithoutDroppingClients(t *testing.T) {
	r := newDevRun(t)
	r.start()
	dashboard, sensor := r.connect("dashboard", "dashboard-password"), r.connect("sensor", "sensor-password")
	dashboard.Subscribe("telemetry/#", packet.QoS0)

	r.edit("acls.yaml", "telemetry/%u/#", "telemetry/%u/open/#")
	r.tells("in force")
	refused := brokertest.NewPublish("telemetry/sensor/t", "1", func(p *packet.Publish) { p.QoS, p.ID = packet.QoS1, 1 })
	sensor.Send(refused)
	if ack := brokertest.Expect[*packet.Ack](sensor); ack.Reason != packet.ReasonNotAuthorized {
		t.Errorf("publish answered with %v, want it refused", ack.Reason)
	}

	good := r.status().Revision
	r.edit("acls.yaml", "effect: Allow", "efect: Allow")
	r.tells("spec.rules[0].efect: unknown field")
	if s := r.status(); s.Revision != good || s.Error != "" {
		t.Errorf("after a bad edit: %+v", s)
	}

	r.edit("acls.yaml", "efect: Allow", "effect: Allow")
	r.edit("users.yaml", "sensor: sensor-password", "sensor: another-password")
	sensor.ExpectDisconnect(packet.ReasonNotAuthorized)
	sensor = r.connect("sensor", "another-password")
	sensor.Publish("telemetry/sensor/open/t", "2", packet.QoS1)
	dashboard.ExpectPublish("telemetry/sensor/open/t", "2")
}

func TestDevExplainsATakenPort(t *testing.T) {
	r := newDevRun(t)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", r.plain))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	err = runDev(t.Context(), r.options(), slog.New(slog.DiscardHandler), io.Discard)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`"mqtt"`, l.Addr().String(), "spec.listeners"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
}

func TestDevRefusesBadManifestsAtTheStart(t *testing.T) {
	r := newDevRun(t)
	r.edit("broker.yaml", "listeners:", "listenerz:")
	err := runDev(t.Context(), r.options(), slog.New(slog.DiscardHandler), io.Discard)
	if err == nil || !strings.Contains(err.Error(), "spec.listenerz: unknown field") {
		t.Errorf("error = %v", err)
	}
}

func TestStatusTellsWhatWasDenied(t *testing.T) {
	r := newDevRun(t)
	r.start()
	const payload = "nobody's business"
	sensor := r.dial()
	sensor.Connect("sensor", brokertest.Login("sensor", "sensor-password"), brokertest.Will("wills/sensor", payload))
	for range 2 {
		sensor.Send(brokertest.NewPublish("commands/sensor", payload, func(p *packet.Publish) { p.QoS, p.ID = packet.QoS1, sensor.NextID() }))
		brokertest.Expect[*packet.Ack](sensor)
	}
	sensor.Send(&packet.Subscribe{ID: sensor.NextID(), Subscriptions: []packet.Subscription{{Filter: []byte("#")}}})
	brokertest.Expect[*packet.Suback](sensor)
	_ = sensor.Close()

	counts := map[string]uint64{}
	brokertest.WaitFor(t, "all denials", func() bool {
		for _, d := range r.status().Denials {
			counts[d.User+" "+d.Action+" "+d.Topic] = d.Count
		}
		return len(counts) == 3
	})
	for what, n := range map[string]uint64{"sensor publish commands/sensor": 2, "sensor subscribe #": 1, "sensor will wills/sensor": 1} {
		if counts[what] != n {
			t.Errorf("%s was denied %d times, want %d: %v", what, counts[what], n, counts)
		}
	}
	if all := fmt.Sprint(r.status()); strings.Contains(all, payload) {
		t.Errorf("a payload is told: %s", all)
	}
}
