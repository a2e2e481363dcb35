package enforcement_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/enforcement"
	"github.com/godwit-mqtt/godwit/controllers/render"
)

var (
	broker = types.NamespacedName{Namespace: "iot", Name: "edge"}
	dev    = &v1alpha1.MQTTUser{
		ObjectMeta: metav1.ObjectMeta{Namespace: "iot", Name: "dev", UID: "1", Generation: 1},
		Spec:       v1alpha1.MQTTUserSpec{BrokerRef: v1alpha1.BrokerRef{Name: "edge"}},
	}
)

// output is a configuration that holds dev with a digest.
func output(revision, digest string) *render.Output {
	return &render.Output{Revision: revision, Users: []render.Object{{
		Key: types.NamespacedName{Namespace: "iot", Name: "dev"}, UID: "1", Generation: 1, Digest: digest,
		Verdict: render.Verdict{Reason: v1alpha1.ReasonAccepted},
	}}}
}

func pod(name, revision string) enforcement.Pod {
	return enforcement.Pod{Name: name, Instance: name, Revision: revision}
}

//api:semantics 9
func TestProgrammedNeedsTheAnswerOfEveryPod(t *testing.T) {
	type step struct {
		out    *render.Output
		pods   []enforcement.Pod
		reason string
	}
	for name, steps := range map[string][]step{
		"no pod":    {{output("r1", "a"), nil, v1alpha1.ReasonNoRunningPods}},
		"no answer": {{output("r1", "a"), []enforcement.Pod{pod("0", "")}, v1alpha1.ReasonApplying}},
		"one of two": {
			{output("r1", "a"), []enforcement.Pod{pod("0", "r1"), pod("1", "")}, v1alpha1.ReasonApplying},
			{output("r1", "a"), []enforcement.Pod{pod("0", "r1"), pod("1", "r1")}, v1alpha1.ReasonProgrammed},
		},
		"a revision that nobody knows": {{output("r2", "a"), []enforcement.Pod{pod("0", "r1")}, v1alpha1.ReasonApplying}},
		"an older revision with the same": {
			{output("r1", "a"), []enforcement.Pod{pod("0", "r1")}, v1alpha1.ReasonProgrammed},
			{output("r2", "a"), []enforcement.Pod{pod("0", "r1")}, v1alpha1.ReasonProgrammed},
			{output("r3", "a"), []enforcement.Pod{pod("0", "r1")}, v1alpha1.ReasonProgrammed},
			{output("r4", "b"), []enforcement.Pod{pod("0", "r1")}, v1alpha1.ReasonApplying},
			{output("r4", "b"), []enforcement.Pod{pod("0", "r4")}, v1alpha1.ReasonProgrammed},
		},
		"silence after an answer": {
			{output("r1", "a"), []enforcement.Pod{pod("0", "r1")}, v1alpha1.ReasonProgrammed},
			{output("r1", "a"), []enforcement.Pod{pod("0", "")}, v1alpha1.ReasonProgrammed},
		},
		"a pod that starts again": {
			{output("r1", "a"), []enforcement.Pod{pod("0", "r1")}, v1alpha1.ReasonProgrammed},
			{output("r1", "a"), []enforcement.Pod{{Name: "0", Instance: "0 again"}}, v1alpha1.ReasonApplying},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := enforcement.NewLedger()
			for i, s := range steps {
				l.Publish(t.Context(), broker, s.out, s.pods)
				if state, ok := l.User(dev); !ok || state.Programmed.Reason != s.reason {
					t.Errorf("step %d: %v, %+v; want %s", i, ok, state.Programmed, s.reason)
				}
			}
		})
	}
}

func TestChangesAreAnnouncedOnce(t *testing.T) {
	l := enforcement.NewLedger()
	publish := func(out *render.Output, want int) {
		t.Helper()
		l.Publish(t.Context(), broker, out, []enforcement.Pod{pod("0", "r1")})
		if n := len(l.Users()); n != want {
			t.Errorf("%d changes wait, want %d", n, want)
		}
		for range len(l.Users()) {
			<-l.Users()
		}
	}
	publish(output("r1", "a"), 1)
	publish(output("r1", "a"), 0)
	publish(output("r2", "a"), 0)
	publish(output("r3", "b"), 1)
	publish(&render.Output{Revision: "r4"}, 1)
	publish(output("r1", "a"), 1)
	l.Forget(t.Context(), broker)
	if n := len(l.Users()); n != 1 {
		t.Errorf("%d changes wait when the Broker is gone", n)
	}
	if _, ok := l.User(dev); ok {
		t.Error("the record of a Broker that is gone is still there")
	}
}

func TestOnlyTheGenerationThatWasJudgedIsKnown(t *testing.T) {
	l := enforcement.NewLedger()
	l.Publish(t.Context(), broker, output("r1", "a"), nil)
	newer, another := dev.DeepCopy(), dev.DeepCopy()
	newer.Generation, another.UID = 2, "2"
	for _, u := range []*v1alpha1.MQTTUser{newer, another} {
		if _, ok := l.User(u); ok {
			t.Errorf("something is known of %s of generation %d", u.UID, u.Generation)
		}
	}
}
