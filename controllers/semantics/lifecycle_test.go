package semantics_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/testenv"
)

// Nothing that the operator makes or sees gets a finalizer, so that nothing waits
// for the operator to be deleted.
//
//api:semantics 12
func TestNothingHasAFinalizer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(t, "dev")
	w.ready(t, w.everybody("all", allow("#")), testenv.User(w.ns, "made", "edge", generated))
	for _, o := range w.objects(t, w.ns) {
		if len(o.GetFinalizers()) > 0 {
			t.Errorf("%s %s has the finalizers %v", o.GetKind(), o.GetName(), o.GetFinalizers())
		}
	}
}

// An object is never taken for finished before the operator has seen it, nor after
// a change of its spec: kstatus is what Helm, Flux and Argo CD judge by.
//
//api:semantics 13
func TestStatusTellsTheTruthFromBirth(t *testing.T) {
	t.Parallel()
	env := testenv.Start(t, options)
	w := newWorldOf(t, env)
	user, acl := testenv.User(w.ns, "dev", "edge"), w.everybody("all", allow("#"))
	stop(t, env)
	broken := testenv.User(w.ns, "broken", "edge")
	idle := testenv.Broker(w.ns, "idle", func(b *v1alpha1.Broker) { b.Spec.Replicas = new(int32(0)) })
	w.Create(t, testenv.Secret(w.ns, "dev", "password", "dev"), user, acl, broken, idle)
	for _, o := range []client.Object{user, acl, broken, idle} {
		w.mustBe(t, o, status.InProgressStatus)
	}
	w.mustBe(t, w.broker, status.CurrentStatus)

	start(t, env)
	for _, o := range []client.Object{user, acl} {
		w.becomes(t, o, status.CurrentStatus)
	}
	w.WaitFor(t, broken, testenv.Expect{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonWaitingForSecret})
	w.mustBe(t, broken, status.InProgressStatus)

	stop(t, env)
	testenv.Update(t, env, user, func(u *v1alpha1.MQTTUser) { u.Spec.ClientIDs = []string{"one"} })
	testenv.Update(t, env, w.broker, func(b *v1alpha1.Broker) { b.Spec.MQTT.MaxQueuedMessages = new(int32(7)) })
	w.mustBe(t, user, status.InProgressStatus)
	w.mustBe(t, w.broker, status.InProgressStatus)
	start(t, env)
	w.becomes(t, user, status.CurrentStatus)
	w.becomes(t, w.broker, status.CurrentStatus)

	// What only a person can mend is a failure.
	testenv.Update(t, env, w.broker, func(b *v1alpha1.Broker) {
		b.Spec.TLS = &v1alpha1.TLS{SecretName: "missing"}
		b.Spec.AllowedUsers.Namespaces = v1alpha1.AllowedNamespaces{From: v1alpha1.FromSelector, Selector: &metav1.LabelSelector{
			MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "k", Operator: "Nonsense"}},
		}}
	})
	w.becomes(t, w.broker, status.FailedStatus)
}

// kstatus computes what tools think of an object.
func (w *world) kstatus(t *testing.T, o client.Object) (status.Status, error) {
	t.Helper()
	u := &unstructured.Unstructured{}
	gvk, err := w.Client.GroupVersionKindFor(o)
	if err != nil {
		t.Fatal(err)
	}
	u.SetGroupVersionKind(gvk)
	if err := w.Client.Get(t.Context(), client.ObjectKeyFromObject(o), u); err != nil {
		return "", err
	}
	result, err := status.Compute(u)
	if err != nil {
		return "", err
	}
	return result.Status, nil
}

func (w *world) mustBe(t *testing.T, o client.Object, want status.Status) {
	t.Helper()
	if got, err := w.kstatus(t, o); err != nil || got != want {
		t.Errorf("%T %s is %s (%v), want %s", o, o.GetName(), got, err, want)
	}
}

func (w *world) becomes(t *testing.T, o client.Object, want status.Status) {
	t.Helper()
	w.Eventually(t, func() error {
		got, err := w.kstatus(t, o)
		if err == nil && got != want {
			err = fmt.Errorf("%T %s is %s, not %s", o, o.GetName(), got, want)
		}
		return err
	})
}

// What the controller of StatefulSets does with the volume of a deleted one is said
// in its spec; the story of package e2e deletes one.
//
//api:semantics 14
func TestTheVolumeOfADeletedBrokerStaysUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	ns := shared.Namespace(t, nil)
	for name, want := range map[string]appsv1.PersistentVolumeClaimRetentionPolicyType{
		"":       appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
		"Retain": appsv1.RetainPersistentVolumeClaimRetentionPolicyType,
		"Delete": appsv1.DeletePersistentVolumeClaimRetentionPolicyType,
	} {
		b := testenv.Broker(ns, "volume"+strings.ToLower(name), func(b *v1alpha1.Broker) {
			b.Spec.Persistence.ReclaimPolicy = v1alpha1.ReclaimPolicy(name)
		})
		shared.Create(t, b)
		set := &appsv1.StatefulSet{}
		shared.Eventually(t, func() error { return shared.Client.Get(t.Context(), client.ObjectKeyFromObject(b), set) })
		got := set.Spec.PersistentVolumeClaimRetentionPolicy
		if got == nil || got.WhenDeleted != want || got.WhenScaled != appsv1.RetainPersistentVolumeClaimRetentionPolicyType {
			t.Errorf("reclaimPolicy %q: the StatefulSet has %+v, want %s", name, got, want)
		}
	}
}

// A pod that starts while there is no operator knows all users and rules.
//
//api:semantics 16
func TestPodsAuthenticateWithoutTheOperator(t *testing.T) {
	t.Parallel()
	env := testenv.Start(t, options)
	w := newWorldOf(t, env)
	w.users(t, "dev")
	w.ready(t, w.everybody("all", allow("#"), deny("secret")))
	stop(t, env)
	w.pod.Restart(t)
	w.mustLogin(t, "dev", "dev", admitted)
	w.mustLogin(t, "dev", "wrong", refused)
	w.mustLogin(t, "nobody", "dev", refused)
	may(t, w.connect(t, "dev", "c"), map[string]bool{"pub open": true, "pub secret": false, "sub secret": false})
	start(t, env)
}

// Another version of the operator has another image for brokers that name none, and
// leaves those alone that name theirs, with all their clients.
//
//api:semantics 17
func TestAnUpgradeOfTheOperatorRestartsNoBrokerThatNamesItsImage(t *testing.T) {
	t.Parallel()
	env := testenv.Start(t, options)
	pinned := newWorldOf(t, env, func(b *v1alpha1.Broker) { b.Spec.Image = "godwit:pinned" })
	pinned.users(t, "dev")
	following := testenv.Broker(pinned.ns, "following")
	env.Create(t, following)
	env.Eventually(t, func() error { return runs(t, env, following, env.Image) })
	connected, before := pinned.connect(t, "dev", "c"), setOf(t, env, pinned.broker)

	stop(t, env)
	env.Image = "godwit:upgraded"
	start(t, env)
	env.Eventually(t, func() error { return runs(t, env, following, env.Image) })
	late := testenv.User(pinned.ns, "late", "edge") // the new operator works for this Broker
	pinned.ready(t, testenv.Secret(pinned.ns, "late", "password", "late"), late)
	if after := setOf(t, env, pinned.broker); after.Generation != before.Generation {
		t.Errorf("the StatefulSet of a Broker that names its image is of generation %d, and was of %d", after.Generation, before.Generation)
	}
	connected.ExpectSilence()
	pinned.mustLogin(t, "late", "late", admitted)
}

// runs checks the image of a Broker's pods.
func runs(t *testing.T, env *testenv.Env, b *v1alpha1.Broker, image string) error {
	t.Helper()
	set := &appsv1.StatefulSet{}
	if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(b), set); err != nil {
		return err
	}
	if got := set.Spec.Template.Spec.Containers[0].Image; got != image {
		return fmt.Errorf("Broker %s runs %s, not %s", b.Name, got, image)
	}
	return nil
}

func setOf(t *testing.T, env *testenv.Env, b *v1alpha1.Broker) *appsv1.StatefulSet {
	t.Helper()
	set := &appsv1.StatefulSet{}
	if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(b), set); err != nil {
		t.Fatal(err)
	}
	return set
}

func stop(t *testing.T, env *testenv.Env) {
	t.Helper()
	if err := env.StopOperator(); err != nil {
		t.Fatal("stop the operator:", err)
	}
}

func start(t *testing.T, env *testenv.Env) {
	t.Helper()
	if err := env.StartOperator(); err != nil {
		t.Fatal("start the operator:", err)
	}
}
