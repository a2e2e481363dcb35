package mqttuser_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/testenv"
)

// issued is a user "dev" whose certificate is issued into the Secret "dev-cert".
func issued(namespace string) *v1alpha1.MQTTUser {
	return testenv.User(namespace, "dev", "edge", func(u *v1alpha1.MQTTUser) {
		u.Spec.Authentication = v1alpha1.UserAuthentication{Certificate: &v1alpha1.IssuedCertificate{
			IssuerRef: v1alpha1.IssuerRef{Name: "devices"}, SecretName: "dev-cert",
			Duration: &metav1.Duration{Duration: 720 * time.Hour},
		}}
	})
}

// trusting gives a Broker a listener that admits certificates of the CA in the
// Secret "devices-ca".
func trusting(b *v1alpha1.Broker) {
	b.Spec.TLS = &v1alpha1.TLS{
		SecretName: "edge-tls",
		ClientAuth: &v1alpha1.ClientAuth{Mode: v1alpha1.ClientAuthRequired, CASecretName: "devices-ca"},
	}
}

// waiting expects that the user is not accepted, and that it is not Ready.
func waiting(reason, message string) []testenv.Expect {
	return []testenv.Expect{
		{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: reason, Message: message},
		{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, Message: message},
	}
}

// runningTLS makes a Broker "edge" whose pod runs and whose listener trusts ca.
func runningTLS(t *testing.T, e *testenv.Env, ns string, ca *testenv.Authority) *v1alpha1.Broker {
	t.Helper()
	b := testenv.Broker(ns, "edge", trusting)
	e.Create(t, testenv.TLSSecret(t, ns, "edge-tls", nil), ca.CASecret(ns, "devices-ca"), b)
	e.RunPod(t, b)
	e.WaitFor(t, b, testenv.Ready)
	return b
}

// issuer makes the Issuer "devices", as ready as asked.
func issuer(t *testing.T, ns string, ready cmmeta.ConditionStatus, message string) {
	t.Helper()
	i := &certmanagerv1.Issuer{
		ObjectMeta: metav1.ObjectMeta{Name: "devices", Namespace: ns},
		Spec:       certmanagerv1.IssuerSpec{IssuerConfig: certmanagerv1.IssuerConfig{CA: &certmanagerv1.CAIssuer{SecretName: "devices-ca"}}},
	}
	env.Create(t, i)
	i.Status.Conditions = []certmanagerv1.IssuerCondition{{Type: certmanagerv1.IssuerConditionReady, Status: ready, Reason: "Test", Message: message}}
	if err := env.Client.Status().Update(t.Context(), i); err != nil {
		t.Fatal(err)
	}
}

func TestACertificateIsAskedFor(t *testing.T) {
	t.Parallel()
	ns, ca := env.Namespace(t, nil), testenv.NewAuthority(t, "devices")
	b := runningTLS(t, env, ns, ca)
	user := issued(ns)
	env.Create(t, user)
	env.WaitFor(t, user, waiting(v1alpha1.ReasonWaitingForCertificate, `Issuer "devices" does not exist in namespace`)...)
	issuer(t, ns, cmmeta.ConditionFalse, "the CA is lost")
	env.WaitFor(t, user, waiting(v1alpha1.ReasonWaitingForCertificate, `Issuer "devices" is not ready: the CA is lost`)...)

	c := &certmanagerv1.Certificate{}
	if err := env.Client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "dev-cert"}, c); err != nil {
		t.Fatal(err)
	}
	if !metav1.IsControlledBy(c, user) {
		t.Error("the Certificate does not belong to the user")
	}
	if s := c.Spec; s.CommonName != "dev" || s.SecretName != "dev-cert" || s.IssuerRef.Name != "devices" || s.IssuerRef.Kind != "Issuer" ||
		s.Duration.Duration != 720*time.Hour || !slices.Contains(s.Usages, certmanagerv1.UsageClientAuth) || slices.Contains(s.Usages, certmanagerv1.UsageServerAuth) {
		t.Errorf("spec %+v", s)
	}

	end := time.Now().Add(time.Hour).Truncate(time.Second)
	env.Create(t, ca.ClientSecret(t, ns, "dev-cert", "dev", end))
	env.WaitFor(t, user, testenv.Ready)
	if s := user.Status; s.SecretName != "dev-cert" || s.Certificate == nil || !s.Certificate.NotAfter.Time.Equal(end) || len(s.Certificate.SHA256) != 64 {
		t.Errorf("status %+v", s)
	}
	if u := rendered(t, b)["dev"]; u.CommonName != "dev" || len(u.PasswordHashes) != 0 {
		t.Errorf("rendered %+v", u)
	}
}

//api:semantics 15
func TestACertificateThatCannotServeIsExplained(t *testing.T) {
	t.Parallel()
	ca, other := testenv.NewAuthority(t, "devices"), testenv.NewAuthority(t, "other")
	later := time.Now().Add(time.Hour)
	for name, tt := range map[string]struct {
		secret          func(ns string) *corev1.Secret
		reason, message string
	}{
		"of another CA": {func(ns string) *corev1.Secret { return other.ClientSecret(t, ns, "dev-cert", "dev", later) },
			v1alpha1.ReasonInvalidCredentials, `trusts "CN=other"`},
		"of another user": {func(ns string) *corev1.Secret { return ca.ClientSecret(t, ns, "dev-cert", "somebody", later) },
			v1alpha1.ReasonWaitingForCertificate, `is for "somebody"`},
		"ended": {func(ns string) *corev1.Secret {
			return ca.ClientSecret(t, ns, "dev-cert", "dev", time.Now().Add(-time.Hour))
		},
			v1alpha1.ReasonInvalidCredentials, "the certificate ended on"},
		"empty": {func(ns string) *corev1.Secret {
			s := ca.ClientSecret(t, ns, "dev-cert", "dev", later)
			s.Data = map[string][]byte{corev1.TLSCertKey: {}, corev1.TLSPrivateKeyKey: {}}
			return s
		}, v1alpha1.ReasonWaitingForCertificate, `Secret "dev-cert"`},
		"of somebody else": {func(ns string) *corev1.Secret {
			s := ca.ClientSecret(t, ns, "dev-cert", "dev", later)
			s.Annotations = nil
			return s
		}, v1alpha1.ReasonNotOwned, `Secret "dev-cert" exists and belongs to nothing`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := env.Namespace(t, nil)
			runningTLS(t, env, ns, ca)
			user, secret := issued(ns), tt.secret(ns)
			env.Create(t, secret, user)
			env.WaitFor(t, user, waiting(tt.reason, tt.message)...)
			version := secret.ResourceVersion
			if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil || secret.ResourceVersion != version {
				t.Errorf("the Secret was written (%v)", err)
			}
			good := ca.ClientSecret(t, ns, "dev-cert", "dev", later)
			testenv.Update(t, env, secret, func(s *corev1.Secret) { s.Data, s.Annotations = good.Data, good.Annotations })
			env.WaitFor(t, user, testenv.Ready)
		})
	}
}

func TestACertificateNeedsAListenerThatAsks(t *testing.T) {
	t.Parallel()
	ns, ca := env.Namespace(t, nil), testenv.NewAuthority(t, "devices")
	b, _ := running(t, ns)
	brought := testenv.User(ns, "brought", "edge", func(u *v1alpha1.MQTTUser) {
		u.Spec.Authentication = v1alpha1.UserAuthentication{X509: &v1alpha1.X509Authentication{CommonName: "b"}}
	})
	user := issued(ns)
	env.Create(t, brought, user, ca.ClientSecret(t, ns, "dev-cert", "dev", time.Now().Add(time.Hour)))
	for _, u := range []*v1alpha1.MQTTUser{brought, user} {
		env.WaitFor(t, u, waiting(v1alpha1.ReasonNoClientAuth, "set clientAuth")...)
	}
	env.Create(t, testenv.TLSSecret(t, ns, "edge-tls", nil), ca.CASecret(ns, "devices-ca"))
	testenv.Update(t, env, b, trusting)
	for _, u := range []*v1alpha1.MQTTUser{brought, user} {
		env.WaitFor(t, u, testenv.Ready)
	}
}

//api:semantics 12
func TestCertificatesOfUsersMayComeBeforeCertManager(t *testing.T) {
	t.Parallel()
	late := testenv.Start(t, testenv.Options{})
	ns, ca := late.Namespace(t, nil), testenv.NewAuthority(t, "devices")
	runningTLS(t, late, ns, ca)
	user := issued(ns)
	late.Create(t, user)
	late.WaitFor(t, user, waiting(v1alpha1.ReasonCertManagerNotInstalled, "install it")...)
	if err := late.InstallCertManager(); err != nil {
		t.Fatal(err)
	}
	late.WaitFor(t, user, waiting(v1alpha1.ReasonWaitingForCertificate, `Certificate "dev-cert"`)...)
	late.Create(t, ca.ClientSecret(t, ns, "dev-cert", "dev", time.Now().Add(time.Hour)))
	late.WaitFor(t, user, testenv.Ready)
}

func TestAUserMayChangeBetweenPasswordAndCertificate(t *testing.T) {
	t.Parallel()
	ns, ca := env.Namespace(t, nil), testenv.NewAuthority(t, "devices")
	b := runningTLS(t, env, ns, ca)
	issuer(t, ns, cmmeta.ConditionTrue, "")
	user := generated(ns, 0, 0)
	env.Create(t, user)
	env.WaitFor(t, user, testenv.Ready)
	// Under the name of the Secret with the password, which gives way.
	testenv.Update(t, env, user, func(u *v1alpha1.MQTTUser) {
		u.Spec.Authentication = v1alpha1.UserAuthentication{Certificate: &v1alpha1.IssuedCertificate{
			IssuerRef: v1alpha1.IssuerRef{Name: "devices"}, SecretName: "dev-mqtt",
		}}
	})
	certificate := &certmanagerv1.Certificate{}
	key := client.ObjectKey{Namespace: ns, Name: "dev-mqtt"}
	env.Eventually(t, func() error { return env.Client.Get(t.Context(), key, certificate) })
	env.Eventually(t, func() error {
		if err := env.Client.Get(t.Context(), key, &corev1.Secret{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("the Secret is still there: %w", err)
		}
		return nil
	})
	secret := ca.ClientSecret(t, ns, "dev-mqtt", "dev", time.Now().Add(time.Hour))
	env.Create(t, secret)
	env.WaitFor(t, user, testenv.Ready)
	if len(rendered(t, b)["dev"].PasswordHashes) != 0 {
		t.Error("the password is valid still")
	}

	testenv.Update(t, env, user, func(u *v1alpha1.MQTTUser) { u.Spec.Authentication = generated(ns, 0, 0).Spec.Authentication })
	env.Eventually(t, func() error {
		if err := env.Client.Get(t.Context(), key, certificate); !apierrors.IsNotFound(err) {
			return errors.New("the Certificate is still there")
		}
		return nil
	})
	// cert-manager leaves the Secret, and it is not the operator's to delete.
	env.WaitFor(t, user, rejected(v1alpha1.ReasonNotOwned, "delete or rename it")...)
	if err := env.Client.Delete(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	env.WaitFor(t, user, testenv.Ready)
}

// TestACertificateIsForTheListenersOfOneCA: where listeners have different CAs, the
// user says which is meant, and its certificate has to be of that one.
func TestACertificateIsForTheListenersOfOneCA(t *testing.T) {
	t.Parallel()
	ns, ca := env.Namespace(t, nil), testenv.NewAuthority(t, "partners")
	b := testenv.Broker(ns, "edge", trusting, func(b *v1alpha1.Broker) {
		auth := func(secret string) *v1alpha1.TLS {
			return &v1alpha1.TLS{ClientAuth: &v1alpha1.ClientAuth{Mode: v1alpha1.ClientAuthRequired, CASecretName: secret}}
		}
		b.Spec.TLS.ClientAuth = nil
		b.Spec.Listeners = []v1alpha1.Listener{
			{Name: "devices", Port: 8883, TLS: auth("devices-ca")}, {Name: "partners", Port: 8884, TLS: auth("partners-ca")},
		}
	})
	env.Create(t, testenv.TLSSecret(t, ns, "edge-tls", nil), testenv.NewAuthority(t, "devices").CASecret(ns, "devices-ca"), ca.CASecret(ns, "partners-ca"), b)
	env.RunPod(t, b)
	env.WaitFor(t, b, testenv.Ready)
	user := issued(ns)
	env.Create(t, user, ca.ClientSecret(t, ns, "dev-cert", "dev", time.Now().Add(time.Hour)))
	env.WaitFor(t, user, waiting(v1alpha1.ReasonAmbiguousClientCA, "one of devices-ca, partners-ca")...)

	name := func(secret string) {
		testenv.Update(t, env, user, func(u *v1alpha1.MQTTUser) { u.Spec.Authentication.Certificate.CASecretName = secret })
	}
	name("devices-ca")
	env.WaitFor(t, user, waiting(v1alpha1.ReasonInvalidCredentials, `put its CA into the Secret "devices-ca"`)...)
	name("partners-ca")
	env.WaitFor(t, user, testenv.Ready, testenv.Expect{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Message: "on partners"})
	if u := rendered(t, b)["dev"]; u.ClientCA != "partners-ca" {
		t.Errorf("rendered %+v", u)
	}
	name("strangers-ca")
	env.WaitFor(t, user, waiting(v1alpha1.ReasonNoClientAuth, `of the CA in Secret "strangers-ca"`)...)
}
