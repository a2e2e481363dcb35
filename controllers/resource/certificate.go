package resource

import (
	"cmp"
	"fmt"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// served is a certificate that a listener serves.
type served struct {
	// entry is the name among the additional certificates; empty for the first.
	entry string
	// secret is the name of its Secret, and of the Certificate that is issued to it.
	secret string
	// certificate is what is asked of cert-manager; nil where the user brings it.
	certificate *v1alpha1.Certificate
}

// servedBy lists the certificates of a listener, none for a plain one.
func servedBy(b *v1alpha1.Broker, l *v1alpha1.Listener) []served {
	tls := b.ListenerTLS(l)
	if tls == nil {
		return nil
	}
	owner := func(own bool) string {
		if own {
			return l.Name
		}
		return ""
	}
	out := []served{{
		secret:      cmp.Or(tls.SecretName, CertificateName(b, owner(l.HasOwnCertificate()))),
		certificate: tls.Certificate,
	}}
	for _, a := range tls.AdditionalCertificates {
		issued := AdditionalCertificateName(b, owner(l.HasOwnAdditionalCertificates()), a.Name)
		out = append(out, served{entry: a.Name, secret: cmp.Or(a.SecretName, issued), certificate: a.Certificate})
	}
	return out
}

// Certificates returns what is asked of cert-manager: the Certificates of spec.tls
// where a listener uses them, and those of each listener that has its own.
func Certificates(b *v1alpha1.Broker, clusterDomain string) []*certmanagerv1.Certificate {
	var out []*certmanagerv1.Certificate
	asked := map[string]bool{}
	for i := range b.Spec.Listeners {
		for _, s := range servedBy(b, &b.Spec.Listeners[i]) {
			if s.certificate != nil && !asked[s.secret] {
				asked[s.secret] = true
				out = append(out, certificate(b, s.secret, s.certificate, clusterDomain))
			}
		}
	}
	return out
}

func certificate(b *v1alpha1.Broker, name string, c *v1alpha1.Certificate, clusterDomain string) *certmanagerv1.Certificate {
	return &certmanagerv1.Certificate{
		ObjectMeta: meta(b, name),
		Spec: certmanagerv1.CertificateSpec{
			SecretName:     name,
			SecretTemplate: &certmanagerv1.CertificateSecretTemplate{Labels: Labels(b)},
			DNSNames:       certificateNames(b, c, clusterDomain),
			Duration:       c.Duration,
			RenewBefore:    c.RenewBefore,
			IssuerRef:      issuerReference(c.IssuerRef),
			PrivateKey:     privateKey(c.PrivateKey),
			Usages:         []certmanagerv1.KeyUsage{certmanagerv1.UsageDigitalSignature, certmanagerv1.UsageServerAuth},
		},
	}
}

// privateKey is a new one each time that a certificate is issued: of the kind that
// is wanted, which may be nil.
func privateKey(wanted *v1alpha1.PrivateKey) *certmanagerv1.CertificatePrivateKey {
	out := &certmanagerv1.CertificatePrivateKey{
		Algorithm:      certmanagerv1.ECDSAKeyAlgorithm,
		RotationPolicy: certmanagerv1.RotationPolicyAlways,
	}
	if wanted != nil {
		out.Algorithm = certmanagerv1.PrivateKeyAlgorithm(wanted.Algorithm)
	}
	switch {
	case wanted != nil && wanted.Size != nil:
		out.Size = int(*wanted.Size)
	case out.Algorithm == certmanagerv1.RSAKeyAlgorithm:
		out.Size = 2048
	case out.Algorithm == certmanagerv1.ECDSAKeyAlgorithm:
		out.Size = 256
	}
	return out
}

func issuerReference(ref v1alpha1.IssuerRef) cmmeta.IssuerReference {
	return cmmeta.IssuerReference{Name: ref.Name, Kind: ref.Kind, Group: ref.Group}
}

// certificateNames returns the names by which clients reach the Broker: its
// Services, its pods and what the user adds, each once.
func certificateNames(b *v1alpha1.Broker, c *v1alpha1.Certificate, clusterDomain string) []string {
	var names []string
	for _, s := range ClientServices(b) {
		names = append(names, dnsNames(s.Name, b.Namespace, clusterDomain)...)
	}
	for i := range max(*b.Spec.Replicas, 1) {
		pod := fmt.Sprintf("%s-%d.%s", b.Name, i, HeadlessName(b))
		names = append(names, dnsNames(pod, b.Namespace, clusterDomain)...)
	}
	return unique(append(names, c.DNSNames...))
}

func unique(names []string) []string {
	seen := make(map[string]bool, len(names))
	var out []string
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}
