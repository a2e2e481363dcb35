package mqttuser_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/controllers/testenv"
)

var env *testenv.Env

func TestMain(m *testing.M) {
	os.Exit(testenv.Main(m, testenv.Options{CertManager: true}, func(e *testenv.Env) { env = e }))
}

// rejected expects Accepted=False, and that the rest follows.
func rejected(reason, message string) []testenv.Expect {
	return []testenv.Expect{
		{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: reason, Message: message},
		{Type: v1alpha1.ConditionProgrammed, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNotAccepted},
		{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, Message: message},
	}
}

func notProgrammed(reason, message string) testenv.Expect {
	return testenv.Expect{Type: v1alpha1.ConditionProgrammed, Status: metav1.ConditionFalse, Reason: reason, Message: message}
}

// rendered reads the users that the pods of a Broker are given.
func rendered(t *testing.T, broker *v1alpha1.Broker) map[string]config.User {
	t.Helper()
	files, err := env.AccessFiles(t.Context(), broker)
	if err != nil {
		t.Fatal(err)
	}
	var access config.Access
	if err := json.Unmarshal(files[config.AccessFile], &access); err != nil {
		t.Fatal(err)
	}
	users := map[string]config.User{}
	for _, u := range access.Users {
		users[u.Username] = u
	}
	return users
}

// running makes a Broker "edge" whose pod runs.
func running(t *testing.T, namespace string, change ...func(*v1alpha1.Broker)) (*v1alpha1.Broker, *testenv.Pod) {
	t.Helper()
	b := testenv.Broker(namespace, "edge", change...)
	env.Create(t, b)
	pod := env.RunPod(t, b)
	env.WaitFor(t, b, testenv.Ready)
	return b, pod
}

//api:semantics 12
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	type step func(t *testing.T, namespace string)
	steps := map[string]step{
		"broker": func(t *testing.T, ns string) {
			b := testenv.Broker(ns, "edge")
			env.Create(t, b)
			env.RunPod(t, b)
		},
		"user":   func(t *testing.T, ns string) { env.Create(t, testenv.User(ns, "dev", "edge")) },
		"secret": func(t *testing.T, ns string) { env.Create(t, testenv.Secret(ns, "dev", "password", "secret")) },
	}
	for _, order := range [][]string{
		{"broker", "user", "secret"}, {"broker", "secret", "user"}, {"user", "broker", "secret"},
		{"user", "secret", "broker"}, {"secret", "user", "broker"}, {"secret", "broker", "user"},
	} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			t.Parallel()
			ns := env.Namespace(t, nil)
			user := testenv.User(ns, "dev", "edge")
			for i, name := range order {
				steps[name](t, ns)
				done := order[:i+1]
				switch {
				case !slices.Contains(done, "user"):
				case !slices.Contains(done, "broker"):
					env.WaitFor(t, user, rejected(v1alpha1.ReasonBrokerNotFound, "edge does not exist")...)
				case !slices.Contains(done, "secret"):
					env.WaitFor(t, user, rejected(v1alpha1.ReasonWaitingForSecret, `Secret "dev" does not exist`)...)
				}
			}
			env.WaitFor(t, user, testenv.Ready)
			if user.Status.Username != "dev" {
				t.Errorf("username %q", user.Status.Username)
			}
		})
	}
}

//api:semantics 9
func TestProgrammedWaitsForThePod(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	_, pod := running(t, ns)
	settled := testenv.User(ns, "settled", "edge")
	env.Create(t, testenv.Secret(ns, "settled", "password", "one"), settled)
	env.WaitFor(t, settled, testenv.Ready)

	pod.Hold("users[1]: something is wrong")
	user := testenv.User(ns, "dev", "edge")
	env.Create(t, testenv.Secret(ns, "dev", "password", "secret"), user)
	env.WaitFor(t, user,
		testenv.Expect{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue},
		notProgrammed(v1alpha1.ReasonApplying, "something is wrong"),
		testenv.Expect{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonApplying},
	)
	// What the pod enforces already stays programmed.
	env.WaitFor(t, settled, testenv.Ready)
	testenv.Update(t, env, settled, func(u *v1alpha1.MQTTUser) { u.Spec.ClientIDs = []string{"only-this"} })
	env.WaitFor(t, settled, notProgrammed(v1alpha1.ReasonApplying, ""))

	pod.Release()
	env.WaitFor(t, user, testenv.Ready)
	env.WaitFor(t, settled, testenv.Ready)
}

//api:semantics 9
func TestProgrammedNeedsARunningPod(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	_, pod := running(t, ns)
	user := testenv.User(ns, "dev", "edge")
	env.Create(t, testenv.Secret(ns, "dev", "password", "secret"), user)
	env.WaitFor(t, user, testenv.Ready)
	if err := env.Client.Delete(t.Context(), pod.Object(t), client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	env.WaitFor(t, user, notProgrammed(v1alpha1.ReasonNoRunningPods, ""))
}

//api:semantics 7
func TestTheOldestHoldsTheUsername(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	running(t, ns)
	env.Create(t, testenv.Secret(ns, "first", "password", "one"), testenv.Secret(ns, "second", "password", "two"))
	// Ages count in seconds; of the same second, the first by name is the older.
	first, second := testenv.User(ns, "first", "edge", named("dev")), testenv.User(ns, "second", "edge", named("dev"))
	env.Create(t, first, second)
	env.WaitFor(t, first, testenv.Ready)
	env.WaitFor(t, second, rejected(v1alpha1.ReasonUsernameTaken, ns+"/first is older")...)
	if err := env.Client.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	env.WaitFor(t, second, testenv.Ready)
}

func named(username string) func(*v1alpha1.MQTTUser) {
	return func(u *v1alpha1.MQTTUser) { u.Spec.Username = username }
}

//api:semantics 8
func TestTheBrokerAdmitsNamespaces(t *testing.T) {
	t.Parallel()
	home := env.Namespace(t, nil)
	guests := env.Namespace(t, map[string]string{"mqtt": "guest"})
	b, _ := running(t, home)
	user := testenv.User(guests, "dev", "edge", func(u *v1alpha1.MQTTUser) { u.Spec.BrokerRef.Namespace = home })
	env.Create(t, testenv.Secret(guests, "dev", "password", "secret"), user)
	env.WaitFor(t, user, rejected(v1alpha1.ReasonNotAllowedByBroker, guests)...)

	testenv.Update(t, env, b, func(b *v1alpha1.Broker) {
		b.Spec.AllowedUsers.Namespaces = v1alpha1.AllowedNamespaces{
			From: v1alpha1.FromSelector, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"mqtt": "guest"}},
		}
	})
	env.WaitFor(t, user, testenv.Ready)

	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: guests}}
	testenv.Update(t, env, ns, func(n *corev1.Namespace) { delete(n.Labels, "mqtt") })
	env.WaitFor(t, user, rejected(v1alpha1.ReasonNotAllowedByBroker, guests)...)
}

//api:semantics 10 11
func TestAnUnchangedPasswordKeepsTheRevision(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	b, _ := running(t, ns)
	secret := testenv.Secret(ns, "dev", "password", "secret")
	user := testenv.User(ns, "dev", "edge")
	env.Create(t, secret, user)
	env.WaitFor(t, user, testenv.Ready)
	before := rendered(t, b)["dev"].PasswordHashes

	secret.Labels = map[string]string{"touched": "yes"}
	if err := env.Client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	other := testenv.User(ns, "other", "edge")
	env.Create(t, testenv.Secret(ns, "other", "password", "secret"), other)
	env.WaitFor(t, other, testenv.Ready)
	if after := rendered(t, b)["dev"].PasswordHashes; !slices.Equal(before, after) {
		t.Errorf("the hash changed from %s to %s", before, after)
	}

	secret.Data["password"] = []byte("changed")
	if err := env.Client.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	env.Eventually(t, func() error {
		if after := rendered(t, b)["dev"].PasswordHashes; slices.Equal(before, after) {
			return fmt.Errorf("the hash is that of the old password")
		}
		return nil
	})
}

//api:semantics 6
func TestADisabledUserIsNotRendered(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	b, _ := running(t, ns)
	user := testenv.User(ns, "dev", "edge")
	env.Create(t, testenv.Secret(ns, "dev", "password", "secret"), user)
	env.WaitFor(t, user, testenv.Ready)
	testenv.Update(t, env, user, func(u *v1alpha1.MQTTUser) { u.Spec.Disabled = true })
	env.WaitFor(t, user, testenv.Expect{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonDisabled, Message: "nobody connects",
	})
	if _, ok := rendered(t, b)["dev"]; ok {
		t.Error("a disabled user is in the configuration")
	}
}

//api:semantics 12
func TestUsersOfADeletedBrokerSaySo(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	b, _ := running(t, ns)
	user := testenv.User(ns, "dev", "edge")
	env.Create(t, testenv.Secret(ns, "dev", "password", "secret"), user)
	env.WaitFor(t, user, testenv.Ready)
	if err := env.Client.Delete(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	env.WaitFor(t, user, rejected(v1alpha1.ReasonBrokerNotFound, "")...)
}

//api:semantics 10 17
func TestARestartedOperatorComesToTheSame(t *testing.T) {
	t.Parallel()
	own := testenv.Start(t, testenv.Options{CertManager: true})
	ns := own.Namespace(t, nil)
	b := testenv.Broker(ns, "edge")
	own.Create(t, b)
	own.RunPod(t, b)
	user := testenv.User(ns, "dev", "edge")
	own.Create(t, testenv.Secret(ns, "dev", "password", "secret"), user)
	own.WaitFor(t, user, testenv.Ready)
	own.WaitFor(t, b, testenv.Ready)
	revision, version := own.Revision(t, b), user.ResourceVersion

	if err := own.StopOperator(); err != nil {
		t.Fatal(err)
	}
	if err := own.StartOperator(); err != nil {
		t.Fatal(err)
	}
	other := testenv.User(ns, "other", "edge")
	own.Create(t, other)
	own.WaitFor(t, other, rejected(v1alpha1.ReasonWaitingForSecret, "")...)
	own.WaitFor(t, b, testenv.Ready)
	own.WaitFor(t, user, testenv.Ready)
	if after := own.Revision(t, b); after != revision || user.ResourceVersion != version {
		t.Errorf("revision %s became %s, version of the user %s became %s", revision, after, version, user.ResourceVersion)
	}
}
