package mqttuser

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/certmanager"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// certificateWithin is how long the requests to cert-manager may take. Its
// webhook may not answer.
const certificateWithin = 5 * time.Second

// reconcileCertificate asks cert-manager for the user's certificate, and looks
// whether clients can connect with the one that is there.
func (r *Reconciler) reconcileCertificate(ctx context.Context, s *scope) error {
	key, _ := s.user.SecretKey()
	secret, err := r.Secrets.Get(ctx, key)
	if err != nil {
		return err
	}
	wanted := resource.UserCertificate(s.user)
	if err := certmanager.CheckSecret(secret, wanted); err != nil {
		return err
	}
	installed, err := r.applyCertificate(ctx, s, wanted)
	if err != nil {
		return err
	}
	switch {
	case secret == nil && !installed:
		s.waitFor(v1alpha1.ReasonCertManagerNotInstalled,
			"the cluster has no cert-manager: install it, or bring a certificate and name it in authentication.x509")
		s.again(whileWaiting)
		return nil
	case secret == nil:
		s.certificate = nil
		s.waitFor(v1alpha1.ReasonWaitingForCertificate, r.progress(ctx, s, wanted))
		return nil
	}
	return r.checkCertificate(ctx, s, wanted, secret)
}

// applyCertificate says whether there is a cert-manager to ask.
func (r *Reconciler) applyCertificate(ctx context.Context, s *scope, wanted *certmanagerv1.Certificate) (installed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, certificateWithin)
	defer cancel()
	installed, err = r.certificates.Ensure()
	if err != nil || !installed {
		return installed, err
	}
	child, err := r.Applier.Apply(ctx, s.user, wanted)
	r.applied.Store(client.ObjectKeyFromObject(s.user), child)
	if certmanager.IsAbsent(err) {
		return false, nil
	}
	return true, err
}

// progress is what cert-manager says of the Certificate. Its issuer is not
// watched.
func (r *Reconciler) progress(ctx context.Context, s *scope, c *certmanagerv1.Certificate) string {
	s.again(whileWaiting)
	return certmanager.Progress(ctx, r.Client, r.Live, client.ObjectKeyFromObject(c))
}

// checkCertificate says in the scope what is wrong with a certificate that is
// there.
func (r *Reconciler) checkCertificate(ctx context.Context, s *scope, wanted *certmanagerv1.Certificate, secret *corev1.Secret) error {
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		s.certificate = nil
		s.waitFor(v1alpha1.ReasonWaitingForCertificate, fmt.Sprintf("Secret %q: %v; %s", secret.Name, err, r.progress(ctx, s, wanted)))
		return nil
	}
	leaf := pair.Leaf
	sum := sha256.Sum256(leaf.Raw)
	s.certificate = &v1alpha1.CertificateStatus{NotAfter: metav1.NewTime(leaf.NotAfter), SHA256: hex.EncodeToString(sum[:])}
	switch now := time.Now(); {
	case leaf.Subject.CommonName != s.user.CommonName():
		s.waitFor(v1alpha1.ReasonWaitingForCertificate, fmt.Sprintf("the certificate in Secret %q is for %q; %s",
			secret.Name, leaf.Subject.CommonName, r.progress(ctx, s, wanted)))
		return nil
	case !now.Before(leaf.NotAfter):
		s.waitFor(v1alpha1.ReasonInvalidCredentials, fmt.Sprintf("the certificate ended on %s; %s",
			leaf.NotAfter.UTC().Format(time.RFC3339), r.progress(ctx, s, wanted)))
		return nil
	default:
		s.again(leaf.NotAfter.Sub(now))
	}
	return r.checkTrust(ctx, s, pair)
}

// checkTrust notes where no listener of the Broker that the user is meant for
// would admit the certificate. That there is none, or that its CA is missing, is
// for others to tell of.
func (r *Reconciler) checkTrust(ctx context.Context, s *scope, pair tls.Certificate) error {
	ca, asked := s.broker.ClientCAOf(s.user)
	if !asked {
		return nil
	}
	secret, err := r.Secrets.Get(ctx, types.NamespacedName{Namespace: s.broker.Namespace, Name: ca})
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if secret == nil || !roots.AppendCertsFromPEM(secret.Data[caKey]) || trusts(roots, pair) {
		return nil
	}
	s.waitFor(v1alpha1.ReasonInvalidCredentials, fmt.Sprintf("no listener of Broker %s/%s that is for the user trusts %q, which signed the certificate: "+
		"put its CA into the Secret %q, name another in caSecretName, or choose another issuerRef",
		s.broker.Namespace, s.broker.Name, pair.Leaf.Issuer, ca))
	return nil
}

func trusts(roots *x509.CertPool, pair tls.Certificate) bool {
	intermediates := x509.NewCertPool()
	for _, der := range pair.Certificate[1:] {
		if c, err := x509.ParseCertificate(der); err == nil {
			intermediates.AddCert(c)
		}
	}
	_, err := pair.Leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}
