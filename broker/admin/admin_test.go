package admin_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/godwit-mqtt/godwit/broker/admin"
	"github.com/godwit-mqtt/godwit/broker/admin/client"
)

type broker struct {
	stuck, notReady error
	status          client.Status
}

func (b *broker) Live() error           { return b.stuck }
func (b *broker) Ready() error          { return b.notReady }
func (b *broker) Status() client.Status { return b.status }

func get(t *testing.T, h http.Handler, method, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, nil))
	return w.Code, w.Body.String()
}

func registry(t *testing.T) *prometheus.Registry {
	t.Helper()
	r := prometheus.NewRegistry()
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "godwit_test", Help: "A test."})
	g.Set(7)
	r.MustRegister(g)
	return r
}

func TestHandler(t *testing.T) {
	tests := map[string]struct {
		method, path string
		notReady     error
		code         int
		body         string
	}{
		"alive":                {"GET", "/livez", errors.New("draining"), 200, "ok\n"},
		"ready":                {"GET", "/readyz", nil, 200, "ok\n"},
		"not ready, with why":  {"GET", "/readyz", errors.New("draining\nno certificate"), 503, "draining\nno certificate\n"},
		"probe by HEAD":        {"HEAD", "/readyz", nil, 200, ""},
		"metrics":              {"GET", "/metrics", nil, 200, "godwit_test 7"},
		"status is read-only":  {"POST", "/v1/status", nil, 405, ""},
		"nothing else is here": {"GET", "/debug/pprof/", nil, 404, ""},
		"an empty status is complete": {"GET", "/v1/status", nil, 200,
			"{\n  \"revision\": \"r\",\n  \"error\": \"\",\n  \"clients\": 0,\n  \"version\": \"\",\n  \"listeners\": []\n}\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := admin.Handler(&broker{notReady: tt.notReady, status: client.Status{Revision: "r"}}, registry(t))
			code, body := get(t, h, tt.method, tt.path)
			if code != tt.code || !strings.Contains(body, tt.body) {
				t.Errorf("%d %q, want %d %q", code, body, tt.code, tt.body)
			}
		})
	}
}

func TestClientReadsWhatTheHandlerWrites(t *testing.T) {
	want := client.Status{
		Revision: "7f3a", Error: "access.json: the file is empty", Clients: 3120, Version: "v0.1.0",
		Listeners: []client.Listener{
			{Name: "mqtt", Address: "[::]:1883"},
			{Name: "mqtts", Address: "[::]:8883", Certificate: &client.Certificate{
				NotAfter: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC), SHA256: "ab12",
			}},
		},
		Denials: []client.Denial{{
			User: "dev-1", Action: "publish", Topic: "a\x1b[31m\u2028\"</script>", Count: 2,
			First: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Last: time.Date(2026, 1, 2, 3, 4, 6, 0, time.UTC),
		}},
	}
	s := httptest.NewServer(admin.Handler(&broker{status: want}, registry(t)))
	defer s.Close()
	var c client.Client
	for _, base := range []string{s.URL, s.URL + "/"} {
		got, err := c.Status(t.Context(), base)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("status\n got %+v\nwant %+v", got, want)
		}
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- admin.Serve(ctx, l, admin.Handler(&broker{status: client.Status{Revision: "r"}}, registry(t)),
			slog.New(slog.NewTextHandler(io.Discard, nil)))
	}()
	base := "http://" + l.Addr().String()
	if _, err := new(client.Client).Status(t.Context(), base); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if _, err := new(client.Client).Status(t.Context(), base); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("error = %v, want ErrUnreachable", err)
	}
}

func TestStuckIsToldToTheLivenessProbe(t *testing.T) {
	h := admin.Handler(&broker{stuck: errors.New("event loop 1 has not turned for 40s")}, registry(t))
	if code, body := get(t, h, "GET", "/livez"); code != 503 || body != "event loop 1 has not turned for 40s\n" {
		t.Errorf("%d %q", code, body)
	}
}
