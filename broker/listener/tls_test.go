package listener_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/listener"
)

// files are a certificate, its key and a CA.
func files(t *testing.T) *config.TLS {
	t.Helper()
	dir := t.TempDir()
	c := &config.TLS{
		CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key"), ClientCAFile: filepath.Join(dir, "ca.crt"),
	}
	ca := brokertest.NewCA(t)
	ca.Issue(t, "broker").Write(t, c.CertFile, c.KeyFile)
	brokertest.WriteFile(t, c.ClientCAFile, ca.PEM())
	return c
}

func load(t *testing.T, c *config.TLS, old *listener.TLS) *listener.TLS {
	t.Helper()
	loaded, err := listener.LoadTLS(c, old)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func TestLoadTLSKeepsWhatHasNotChanged(t *testing.T) {
	c := files(t)
	old := load(t, c, nil)
	if load(t, c, old) != old {
		t.Error("the same files make another configuration")
	}
	for name, change := range map[string]func(c *config.TLS){
		"a renewed certificate":   func(c *config.TLS) { brokertest.NewCA(t).Issue(t, "new").Write(t, c.CertFile, c.KeyFile) },
		"certificates of clients": func(c *config.TLS) { c.ClientAuth = config.ClientAuthOptional },
		"another version of TLS":  func(c *config.TLS) { c.MinVersion = "1.3" },
		"the name of the CA":      func(c *config.TLS) { c.ClientCA = "another" },
		"smaller records":         func(c *config.TLS) { c.MaxRecordSize = 1024 },
		"one more certificate": func(c *config.TLS) {
			c.Additional = []config.AdditionalCertificate{{Name: "again", CertFile: c.CertFile, KeyFile: c.KeyFile}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := files(t)
			old := load(t, c, nil)
			change(c)
			if next := load(t, c, old); next == old {
				t.Error("the change is not seen")
			}
		})
	}
}

func TestLoadTLSSettings(t *testing.T) {
	for auth, want := range map[config.ClientAuth]tls.ClientAuthType{
		"":                        tls.NoClientCert,
		config.ClientAuthNone:     tls.NoClientCert,
		config.ClientAuthOptional: tls.VerifyClientCertIfGiven,
		config.ClientAuthRequired: tls.RequireAndVerifyClientCert,
	} {
		c := files(t)
		c.ClientAuth = auth
		if got := load(t, c, nil).Config; got.ClientAuth != want || got.MinVersion != tls.VersionTLS12 {
			t.Errorf("%q: client authentication %v from TLS %x on", auth, got.ClientAuth, got.MinVersion)
		}
	}
}

func TestLoadTLSRefuses(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, c *config.TLS){
		"a certificate that is not there": func(_ *testing.T, c *config.TLS) { c.CertFile += ".no" },
		"a key that is not there":         func(_ *testing.T, c *config.TLS) { c.KeyFile += ".no" },
		"an additional certificate that is not there": func(_ *testing.T, c *config.TLS) {
			c.Additional = []config.AdditionalCertificate{{Name: "rsa", CertFile: c.CertFile + ".no", KeyFile: c.KeyFile}}
		},
		"an additional key of another certificate": func(t *testing.T, c *config.TLS) {
			key := filepath.Join(t.TempDir(), "key")
			brokertest.NewCA(t).Issue(t, "x").Write(t, filepath.Join(t.TempDir(), "crt"), key)
			c.Additional = []config.AdditionalCertificate{{Name: "rsa", CertFile: c.CertFile, KeyFile: key}}
		},
		"a CA that is not there":     func(_ *testing.T, c *config.TLS) { c.ClientCAFile += ".no" },
		"a CA without a certificate": func(t *testing.T, c *config.TLS) { brokertest.WriteFile(t, c.ClientCAFile, []byte("x")) },
		"a key of another certificate": func(t *testing.T, c *config.TLS) {
			brokertest.NewCA(t).Issue(t, "x").Write(t, filepath.Join(t.TempDir(), "crt"), c.KeyFile)
		},
		"half a certificate": func(t *testing.T, c *config.TLS) {
			b, err := os.ReadFile(c.CertFile)
			if err != nil {
				t.Fatal(err)
			}
			brokertest.WriteFile(t, c.CertFile, b[:len(b)/2])
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := files(t)
			c.ClientAuth = config.ClientAuthRequired
			spoil(t, c)
			if _, err := listener.LoadTLS(c, nil); err == nil {
				t.Error("it is loaded")
			}
		})
	}
}

func TestGoodUntil(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	chain := func(hours ...int) (c []*x509.Certificate) {
		for _, h := range hours {
			c = append(c, &x509.Certificate{NotAfter: noon.Add(time.Duration(h) * time.Hour)})
		}
		return c
	}
	for name, tc := range map[string]struct {
		chains [][]*x509.Certificate
		want   time.Time
	}{
		"no certificate":                    {nil, time.Time{}},
		"the end of the client's":           {[][]*x509.Certificate{chain(1, 2, 3)}, noon.Add(time.Hour)},
		"the end of one that it depends on": {[][]*x509.Certificate{chain(3, 1, 2)}, noon.Add(time.Hour)},
		"the chain that lasts the longest":  {[][]*x509.Certificate{chain(5, 1), chain(5, 4), chain(5, 2)}, noon.Add(4 * time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := listener.GoodUntil(tc.chains); !got.Equal(tc.want) {
				t.Errorf("good until %v, want %v", got, tc.want)
			}
		})
	}
}
