package mqttuser_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/resource"
	"github.com/godwit-mqtt/godwit/controllers/testenv"
)

// generated is a user "dev" whose password is made, into the Secret "dev-mqtt".
func generated(namespace string, rotateEvery, overlap time.Duration) *v1alpha1.MQTTUser {
	return testenv.User(namespace, "dev", "edge", func(u *v1alpha1.MQTTUser) {
		g := &v1alpha1.GeneratedPassword{SecretName: "dev-mqtt"}
		if rotateEvery > 0 {
			g.RotateEvery = &metav1.Duration{Duration: rotateEvery}
			g.Overlap = &metav1.Duration{Duration: overlap}
		}
		u.Spec.Authentication = v1alpha1.UserAuthentication{Generate: g}
	})
}

// credentials reads the Secret "dev-mqtt".
func credentials(t *testing.T, e *testenv.Env, namespace string) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	if err := e.Client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "dev-mqtt"}, secret); err != nil {
		t.Fatal(err)
	}
	return secret
}

// password is the one in the Secret "dev-mqtt".
func password(t *testing.T, namespace string) string {
	t.Helper()
	return string(credentials(t, env, namespace).Data["password"])
}

// made says that the password was made some time ago.
func made(t *testing.T, e *testenv.Env, namespace string, ago time.Duration) {
	t.Helper()
	testenv.Update(t, e, credentials(t, e, namespace), func(s *corev1.Secret) {
		s.Annotations[resource.AnnotationMadeAt] = time.Now().Add(-ago).UTC().Format(time.RFC3339)
	})
}

// valid waits until exactly these passwords are valid for dev at the pods of a
// Broker, and returns their hashes.
func valid(t *testing.T, b *v1alpha1.Broker, passwords ...string) []string {
	t.Helper()
	var hashes []string
	env.Eventually(t, func() error {
		hashes = rendered(t, b)["dev"].PasswordHashes
		if len(hashes) != len(passwords) {
			return fmt.Errorf("%d passwords are valid, not %d", len(hashes), len(passwords))
		}
		for i, p := range passwords {
			if kept, err := testenv.NewPasswords().Hash("dev", []byte(p), hashes[i:i+1]); err != nil || kept != hashes[i] {
				return fmt.Errorf("password %d is not valid (%w)", i, err)
			}
		}
		return nil
	})
	return hashes
}

func TestAGeneratedSecretHoldsWhatAClientNeeds(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	tls := testenv.TLSSecret(t, ns, "edge-tls", map[string]string{certmanagerv1.CertificateNameKey: "edge-tls"})
	user := generated(ns, 0, 0)
	env.Create(t, user)
	b := testenv.Broker(ns, "edge", func(b *v1alpha1.Broker) {
		b.Spec.TLS = &v1alpha1.TLS{Certificate: &v1alpha1.Certificate{IssuerRef: v1alpha1.IssuerRef{Name: "ca"}}}
	})
	env.Create(t, b)
	env.WaitFor(t, user, testenv.Expect{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse,
		Reason: v1alpha1.ReasonWaitingForCertificate, Message: "listener mqtts"})
	env.Create(t, tls)
	env.RunPod(t, b)
	env.WaitFor(t, user, testenv.Ready)

	secret := credentials(t, env, ns)
	if !metav1.IsControlledBy(secret, user) {
		t.Error("the Secret does not belong to the user")
	}
	p := string(secret.Data["password"])
	want := map[string]string{
		"username": "dev", "password": p, "host": "edge." + ns + ".svc", "port": "8883", "ca.crt": string(tls.Data["ca.crt"]),
		"uri": "mqtts://dev:" + p + "@edge." + ns + ".svc:8883",
	}
	for key, value := range secret.Data {
		if want[key] != string(value) {
			t.Errorf("%s is %q, want %q", key, value, want[key])
		}
		delete(want, key)
	}
	if len(want) != 0 || len(p) < 22 {
		t.Errorf("missing are %v; the password has %d characters", want, len(p))
	}
	if s := user.Status; s.SecretName != "dev-mqtt" || s.ObservedSecretVersion != secret.ResourceVersion || s.Password == nil || s.Password.NextAt != nil {
		t.Errorf("status %+v", s)
	}
	valid(t, b, p)
}

func TestAGeneratedSecretHoldsTheCAsOfAllCertificates(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	first, second, same := testenv.TLSSecret(t, ns, "first", nil), testenv.TLSSecret(t, ns, "second", nil), testenv.TLSSecret(t, ns, "same", nil)
	same.Data["ca.crt"] = first.Data["ca.crt"]
	user := generated(ns, 0, 0)
	b := testenv.Broker(ns, "edge", func(b *v1alpha1.Broker) {
		b.Spec.TLS = &v1alpha1.TLS{SecretName: "first", AdditionalCertificates: []v1alpha1.AdditionalCertificate{
			{Name: "same", SecretName: "same"}, {Name: "second", SecretName: "second"},
		}}
	})
	env.Create(t, user, b, first, same)
	env.WaitFor(t, user, testenv.Expect{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse,
		Reason: v1alpha1.ReasonWaitingForCertificate, Message: "listener mqtts"})
	env.Create(t, second)
	env.RunPod(t, b)
	env.WaitFor(t, user, testenv.Ready)
	if got, want := string(credentials(t, env, ns).Data["ca.crt"]), string(first.Data["ca.crt"])+string(second.Data["ca.crt"]); got != want {
		t.Errorf("ca.crt is %q, want %q", got, want)
	}
}

//api:semantics 6 10
func TestAPasswordRotatesWithOverlap(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	b, _ := running(t, ns)
	user := generated(ns, 720*time.Hour, 24*time.Hour)
	env.Create(t, user)
	env.WaitFor(t, user, testenv.Ready)
	first := password(t, ns)
	hash := valid(t, b, first)[0]

	made(t, env, ns, 719*time.Hour)
	valid(t, b, first)
	made(t, env, ns, 721*time.Hour)
	env.Eventually(t, func() error {
		if password(t, ns) == first {
			return errors.New("the password is the same")
		}
		return nil
	})
	second := password(t, ns)
	if kept := valid(t, b, second, first)[1]; kept != hash {
		t.Error("the old password was hashed anew: who uses it is disconnected")
	}
	env.Eventually(t, func() error {
		env.WaitFor(t, user, testenv.Ready)
		if user.Status.ObservedSecretVersion != credentials(t, env, ns).ResourceVersion {
			return errors.New("the status is of another Secret")
		}
		return nil
	})
	status := user.Status.Password
	if status.NextAt.Sub(status.MadeAt.Time) != 720*time.Hour || status.PreviousUntil.Sub(status.MadeAt.Time) != 24*time.Hour {
		t.Errorf("status %+v", status)
	}

	made(t, env, ns, 25*time.Hour)
	valid(t, b, second)
	if _, there := credentials(t, env, ns).Data["previousPassword"]; there {
		t.Error("the Secret has the old password still")
	}
	env.WaitFor(t, user, testenv.Ready)
	if user.Status.Password.PreviousUntil != nil {
		t.Errorf("status %+v", user.Status.Password)
	}
	tellsNoPassword(t, ns, first, second)
}

// tellsNoPassword looks for passwords in all events and objects of a namespace
// that are no Secrets.
func tellsNoPassword(t *testing.T, namespace string, passwords ...string) {
	t.Helper()
	var events eventsv1.EventList
	env.Eventually(t, func() error {
		if err := env.Client.List(t.Context(), &events, client.InNamespace(namespace)); err != nil {
			return err
		}
		if !slices.ContainsFunc(events.Items, func(e eventsv1.Event) bool { return e.Reason == "Rotated" }) {
			return errors.New("no event tells of the rotation")
		}
		return nil
	})
	var users v1alpha1.MQTTUserList
	var settings corev1.ConfigMapList
	for _, list := range []client.ObjectList{&users, &settings} {
		if err := env.Client.List(t.Context(), list, client.InNamespace(namespace)); err != nil {
			t.Fatal(err)
		}
	}
	everything, err := json.Marshal([]any{events, users, settings})
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range passwords {
		if strings.Contains(string(everything), p) {
			t.Errorf("password %d is told in the clear", i)
		}
	}
}

func TestARotationComesInItsTime(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	b, _ := running(t, ns)
	user := generated(ns, time.Hour, 30*time.Minute)
	env.Create(t, user)
	env.WaitFor(t, user, testenv.Ready)
	first := password(t, ns)
	// Nothing but the time wakes the operator.
	made(t, env, ns, time.Hour-3*time.Second)
	env.Eventually(t, func() error {
		if password(t, ns) == first {
			return errors.New("the password is the same")
		}
		return nil
	})
	second := password(t, ns)
	valid(t, b, second, first)
	made(t, env, ns, 30*time.Minute-3*time.Second)
	valid(t, b, second)
}

func TestARotationIsDueAfterARestart(t *testing.T) {
	t.Parallel()
	own := testenv.Start(t, testenv.Options{})
	ns := own.Namespace(t, nil)
	b := testenv.Broker(ns, "edge")
	own.Create(t, b)
	own.RunPod(t, b)
	user := generated(ns, 720*time.Hour, 24*time.Hour)
	own.Create(t, user)
	own.WaitFor(t, user, testenv.Ready)
	first := credentials(t, own, ns)

	restart := func() {
		t.Helper()
		if err := own.StopOperator(); err != nil {
			t.Fatal(err)
		}
		made(t, own, ns, 721*time.Hour)
		if err := own.StartOperator(); err != nil {
			t.Fatal(err)
		}
	}
	restart()
	own.Eventually(t, func() error {
		if string(credentials(t, own, ns).Data["previousPassword"]) != string(first.Data["password"]) {
			return errors.New("not rotated yet")
		}
		return nil
	})
	second := credentials(t, own, ns)
	restart()
	own.Eventually(t, func() error {
		if string(credentials(t, own, ns).Data["previousPassword"]) != string(second.Data["password"]) {
			return errors.New("not rotated again yet")
		}
		return nil
	})
}

//api:semantics 11
func TestEditsOfAGeneratedSecret(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	b, _ := running(t, ns)
	user := generated(ns, 0, 0)
	env.Create(t, user)
	env.WaitFor(t, user, testenv.Ready)
	edit := func(change func(*corev1.Secret)) { testenv.Update(t, env, credentials(t, env, ns), change) }
	uri := func() string { return "mqtt://dev:" + url.QueryEscape(password(t, ns)) + "@edge." + ns + ".svc:1883" }
	isMended := func() {
		t.Helper()
		env.Eventually(t, func() error {
			if s := credentials(t, env, ns); string(s.Data["uri"]) != uri() || string(s.Data["username"]) != "dev" {
				return fmt.Errorf("uri %s, username %s", s.Data["uri"], s.Data["username"])
			}
			return nil
		})
	}

	edit(func(s *corev1.Secret) {
		s.Data["password"], s.Data["mine"] = []byte("p@ss:word"), []byte("kept")
		s.Data["username"] = []byte("somebody")
	})
	valid(t, b, "p@ss:word")
	isMended()
	if string(credentials(t, env, ns).Data["mine"]) != "kept" {
		t.Error("a key of somebody else is gone")
	}

	edit(func(s *corev1.Secret) { delete(s.Data, "password") })
	env.Eventually(t, func() error {
		if p := password(t, ns); len(p) < 22 {
			return fmt.Errorf("the password has %d characters", len(p))
		}
		return nil
	})
	valid(t, b, password(t, ns))
	isMended()

	before := password(t, ns)
	if err := env.Client.Delete(t.Context(), credentials(t, env, ns)); err != nil {
		t.Fatal(err)
	}
	var after string
	env.Eventually(t, func() error {
		secret := &corev1.Secret{}
		err := env.Client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "dev-mqtt"}, secret)
		if after = string(secret.Data["password"]); err == nil && after == before {
			err = errors.New("it is not deleted yet")
		}
		return err
	})
	valid(t, b, after)
	env.WaitFor(t, user, testenv.Ready)
}

//api:semantics 15
func TestASecretOfSomebodyElseIsLeftAlone(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	b, _ := running(t, ns)
	foreign := testenv.Secret(ns, "dev-mqtt", "password", "precious")
	user := generated(ns, 0, 0)
	env.Create(t, foreign, user)
	env.WaitFor(t, user, rejected(v1alpha1.ReasonNotOwned, `Secret "dev-mqtt" exists and belongs to nothing`)...)
	if now := credentials(t, env, ns); now.ResourceVersion != foreign.ResourceVersion {
		t.Error("it was written")
	}
	if _, ok := rendered(t, b)["dev"]; ok {
		t.Error("the password of somebody else's Secret is valid")
	}
	if err := env.Client.Delete(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	env.WaitFor(t, user, testenv.Ready)
}

func TestCredentialsFollowTheBroker(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	b, pod := running(t, ns)
	user := generated(ns, 0, 0)
	env.Create(t, user)
	env.WaitFor(t, user, testenv.Ready)
	before := password(t, ns)
	testenv.Update(t, env, b, func(b *v1alpha1.Broker) {
		b.Spec.Listeners = []v1alpha1.Listener{{Name: "ws", Port: 8080, Protocol: v1alpha1.ProtocolWebSocket}}
	})
	pod.RollOut(t)
	env.Eventually(t, func() error {
		s := credentials(t, env, ns)
		want := "ws://dev:" + before + "@edge." + ns + ".svc:8080/mqtt"
		if string(s.Data["uri"]) != want || string(s.Data["port"]) != "8080" {
			return fmt.Errorf("uri %s", s.Data["uri"])
		}
		return nil
	})
	env.WaitFor(t, user, testenv.Ready)
}

func TestNothingIsMadeForAUserThatIsNotAdmitted(t *testing.T) {
	t.Parallel()
	home, abroad := env.Namespace(t, nil), env.Namespace(t, nil)
	b, _ := running(t, home)
	user := generated(abroad, 0, 0)
	user.Spec.BrokerRef.Namespace = home
	env.Create(t, user)
	env.WaitFor(t, user, rejected(v1alpha1.ReasonNotAllowedByBroker, abroad)...)
	secret := &corev1.Secret{}
	if err := env.Client.Get(t.Context(), client.ObjectKey{Namespace: abroad, Name: "dev-mqtt"}, secret); !apierrors.IsNotFound(err) {
		t.Errorf("there is a Secret: %v", err)
	}
	testenv.Update(t, env, b, func(b *v1alpha1.Broker) { b.Spec.AllowedUsers.Namespaces.From = v1alpha1.FromAll })
	env.WaitFor(t, user, testenv.Ready)
	if host := string(credentials(t, env, abroad).Data["host"]); host != "edge."+home+".svc" {
		t.Errorf("host %s", host)
	}
}

func TestWhatTheSpecAsksForNoLongerIsRemoved(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	running(t, ns)
	user := generated(ns, 0, 0)
	env.Create(t, user)
	env.WaitFor(t, user, testenv.Ready)
	isGone := func(name string) {
		t.Helper()
		env.Eventually(t, func() error {
			err := env.Client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, &corev1.Secret{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			return fmt.Errorf("Secret %s is still there (%w)", name, err)
		})
	}
	testenv.Update(t, env, user, func(u *v1alpha1.MQTTUser) { u.Spec.Authentication.Generate.SecretName = "other" })
	isGone("dev-mqtt")
	env.WaitFor(t, user, testenv.Ready)
	if user.Status.SecretName != "other" {
		t.Errorf("status %+v", user.Status)
	}
	env.Create(t, testenv.Secret(ns, "brought", "password", "secret"))
	testenv.Update(t, env, user, func(u *v1alpha1.MQTTUser) {
		u.Spec.Authentication = v1alpha1.UserAuthentication{Password: &v1alpha1.PasswordAuthentication{SecretRef: v1alpha1.SecretKeyRef{Name: "brought"}}}
	})
	isGone("other")
	env.WaitFor(t, user, testenv.Ready)
	if s := user.Status; s.SecretName != "" || s.Password != nil {
		t.Errorf("status %+v", s)
	}
}
