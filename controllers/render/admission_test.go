package render_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/render"
)

// Who may bind is decided by the Broker's own namespace, and beyond it by exactly what the Broker
// has chosen: a selector counts where it is chosen, and nothing else counts where it is.
func TestABrokerAdmitsTheNamespacesThatItHasChosen(t *testing.T) {
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"team": "iot"}}
	namespaces := map[string]map[string]string{
		"chosen": {"team": "iot"}, "other": {"team": "web"}, "bare": nil,
	}
	for _, tc := range []struct {
		name     string
		from     v1alpha1.AllowedFrom
		selector *metav1.LabelSelector
		admitted []string
	}{
		{"nothing said", "", nil, nil},
		{"its own", v1alpha1.FromSame, nil, nil},
		{"its own, with a selector that is not in use", v1alpha1.FromSame, selector, nil},
		{"all", v1alpha1.FromAll, nil, []string{"chosen", "other", "bare", "unknown"}},
		{"all, with a selector that is not in use", v1alpha1.FromAll, selector, []string{"chosen", "other", "bare", "unknown"}},
		{"by selector", v1alpha1.FromSelector, selector, []string{"chosen"}},
		{"by no selector", v1alpha1.FromSelector, nil, nil},
		{"by an empty selector", v1alpha1.FromSelector, &metav1.LabelSelector{}, []string{"chosen", "other", "bare", "unknown"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := input(t)
			in.Namespaces = namespaces
			in.Broker.Spec.AllowedUsers.Namespaces = v1alpha1.AllowedNamespaces{From: tc.from, Selector: tc.selector}
			want := map[string]bool{"iot": true}
			for _, n := range tc.admitted {
				want[n] = true
			}
			for _, n := range []string{"iot", "chosen", "other", "bare", "unknown"} {
				expectAdmission(t, in, n, want[n])
			}
		})
	}
}

func expectAdmission(t *testing.T, in render.Input, namespace string, want bool) {
	t.Helper()
	if got := in.Admits()(namespace); got != want {
		t.Errorf("namespace %q is admitted: %t, want %t", namespace, got, want)
	}
	in.Users, in.ACLs = nil, nil
	with := input(t,
		`{kind: MQTTUser, metadata: {name: dev, namespace: `+namespace+`}, spec: {brokerRef: {name: edge, namespace: iot}, authentication: {password: {secretRef: {name: s}}}}}`,
		`{kind: TopicACL, metadata: {name: acl, namespace: `+namespace+`}, spec: {brokerRef: {name: edge, namespace: iot}, subjects: [{user: dev}], rules: [{effect: Allow, actions: [Publish], topics: [a]}]}}`,
		`{kind: Secret, metadata: {name: s, namespace: `+namespace+`}, stringData: {password: one}}`)
	with.Broker, with.Namespaces = in.Broker, in.Namespaces
	out := mustRender(t, with)
	for kind, v := range map[string]render.Verdict{
		"user": verdictOf(t, out.Users, "dev"), "ACL": verdictOf(t, out.ACLs, "acl"),
	} {
		if v.Accepted() != want {
			t.Errorf("the %s of namespace %q: %+v", kind, namespace, v)
		}
		if !want && (v.Reason != v1alpha1.ReasonNotAllowedByBroker || !strings.Contains(v.Message, `"`+namespace+`"`)) {
			t.Errorf("the %s of namespace %q is refused with %+v", kind, namespace, v)
		}
	}
	access := accessOf(t, out)
	if (len(access.Users) == 1) != want || (len(access.Policies) == 1) != want {
		t.Errorf("of namespace %q %d users and %d policies are rendered", namespace, len(access.Users), len(access.Policies))
	}
}

// A selector that cannot be read admits nobody, and is an error.
func TestASelectorThatCannotBeReadAdmitsNobody(t *testing.T) {
	in := input(t, secrets, dev)
	in.Namespaces = map[string]map[string]string{"other": {"team": "iot"}}
	in.Broker.Spec.AllowedUsers.Namespaces = v1alpha1.AllowedNamespaces{
		From: v1alpha1.FromSelector,
		Selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "team", Operator: "Like", Values: []string{"iot"}},
		}},
	}
	for _, n := range []string{"iot", "other"} {
		if in.Admits()(n) {
			t.Errorf("namespace %q is admitted", n)
		}
	}
	out, err := render.Render(in)
	if out != nil || err == nil || !strings.Contains(err.Error(), "render Broker iot/edge: spec.allowedUsers.namespaces.selector") {
		t.Errorf("rendered %v, error %v", out, err)
	}
}
