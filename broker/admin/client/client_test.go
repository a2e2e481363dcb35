package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/admin/client"
)

func TestStatusRefusesWhatIsNotABroker(t *testing.T) {
	tests := map[string]struct {
		code       int
		body, want string
	}{
		"another server":  {200, "<html>", "HTTP 200: invalid character"},
		"not found":       {404, "404 page not found\n", "HTTP 404: 404 page not found"},
		"a redirect":      {302, "", "HTTP 302"},
		"no revision":     {200, "{}", "no revision"},
		"an endless body": {200, strings.Repeat(" ", 2<<20), "more than"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(tt.code)
				_, _ = w.Write([]byte(tt.body))
			}))
			defer s.Close()
			_, err := new(client.Client).Status(t.Context(), s.URL)
			answer, ok := errors.AsType[*client.AnswerError](err)
			if !ok || !strings.Contains(answer.Error(), tt.want) {
				t.Errorf("error = %v, want an AnswerError that says %q", err, tt.want)
			}
		})
	}
}

func TestStatusTakesAnAnswerOfANewerBroker(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"revision":"r","clients":2,"sessions":9}`))
	}))
	defer s.Close()
	got, err := new(client.Client).Status(t.Context(), s.URL)
	if err != nil || got.Clients != 2 {
		t.Errorf("status = %+v, error %v", got, err)
	}
}

func TestStatusEndsWithItsContext(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer s.Close()
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := new(client.Client).Status(ctx, s.URL)
	if !errors.Is(err, client.ErrUnreachable) || !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want ErrUnreachable and context.Canceled", err)
	}
}
