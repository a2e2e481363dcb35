package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Authority is a CA that signs what cert-manager would have signed.
type Authority struct {
	// PEM is its certificate.
	PEM []byte

	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority returns a CA of that name.
func NewAuthority(t *testing.T, name string) *Authority {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a := &Authority{certificate: template, key: newKey(t)}
	a.certificate, a.PEM = a.sign(t, template, a.key, time.Now().Add(time.Hour))
	return a
}

// CASecret holds the certificate of the CA.
func (a *Authority) CASecret(namespace, name string) *corev1.Secret {
	return Secret(namespace, name, "ca.crt", string(a.PEM))
}

// ClientSecret holds a client certificate of a common name, valid until notAfter,
// as cert-manager would write it for the Certificate of the Secret's name.
func (a *Authority) ClientSecret(t *testing.T, namespace, name, commonName string, notAfter time.Time) *corev1.Secret {
	t.Helper()
	return a.issue(t, namespace, name, notAfter, &x509.Certificate{
		Subject: pkix.Name{CommonName: commonName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// TLSSecret returns a Secret with a new certificate of a CA of its own, whose
// annotations say for which Certificate cert-manager has written it.
func TLSSecret(t *testing.T, namespace, name string, annotations map[string]string) *corev1.Secret {
	t.Helper()
	s := NewAuthority(t, name).issue(t, namespace, name, time.Now().Add(time.Hour), &x509.Certificate{DNSNames: []string{name}})
	s.Annotations = annotations
	return s
}

func (a *Authority) issue(t *testing.T, namespace, name string, notAfter time.Time, template *x509.Certificate) *corev1.Secret {
	t.Helper()
	key := newKey(t)
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	_, certPEM := a.sign(t, template, key, notAfter)
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Annotations: map[string]string{certmanagerv1.CertificateNameKey: name}},
		Type:       corev1.SecretTypeTLS,
		Data: map[string][]byte{
			corev1.TLSCertKey:       certPEM,
			corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}),
			"ca.crt":                a.PEM,
		},
	}
}

func (a *Authority) sign(t *testing.T, template *x509.Certificate, key *ecdsa.PrivateKey, notAfter time.Time) (*x509.Certificate, []byte) {
	t.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore, template.NotAfter = time.Now().Add(-2*time.Hour), notAfter
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
