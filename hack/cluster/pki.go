//go:build linux

package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"strconv"
	"time"
)

// validity of every certificate; a local cluster is not renewed, it is made anew.
const validity = 10 * 365 * 24 * time.Hour

func (c *cluster) pki(name string) string { return c.path("pki", name) }

// identity is a certificate for one of the cluster's parts: as a client its name and groups are
// what RBAC sees, as a server its addresses are what clients verify.
type identity struct {
	file   string
	name   string
	groups []string
	hosts  []string
	ips    []string
	issuer string
}

var identities = []identity{
	{file: "apiserver", name: "kube-apiserver", issuer: "ca",
		hosts: []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"},
		ips:   []string{nodeIP, apiIP}},
	// What etcd, the kubelet, the controller manager and the scheduler serve with.
	{file: "node", name: nodeName, issuer: "ca", hosts: []string{nodeName}, ips: []string{nodeIP}},
	{file: "admin", name: "godwit-admin", groups: []string{"system:masters"}, issuer: "ca"},
	{file: "controller-manager", name: "system:kube-controller-manager", issuer: "ca"},
	{file: "scheduler", name: "system:kube-scheduler", issuer: "ca"},
	{file: "kube-proxy", name: "system:kube-proxy", issuer: "ca"},
	{file: "kubelet", name: "system:node:" + nodeName, groups: []string{"system:nodes"}, issuer: "ca"},
	{file: "front-proxy", name: "front-proxy-client", issuer: "front-proxy-ca"},
}

// writePKI makes what is missing of the certificates and the key that signs service accounts.
func (c *cluster) writePKI() error {
	for _, ca := range []string{"ca", "front-proxy-ca"} {
		if err := c.writeCA(ca); err != nil {
			return fmt.Errorf("certificate authority %s: %w", ca, err)
		}
	}
	for _, id := range identities {
		if err := c.writeCertificate(id); err != nil {
			return fmt.Errorf("certificate %s: %w", id.file, err)
		}
	}
	return c.writeServiceAccountKey()
}

func (c *cluster) writeCA(name string) error {
	if exists(c.pki(name+".crt"), c.pki(name+".key")) {
		return nil
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	template, err := certificate("godwit-" + name)
	if err != nil {
		return err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	return c.sign(name, template, key, template, key)
}

func (c *cluster) writeCertificate(id identity) error {
	if exists(c.pki(id.file+".crt"), c.pki(id.file+".key")) {
		return nil
	}
	issuer, issuerKey, err := c.readCA(id.issuer)
	if err != nil {
		return err
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	template, err := certificate(id.name)
	if err != nil {
		return err
	}
	template.Subject.Organization = id.groups
	template.DNSNames = id.hosts
	for _, ip := range id.ips {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(id.ips) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	return c.sign(id.file, template, key, issuer, issuerKey)
}

func (c *cluster) writeServiceAccountKey() error {
	if exists(c.pki("service-account.key"), c.pki("service-account.pub")) {
		return nil
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	return errors.Join(c.writeKey("service-account", key),
		writeFile(c.pki("service-account.pub"), encode("PUBLIC KEY", public), 0o644))
}

// certificate starts a template that the caller completes.
func certificate(name string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    now.Add(-time.Hour), // clocks may be set back a little
		NotAfter:     now.Add(validity),
	}, nil
}

// sign writes the key and the certificate of name.
func (c *cluster) sign(name string, template *x509.Certificate, key crypto.Signer, issuer *x509.Certificate, issuerKey crypto.Signer) error {
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), issuerKey)
	if err != nil {
		return err
	}
	return errors.Join(c.writeKey(name, key), writeFile(c.pki(name+".crt"), encode("CERTIFICATE", der), 0o644))
}

func (c *cluster) writeKey(name string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writeFile(c.pki(name+".key"), encode("PRIVATE KEY", der), 0o600)
}

func (c *cluster) readCA(name string) (*x509.Certificate, crypto.Signer, error) {
	cert, err := decode(c.pki(name + ".crt"))
	if err != nil {
		return nil, nil, err
	}
	parsed, err := x509.ParseCertificate(cert)
	if err != nil {
		return nil, nil, err
	}
	der, err := decode(c.pki(name + ".key"))
	if err != nil {
		return nil, nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("%s.key cannot sign", name)
	}
	return parsed, signer, nil
}

// writeKubeconfigs writes one kubeconfig for each client of the API server; the administrator's
// belongs to the user who called sudo, if there is one.
func (c *cluster) writeKubeconfigs() error {
	for id, path := range map[string]string{
		"admin":              c.kubeconfig(),
		"controller-manager": c.path("config", "controller-manager.kubeconfig"),
		"scheduler":          c.path("config", "scheduler.kubeconfig"),
		"kube-proxy":         c.path("config", "kube-proxy.kubeconfig"),
		"kubelet":            c.path("config", "kubelet.kubeconfig"),
	} {
		data := map[string]any{}
		for field, file := range map[string]string{"CA": "ca.crt", "Certificate": id + ".crt", "Key": id + ".key"} {
			b, err := os.ReadFile(c.pki(file))
			if err != nil {
				return err
			}
			data[field] = base64.StdEncoding.EncodeToString(b)
		}
		content, err := c.render("kubeconfig.yaml", data)
		if err != nil {
			return err
		}
		if err := writeFile(path, content, 0o600); err != nil {
			return err
		}
	}
	if uid, err := strconv.Atoi(os.Getenv("SUDO_UID")); err == nil {
		return os.Chown(c.kubeconfig(), uid, -1)
	}
	return nil
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func decode(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", path)
	}
	return block.Bytes, nil
}

// exists tells whether all of paths are there.
func exists(paths ...string) bool {
	for _, path := range paths {
		if _, err := os.Stat(path); err != nil {
			return false
		}
	}
	return true
}
