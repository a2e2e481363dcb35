// Package client asks a running broker for its state over the admin endpoint.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// DefaultPort of the admin endpoint.
const DefaultPort = 9883

// StatusPath is where the endpoint answers with a Status.
const StatusPath = "/v1/status"

// Status is the state of a broker at one moment.
type Status struct {
	// Revision of the configuration that the broker enforces: config.Revision.
	Revision string `json:"revision"`
	// Error tells why the configuration on disk is not enforced; empty where it
	// is.
	Error string `json:"error"`
	// Clients that are connected.
	Clients   int        `json:"clients"`
	Version   string     `json:"version"`
	Listeners []Listener `json:"listeners"`
	// Storage that sessions and messages are kept on; nil where none are.
	Storage *Storage `json:"storage,omitempty"`
	// Denials is a sample of what the topic ACLs refused of late, the latest first.
	Denials []Denial `json:"denials,omitempty"`
}

// Storage is the disk that a broker keeps sessions and messages on.
type Storage struct {
	// Error is why nothing new can be stored at the moment; empty where all is well.
	Error string `json:"error,omitempty"`
	// Used bytes are what the broker takes; Free and Total are of the whole volume,
	// and 0 where that is not known.
	Used  int64 `json:"used"`
	Free  int64 `json:"free,omitempty"`
	Total int64 `json:"total,omitempty"`
}

// ExitStorage is the exit status of a broker whose storage cannot be opened, or
// has failed. What it writes last begins with LastWords and says why.
const ExitStorage = 74

// LastWords are before the reason with which a process of the program ends.
const LastWords = "godwit: "

// Denial is something that the topic ACLs refused, once or many times.
type Denial struct {
	User   string `json:"user"`   // empty for anonymous clients
	Action string `json:"action"` // publish, subscribe or will; size for a packet that was too large
	// Topic name or topic filter, cut where it is long. It is the client's choice:
	// who shows it has to escape it.
	Topic string    `json:"topic"`
	Limit string    `json:"limit,omitempty"` // what a packet of action size was beyond
	Count uint64    `json:"count"`           // since First
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// Listener is an address that the broker accepts clients on.
type Listener struct {
	Name    string `json:"name"`
	Address string `json:"address"` // host:port
	// Certificate that new connections are served; nil without TLS.
	Certificate *Certificate `json:"certificate,omitempty"`
	// AdditionalCertificates are served to clients that cannot take Certificate.
	AdditionalCertificates []NamedCertificate `json:"additionalCertificates,omitempty"`
}

// NamedCertificate is a further certificate of a listener.
type NamedCertificate struct {
	Name string `json:"name"`
	Certificate
}

// Certificate of a listener.
type Certificate struct {
	NotAfter time.Time `json:"notAfter"`
	SHA256   string    `json:"sha256"` // of its DER encoding, in lower-case hex
}

// ErrUnreachable is wrapped by errors of a broker that did not answer: it may be
// starting, gone, or behind a broken network. Asking again may help.
var ErrUnreachable = errors.New("broker does not answer")

// AnswerError is an answer that is not a status: what listens there is not a
// broker, or one of another version.
type AnswerError struct {
	URL    string
	Code   int    // HTTP status
	Detail string // what is wrong, or the beginning of the body
}

func (e *AnswerError) Error() string {
	return fmt.Sprintf("%s: HTTP %d: %s", e.URL, e.Code, e.Detail)
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// Client asks brokers. Its zero value is ready, and may be used from several
// goroutines.
type Client struct {
	// HTTP is used for requests; nil is a client that goes to the broker
	// directly, whatever proxy the environment names.
	HTTP *http.Client
}

var direct = &http.Client{
	Timeout: 10 * time.Second,
	Transport: &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		ResponseHeaderTimeout: 5 * time.Second,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   1,
	},
	// A broker redirects nowhere.
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Status asks the broker at baseURL ("http://10.0.0.7:9883"). The error wraps
// ErrUnreachable, or is an *AnswerError.
func (c *Client) Status(ctx context.Context, baseURL string) (Status, error) {
	url := strings.TrimSuffix(baseURL, "/") + StatusPath
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Status{}, fmt.Errorf("ask broker: %w", err)
	}
	resp, err := c.http().Do(req)
	if err != nil {
		return Status{}, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return Status{}, fmt.Errorf("%w: read %s: %w", ErrUnreachable, url, err)
	}
	return decode(url, resp.StatusCode, body)
}

func (c *Client) http() *http.Client {
	if c.HTTP != nil {
		return c.HTTP
	}
	return direct
}

// decode takes fields that it does not know for those of a newer broker.
func decode(url string, code int, body []byte) (Status, error) {
	wrong := func(detail string) (Status, error) {
		return Status{}, &AnswerError{URL: url, Code: code, Detail: detail}
	}
	if code != http.StatusOK {
		return wrong(strings.TrimSpace(string(body[:min(len(body), 200)])))
	}
	if len(body) > maxAnswer {
		return wrong(fmt.Sprintf("more than %d bytes", maxAnswer))
	}
	var s Status
	if err := json.Unmarshal(body, &s); err != nil {
		return wrong(err.Error())
	}
	if s.Revision == "" {
		return wrong("no revision in the answer")
	}
	return s, nil
}
