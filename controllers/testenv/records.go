package testenv

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Requests are those that operators make of the API server. It may be used by many
// goroutines.
type Requests struct {
	mu  sync.Mutex
	all []Request
}

// Request of the API.
type Request struct {
	Method string
	Path   string
	// Metadata says that only metadata of objects was asked for.
	Metadata bool
}

// All returns the requests up to now, in their order.
func (r *Requests) All() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

func (r *Requests) record(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		r.mu.Lock()
		r.all = append(r.all, Request{
			Method: request.Method, Path: request.URL.Path,
			Metadata: strings.Contains(request.Header.Get("Accept"), "as=PartialObjectMetadata"),
		})
		r.mu.Unlock()
		return next.RoundTrip(request)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Log is a text that goroutines write.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write adds to the text.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns the text up to now.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
