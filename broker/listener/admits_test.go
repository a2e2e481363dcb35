package listener_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/listener"
)

var midnight = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)

// signer is a certificate authority, or what one has signed.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// sign returns a certificate that is good for days, by s, or by itself where s is nil.
func (s *signer) sign(t *testing.T, days int, isCA bool, usage x509.ExtKeyUsage) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: rand.Text()},
		NotBefore: midnight, NotAfter: midnight.AddDate(0, 0, days),
		IsCA: isCA, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	if isCA {
		template.ExtKeyUsage, template.KeyUsage = nil, x509.KeyUsageCertSign
	}
	parent := &signer{cert: template, key: key}
	if s != nil {
		parent = s
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent.cert, &key.PublicKey, parent.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{cert, key}
}

func (s *signer) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Raw})
}

// What a client has shown is judged again as a handshake would judge it, with all its parts.
func TestAdmitsJudgesAsAHandshake(t *testing.T) {
	const client, server = x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth
	root := (*signer)(nil).sign(t, 30, true, client)
	middle := root.sign(t, 10, true, client)
	own, far := root.sign(t, 20, false, client), middle.sign(t, 20, false, client)
	stranger := (*signer)(nil).sign(t, 30, true, client).sign(t, 20, false, client)
	day := func(n int) time.Time { return midnight.AddDate(0, 0, n) }
	for name, tc := range map[string]struct {
		auth  config.ClientAuth
		shown []*signer
		now   time.Time
		until time.Time
		ok    bool
	}{
		"nothing, where it is optional":           {config.ClientAuthOptional, nil, day(1), time.Time{}, true},
		"nothing, where it is required":           {config.ClientAuthRequired, nil, day(1), time.Time{}, false},
		"a certificate of the CA":                 {config.ClientAuthRequired, []*signer{own}, day(1), day(20), true},
		"the same where it is optional":           {config.ClientAuthOptional, []*signer{own}, day(1), day(20), true},
		"one that has expired":                    {config.ClientAuthOptional, []*signer{own}, day(21), time.Time{}, false},
		"one that is not good yet":                {config.ClientAuthOptional, []*signer{own}, day(-1), time.Time{}, false},
		"one of another CA":                       {config.ClientAuthOptional, []*signer{stranger}, day(1), time.Time{}, false},
		"one for servers":                         {config.ClientAuthOptional, []*signer{root.sign(t, 20, false, server)}, day(1), time.Time{}, false},
		"one with what it depends on":             {config.ClientAuthRequired, []*signer{far, middle}, day(1), day(10), true},
		"one without what it depends on":          {config.ClientAuthRequired, []*signer{far}, day(1), time.Time{}, false},
		"one whose intermediate CA has expired":   {config.ClientAuthRequired, []*signer{far, middle}, day(11), time.Time{}, false},
		"a stranger's behind one of the right CA": {config.ClientAuthRequired, []*signer{own, stranger}, day(1), day(20), true},
	} {
		t.Run(name, func(t *testing.T) {
			c := files(t)
			c.ClientAuth = tc.auth
			brokertest.WriteFile(t, c.ClientCAFile, root.pem())
			var shown []*x509.Certificate
			for _, s := range tc.shown {
				shown = append(shown, s.cert)
			}
			until, err := load(t, c, nil).Admits(shown, tc.now)
			if (err == nil) != tc.ok || !until.Equal(tc.until) {
				t.Errorf("good until %v, error %v, want %v", until, err, tc.until)
			}
		})
	}
}

// A listener that asks for no certificates any more admits none, and those that show none.
func TestAdmitsWithoutClientCertificates(t *testing.T) {
	loaded := load(t, files(t), nil)
	if until, err := loaded.Admits(nil, midnight); err != nil || !until.IsZero() {
		t.Errorf("a client without a certificate: good until %v, error %v", until, err)
	}
	shown := []*x509.Certificate{loaded.Certificate}
	if until, err := loaded.Admits(shown, midnight); err == nil || !until.IsZero() {
		t.Errorf("a client with one: good until %v, error %v", until, err)
	}
}

func TestListenersAskAlike(t *testing.T) {
	c := files(t)
	c.ClientAuth = config.ClientAuthOptional
	old := load(t, c, nil)
	if old.AsksLike(nil) {
		t.Error("it asks like nothing")
	}
	renewed := *c
	brokertest.NewCA(t).Issue(t, "new").Write(t, c.CertFile, c.KeyFile)
	if next := load(t, &renewed, old); next == old || !next.AsksLike(old) {
		t.Error("a renewed certificate of the broker asks clients for something else")
	}
	required := *c
	required.ClientAuth = config.ClientAuthRequired
	if load(t, &required, old).AsksLike(old) {
		t.Error("a certificate that is required is the same as one that is optional")
	}
	brokertest.WriteFile(t, c.ClientCAFile, brokertest.NewCA(t).PEM())
	if load(t, c, old).AsksLike(old) {
		t.Error("another CA asks for the same")
	}
}

func TestLoadTLSServesItsCertificate(t *testing.T) {
	c := files(t)
	c.MinVersion = "1.3"
	loaded := load(t, c, nil)
	if !loaded.Certificate.Equal(loaded.Config.Certificates[0].Leaf) {
		t.Errorf("the certificate is of %s, want that of what is served", loaded.Certificate.Subject)
	}
	if loaded.Config.MinVersion != tls.VersionTLS13 {
		t.Errorf("TLS from %x on, want 1.3", loaded.Config.MinVersion)
	}
	if c.MinVersion = "1.2"; load(t, c, nil).Config.MinVersion != tls.VersionTLS12 {
		t.Error("TLS 1.2 is refused")
	}
}

// A client CA that nobody is asked for need not be there.
func TestLoadTLSReadsTheClientCAWhereItIsAskedFor(t *testing.T) {
	for auth, reads := range map[config.ClientAuth]bool{
		"": false, config.ClientAuthNone: false, config.ClientAuthOptional: true, config.ClientAuthRequired: true,
	} {
		c := files(t)
		c.ClientAuth = auth
		withCA := load(t, c, nil)
		if (withCA.Config.ClientCAs != nil) != reads {
			t.Errorf("%q: has client CAs %t, want %t", auth, withCA.Config.ClientCAs != nil, reads)
		}
		brokertest.WriteFile(t, c.ClientCAFile, brokertest.NewCA(t).PEM())
		if (load(t, c, withCA) != withCA) != reads {
			t.Errorf("%q: another CA is seen: %t, want %t", auth, !reads, reads)
		}
	}
}

func TestLoadTLSTellsWhichFileCannotBeRead(t *testing.T) {
	for want, spoil := range map[string]func(c *config.TLS){
		"read certificate: ": func(c *config.TLS) { c.CertFile += ".no" },
		"read private key: ": func(c *config.TLS) { c.KeyFile += ".no" },
		"read client CA: ":   func(c *config.TLS) { c.ClientCAFile += ".no" },
	} {
		c := files(t)
		c.ClientAuth = config.ClientAuthRequired
		spoil(c)
		loaded, err := listener.LoadTLS(c, nil)
		if loaded != nil || err == nil || !strings.HasPrefix(err.Error(), want) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("loaded %v, error %v, want one that begins with %q", loaded, err, want)
		}
	}
}
