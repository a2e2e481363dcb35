package resource

import (
	"strconv"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// AnnotationMadeAt of a Secret with a generated password is when the password
// was made, in RFC 3339. It says when the next one is due, and until when the one
// before is valid.
const AnnotationMadeAt = "mqtt.godwit.io/password-made-at"

// caKey is where Secrets of TLS hold the certificate of the CA.
const caKey = "ca.crt"

// Generated is a generated password, and what else was generated with it.
type Generated struct {
	Password []byte
	// Previous is the password before, while it is valid; empty where it is not.
	Previous []byte
	MadeAt   time.Time
}

// ReadGenerated reads a Secret that CredentialsSecret has built. Where the time
// is lost, the password is as old as the Secret.
func ReadGenerated(s *corev1.Secret) Generated {
	made, err := time.Parse(time.RFC3339, s.Annotations[AnnotationMadeAt])
	if err != nil {
		made = s.CreationTimestamp.Time
	}
	return Generated{
		Password: s.Data[v1alpha1.PasswordKey],
		Previous: s.Data[v1alpha1.PreviousPasswordKey],
		MadeAt:   made,
	}
}

// CredentialsSecret holds a generated password and what a client needs to
// connect. ca is the certificate of the CA that signed the broker's, empty where
// the client finds it among those that its system trusts.
func CredentialsSecret(u *v1alpha1.MQTTUser, g Generated, e Endpoint, ca []byte) *corev1.Secret {
	s := &corev1.Secret{
		ObjectMeta: userMeta(u, u.Spec.Authentication.Generate.SecretName),
		Type:       corev1.SecretTypeOpaque,
		Data: map[string][]byte{
			"username":           []byte(u.Username()),
			v1alpha1.PasswordKey: g.Password,
			"host":               []byte(e.Host),
			"port":               strconv.AppendInt(nil, int64(e.Port), 10),
			"uri":                []byte(e.URI(u.Username(), string(g.Password))),
		},
	}
	s.Annotations = map[string]string{AnnotationMadeAt: g.MadeAt.UTC().Format(time.RFC3339)}
	if len(g.Previous) > 0 {
		s.Data[v1alpha1.PreviousPasswordKey] = g.Previous
	}
	if len(ca) > 0 {
		s.Data[caKey] = ca
	}
	return s
}

// UserCertificate asks cert-manager for a client certificate of a user.
func UserCertificate(u *v1alpha1.MQTTUser) *certmanagerv1.Certificate {
	spec := u.Spec.Authentication.Certificate
	m := userMeta(u, spec.SecretName)
	return &certmanagerv1.Certificate{
		ObjectMeta: m,
		Spec: certmanagerv1.CertificateSpec{
			SecretName:     spec.SecretName,
			SecretTemplate: &certmanagerv1.CertificateSecretTemplate{Labels: m.Labels},
			CommonName:     u.CommonName(),
			Duration:       spec.Duration,
			RenewBefore:    spec.RenewBefore,
			IssuerRef:      issuerReference(spec.IssuerRef),
			PrivateKey:     privateKey(nil),
			Usages:         []certmanagerv1.KeyUsage{certmanagerv1.UsageDigitalSignature, certmanagerv1.UsageClientAuth},
		},
	}
}

// userMeta is the metadata of what the operator makes for a user.
func userMeta(u *v1alpha1.MQTTUser, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: u.Namespace, Labels: map[string]string{
		LabelManagedBy:                ManagedBy,
		"app.kubernetes.io/name":      "godwit",
		"app.kubernetes.io/component": "credentials",
	}}
}
