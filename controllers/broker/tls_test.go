package broker_test

import (
	"fmt"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/resource"
	"github.com/godwit-mqtt/godwit/controllers/testenv"
)

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
