package broker_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	admin "github.com/godwit-mqtt/godwit/broker/admin/client"
	"github.com/godwit-mqtt/godwit/controllers/testenv"
)

// children are the objects that a Broker "edge" with TLS and a budget has.
func children(namespace string) []client.Object {
	at := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: namespace, Name: name} }
	return []client.Object{
		&corev1.Service{ObjectMeta: at("edge")},
		&corev1.Service{ObjectMeta: at("edge-headless")},
		&corev1.ConfigMap{ObjectMeta: at("edge-settings")},
		&corev1.Secret{ObjectMeta: at("edge-access")},
		&corev1.ServiceAccount{ObjectMeta: at("edge")},
		&certmanagerv1.Certificate{ObjectMeta: at("edge-tls")},
		&appsv1.StatefulSet{ObjectMeta: at("edge")},
		&policyv1.PodDisruptionBudget{ObjectMeta: at("edge")},
		&networkingv1.NetworkPolicy{ObjectMeta: at("edge")},
	}
}

// readyBroker makes a Broker "edge" with all its children and waits for Ready.
func readyBroker(t *testing.T, namespace string) (*v1alpha1.Broker, *testenv.Pod) {
	t.Helper()
	b := testenv.Broker(namespace, "edge", withTLS, func(b *v1alpha1.Broker) {
		b.Spec.PodDisruptionBudget = &v1alpha1.PodDisruptionBudget{MaxUnavailable: new(intstr.FromInt32(1))}
	})
	env.Create(t, b, testenv.TLSSecret(t, namespace, "edge-tls", map[string]string{certmanagerv1.CertificateNameKey: "edge-tls"}))
	pod := env.RunPod(t, b)
	env.WaitFor(t, b, testenv.Ready)
	return b, pod
}

func TestBrokerOwnsItsChildren(t *testing.T) {
	t.Parallel()
	b, _ := readyBroker(t, env.Namespace(t, nil))
	for _, child := range children(b.Namespace) {
		if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(child), child); err != nil {
			t.Errorf("%T: %v", child, err)
			continue
		}
		if !metav1.IsControlledBy(child, b) {
			t.Errorf("%T %s does not belong to the Broker", child, child.GetName())
		}
	}
	if b.Status.ConfigRevision == "" || b.Status.Selector == "" || b.Status.ReadyReplicas != 1 {
		t.Errorf("status %+v", b.Status)
	}
}

func TestWhatTheRulesRefusedAreEventsOfTheUser(t *testing.T) {
	t.Parallel()
	b, pod := readyBroker(t, env.Namespace(t, nil))
	for _, topic := range []string{"secret/\x1b[2J", "another"} {
		pod.Deny(admin.Denial{User: "dev", Action: "publish", Topic: topic, Count: 3, Last: time.Now()})
	}
	user := testenv.User(b.Namespace, "dev", "edge")
	env.Create(t, user, testenv.Secret(b.Namespace, "dev", "password", "p"))
	env.WaitFor(t, user, testenv.Ready)
	env.Eventually(t, func() error {
		var events eventsv1.EventList
		if err := env.Client.List(t.Context(), &events, client.InNamespace(b.Namespace)); err != nil {
			return err
		}
		var notes []string
		for _, e := range events.Items {
			if e.Regarding.Kind == v1alpha1.KindMQTTUser && e.Regarding.UID == user.UID && e.Reason == "Denied" {
				notes = append(notes, e.Note)
			}
		}
		slices.Sort(notes)
		want := []string{`publish to "another" was refused: no rule allows it`, `publish to "secret/\x1b[2J" was refused: no rule allows it`}
		if !slices.Equal(notes, want) {
			return fmt.Errorf("the events are %q, want %q", notes, want)
		}
		return nil
	})
}

//api:semantics 17
func TestReconcilingAgainWritesNothing(t *testing.T) {
	t.Parallel()
	b, pod := readyBroker(t, env.Namespace(t, nil))
	versions := func() map[string]string {
		seen := map[string]string{}
		for _, o := range append(children(b.Namespace), b, pod.Object(t)) {
			if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
				t.Fatal(err)
			}
			seen[fmt.Sprintf("%T/%s", o, o.GetName())] = o.GetResourceVersion()
		}
		return seen
	}
	before := versions()
	// A user that is refused makes the Broker reconcile, and is reported when it
	// has; it changes nothing but the count of users.
	user := testenv.User(b.Namespace, "waiting", "edge")
	env.Create(t, user)
	env.WaitFor(t, user, isFalse(v1alpha1.ConditionAccepted, v1alpha1.ReasonWaitingForSecret, ""))
	after := versions()
	delete(before, "*v1alpha1.Broker/edge")
	for name, version := range before {
		if after[name] != version {
			t.Errorf("%s was written: version %s became %s", name, version, after[name])
		}
	}
}

func TestForeignChangesOfChildrenAreReverted(t *testing.T) {
	t.Parallel()
	b, _ := readyBroker(t, env.Namespace(t, nil))
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: b.Namespace, Name: "edge"}}
	testenv.Update(t, env, service, func(s *corev1.Service) {
		s.Spec.Selector = map[string]string{"app": "other"}
		metav1.SetMetaDataAnnotation(&s.ObjectMeta, "example.com/note", "kept")
	})
	env.Eventually(t, func() error {
		if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(service), service); err != nil {
			return err
		}
		if service.Spec.Selector["mqtt.godwit.io/broker"] != "edge" {
			return fmt.Errorf("the selector is %v", service.Spec.Selector)
		}
		return nil
	})
	if service.Annotations["example.com/note"] != "kept" {
		t.Error("an annotation of somebody else is gone")
	}
}

func TestADeletedChildComesBack(t *testing.T) {
	t.Parallel()
	b, _ := readyBroker(t, env.Namespace(t, nil))
	for _, child := range children(b.Namespace) {
		if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(child), child); err != nil {
			t.Fatal(err)
		}
		uid := child.GetUID()
		if err := env.Client.Delete(t.Context(), child, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
			t.Fatal(err)
		}
		env.Eventually(t, func() error {
			err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(child), child)
			if err == nil && child.GetUID() == uid {
				err = errors.New("not deleted yet")
			}
			return err
		})
	}
}

func TestChildrenThatAreNotWantedAreDeleted(t *testing.T) {
	t.Parallel()
	b, _ := readyBroker(t, env.Namespace(t, nil))
	testenv.Update(t, env, b, func(b *v1alpha1.Broker) {
		b.Spec.TLS = nil
		b.Spec.PodDisruptionBudget = nil
		b.Spec.NetworkPolicy.Enabled = new(false)
		b.Spec.Listeners = []v1alpha1.Listener{{Name: "mqtt", Port: 1883, Service: &v1alpha1.ListenerService{Type: corev1.ServiceTypeNodePort}}}
	})
	gone := []client.Object{
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "edge"}},
		&certmanagerv1.Certificate{ObjectMeta: metav1.ObjectMeta{Name: "edge-tls"}},
		&policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "edge"}},
		&networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "edge"}},
	}
	for _, o := range gone {
		env.Eventually(t, func() error {
			err := env.Client.Get(t.Context(), types.NamespacedName{Namespace: b.Namespace, Name: o.GetName()}, o)
			if apierrors.IsNotFound(err) {
				return nil
			}
			return fmt.Errorf("%T is still there: %w", o, err)
		})
	}
	own := &corev1.Service{}
	env.Eventually(t, func() error {
		return env.Client.Get(t.Context(), types.NamespacedName{Namespace: b.Namespace, Name: "edge-mqtt"}, own)
	})
}

//api:semantics 13 15
func TestObjectsOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	for name, foreign := range map[string]client.Object{
		"Secret":     testenv.Secret("", "edge-access", "mine", "precious"),
		"Service":    &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "edge"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}},
		"ConfigMap":  &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "edge-settings"}},
		"TLS Secret": testenv.TLSSecret(t, "", "edge-tls", nil),
		"Certificate": &certmanagerv1.Certificate{ObjectMeta: metav1.ObjectMeta{Name: "edge-tls"},
			Spec: certmanagerv1.CertificateSpec{SecretName: "other", DNSNames: []string{"other"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			foreign.SetNamespace(env.Namespace(t, nil))
			b := testenv.Broker(foreign.GetNamespace(), "edge", withTLS)
			env.Create(t, foreign)
			version := foreign.GetResourceVersion()
			env.Create(t, b)
			env.WaitFor(t, b,
				stalled(v1alpha1.ReasonNotOwned, fmt.Sprintf("%q exists and belongs to nothing", foreign.GetName())),
				isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonNotOwned, ""),
			)
			if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(foreign), foreign); err != nil {
				t.Fatal(err)
			}
			if foreign.GetResourceVersion() != version {
				t.Error("it was written")
			}
			if err := env.Client.Delete(t.Context(), foreign); err != nil {
				t.Fatal(err)
			}
			env.WaitFor(t, b, testenv.Expect{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionFalse})
		})
	}
}

//api:semantics 13
func TestABrokerStaysReadyWhileUsersAreOnTheirWay(t *testing.T) {
	t.Parallel()
	b, pod := readyBroker(t, env.Namespace(t, nil))
	pod.Hold("")
	env.Create(t, testenv.Secret(b.Namespace, "dev", "password", "secret"), testenv.User(b.Namespace, "dev", "edge"))
	env.WaitFor(t, b, isFalse(v1alpha1.ConditionConfigApplied, v1alpha1.ReasonApplying, "edge-0"), testenv.Ready)
	// A change of its own spec is another matter.
	testenv.Update(t, env, b, func(b *v1alpha1.Broker) { b.Spec.Authentication.Anonymous = true })
	env.WaitFor(t, b, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonApplying, "edge-0"))
	pod.Hold("settings.mqtt: something is wrong")
	env.WaitFor(t, b,
		isFalse(v1alpha1.ConditionConfigApplied, v1alpha1.ReasonConfigRejected, "something is wrong"),
		isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonConfigRejected, ""))
	pod.Release()
	env.WaitFor(t, b, isTrue(v1alpha1.ConditionConfigApplied), testenv.Ready)
}

func TestAPausedBrokerIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := testenv.Broker(env.Namespace(t, nil), "edge", func(b *v1alpha1.Broker) { b.Spec.Paused = true })
	env.Create(t, b)
	env.WaitFor(t, b, testenv.Expect{Type: v1alpha1.ConditionReconciling, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonPaused})
	err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(b), &appsv1.StatefulSet{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("a paused Broker has a StatefulSet: %v", err)
	}
	testenv.Update(t, env, b, func(b *v1alpha1.Broker) { b.Spec.Paused = false })
	env.RunPod(t, b)
	env.WaitFor(t, b, testenv.Ready)
}

func TestWhatIsNotSupportedIsSaid(t *testing.T) {
	t.Parallel()
	b := testenv.Broker(env.Namespace(t, nil), "edge", func(b *v1alpha1.Broker) {
		b.Spec.Monitoring = v1alpha1.Monitoring{PodMonitor: true, Dashboard: true}
	})
	env.Create(t, b)
	env.WaitFor(t, b, stalled(v1alpha1.ReasonNotSupported, "spec.monitoring.podMonitor, spec.monitoring.dashboard"))
}

func TestABrokerOfTheSameNameWaitsForTheCollectionOfTheFirst(t *testing.T) {
	t.Parallel()
	b, _ := readyBroker(t, env.Namespace(t, nil))
	if err := env.Client.Delete(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	again := testenv.Broker(b.Namespace, "edge")
	env.Create(t, again)
	// There is no garbage collector here: the test is one.
	env.WaitFor(t, again, isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonWaitingForPods, "not collected yet"))
	for _, child := range children(b.Namespace) {
		if err := env.Client.Delete(t.Context(), child, client.PropagationPolicy(metav1.DeletePropagationBackground)); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
	}
	env.Eventually(t, func() error {
		set := &appsv1.StatefulSet{}
		if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(again), set); err != nil {
			return err
		}
		if !metav1.IsControlledBy(set, again) {
			return errors.New("the StatefulSet is that of the first Broker")
		}
		return nil
	})
}
