package broker_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	admin "github.com/godwit-mqtt/godwit/broker/admin/client"
	"github.com/godwit-mqtt/godwit/controllers/testenv"
)

// look has the Broker of a pod looked at again.
func look(t *testing.T, pod *testenv.Pod, value string) {
	t.Helper()
	testenv.Update(t, env, pod.Object(t), func(p *corev1.Pod) {
		metav1.SetMetaDataAnnotation(&p.ObjectMeta, "example.com/look", value)
	})
}

func TestAFullDiskIsToldInTheBrokersStatus(t *testing.T) {
	t.Parallel()
	b, pod := readyBroker(t, env.Namespace(t, nil))
	env.WaitFor(t, b, testenv.Expect{Type: v1alpha1.ConditionStorageReady, Status: metav1.ConditionUnknown})
	pod.Store(&admin.Storage{Error: "the disk is nearly full: 2 MiB of 64 MiB are free", Free: 2 << 20, Total: 64 << 20})
	look(t, pod, "full")
	env.WaitFor(t, b,
		isFalse(v1alpha1.ConditionStorageReady, v1alpha1.ReasonStorageFull, "2 MiB of 64 MiB are free"),
		isFalse(v1alpha1.ConditionStorageReady, v1alpha1.ReasonStorageFull, "expand the PersistentVolumeClaim data-edge-0"),
		testenv.Ready) // who has a session there has to reach it
	pod.Store(&admin.Storage{Free: 32 << 20, Total: 64 << 20})
	look(t, pod, "space")
	env.WaitFor(t, b, isTrue(v1alpha1.ConditionStorageReady), testenv.Ready)
}

func TestStorageThatDoesNotWorkIsToldInTheBrokersStatus(t *testing.T) {
	t.Parallel()
	b, pod := readyBroker(t, env.Namespace(t, nil))
	pod.Store(&admin.Storage{Total: 64 << 20})
	const last = "time=x level=INFO msg=\"serving\"\n" +
		"godwit: the storage does not work: open store in /var/lib/godwit: write 000004.log:\n  input/output error\n"
	pod.Crash(t, admin.ExitStorage, last)
	const why = "pod edge-0: the storage does not work: open store in /var/lib/godwit: write 000004.log: input/output error"
	env.WaitFor(t, b,
		isFalse(v1alpha1.ConditionStorageReady, v1alpha1.ReasonStorageFailed, why),
		isFalse(v1alpha1.ConditionReady, v1alpha1.ReasonStorageFailed, "PersistentVolumeClaim data-edge-0"))
	pod.Recover(t)
	env.WaitFor(t, b, isTrue(v1alpha1.ConditionStorageReady), testenv.Ready)
	pod.Crash(t, 1, "godwit: configuration: no such file")
	env.WaitFor(t, b, testenv.Expect{Type: v1alpha1.ConditionStorageReady, Status: metav1.ConditionUnknown})
}

func TestStorageIsNotNeededWithoutPersistence(t *testing.T) {
	t.Parallel()
	b := testenv.Broker(env.Namespace(t, nil), "edge", func(b *v1alpha1.Broker) { b.Spec.Persistence.Enabled = new(false) })
	env.Create(t, b)
	env.WaitFor(t, b, testenv.Expect{Type: v1alpha1.ConditionStorageReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonNotNeeded})
}
