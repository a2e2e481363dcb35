package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

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
