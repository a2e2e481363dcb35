package semantics_test

import (
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/controllers/testenv"
)

//api:semantics 6 9
func TestWhoMayNoLongerConnectIsDisconnected(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*testing.T, *world, *v1alpha1.MQTTUser){
		"removed":  func(t *testing.T, w *world, u *v1alpha1.MQTTUser) { w.delete(t, u) },
		"disabled": setUser(func(u *v1alpha1.MQTTUser) { u.Spec.Disabled = true }),
		"another password": func(t *testing.T, w *world, u *v1alpha1.MQTTUser) {
			s := testenv.Secret(w.ns, u.Name, "", "")
			testenv.Update(t, w.Env, s, func(s *corev1.Secret) { s.Data = map[string][]byte{"password": []byte("another")} })
		},
		"a certificate for the password": setUser(func(u *v1alpha1.MQTTUser) {
			u.Spec.Authentication = v1alpha1.UserAuthentication{X509: &v1alpha1.X509Authentication{CommonName: "dev"}}
		}),
		"another client identifier": setUser(func(u *v1alpha1.MQTTUser) { u.Spec.ClientIDs = []string{"only-this"} }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.users(t, "dev", "bystander")
			w.ready(t, w.everybody("all", allow("#")))
			newer, older, bystander := w.connect(t, "dev", "5"), w.connectBy(t, packet.V311, "dev", "311"), w.connect(t, "bystander", "b")
			change(t, w, testenv.User(w.ns, "dev", "edge"))
			goodbye := brokertest.Expect[*packet.Disconnect](newer)
			if goodbye.Reason != packet.ReasonNotAuthorized || len(goodbye.Properties.ReasonString) == 0 {
				t.Errorf("DISCONNECT with %v, %q: want 0x87 with a reason string", goodbye.Reason, goodbye.Properties.ReasonString)
			}
			newer.ExpectClosed()
			older.ExpectClosed()
			bystander.ExpectSilence()
			if got := w.login(t, "dev", "dev"); !got.IsError() {
				t.Error("the user connects again as before")
			}
		})
	}
}

// setUser changes the user's spec.
func setUser(change func(*v1alpha1.MQTTUser)) func(*testing.T, *world, *v1alpha1.MQTTUser) {
	return func(t *testing.T, w *world, u *v1alpha1.MQTTUser) {
		testenv.Update(t, w.Env, u, change)
	}
}

//api:semantics 6
func TestChangedRulesTakeForceOnLiveConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(t, "dev", "sender")
	acl, guard := only("dev", w.everybody("dev", allow("a/#", "b/#", "own"))), w.everybody("guard", deny("b/#"))
	w.ready(t, acl, only("sender", w.everybody("sender", allow("#"))))
	c, sender := w.connect(t, "dev", "c"), w.connect(t, "sender", "s")
	c.Subscribe("a/#", packet.QoS1)
	c.Subscribe("b/#", packet.QoS1)
	tell := func(topics ...string) {
		t.Helper()
		for _, topic := range topics {
			sender.Publish(topic, "m", packet.QoS1)
		}
	}

	testenv.Update(t, w.Env, acl, func(a *v1alpha1.TopicACL) { a.Spec.Rules = []v1alpha1.Rule{allow("b/#")} })
	w.WaitFor(t, acl, testenv.Ready)
	tell("a/1", "b/1")
	c.Acknowledge(c.ExpectPublish("b/1", "m"))
	may(t, c, map[string]bool{"pub a/x": false, "sub a/1": false})

	guard.Spec.Subjects = []v1alpha1.Subject{{User: "dev"}}
	w.ready(t, guard)
	tell("b/2")
	c.ExpectSilence()

	w.delete(t, guard)
	testenv.Update(t, w.Env, acl, func(a *v1alpha1.TopicACL) { a.Spec.Rules = []v1alpha1.Rule{allow("a/#", "b/#", "own")} })
	w.WaitFor(t, acl, testenv.Ready)
	tell("a/3", "b/3")
	c.Acknowledge(c.ExpectPublish("a/3", "m"))
	c.Acknowledge(c.ExpectPublish("b/3", "m"))

	w.delete(t, acl)
	w.Eventually(t, func() error {
		if publishes(c, "own") {
			return errors.New("the rights of a deleted TopicACL are in force")
		}
		return nil
	})
	tell("a/4", "b/4")
	c.ExpectSilence()
}

// The older of two MQTTUsers holds the username, though its name comes later.
//
//api:semantics 7
func TestTheOlderUserHoldsTheUsername(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	older, younger := testenv.User(w.ns, "z-older", "edge", named("dev")), testenv.User(w.ns, "a-younger", "edge", named("dev"))
	w.ready(t, testenv.Secret(w.ns, "z-older", "password", "older"), testenv.Secret(w.ns, "a-younger", "password", "younger"), older)
	w.Eventually(t, func() error { // ages count in seconds
		now := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "now-", Namespace: w.ns}}
		if err := w.Client.Create(t.Context(), now); err != nil {
			return err
		}
		if !now.CreationTimestamp.After(older.CreationTimestamp.Time) {
			return errors.New("the second of its creation is not over")
		}
		return nil
	})
	w.Create(t, younger)
	w.WaitFor(t, younger, testenv.Expect{
		Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonUsernameTaken, Message: "z-older"})
	w.mustLogin(t, "dev", "older", admitted)
	w.mustLogin(t, "dev", "younger", refused)

	w.delete(t, older)
	w.WaitFor(t, younger, testenv.Ready)
	w.mustLogin(t, "dev", "younger", admitted)
	w.mustLogin(t, "dev", "older", refused)
}

func named(username string) func(*v1alpha1.MQTTUser) {
	return func(u *v1alpha1.MQTTUser) { u.Spec.Username = username }
}

//api:semantics 8
func TestObjectsOfOtherNamespacesNeedTheConsentOfTheBroker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	guests := w.Namespace(t, map[string]string{"mqtt": "guests"})
	user := testenv.User(guests, "guest", "edge", func(u *v1alpha1.MQTTUser) { u.Spec.BrokerRef.Namespace = w.ns })
	acl := testenv.ACL(guests, "guest", "edge", "guest", "a/#", func(a *v1alpha1.TopicACL) { a.Spec.BrokerRef.Namespace = w.ns })
	w.users(t, "home")
	w.Create(t, testenv.Secret(guests, "guest", "password", "guest"), user, acl)
	notAllowed := testenv.Expect{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNotAllowedByBroker}
	w.WaitFor(t, user, notAllowed)
	w.WaitFor(t, acl, notAllowed)
	w.mustLogin(t, "guest", "guest", refused)

	admit := func(namespaces v1alpha1.AllowedNamespaces) {
		t.Helper()
		testenv.Update(t, w.Env, w.broker, func(b *v1alpha1.Broker) { b.Spec.AllowedUsers.Namespaces = namespaces })
	}
	for _, namespaces := range []v1alpha1.AllowedNamespaces{
		{From: v1alpha1.FromSelector, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"mqtt": "guests"}}},
		{From: v1alpha1.FromAll},
	} {
		admit(namespaces)
		w.WaitFor(t, user, testenv.Ready)
		w.WaitFor(t, acl, testenv.Ready)
		guest, home := w.connect(t, "guest", "g"), w.connect(t, "home", "h")
		may(t, guest, map[string]bool{"pub a/x": true, "pub b": false})
		admit(v1alpha1.AllowedNamespaces{From: v1alpha1.FromSame})
		guest.ExpectDisconnect(packet.ReasonNotAuthorized)
		home.ExpectSilence()
		w.WaitFor(t, user, notAllowed)
		w.WaitFor(t, acl, notAllowed)
	}
}

// The first attempt of a client succeeds, as soon as its user is Ready.
//
//api:semantics 9
func TestReadyMeansThatTheClientCanConnectNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 10 {
		name := fmt.Sprintf("dev-%d", i)
		w.users(t, name)
		w.mustLogin(t, name, name, admitted)
	}
}

//api:semantics 9 11
func TestReadyOfASecretVersionMeansThatItsPasswordWorks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(t, "dev")
	for i := range 5 {
		secret, password := testenv.Secret(w.ns, "dev", "", ""), fmt.Sprintf("password-%d", i)
		testenv.Update(t, w.Env, secret, func(s *corev1.Secret) { s.Data = map[string][]byte{"password": []byte(password)} })
		user := testenv.User(w.ns, "dev", "edge")
		w.Eventually(t, func() error {
			if err := w.Client.Get(t.Context(), client.ObjectKeyFromObject(user), user); err != nil {
				return err
			}
			if user.Status.ObservedSecretVersion != secret.ResourceVersion || !isReady(user) {
				return fmt.Errorf("it speaks of version %s, ready %v", user.Status.ObservedSecretVersion, isReady(user))
			}
			return nil
		})
		w.mustLogin(t, "dev", password, admitted)
	}
}

func isReady(u *v1alpha1.MQTTUser) bool {
	for _, c := range u.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			return c.Status == metav1.ConditionTrue
		}
	}
	return false
}
