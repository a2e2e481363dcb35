//go:build e2e

package e2e

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// patience is how long a client may take for what it does at once on an idle machine.
	patience = 30 * time.Second
	// python is the system's, to which Debian's python3-paho-mqtt belongs.
	python = "/usr/bin/python3"
)

// broker is the Broker of the story as clients see it.
type broker struct {
	plainHost  string
	plainPort  int
	tlsPort    int    // on localhost
	devicePort int    // on localhost
	caFile     string // of the broker's certificate
}

// login is how a client introduces itself; who asks for a password has one.
type login struct {
	username, password string
	certFile, keyFile  string // on the port for devices
	caFile             string // in place of the broker's
}

// Users as in manifests/users.yaml.
var (
	sensor    = login{username: "sensor", password: "sensor-password"}
	dashboard = login{username: "dashboard", password: "dashboard-password"}
	bystander = login{username: "bystander", password: "bystander-password"}
)

// with returns the login with another password.
func (l login) with(password string) login {
	l.password = password
	return l
}

// arguments are those that mosquitto_pub and mosquitto_sub share: TLS, verified, on the port that
// fits the login.
func (b *broker) arguments(l login) []string {
	port, ca := b.tlsPort, b.caFile
	if l.certFile != "" {
		port = b.devicePort
	}
	if l.caFile != "" {
		ca = l.caFile
	}
	args := []string{"-h", "localhost", "-p", strconv.Itoa(port), "--cafile", ca}
	if l.username != "" {
		args = append(args, "-u", l.username, "-P", l.password)
	}
	if l.certFile != "" {
		args = append(args, "--cert", l.certFile, "--key", l.keyFile)
	}
	return args
}

// publish runs mosquitto_pub over TLS to its end.
func (b *broker) publish(t *testing.T, l login, topic, payload string, flags ...string) outcome {
	t.Helper()
	args := slices.Concat(b.arguments(l), []string{"-t", topic, "-m", payload}, flags)
	return run(t, patience, "mosquitto_pub", args...)
}

// mustPublish is publish where nothing is in the way.
func (b *broker) mustPublish(t *testing.T, l login, topic, payload string, flags ...string) {
	t.Helper()
	if out := b.publish(t, l, topic, payload, flags...); out.code != 0 || out.output != "" {
		t.Fatalf("publish to %s: %s", topic, out)
	}
}

// subscription is a mosquitto_sub that runs.
type subscription struct{ *process }

// subscribe runs mosquitto_sub over TLS, and waits until the broker has granted the subscription.
func (b *broker) subscribe(t *testing.T, l login, filter string, qos int, flags ...string) subscription {
	t.Helper()
	args := append([]string{"-oL", "mosquitto_sub"}, b.subscribeArguments(l, filter, qos)...)
	s := subscription{start(t, "stdbuf", append(args, flags...)...)} // lines as they come
	s.await(t, patience, "the subscription is granted", containing("Subscribed (mid: 1): "+strconv.Itoa(qos)))
	return s
}

// subscribeArguments make mosquitto_sub tell of each message as a line "message TOPIC QOS RETAIN
// PAYLOAD", and of the packets that it sends and receives.
func (b *broker) subscribeArguments(l login, filter string, qos int) []string {
	return append(b.arguments(l), "-t", filter, "-q", strconv.Itoa(qos), "-d", "-F", "message %t %q %r %p")
}

// message is what mosquitto_sub says of a message.
func message(topic, payload string, qos, retain int) string {
	return fmt.Sprintf("message %s %d %d %s", topic, qos, retain, payload)
}

// awaitMessage waits for a message, and fails where another one comes first.
func (s subscription) awaitMessage(t *testing.T, want string) {
	t.Helper()
	got := s.await(t, patience, want, containing("message "))
	if got != want {
		t.Fatalf("received %q, want %q", got, want)
	}
}

// event is what clients/bystander.py writes.
type event struct {
	Event          string
	SessionPresent bool `json:"session_present"`
	Topic, Payload string
	Granted        []int
	RC             int
}

// witness is the bystander: a client of paho that is connected for the whole story.
type witness struct{ *process }

// startWitness starts the bystander for the whole story, and waits for its subscription to news/#.
func (b *broker) startWitness(t, whole *testing.T) witness {
	t.Helper()
	w := witness{start(whole, python, filepath.Join("clients", "bystander.py"), "localhost", strconv.Itoa(b.tlsPort),
		b.caFile, bystander.username, bystander.password, "news/#")}
	w.awaitEvent(t, patience, "subscribed")
	return w
}

// awaitEvent waits for the next event of that name.
func (w witness) awaitEvent(t *testing.T, limit time.Duration, name string) event {
	t.Helper()
	var e event
	w.await(t, limit, "the bystander has "+name, func(line string) bool {
		e = parseEvent(line)
		return e.Event == name
	})
	return e
}

// mustBeThere checks that the bystander receives, and has not been disconnected more often than the
// story says.
func (w witness) mustBeThere(t *testing.T, b *broker, disconnects int) {
	t.Helper()
	news := t.Name()
	b.mustPublish(t, dashboard, "news/today", news, "-q", "1")
	w.await(t, patience, "the bystander receives "+news, func(line string) bool {
		return parseEvent(line).Payload == news
	})
	if n := w.count(func(line string) bool { return parseEvent(line).Event == "disconnected" }); n != disconnects {
		t.Fatalf("the bystander was disconnected %d times, want %d:\n%s", n, disconnects, indent(w.output()))
	}
}

// parseEvent reads a line; what is no event is Python's complaint, and an empty event.
func parseEvent(line string) event {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil {
		return event{}
	}
	return e
}

// certificate verifies the broker's certificate for a name, and returns it.
func (b *broker) certificate(caPEM []byte, name string) (*x509.Certificate, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(caPEM) {
		return nil, fmt.Errorf("no certificate in %q", caPEM)
	}
	dialer := &net.Dialer{Timeout: patience}
	address := net.JoinHostPort("localhost", strconv.Itoa(b.tlsPort))
	conn, err := tls.DialWithDialer(dialer, "tcp", address, &tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS12})
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // it was only there to look at
	return conn.ConnectionState().PeerCertificates[0], nil
}

// fingerprint is the SHA-256 of a certificate, as the Broker's status shows it.
func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// mustFail checks that a program has failed, and that its output says why.
func (o outcome) mustFail(t *testing.T, because string) {
	t.Helper()
	if o.code <= 0 || !strings.Contains(strings.ToLower(o.output), strings.ToLower(because)) {
		t.Fatalf("want a failure that says %q: %s", because, o)
	}
}
