// Package admin serves the broker's health, metrics and state over HTTP, to
// probes, to Prometheus and to the operator.
//
//	GET /livez      200, or 503 with the reason where the process is stuck
//	GET /readyz     200, or 503 with the reasons as text
//	GET /metrics    Prometheus
//	GET /v1/status  client.Status as JSON
//
// Nothing there is secret, and nothing can be changed.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/godwit-mqtt/godwit/broker/admin/client"
)

// DefaultPort of the endpoint.
const DefaultPort = client.DefaultPort

// Broker is what the endpoint tells of. Its methods are called from several
// goroutines.
type Broker interface {
	// Live returns why the process should be replaced; nil where it need not.
	Live() error
	// Ready returns why no client should be sent here; nil to say that they may
	// come.
	Ready() error
	Status() client.Status
}

// Handler answers for b, with the metrics that g gathers.
func Handler(b Broker, g prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", probe(b.Live))
	mux.HandleFunc("GET /readyz", probe(b.Ready))
	mux.HandleFunc("GET "+client.StatusPath, func(w http.ResponseWriter, _ *http.Request) { status(w, b.Status()) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
	}))
	return mux
}

// probe answers by what ask finds wrong.
func probe(ask func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := ask(); err != nil {
			text(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		text(w, http.StatusOK, "ok")
	}
}

func text(w http.ResponseWriter, code int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, s+"\n") // A peer that has gone needs no answer.
}

func status(w http.ResponseWriter, s client.Status) {
	if s.Listeners == nil {
		s.Listeners = []client.Listener{}
	}
	body, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		text(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(body, '\n'))
}

// Bounds of one request. A probe takes milliseconds; a scrape of metrics may be
// slow on a loaded node.
const (
	readTimeout  = 5 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = 2 * time.Minute
	stopTimeout  = 2 * time.Second
	maxHeader    = 16 << 10 // bytes
)

// Serve answers requests on l until ctx ends, and returns once those under way
// have ended or stopTimeout has passed. It closes l. Where there are too many
// connections the oldest is closed for a new one.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(&bounded{Listener: l, most: mostConnections}) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve admin endpoint: %w", err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := s.Shutdown(stopping); err != nil {
		_ = s.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve admin endpoint: %w", err)
	}
	return nil
}
