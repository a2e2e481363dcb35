package topicacl_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/testenv"
)

var env *testenv.Env

func TestMain(m *testing.M) {
	os.Exit(testenv.Main(m, testenv.Options{CertManager: true}, func(e *testenv.Env) { env = e }))
}

func rejected(reason, message string) []testenv.Expect {
	return []testenv.Expect{
		{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: reason, Message: message},
		{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason},
	}
}

//api:semantics 9 12
func TestAnACLMayComeBeforeItsBrokerAndItsUsers(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	acl := testenv.ACL(ns, "devices", "edge", "dev", "telemetry/%u/#", func(a *v1alpha1.TopicACL) {
		a.Spec.Subjects = append(a.Spec.Subjects, v1alpha1.Subject{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"fleet": "eu"}},
		})
	})
	env.Create(t, acl)
	env.WaitFor(t, acl, rejected(v1alpha1.ReasonBrokerNotFound, "")...)

	b := testenv.Broker(ns, "edge")
	env.Create(t, b)
	pod := env.RunPod(t, b)
	env.WaitFor(t, acl, testenv.Ready)
	if acl.Status.MatchedUsers != 0 {
		t.Errorf("%d users match before there is one", acl.Status.MatchedUsers)
	}

	fleet := func(u *v1alpha1.MQTTUser) { u.Labels = map[string]string{"fleet": "eu"} }
	env.Create(t,
		testenv.Secret(ns, "dev", "password", "one"), testenv.User(ns, "dev", "edge", fleet),
		testenv.Secret(ns, "truck", "password", "two"), testenv.User(ns, "truck", "edge", fleet),
		testenv.Secret(ns, "other", "password", "three"), testenv.User(ns, "other", "edge"),
	)
	env.Eventually(t, func() error {
		env.WaitFor(t, acl, testenv.Ready)
		if acl.Status.MatchedUsers != 2 {
			return errMatched(acl.Status.MatchedUsers)
		}
		return nil
	})

	pod.Hold("")
	testenv.Update(t, env, acl, func(a *v1alpha1.TopicACL) { a.Spec.Rules[0].Topics = []string{"other/%u"} })
	env.WaitFor(t, acl, testenv.Expect{Type: v1alpha1.ConditionProgrammed, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonApplying})
	pod.Release()
	env.WaitFor(t, acl, testenv.Ready)
	measured(t, v1alpha1.KindTopicACL)
}

// measured waits until the operator has measured how long something of a kind
// took to be enforced.
func measured(t *testing.T, kind string) {
	t.Helper()
	env.Eventually(t, func() error {
		families, err := metrics.Registry.Gather()
		if err != nil {
			return err
		}
		for _, f := range families {
			for _, m := range f.Metric {
				if f.GetName() == "godwit_programming_seconds" && m.Label[0].GetValue() == kind && m.GetHistogram().GetSampleCount() > 0 {
					return nil
				}
			}
		}
		return fmt.Errorf("nothing was measured of any %s", kind)
	})
}

type errMatched int32

func (errMatched) Error() string { return "another number of users matches" }

//api:semantics 2
func TestABadFilterIsNamed(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	env.Create(t, testenv.Broker(ns, "edge"))
	for name, filter := range map[string]string{"hash": "a/#/b", "plus": "a+/b"} {
		err := env.Client.Create(t.Context(), testenv.ACL(ns, name, "edge", "dev", filter))
		if err == nil || !strings.Contains(err.Error(), "spec.rules[0].topics[0]") {
			t.Errorf("filter %q is answered with %v", filter, err)
		}
	}
	for name, filter := range map[string]string{"placeholder": "a/x%u", "share": "$share/g"} {
		acl := testenv.ACL(ns, name, "edge", "dev", filter)
		env.Create(t, acl)
		env.WaitFor(t, acl, rejected(v1alpha1.ReasonInvalidRule, "spec.rules[0].topics[0]")...)
	}
}

//api:semantics 1
func TestShadowedRulesAreShownWhileTheyAre(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	everybody := func(a *v1alpha1.TopicACL) { a.Spec.Subjects = []v1alpha1.Subject{{Authenticated: true}} }
	guard := testenv.ACL(ns, "guard", "edge", "", "secret/#", everybody, func(a *v1alpha1.TopicACL) { a.Spec.Rules[0].Effect = v1alpha1.Deny })
	acl := testenv.ACL(ns, "mine", "edge", "", "secret/a", everybody)
	env.Create(t, testenv.Broker(ns, "edge"), acl, guard)
	shows := func(want ...v1alpha1.ShadowedRule) {
		t.Helper()
		env.Eventually(t, func() error {
			if err := env.Client.Get(t.Context(), client.ObjectKeyFromObject(acl), acl); err != nil {
				return err
			}
			if !slices.Equal(acl.Status.ShadowedRules, want) {
				return fmt.Errorf("shadowed rules %v, want %v", acl.Status.ShadowedRules, want)
			}
			return nil
		})
	}
	shows(v1alpha1.ShadowedRule{Index: 0, CoveredBy: "Deny in TopicACL " + ns + "/guard, spec.rules[0]"})
	testenv.Update(t, env, guard, func(a *v1alpha1.TopicACL) { a.Spec.Rules[0].Topics = []string{"other/#"} })
	shows()
}

//api:semantics 8
func TestACLsNeedTheConsentOfTheBrokerToo(t *testing.T) {
	t.Parallel()
	home, abroad := env.Namespace(t, nil), env.Namespace(t, nil)
	b := testenv.Broker(home, "edge")
	env.Create(t, b)
	acl := testenv.ACL(abroad, "mine", "edge", "dev", "#", func(a *v1alpha1.TopicACL) { a.Spec.BrokerRef.Namespace = home })
	env.Create(t, acl)
	env.WaitFor(t, acl, rejected(v1alpha1.ReasonNotAllowedByBroker, abroad)...)
	testenv.Update(t, env, b, func(b *v1alpha1.Broker) { b.Spec.AllowedUsers.Namespaces.From = v1alpha1.FromAll })
	env.WaitFor(t, acl, testenv.Expect{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue})
}

func TestAnACLMayTurnToAnotherBroker(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, nil)
	b := testenv.Broker(ns, "edge")
	env.Create(t, b)
	env.RunPod(t, b)
	acl := testenv.ACL(ns, "mine", "edge", "dev", "#")
	env.Create(t, acl)
	env.WaitFor(t, acl, testenv.Ready)
	testenv.Update(t, env, acl, func(a *v1alpha1.TopicACL) { a.Spec.BrokerRef.Name = "core" })
	env.WaitFor(t, acl, rejected(v1alpha1.ReasonBrokerNotFound, "core")...)
}
