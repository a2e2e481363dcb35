package listener

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/godwit-mqtt/godwit/broker/config"
)

// Certificate is one that a listener serves besides its first.
type Certificate struct {
	Name string // in the configuration
	Leaf *x509.Certificate
}

// pair is the content of the files of a certificate.
type pair struct {
	certFile, keyFile string
	cert, key         []byte
}

func readPair(certFile, keyFile string) (p pair, err error) {
	p = pair{certFile: certFile, keyFile: keyFile}
	if p.cert, err = os.ReadFile(certFile); err != nil {
		return p, fmt.Errorf("read certificate: %w", err)
	}
	if p.key, err = os.ReadFile(keyFile); err != nil {
		return p, fmt.Errorf("read private key: %w", err)
	}
	return p, nil
}

func (p *pair) load() (tls.Certificate, error) {
	c, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		return c, fmt.Errorf("certificate %s and key %s: %w", p.certFile, p.keyFile, err)
	}
	return c, nil
}

// readPairs reads the certificates that c names, that of CertFile first.
func readPairs(c *config.TLS) ([]pair, error) {
	first, err := readPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, err
	}
	pairs := []pair{first}
	for _, a := range c.Additional {
		p, err := readPair(a.CertFile, a.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("additional certificate %q: %w", a.Name, err)
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}

// serve has out serve the first of the certificates that a client can take.
func serve(certificates []tls.Certificate, out *tls.Config) {
	if len(certificates) == 1 {
		out.Certificates = certificates
		return
	}
	out.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		// Whether a name is good is the client's to judge, and no reason to serve
		// it a key that it does not know.
		nameless := *hello
		nameless.ServerName = ""
		for _, asked := range []*tls.ClientHelloInfo{hello, &nameless} {
			for i := range certificates {
				if asked.SupportsCertificate(&certificates[i]) == nil {
					return &certificates[i], nil
				}
			}
		}
		return &certificates[0], nil
	}
}
