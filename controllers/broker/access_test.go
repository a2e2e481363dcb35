package broker_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/controllers/resource"
	"github.com/godwit-mqtt/godwit/controllers/testenv"
)

// fleet is the number of users of the test of many users.
const fleet = 5000

// createFleet makes users whose hash is in the Secret "fleet".
func createFleet(t *testing.T, e *testenv.Env, ns string) {
	t.Helper()
	e.Create(t, testenv.Secret(ns, "fleet", v1alpha1.PasswordHashKey, "test$"+strings.Repeat("x", 55)))
	var workers sync.WaitGroup
	failed := make([]error, 8)
	for w := range failed {
		workers.Go(func() {
			for i := w; i < fleet && failed[w] == nil; i += len(failed) {
				failed[w] = e.Client.Create(t.Context(), testenv.User(ns, fmt.Sprintf("device-%05d", i), "edge", func(u *v1alpha1.MQTTUser) {
					u.Spec.Authentication.Password.SecretRef = v1alpha1.SecretKeyRef{Name: "fleet", Key: v1alpha1.PasswordHashKey}
				}))
			}
		})
	}
	workers.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
}

// accessSecrets are the resource versions of the Secrets with users and rules.
func accessSecrets(t *testing.T, e *testenv.Env, b *v1alpha1.Broker) map[string]string {
	t.Helper()
	var secrets corev1.SecretList
	if err := e.Client.List(t.Context(), &secrets, client.InNamespace(b.Namespace), client.MatchingLabels(resource.Selector(b))); err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, s := range secrets.Items {
		versions[s.Name] = s.ResourceVersion
		size := 0
		for _, content := range s.Data {
			size += len(content)
		}
		if size > 1<<20 {
			t.Errorf("Secret %s has %d bytes", s.Name, size)
		}
	}
	return versions
}

// allReady waits until the Broker and all of its users are.
func allReady(t *testing.T, e *testenv.Env, b *v1alpha1.Broker) {
	t.Helper()
	var users v1alpha1.MQTTUserList
	for waited := true; waited; {
		waited = false
		if err := e.Client.List(t.Context(), &users, client.InNamespace(b.Namespace)); err != nil {
			t.Fatal(err)
		}
		for i := range users.Items {
			u := &users.Items[i]
			if !meta.IsStatusConditionTrue(u.Status.Conditions, v1alpha1.ConditionReady) {
				e.WaitFor(t, u, testenv.Ready)
				waited = true
			}
		}
	}
	e.WaitFor(t, b, testenv.Ready, isTrue(v1alpha1.ConditionConfigApplied))
	if n := int(b.Status.Users.Accepted); n != len(users.Items) {
		t.Errorf("the Broker counts %d of %d users", n, len(users.Items))
	}
}

func TestManyUsersAreSpreadOverSecrets(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of users")
	}
	e := testenv.Start(t, testenv.Options{})
	ns := e.Namespace(t, nil)
	b := testenv.Broker(ns, "edge")
	everybody := testenv.ACL(ns, "everybody", "edge", "", "a", func(a *v1alpha1.TopicACL) {
		a.Spec.Subjects = []v1alpha1.Subject{{Selector: &metav1.LabelSelector{}}}
	})
	e.Create(t, b, everybody)
	e.RunPod(t, b)
	e.WaitFor(t, b, testenv.Ready)
	set := &appsv1.StatefulSet{}
	if err := e.Client.Get(t.Context(), client.ObjectKeyFromObject(b), set); err != nil {
		t.Fatal(err)
	}
	before := set.Generation
	if secrets := accessSecrets(t, e, b); len(secrets) != 1 {
		t.Errorf("without users there are the Secrets %v", secrets)
	}

	createFleet(t, e, ns)
	allReady(t, e, b)
	files, err := e.AccessFiles(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(files.Shards()); n < 4 {
		t.Errorf("%d users are in %d shards", fleet, n)
	}
	if err := e.Client.Get(t.Context(), client.ObjectKeyFromObject(b), set); err != nil || set.Generation != before {
		t.Errorf("the pods are replaced (%v)", err)
	}

	versions := accessSecrets(t, e, b)
	one := &v1alpha1.MQTTUser{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "device-00007"}}
	testenv.Update(t, e, one, func(u *v1alpha1.MQTTUser) { u.Spec.ClientIDs = []string{"seven"} })
	e.WaitFor(t, one, testenv.Ready)
	var written []string
	for name, version := range accessSecrets(t, e, b) {
		if versions[name] != version {
			written = append(written, name)
		}
	}
	shard := resource.ShardName(b, config.ShardOf(one.Name, len(files.Shards())))
	if slices.Sort(written); !slices.Equal(written, []string{resource.AccessName(b), shard}) {
		t.Errorf("a change of one user writes %q, want %s", written, shard)
	}

	versions = accessSecrets(t, e, b)
	if err := errors.Join(e.StopOperator(), e.StartOperator()); err != nil {
		t.Fatal(err)
	}
	late := testenv.User(ns, "late", "edge")
	e.Create(t, late)
	e.WaitFor(t, late, isFalse(v1alpha1.ConditionAccepted, v1alpha1.ReasonWaitingForSecret, ""))
	if after := accessSecrets(t, e, b); !maps.Equal(after, versions) {
		t.Errorf("a restart of the operator writes Secrets: %v became %v", versions, after)
	}

	if err := e.Client.DeleteAllOf(t.Context(), &v1alpha1.MQTTUser{}, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	e.Eventually(t, func() error {
		if secrets := accessSecrets(t, e, b); len(secrets) != 1 {
			return fmt.Errorf("%d Secrets are left of no users", len(secrets))
		}
		return nil
	})
	e.WaitFor(t, b, testenv.Ready, isTrue(v1alpha1.ConditionConfigApplied))
}

func TestAShardThatIsTamperedWithIsMended(t *testing.T) {
	t.Parallel()
	b, _ := readyBroker(t, env.Namespace(t, nil))
	// Rules enough for two shards.
	var topics []string
	for i := range 250 {
		topics = append(topics, fmt.Sprintf("%0500d", i))
	}
	for i := range 3 {
		env.Create(t, testenv.ACL(b.Namespace, fmt.Sprintf("acl-%d", i), "edge", "dev", "a", func(a *v1alpha1.TopicACL) {
			a.Spec.Subjects = []v1alpha1.Subject{{Authenticated: true}}
			a.Spec.Rules[0].Topics = topics
		}))
	}
	shard := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: b.Namespace, Name: resource.ShardName(b, 0)}}
	env.Eventually(t, func() error { return env.Client.Get(t.Context(), client.ObjectKeyFromObject(shard), shard) })
	env.WaitFor(t, b, testenv.Ready, isTrue(v1alpha1.ConditionConfigApplied))
	isWhole := func() error {
		files, err := env.AccessFiles(t.Context(), b)
		if err == nil {
			_, err = config.Parse([]byte(`{"listeners":[{"name":"a","port":1}]}`), files)
		}
		return err
	}
	for name, harm := range map[string]func() error{
		"half written": func() error {
			testenv.Update(t, env, shard, func(s *corev1.Secret) {
				for name, content := range s.Data {
					s.Data[name] = content[:len(content)/2]
				}
			})
			return nil
		},
		"deleted": func() error { return env.Client.Delete(t.Context(), shard) },
	} {
		if err := harm(); err != nil {
			t.Fatal(name, err)
		}
		env.Eventually(t, isWhole)
		env.WaitFor(t, b, testenv.Ready, isTrue(v1alpha1.ConditionConfigApplied))
	}
}
