// Package listener makes what a port needs besides its socket: the TLS
// configuration, read from files that are renewed while the broker runs.
package listener

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/godwit-mqtt/godwit/broker/config"
)

// TLS is the configuration of one listener as its files were at a moment.
type TLS struct {
	Config *tls.Config
	// Certificate is the leaf that is served, if the client can take it.
	Certificate *x509.Certificate
	// Additional are those that are served if not.
	Additional []Certificate
	// ClientCA is the name of the CA that clients are verified by.
	ClientCA string
	// CertificateOnly says that a client is who its certificate says, and nobody else.
	CertificateOnly bool
	// MaxRecord bounds the plaintext of records that are sent, in bytes; 0 is what
	// TLS allows.
	MaxRecord int

	fingerprint [sha256.Size]byte
	clients     [sha256.Size]byte // names what is asked of clients
}

// AsksLike reports whether clients are judged as by old, which may be nil.
func (t *TLS) AsksLike(old *TLS) bool { return old != nil && t.clients == old.clients }

// Admits judges the certificates that a client has shown, its own first, as a
// handshake at now would, and returns until when that is good: GoodUntil.
func (t *TLS) Admits(shown []*x509.Certificate, now time.Time) (until time.Time, err error) {
	if len(shown) == 0 {
		if t.Config.ClientAuth == tls.RequireAndVerifyClientCert {
			return until, errors.New("the listener requires a client certificate")
		}
		return until, nil
	}
	if t.Config.ClientCAs == nil {
		return until, errors.New("the listener knows no client certificates any more")
	}
	options := x509.VerifyOptions{
		Roots: t.Config.ClientCAs, Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range shown[1:] {
		options.Intermediates.AddCert(c)
	}
	chains, err := shown[0].Verify(options)
	return GoodUntil(chains), err
}

// GoodUntil returns the end of the last of the chains that verify a client's
// certificate. A chain ends with the first of its certificates. It is zero for a
// client that showed none, which nothing ends for.
func GoodUntil(chains [][]*x509.Certificate) (until time.Time) {
	for _, chain := range chains {
		end := chain[0].NotAfter
		for _, c := range chain[1:] {
			if c.NotAfter.Before(end) {
				end = c.NotAfter
			}
		}
		if end.After(until) {
			until = end
		}
	}
	return until
}

// LoadTLS reads the files of c. Where they hold what they held for old, which
// may be nil, it returns old: its session tickets stay good.
func LoadTLS(c *config.TLS, old *TLS) (*TLS, error) {
	m, err := readMaterial(c)
	if err != nil {
		return nil, err
	}
	if sum := m.fingerprint(c); old != nil && old.fingerprint == sum {
		return old, nil
	}
	return m.build(c)
}

// material is the content of a listener's files.
type material struct {
	pairs    []pair
	clientCA []byte
}

func readMaterial(c *config.TLS) (m material, err error) {
	if m.pairs, err = readPairs(c); err != nil {
		return m, err
	}
	if wantsClientCA(c) {
		if m.clientCA, err = os.ReadFile(c.ClientCAFile); err != nil {
			return m, fmt.Errorf("read client CA: %w", err)
		}
	}
	return m, nil
}

func wantsClientCA(c *config.TLS) bool {
	return c.ClientAuth == config.ClientAuthOptional || c.ClientAuth == config.ClientAuthRequired
}

func (m *material) fingerprint(c *config.TLS) (sum [sha256.Size]byte) {
	parts := [][]byte{
		m.clientCA, []byte(c.ClientAuth), []byte(c.ClientCA), []byte(c.ClientIdentity), []byte(c.MinVersion),
		[]byte(strconv.Itoa(c.MaxRecordSize)),
	}
	for _, p := range m.pairs {
		parts = append(parts, p.cert, p.key)
	}
	for _, a := range c.Additional {
		parts = append(parts, []byte(a.Name))
	}
	h := sha256.New()
	for _, part := range parts {
		s := sha256.Sum256(part)
		h.Write(s[:])
	}
	h.Sum(sum[:0])
	return sum
}

func (m *material) build(c *config.TLS) (*TLS, error) {
	t := &TLS{
		ClientCA:    c.ClientCA,
		MaxRecord:   c.MaxRecordSize,
		fingerprint: m.fingerprint(c),
		clients:     sha256.Sum256(fmt.Appendf(nil, "%s %s\n%s\n%s", c.ClientAuth, c.ClientIdentity, c.ClientCA, m.clientCA)),

		CertificateOnly: c.ClientIdentity == config.IdentityCertificate,
		Config: &tls.Config{
			MinVersion: tls.VersionTLS12,
			// A broker writes in bursts of many small messages: full records
			// from the start cost less than quick first bytes save.
			DynamicRecordSizingDisabled: true,
		},
	}
	if c.MinVersion == "1.3" {
		t.Config.MinVersion = tls.VersionTLS13
	}
	if err := m.certify(c, t); err != nil {
		return nil, err
	}
	return t, m.verifyClients(c, t.Config)
}

// certify loads the certificates that t serves.
func (m *material) certify(c *config.TLS, t *TLS) error {
	var loaded []tls.Certificate
	for i := range m.pairs {
		certificate, err := m.pairs[i].load()
		if err != nil {
			return err
		}
		if loaded = append(loaded, certificate); i == 0 {
			t.Certificate = certificate.Leaf
			continue
		}
		t.Additional = append(t.Additional, Certificate{Name: c.Additional[i-1].Name, Leaf: certificate.Leaf})
	}
	serve(loaded, t.Config)
	return nil
}

func (m *material) verifyClients(c *config.TLS, out *tls.Config) error {
	if !wantsClientCA(c) {
		return nil
	}
	out.ClientCAs = x509.NewCertPool()
	if !out.ClientCAs.AppendCertsFromPEM(bytes.TrimSpace(m.clientCA)) {
		return fmt.Errorf("client CA %s holds no certificate in PEM", c.ClientCAFile)
	}
	out.ClientAuth = tls.VerifyClientCertIfGiven
	if c.ClientAuth == config.ClientAuthRequired {
		out.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return nil
}
