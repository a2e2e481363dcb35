package dev

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Lives of certificates. A leaf is renewed as cert-manager does it, with a third
// of its life to go.
const (
	caLife     = 10 * 365 * 24 * time.Hour
	leafLife   = 90 * 24 * time.Hour
	leafRenew  = 30 * 24 * time.Hour
	clockSkew  = time.Hour
	caFileName = "ca.crt"
	caKeyName  = "ca.key"
)

// authority is the local CA, kept in the state directory so that clients which
// trust it go on to do so.
type authority struct {
	cert *x509.Certificate
	pem  []byte
	key  *ecdsa.PrivateKey
}

// openAuthority reads the CA from dir, or makes one there.
func openAuthority(dir string, now time.Time) (*authority, error) {
	certFile, keyFile := filepath.Join(dir, caFileName), filepath.Join(dir, caKeyName)
	certPEM, cerr := os.ReadFile(certFile)
	keyPEM, kerr := os.ReadFile(keyFile)
	if errors.Is(cerr, fs.ErrNotExist) && errors.Is(kerr, fs.ErrNotExist) {
		return createAuthority(certFile, keyFile, now)
	}
	if err := errors.Join(cerr, kerr); err != nil {
		return nil, fmt.Errorf("read the local CA: %w", err)
	}
	ca, err := parseAuthority(certPEM, keyPEM)
	if err == nil && now.Add(leafLife).After(ca.cert.NotAfter) {
		err = fmt.Errorf("it ends on %s", ca.cert.NotAfter.Format(time.DateOnly))
	}
	if err != nil {
		return nil, fmt.Errorf("the local CA is of no use: %w: remove %s and %s, and a new one is made",
			err, certFile, keyFile)
	}
	return ca, nil
}

func createAuthority(certFile, keyFile string, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the local CA: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "godwit dev, local CA"},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(caLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	certPEM, keyPEM, err := sign(template, template, key, key)
	if err != nil {
		return nil, fmt.Errorf("make the local CA: %w", err)
	}
	if err := writeFile(keyFile, keyPEM); err != nil {
		return nil, err
	}
	if err := writeFile(certFile, certPEM); err != nil {
		return nil, err
	}
	return parseAuthority(certPEM, keyPEM)
}

func parseAuthority(certPEM, keyPEM []byte) (*authority, error) {
	cert, err := parseCertificate(certPEM)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return nil, errors.New("its key is not PEM")
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("its key: %w", err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("its key is not that of the certificate")
	}
	return &authority{cert: cert, pem: certPEM, key: key}, nil
}

// names are what a server is called by.
type names struct {
	dns []string // sorted, each once
	ips []netip.Addr
}

// serves says whether a certificate of the CA is good for these names for a
// while yet, and its key of a kind.
func (ca *authority) serves(certPEM []byte, n names, kind keyKind, now time.Time) bool {
	cert := ca.current(certPEM, now)
	if cert == nil || kindOf(cert.PublicKey) != kind {
		return false
	}
	var ips []netip.Addr
	for _, ip := range cert.IPAddresses {
		addr, _ := netip.AddrFromSlice(ip)
		ips = append(ips, addr.Unmap())
	}
	return slices.Equal(cert.DNSNames, n.dns) && slices.Equal(ips, n.ips)
}

// admits says whether a certificate of the CA is good for a client of this common
// name for a while yet.
func (ca *authority) admits(certPEM []byte, commonName string, now time.Time) bool {
	cert := ca.current(certPEM, now)
	return cert != nil && cert.Subject.CommonName == commonName
}

// current parses a certificate; nil where it is not of this CA, or has to be
// renewed.
func (ca *authority) current(certPEM []byte, now time.Time) *x509.Certificate {
	cert, err := parseCertificate(certPEM)
	if err != nil || cert.CheckSignatureFrom(ca.cert) != nil || now.Add(leafRenew).After(cert.NotAfter) {
		return nil
	}
	return cert
}

// issue makes a server certificate with a key of a kind.
func (ca *authority) issue(n names, kind keyKind, now time.Time) (certPEM, keyPEM []byte, err error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: n.dns[0]},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    n.dns,
	}
	for _, ip := range n.ips {
		template.IPAddresses = append(template.IPAddresses, ip.AsSlice())
	}
	return ca.issueLeaf(template, kind, now)
}

// issueToClient makes a client certificate.
func (ca *authority) issueToClient(commonName string, now time.Time) (certPEM, keyPEM []byte, err error) {
	return ca.issueLeaf(&x509.Certificate{
		Subject:     pkix.Name{CommonName: commonName},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, keyKindOf(nil), now)
}

// issueLeaf completes the template and signs it, with a new key.
func (ca *authority) issueLeaf(template *x509.Certificate, kind keyKind, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := kind.generate()
	if err != nil {
		return nil, nil, fmt.Errorf("issue certificate: %w", err)
	}
	template.SerialNumber = serial()
	template.NotBefore, template.NotAfter = now.Add(-clockSkew), now.Add(leafLife)
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageDigitalSignature
	certPEM, keyPEM, err = sign(template, ca.cert, key, ca.key)
	if err != nil {
		return nil, nil, fmt.Errorf("issue certificate: %w", err)
	}
	return certPEM, keyPEM, nil
}

func sign(template, parent *x509.Certificate, key crypto.Signer, signer *ecdsa.PrivateKey) (certPEM, keyPEM []byte, err error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err = encodeKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyPEM, nil
}

func parseCertificate(certPEM []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("it is not a PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

// serial returns a random serial number of at most 20 bytes.
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails, says its documentation
	return new(big.Int).SetBytes(b)
}
