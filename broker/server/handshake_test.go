package server_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// TestFailedHandshakesAreCountedAndTold: by listener and reason, and with what the
// client offers, where it says.
func TestFailedHandshakesAreCountedAndTold(t *testing.T) {
	t.Parallel()
	shake := func(change func(c *tls.Config)) func(*testing.T, *brokertest.Broker, net.Conn) {
		return func(t *testing.T, b *brokertest.Broker, conn net.Conn) {
			client := &tls.Config{ServerName: "localhost", RootCAs: b.CA.Pool()}
			if change != nil {
				change(client)
			}
			c := tls.Client(conn, client)
			_ = c.SetDeadline(time.Now().Add(brokertest.Patience))
			if err := c.Handshake(); err == nil { // TLS 1.3 tells the client only after its own
				_, _ = c.Read(make([]byte, 1))
			}
		}
	}
	for name, tc := range map[string]struct {
		client func(*testing.T, *brokertest.Broker, net.Conn)
		reason string
		told   []string
	}{
		"a version that is too old": {shake(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }),
			"version", []string{`versions="TLS 1.1, TLS 1.0"`}},
		"another kind of key than the certificate's": {shake(func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}
		}), "algorithm", []string{`versions="TLS 1.2"`, "cipherSuites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"}},
		"no certificate": {shake(nil), "no_certificate", []string{`versions="TLS 1.3, TLS 1.2"`}},
		"a certificate of another CA": {shake(func(c *tls.Config) {
			c.Certificates = []tls.Certificate{brokertest.NewCA(t).Issue(t, "stranger").TLS()}
		}), "bad_certificate", []string{`versions="TLS 1.3, TLS 1.2"`}},
		"a broker that the client does not trust": {shake(func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }),
			"client", []string{"remote error: tls:"}},
		"no TLS": {func(t *testing.T, _ *brokertest.Broker, conn net.Conn) {
			_, _ = conn.Write(brokertest.NewConnect("c").Append(nil, v5))
			_, _ = io.Copy(io.Discard, conn)
		}, "not_tls", nil},
		"a client that leaves": {func(t *testing.T, _ *brokertest.Broker, conn net.Conn) {
			_ = conn.SetReadDeadline(time.Now().Add(brokertest.Patience))
			go func() { _ = tls.Client(writeOnly{conn}, &tls.Config{ServerName: "localhost"}).Handshake() }()
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}, "incomplete", []string{`versions="TLS 1.3, TLS 1.2"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t, users)
			askForCertificates(t, b, b.CA, config.ClientAuthRequired)
			tc.client(t, b, b.DialAt(t, brokertest.TLS, v5).Conn)
			line := func() string {
				_, line, _ := strings.Cut(b.Log(), `msg="TLS handshake failed"`)
				line, _, _ = strings.Cut(line, "\n")
				return line
			}
			brokertest.WaitFor(t, "the handshake to fail for "+tc.reason, func() bool {
				return failedHandshakes(t, b)["tls "+tc.reason] == 1 && line() != ""
			})
			for _, part := range append(tc.told, "listener=tls", "reason="+tc.reason) {
				if !strings.Contains(line(), part) {
					t.Errorf("the log says %q, and not %q", line(), part)
				}
			}
		})
	}
}

// failedHandshakes are the counts by listener and reason.
func failedHandshakes(t *testing.T, b *brokertest.Broker) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(b.Metrics)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "godwit_tls_handshakes_failed_total" {
				counts[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	return counts
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// writeOnly is a connection on which nothing comes.
type writeOnly struct{ net.Conn }

func (w writeOnly) Read([]byte) (int, error) { select {} }

// TestRecordsAreNoLargerThanTheListenerSays: also where a burst of messages is
// written at once.
func TestRecordsAreNoLargerThanTheListenerSays(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		version uint16
		most    int
	}{
		"TLS 1.2":                 {tls.VersionTLS12, 512},
		"TLS 1.3":                 {tls.VersionTLS13, 1024},
		"TLS 1.2, without bounds": {tls.VersionTLS12, 0},
		"TLS 1.3, without bounds": {tls.VersionTLS13, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t, func(c *config.Config) { c.Settings.Listeners[1].TLS.MaxRecordSize = tc.most })
			seen := &recorded{Conn: b.DialAt(t, brokertest.TLS, v5).Conn}
			sub := brokertest.NewClient(t, tls.Client(seen, &tls.Config{
				ServerName: "localhost", RootCAs: b.CA.Pool(), MinVersion: tc.version, MaxVersion: tc.version,
			}), v5)
			sub.Connect("sub")
			sub.Subscribe("burst", qos0)
			seen.largest = 0
			var burst []brokertest.Packet
			for range 200 {
				burst = append(burst, brokertest.NewPublish("burst", strings.Repeat("m", 100)))
			}
			b.Connect(t, v5, "pub").Send(burst...)
			for range burst {
				brokertest.Expect[*packet.Publish](sub)
			}
			const overhead = 64 // of encryption
			switch {
			case tc.most > 0 && seen.largest > tc.most+overhead:
				t.Errorf("a record has %d bytes, %d of them for what is around it at most", seen.largest, overhead)
			case tc.most == 0 && seen.largest < config.MinRecordSize+overhead:
				t.Errorf("records have %d bytes at most: the burst was none", seen.largest)
			}
		})
	}
}

// recorded looks at the records that a client receives.
type recorded struct {
	net.Conn
	header  []byte
	rest    int // of the record's body
	largest int
}

func (r *recorded) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	for in := b[:n]; len(in) > 0; {
		if r.rest > 0 {
			k := min(r.rest, len(in))
			r.rest, in = r.rest-k, in[k:]
			continue
		}
		r.header, in = append(r.header, in[0]), in[1:]
		if len(r.header) == 5 {
			r.rest = int(binary.BigEndian.Uint16(r.header[3:]))
			r.largest = max(r.largest, r.rest)
			r.header = r.header[:0]
		}
	}
	return n, err
}

// TestOneListenerServesTwoCertificates: a client that knows RSA alone gets that of
// RSA, both are renewed, and the broker tells of both.
func TestOneListenerServesTwoCertificates(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	key := rsaKey(t)
	certFile, keyFile := filepath.Join(b.Dir(), "rsa.crt"), filepath.Join(b.Dir(), "rsa.key")
	renew := func() *x509.Certificate {
		certificate := b.CA.IssueFor(t, key, "localhost")
		certificate.Write(t, certFile, keyFile)
		b.MustReload(t, func(c *config.Config) {
			settings := *c.Settings.Listeners[1].TLS
			settings.Additional = []config.AdditionalCertificate{{Name: "rsa", CertFile: certFile, KeyFile: keyFile}}
			c.Settings.Listeners[1].TLS = &settings
		})
		return certificate.Leaf()
	}
	for range 2 {
		want := renew()
		conn := tls.Client(b.DialAt(t, brokertest.TLS, v5).Conn, &tls.Config{
			ServerName: "localhost", RootCAs: b.CA.Pool(), MaxVersion: tls.VersionTLS12,
			CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
		})
		brokertest.NewClient(t, conn, v5).Connect("old")
		if got := conn.ConnectionState().PeerCertificates[0]; !got.Equal(want) {
			t.Errorf("a client of RSA is shown %s of %s", got.PublicKeyAlgorithm, got.NotBefore)
		}
		other := b.DialTLS(t, v5)
		other.Connect("new")
		for _, l := range b.Status().Listeners {
			if l.Name == brokertest.TLS && (len(l.Additional) != 1 || l.Additional[0].Name != "rsa" || !l.Additional[0].Leaf.Equal(want)) {
				t.Errorf("the broker tells of %+v", l.Additional)
			}
		}
	}
}
