package listener_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"net"
	"path/filepath"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/listener"
)

// TestTheCertificateIsOneThatTheClientCanTake: the first of them, whatever name the
// client asks for.
func TestTheCertificateIsOneThatTheClientCanTake(t *testing.T) {
	c := files(t)
	ca := brokertest.NewCA(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	served := map[string][]byte{}
	for name, certificate := range map[string]*brokertest.Certificate{
		"ecdsa": ca.Issue(t, "ecdsa"), "rsa": ca.IssueFor(t, rsaKey, "rsa"), "ed25519": ca.IssueFor(t, edKey, "ed25519"),
	} {
		a := config.AdditionalCertificate{Name: name, CertFile: filepath.Join(t.TempDir(), name), KeyFile: filepath.Join(t.TempDir(), name)}
		certificate.Write(t, a.CertFile, a.KeyFile)
		served[name] = certificate.Leaf().Raw
		if name == "ecdsa" {
			c.CertFile, c.KeyFile = a.CertFile, a.KeyFile
		} else {
			c.Additional = append(c.Additional, a)
		}
	}
	loaded := load(t, c, nil)
	if len(loaded.Additional) != 2 || loaded.Certificate.Subject.CommonName != "ecdsa" || loaded.Additional[0].Leaf.Subject.CommonName != loaded.Additional[0].Name {
		t.Errorf("%s and %+v are served", loaded.Certificate.Subject, loaded.Additional)
	}
	for name, tc := range map[string]struct {
		client *tls.Config
		want   string
	}{
		"takes all":                    {&tls.Config{}, "ecdsa"},
		"takes all, another name":      {&tls.Config{ServerName: "elsewhere.example.com"}, "ecdsa"},
		"takes RSA alone":              {rsaOnly(""), "rsa"},
		"takes RSA alone, its name":    {rsaOnly("localhost"), "rsa"},
		"takes RSA alone, other names": {rsaOnly("elsewhere.example.com"), "rsa"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.client.InsecureSkipVerify = true // it is looked at below
			if got := shake(t, loaded, tc.client); string(got) != string(served[tc.want]) {
				t.Errorf("another certificate than %s is served", tc.want)
			}
		})
	}
}

// rsaOnly is a client that knows no other keys.
func rsaOnly(serverName string) *tls.Config {
	return &tls.Config{
		ServerName: serverName, MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
	}
}

// shake returns the certificate that a client is shown.
func shake(t *testing.T, served *listener.TLS, client *tls.Config) []byte {
	t.Helper()
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	done := make(chan error, 1)
	go func() { done <- tls.Server(a, served.Config).Handshake() }()
	c := tls.Client(b, client)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState().PeerCertificates[0].Raw
}
