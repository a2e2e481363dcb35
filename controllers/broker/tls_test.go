package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	admin "github.com/godwit-mqtt/godwit/broker/admin/client"
	"github.com/godwit-mqtt/godwit/controllers/resource"
	"github.com/godwit-mqtt/godwit/controllers/testenv"
)

//api:semantics 12
func TestCertManagerMayComeLater(t *testing.T) {
	t.Parallel()
	late := testenv.Start(t, testenv.Options{})
	b := testenv.Broker(late.Namespace(t, nil), "edge", withTLS)
	late.Create(t, b)
	late.WaitFor(t, b, isFalse(v1alpha1.ConditionTLSReady, v1alpha1.ReasonCertManagerNotInstalled, "install it"))

	if err := late.InstallCertManager(); err != nil {
		t.Fatal(err)
	}
	late.WaitFor(t, b, isFalse(v1alpha1.ConditionTLSReady, v1alpha1.ReasonWaitingForCertificate, "edge-tls"))
	late.Create(t, testenv.TLSSecret(t, b.Namespace, "edge-tls", map[string]string{certmanagerv1.CertificateNameKey: "edge-tls"}))
	late.RunPod(t, b)
	late.WaitFor(t, b, isTrue(v1alpha1.ConditionTLSReady), testenv.Ready)

	// And it may go again.
	kind := &unstructured.Unstructured{}
	kind.SetName("certificates.cert-manager.io")
	kind.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	if err := late.Client.Delete(t.Context(), kind); err != nil {
		t.Fatal(err)
	}
	late.WaitFor(t, b, testenv.Expect{Type: v1alpha1.ConditionTLSReady, Status: metav1.ConditionTrue, Message: "the cluster has no cert-manager"}, testenv.Ready)
	user := testenv.User(b.Namespace, "dev", "edge")
	late.Create(t, testenv.Secret(b.Namespace, "dev", "password", "secret"), user)
	late.WaitFor(t, user, isTrue(v1alpha1.ConditionProgrammed))
}

//api:semantics 6
func TestUsersAreProgrammedWhileCertManagerFails(t *testing.T) {
	t.Parallel()
	b, _ := readyBroker(t, env.Namespace(t, nil))
	env.Create(t, deadWebhook(b.Namespace))
	certificate := &certmanagerv1.Certificate{ObjectMeta: metav1.ObjectMeta{Namespace: b.Namespace, Name: "edge-tls"}}
	// The API server takes up a webhook in its own time.
	env.Eventually(t, func() error {
		touched := certificate.DeepCopy()
		err := env.Client.Patch(t.Context(), touched, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"touched":"yes"}}}`)), client.DryRunAll)
		if err == nil {
			err = errors.New("the webhook is not asked yet")
		} else if strings.Contains(err.Error(), "webhook") {
			err = nil
		}
		return err
	})
	if err := env.Client.Delete(t.Context(), certificate); err != nil {
		t.Fatal(err)
	}
	failing := testenv.Expect{Type: v1alpha1.ConditionReconciling, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonFailed, Message: "webhook"}
	env.WaitFor(t, b, failing)

	user := testenv.User(b.Namespace, "dev", "edge")
	env.Create(t, testenv.Secret(b.Namespace, "dev", "password", "secret"), user)
	env.WaitFor(t, user, isTrue(v1alpha1.ConditionProgrammed))
	if err := env.Client.Delete(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	env.Eventually(t, func() error {
		if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(b), b); err != nil {
			return err
		}
		if n := b.Status.Users.Accepted; n != 0 {
			return fmt.Errorf("%d users are left", n)
		}
		return nil
	})
	env.WaitFor(t, b, failing, testenv.Ready, isTrue(v1alpha1.ConditionConfigApplied), isTrue(v1alpha1.ConditionTLSReady))
}

// deadWebhook refuses to have Certificates of a namespace written, as
// cert-manager's own does when it does not run.
func deadWebhook(namespace string) client.Object {
	return &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "dead-" + namespace},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name:                    "dead.example.com",
			ClientConfig:            admissionv1.WebhookClientConfig{URL: new("https://127.0.0.1:1/validate")},
			AdmissionReviewVersions: []string{"v1"},
			SideEffects:             new(admissionv1.SideEffectClassNone),
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
				Rule: admissionv1.Rule{
					APIGroups: []string{certmanagerv1.SchemeGroupVersion.Group}, APIVersions: []string{"*"}, Resources: []string{"certificates"},
				},
			}},
		}},
	}
}

func TestPodsWaitForTheirCertificate(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	b := testenv.Broker(ns, "edge", func(b *v1alpha1.Broker) { b.Spec.TLS = &v1alpha1.TLS{SecretName: "mine"} })
	env.Create(t, b)
	env.WaitFor(t, b, isFalse(v1alpha1.ConditionTLSReady, v1alpha1.ReasonWaitingForSecret, `"mine" does not exist`))
	if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(b), &appsv1.StatefulSet{}); !apierrors.IsNotFound(err) {
		t.Errorf("there is a StatefulSet whose pods cannot start: %v", err)
	}

	secret := testenv.Secret(ns, "mine", "tls.crt", "nonsense")
	env.Create(t, secret)
	env.WaitFor(t, b, isFalse(v1alpha1.ConditionTLSReady, v1alpha1.ReasonWaitingForSecret, `no key "tls.key"`))
	secret.Data["tls.key"] = []byte("nonsense")
	if err := env.Client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	env.WaitFor(t, b, isFalse(v1alpha1.ConditionTLSReady, v1alpha1.ReasonInvalidCredentials, "mine"))

	secret.Data = testenv.TLSSecret(t, ns, "mine", nil).Data
	if err := env.Client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	env.RunPod(t, b)
	env.WaitFor(t, b, testenv.Ready)
}

//api:semantics 11
func TestARenewedCertificateIsBroughtToThePods(t *testing.T) {
	t.Parallel()
	b, pod := readyBroker(t, env.Namespace(t, nil))
	before := pod.Object(t).Annotations[resource.AnnotationCertificates]
	secret := testenv.TLSSecret(t, b.Namespace, "edge-tls", map[string]string{certmanagerv1.CertificateNameKey: "edge-tls"})
	if err := env.Client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	env.Eventually(t, func() error {
		if now := pod.Object(t).Annotations[resource.AnnotationCertificates]; now == "" || now == before {
			return fmt.Errorf("the pod's annotation is %q still", now)
		}
		return nil
	})
}

func TestAListenerHasMoreCertificates(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	issued := func(name string) client.Object {
		return testenv.TLSSecret(t, ns, name, map[string]string{certmanagerv1.CertificateNameKey: name})
	}
	b := testenv.Broker(ns, "edge", withTLS, withMoreCertificates)
	env.Create(t, b, issued("edge-tls"))
	env.WaitFor(t, b, isFalse(v1alpha1.ConditionTLSReady, v1alpha1.ReasonWaitingForCertificate, "edge-tls-rsa"))
	c := &certmanagerv1.Certificate{}
	if err := env.Client.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: "edge-tls-rsa"}, c); err != nil {
		t.Fatal(err)
	}
	if c.Spec.PrivateKey.Algorithm != certmanagerv1.RSAKeyAlgorithm || c.Spec.PrivateKey.Size != 2048 || !metav1.IsControlledBy(c, b) {
		t.Errorf("the Certificate asks for %+v and belongs to %v", c.Spec.PrivateKey, c.OwnerReferences)
	}
	env.Create(t, issued("edge-tls-rsa"))
	env.WaitFor(t, b, isFalse(v1alpha1.ConditionTLSReady, v1alpha1.ReasonWaitingForSecret, `"mine" does not exist`))
	if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(b), &appsv1.StatefulSet{}); !apierrors.IsNotFound(err) {
		t.Errorf("there is a StatefulSet whose pods cannot start: %v", err)
	}
	env.Create(t, testenv.TLSSecret(t, ns, "mine", nil))
	pod := env.RunPod(t, b)
	env.WaitFor(t, b, isTrue(v1alpha1.ConditionTLSReady), testenv.Ready)

	before := pod.Object(t).Annotations[resource.AnnotationCertificates]
	if err := env.Client.Update(t.Context(), issued("edge-tls-rsa")); err != nil {
		t.Fatal(err)
	}
	env.Eventually(t, func() error {
		if now := pod.Object(t).Annotations[resource.AnnotationCertificates]; now == "" || now == before {
			return fmt.Errorf("the pod's annotation is %q still", now)
		}
		return nil
	})
}

// withMoreCertificates gives spec.tls one certificate more of an issuer, and one
// that is brought.
func withMoreCertificates(b *v1alpha1.Broker) {
	b.Spec.TLS.AdditionalCertificates = []v1alpha1.AdditionalCertificate{
		{Name: "rsa", Certificate: &v1alpha1.Certificate{
			IssuerRef: v1alpha1.IssuerRef{Name: "ca"}, PrivateKey: &v1alpha1.PrivateKey{Algorithm: v1alpha1.KeyRSA},
		}},
		{Name: "brought", SecretName: "mine"},
	}
}

func TestTheStatusTellsOfAllCertificates(t *testing.T) {
	t.Parallel()
	b, pod := readyBroker(t, env.Namespace(t, nil))
	end := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	pod.Serve(admin.Listener{Name: "mqtt"}, admin.Listener{
		Name: "mqtts", Certificate: &admin.Certificate{NotAfter: end, SHA256: "first"},
		AdditionalCertificates: []admin.NamedCertificate{
			{Name: "rsa", Certificate: admin.Certificate{NotAfter: end.Add(time.Hour), SHA256: "second"}},
		},
	})
	env.Create(t, testenv.User(b.Namespace, "wakes-the-operator", "edge"))
	env.Eventually(t, func() error {
		if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(b), b); err != nil {
			return err
		}
		for _, l := range b.Status.Listeners {
			if l.Name == "mqtts" && l.Certificate != nil && l.Certificate.SHA256 == "first" && len(l.AdditionalCertificates) == 1 {
				a := l.AdditionalCertificates[0]
				if a.Name != "rsa" || a.SHA256 != "second" || !a.NotAfter.Equal(new(metav1.NewTime(end.Add(time.Hour)))) {
					t.Errorf("additional certificate %+v", a)
				}
				return nil
			}
		}
		return fmt.Errorf("listeners %+v", b.Status.Listeners)
	})
}

// TestAdditionalCertificatesComeAndGo: a volume of one Secret becomes one of many,
// and again one of one.
func TestAdditionalCertificatesComeAndGo(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	b, _ := readyBroker(t, ns)
	set := &appsv1.StatefulSet{}
	volumeHas := func(want int) {
		t.Helper()
		env.Eventually(t, func() error {
			if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(b), set); err != nil {
				return err
			}
			for _, v := range set.Spec.Template.Spec.Volumes {
				if v.Name != "tls-mqtts" {
					continue
				}
				if one := v.Secret != nil && v.Projected == nil; one && want == 1 {
					return nil
				}
				if v.Secret == nil && v.Projected != nil && len(v.Projected.Sources) == want {
					return nil
				}
				return fmt.Errorf("the volume is %+v, want %d Secrets in it", v.VolumeSource, want)
			}
			return errors.New("there is no volume")
		})
	}
	change := func(patch string) {
		t.Helper()
		if err := env.Client.Patch(t.Context(), b, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
			t.Fatal(err)
		}
	}
	volumeHas(1)
	env.Create(t, testenv.TLSSecret(t, ns, "edge-tls-rsa", map[string]string{certmanagerv1.CertificateNameKey: "edge-tls-rsa"}))
	change(`{"spec": {"tls": {"additionalCertificates": [{"name": "rsa", "certificate": {"issuerRef": {"name": "ca"}, "privateKey": {"algorithm": "RSA"}}}]}}}`)
	volumeHas(2)
	change(`{"spec": {"tls": {"additionalCertificates": null}}}`)
	volumeHas(1)
	env.Eventually(t, func() error {
		err := env.Client.Get(t.Context(), types.NamespacedName{Namespace: ns, Name: "edge-tls-rsa"}, &certmanagerv1.Certificate{})
		if err == nil {
			return errors.New("the Certificate is there still")
		}
		return client.IgnoreNotFound(err)
	})
}

func TestCertificateHoldsTheNamesOfTheServices(t *testing.T) {
	t.Parallel()
	b := testenv.Broker(env.Namespace(t, nil), "edge", withTLS, func(b *v1alpha1.Broker) {
		b.Spec.TLS.Certificate.DNSNames = []string{"mqtt.example.com"}
	})
	env.Create(t, b)
	c := &certmanagerv1.Certificate{}
	env.Eventually(t, func() error {
		return env.Client.Get(t.Context(), types.NamespacedName{Namespace: b.Namespace, Name: "edge-tls"}, c)
	})
	names := map[string]bool{}
	for _, n := range c.Spec.DNSNames {
		names[n] = true
	}
	for _, want := range []string{
		"edge", "edge." + b.Namespace + ".svc", "edge." + b.Namespace + ".svc.cluster.local",
		"edge-0.edge-headless." + b.Namespace + ".svc", "mqtt.example.com",
	} {
		if !names[want] {
			t.Errorf("%s is not in %v", want, c.Spec.DNSNames)
		}
	}
}
