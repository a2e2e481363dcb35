package semantics_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/testenv"
)

// generated asks for a password that the operator makes.
func generated(u *v1alpha1.MQTTUser) {
	u.Spec.Authentication = v1alpha1.UserAuthentication{Generate: &v1alpha1.GeneratedPassword{SecretName: u.Name + "-mqtt"}}
}

//api:semantics 10
func TestPasswordsStandNowhereButInTheirSecret(t *testing.T) {
	t.Parallel()
	env := testenv.Start(t, options)
	w := newWorldOf(t, env)
	const brought, late = "brought-c0rrect-horse", "late-battery-staple"
	dev, made := testenv.User(w.ns, "dev", "edge"), testenv.User(w.ns, "made", "edge", generated)
	w.ready(t, testenv.Secret(w.ns, "dev", "password", brought), dev, made)
	passwords := []string{brought, late, string(w.secret(t, "made-mqtt").Data["password"])}

	// What may go wrong is told, and tells no password.
	invalid := testenv.User(w.ns, "invalid", "edge", func(u *v1alpha1.MQTTUser) {
		u.Spec.Authentication.Password.SecretRef.Key = v1alpha1.PasswordHashKey
	})
	w.Create(t, testenv.Secret(w.ns, "invalid", v1alpha1.PasswordHashKey, late), invalid)
	w.WaitFor(t, invalid, testenv.Expect{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInvalidCredentials})
	w.mustLogin(t, "dev", brought, admitted)
	w.mustLogin(t, "nobody", brought, refused)

	own := map[string]bool{"dev": true, "made-mqtt": true, "invalid": true}
	places := map[string]string{
		"the log of the operator": env.Log.String(), "the metrics": w.metrics(t), "the state of the broker": w.state(t),
	}
	hashes := 0
	for _, o := range w.objects(t, w.ns) {
		if o.GetKind() == "Secret" && own[o.GetName()] {
			continue
		}
		text := decoded(t, o)
		hashes += strings.Count(text, "$argon2id$")
		places[o.GetKind()+" "+o.GetName()] = text
	}
	for place, text := range places {
		for _, password := range passwords {
			if strings.Contains(text, password) {
				t.Errorf("%s tells a password", place)
			}
		}
	}
	if hashes != 2 || len(env.Log.String()) == 0 {
		t.Errorf("%d hashes were found, want those of 2 users; the log has %d bytes", hashes, len(env.Log.String()))
	}
}

// An unchanged password, in a Secret that was touched, makes no new revision.
//
//api:semantics 10
func TestAnUnchangedPasswordMakesNoRevision(t *testing.T) {
	t.Parallel()
	env := testenv.Start(t, options)
	w := newWorldOf(t, env)
	w.users(t, "dev", "other")
	before := w.Revision(t, w.broker)
	secret := testenv.Secret(w.ns, "dev", "", "")
	touch := func(label string) {
		t.Helper()
		testenv.Update(t, env, secret, func(s *corev1.Secret) { s.Labels = map[string]string{"touched": label} })
		dev := testenv.User(w.ns, "dev", "edge")
		w.Eventually(t, func() error {
			if err := w.Client.Get(t.Context(), client.ObjectKeyFromObject(dev), dev); err != nil {
				return err
			}
			if dev.Status.ObservedSecretVersion != secret.ResourceVersion || !isReady(dev) {
				return fmt.Errorf("it speaks of version %s", dev.Status.ObservedSecretVersion)
			}
			return nil
		})
		if after := w.Revision(t, w.broker); after != before {
			t.Errorf("revision %s became %s", before, after)
		}
	}
	touch("once")
	stop(t, env)
	start(t, env)
	touch("after-a-restart")
}

// The operator reads the Secrets that somebody refers to, and of all others no more
// than metadata.
//
//api:semantics 11
func TestUnrelatedSecretsAreNotRead(t *testing.T) {
	t.Parallel()
	env := testenv.Start(t, options)
	w := newWorldOf(t, env)
	others := env.Namespace(t, nil)
	for i := range 100 {
		env.Create(t, testenv.Secret(others, fmt.Sprintf("unrelated-%d", i), "data", strings.Repeat("x", 1<<10)))
	}
	stop(t, env) // so that one operator finds them all, and another hears of changes
	start(t, env)
	w.users(t, "dev")
	for i := range 100 {
		testenv.Update(t, env, testenv.Secret(others, fmt.Sprintf("unrelated-%d", i), "", ""), func(s *corev1.Secret) {
			s.Data = map[string][]byte{"data": []byte("changed")}
		})
	}
	w.users(t, "later")
	named := 0
	for _, r := range env.Requests.All() {
		switch {
		case !strings.Contains(r.Path, "/secrets") || r.Metadata:
		case strings.Contains(r.Path, "/namespaces/"+w.ns+"/secrets/"):
			named++
		default:
			t.Errorf("%s %s asks for more than metadata", r.Method, r.Path)
		}
	}
	if named == 0 {
		t.Error("no Secret was read at all")
	}
}

func (w *world) secret(t *testing.T, name string) *corev1.Secret {
	t.Helper()
	s := &corev1.Secret{}
	if err := w.Client.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, s); err != nil {
		t.Fatal(err)
	}
	return s
}

// objects are those of all kinds that the operator reads or writes.
func (w *world) objects(t *testing.T, namespace string) (all []unstructured.Unstructured) {
	t.Helper()
	for _, kind := range []schema.GroupVersionKind{
		{Version: "v1", Kind: "ConfigMap"}, {Version: "v1", Kind: "Secret"}, {Version: "v1", Kind: "Service"},
		{Version: "v1", Kind: "ServiceAccount"}, {Version: "v1", Kind: "Pod"}, {Group: "apps", Version: "v1", Kind: "StatefulSet"},
		{Group: "events.k8s.io", Version: "v1", Kind: "Event"}, {Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
		{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"}, {Group: "cert-manager.io", Version: "v1", Kind: "Certificate"},
		v1alpha1.GroupVersion.WithKind(v1alpha1.KindBroker), v1alpha1.GroupVersion.WithKind(v1alpha1.KindMQTTUser),
		v1alpha1.GroupVersion.WithKind(v1alpha1.KindTopicACL),
	} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		if err := w.Client.List(t.Context(), list, client.InNamespace(namespace)); err != nil {
			t.Fatal(err)
		}
		all = append(all, list.Items...)
	}
	return all
}

// decoded is the text of an object, with what is encoded in a Secret in the clear.
func decoded(t *testing.T, o unstructured.Unstructured) string {
	t.Helper()
	encoded, err := json.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.NewBuffer(encoded)
	if o.GetKind() == "Secret" {
		data, _, err := unstructured.NestedStringMap(o.Object, "data")
		if err != nil {
			t.Fatal(err)
		}
		for _, value := range data {
			plain, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				t.Fatal(err)
			}
			text.Write(plain)
		}
	}
	return text.String()
}

// state is what the broker tells of itself.
func (w *world) state(t *testing.T) string { return w.ask(t, "/v1/status") }
