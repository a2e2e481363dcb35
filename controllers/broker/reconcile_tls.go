package broker

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/apply"
	"github.com/godwit-mqtt/godwit/controllers/certmanager"
	"github.com/godwit-mqtt/godwit/controllers/conditions"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// certificatesWithin is how long the requests to cert-manager may take. Its
// webhook may not answer, and a cache whose kind is gone never fills.
const certificatesWithin = 5 * time.Second

// reconcileTLS asks cert-manager for certificates and checks every Secret that
// the pods mount for TLS. A certificate that is there serves also while
// cert-manager cannot be asked.
func (r *Reconciler) reconcileTLS(ctx context.Context, s *scope) error {
	mounts := resource.TLSSecrets(s.desired)
	if len(mounts) == 0 {
		s.tls = conditions.True(v1alpha1.ConditionTLSReady, v1alpha1.ReasonNotNeeded, "no listener has TLS")
		return nil
	}
	issuer, err := r.reconcileCertificates(ctx, s)
	if err == nil {
		err = r.checkMounts(ctx, s, mounts, issuer)
	}
	if err != nil {
		s.tls = conditions.Unknown(v1alpha1.ConditionTLSReady, v1alpha1.ReasonFailed,
			fmt.Sprintf("the certificates could not be checked: %v", err))
	}
	return err
}

// checkMounts says in the scope whether every Secret can be mounted.
func (r *Reconciler) checkMounts(ctx context.Context, s *scope, mounts []resource.TLSSecret, issuer *notice) error {
	digest := sha256.New()
	for _, mount := range mounts {
		secret, err := r.Secrets.Get(ctx, types.NamespacedName{Namespace: s.broker.Namespace, Name: mount.Name})
		if err != nil {
			return err
		}
		if problem := r.tlsProblem(ctx, s, mount, secret, issuer); problem != nil {
			s.tls = conditions.False(v1alpha1.ConditionTLSReady, problem.reason, problem.message)
			return nil
		}
		for _, key := range mount.Keys {
			sum := sha256.Sum256(secret.Data[key])
			digest.Write(sum[:])
		}
		if mount.Dir == resource.TLSDir {
			served := servedCertificate{mount.Listener, mount.Additional}
			s.fingerprints[served] = fingerprint(secret.Data[corev1.TLSCertKey])
		}
	}
	s.certificates = hex.EncodeToString(digest.Sum(nil)[:16])
	message := "every listener with TLS has its certificate"
	if issuer != nil {
		message += ", which nothing renews: " + issuer.message
	}
	s.tls = conditions.True(v1alpha1.ConditionTLSReady, v1alpha1.ReasonReady, message)
	return nil
}

// reconcileCertificates applies what is asked of cert-manager. The notice says
// why it cannot be asked; nil where it can, and where there is nothing to ask.
func (r *Reconciler) reconcileCertificates(ctx context.Context, s *scope) (*notice, error) {
	ctx, cancel := context.WithTimeout(ctx, certificatesWithin)
	defer cancel()
	certificates := resource.Certificates(s.desired, r.Options.ClusterDomain)
	for _, c := range certificates {
		if err := r.checkIssuedSecret(ctx, s, c); err != nil {
			return nil, err
		}
	}
	if len(certificates) == 0 {
		return nil, nil
	}
	installed, err := r.certificates.Ensure()
	for _, c := range certificates {
		if err == nil && installed {
			err = r.apply(ctx, s, c)
		}
	}
	return s.issuerTrouble(installed, err)
}

// issuerTrouble sorts an error of the requests to cert-manager: that it is not
// there, that it could not be asked, or that the request is wrong.
func (s *scope) issuerTrouble(installed bool, err error) (*notice, error) {
	switch {
	case err == nil && !installed, certmanager.IsAbsent(err):
		s.again(whileWaiting)
		return &notice{v1alpha1.ReasonCertManagerNotInstalled,
			"the cluster has no cert-manager: install it, or bring a Secret by tls.secretName"}, nil
	case err == nil, certmanager.IsRefused(err):
		return nil, err
	}
	s.fail(err)
	return &notice{v1alpha1.ReasonFailed, err.Error()}, nil
}

// checkIssuedSecret refuses a Certificate that would make cert-manager overwrite
// a Secret of somebody else.
func (r *Reconciler) checkIssuedSecret(ctx context.Context, s *scope, c *certmanagerv1.Certificate) error {
	secret, err := r.Secrets.Get(ctx, types.NamespacedName{Namespace: c.Namespace, Name: c.Spec.SecretName})
	if err == nil {
		err = certmanager.CheckSecret(secret, c)
	}
	if err != nil {
		s.wanted[apply.Child{Kind: certmanager.Kind, NamespacedName: client.ObjectKeyFromObject(c)}] = true
	}
	return err
}

// tlsProblem says why a Secret cannot be mounted; nil where it can.
func (r *Reconciler) tlsProblem(ctx context.Context, s *scope, mount resource.TLSSecret, secret *corev1.Secret, issuer *notice) *notice {
	switch {
	case secret == nil && mount.Certificate != "" && issuer != nil:
		return issuer
	case secret == nil && mount.Certificate != "":
		return &notice{v1alpha1.ReasonWaitingForCertificate, r.waitsFor(ctx, s, mount.Certificate)}
	case secret == nil:
		return &notice{v1alpha1.ReasonWaitingForSecret,
			fmt.Sprintf("listener %s: Secret %q does not exist", mount.Listener, mount.Name)}
	}
	for _, key := range mount.Keys {
		if len(secret.Data[key]) == 0 {
			return &notice{v1alpha1.ReasonWaitingForSecret,
				fmt.Sprintf("listener %s: Secret %q has no key %q", mount.Listener, mount.Name, key)}
		}
	}
	if err := checkPEM(mount, secret); err != nil {
		return &notice{v1alpha1.ReasonInvalidCredentials,
			fmt.Sprintf("listener %s: Secret %q: %v", mount.Listener, mount.Name, err)}
	}
	return nil
}

// checkPEM says what is wrong with a certificate or CA that is there.
func checkPEM(mount resource.TLSSecret, secret *corev1.Secret) error {
	if mount.Dir == resource.TLSDir {
		_, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
		return err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(secret.Data[mount.Keys[0]]) {
		return fmt.Errorf("%s holds no certificate in PEM form", mount.Keys[0])
	}
	return nil
}

// fingerprint of the first certificate of a PEM chain, as brokers tell it.
func fingerprint(chain []byte) string {
	block, _ := pem.Decode(chain)
	if block == nil {
		return ""
	}
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:])
}

// waitsFor is what cert-manager says of a Certificate that has no Secret yet. Its
// issuer is not watched.
func (r *Reconciler) waitsFor(ctx context.Context, s *scope, certificate string) string {
	s.again(whileWaiting)
	return certmanager.Progress(ctx, r.Client, r.Live, types.NamespacedName{Namespace: s.broker.Namespace, Name: certificate})
}
