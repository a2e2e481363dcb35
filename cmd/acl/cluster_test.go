package acl

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/cmd/dev/manifest"
	"github.com/godwit-mqtt/godwit/controllers"
)

// cluster holds the objects of the manifests, with a change to the Broker, and a
// namespace with a label.
func cluster(t *testing.T, change func(*v1alpha1.Broker)) client.Reader {
	t.Helper()
	scheme, err := controllers.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	set, err := manifest.Source{Paths: []string{"-"}, Stdin: strings.NewReader(manifests)}.Load()
	if err != nil {
		t.Fatal(err)
	}
	change(&set.Brokers[0])
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(
		&set.Brokers[0],
		&v1alpha1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: "two", Name: "a"}},
		&v1alpha1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: "two", Name: "b"}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "elsewhere", Labels: map[string]string{"team": "x"}}},
	)
	for i := range set.Users {
		c.WithObjects(&set.Users[i])
	}
	for i := range set.ACLs {
		c.WithObjects(&set.ACLs[i])
	}
	return c.Build()
}

func TestClusterIsReadAsTheBrokerAdmits(t *testing.T) {
	for name, tc := range map[string]struct {
		from     v1alpha1.AllowedNamespaces
		outsider bool
	}{
		"its own namespace": {v1alpha1.AllowedNamespaces{From: v1alpha1.FromSame}, false},
		"all":               {v1alpha1.AllowedNamespaces{From: v1alpha1.FromAll}, true},
		"by label": {v1alpha1.AllowedNamespaces{From: v1alpha1.FromSelector,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "x"}}}, true},
		"by another label": {v1alpha1.AllowedNamespaces{From: v1alpha1.FromSelector,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "y"}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := cluster(t, func(b *v1alpha1.Broker) { b.Spec.AllowedUsers.Namespaces = tc.from })
			o, err := FromCluster(t.Context(), c, "iot", "")
			if err != nil {
				t.Fatal(err)
			}
			r, err := New(o)
			if err != nil {
				t.Fatal(err)
			}
			if a, err := r.Answer(Question{Action: Publish, Topic: "telemetry/dev-1/t", User: "dev-1"}); err != nil || !a.Allowed {
				t.Errorf("%+v, %v", a, err)
			}
			if _, inForce := r.snapshot.User("outsider"); inForce != tc.outsider {
				t.Errorf("the user of the other namespace is in force: %t", inForce)
			}
		})
	}
}

func TestClusterBrokerIsChosenByName(t *testing.T) {
	c := cluster(t, func(*v1alpha1.Broker) {})
	for name, tc := range map[string]struct{ namespace, broker, want, err string }{
		"the only one":  {"iot", "", "iot/edge", ""},
		"by name":       {"two", "b", "two/b", ""},
		"by full name":  {"iot", "two/a", "two/a", ""},
		"several":       {"two", "", "", "choose with --broker one of a, b"},
		"none":          {"empty", "", "", "no Broker in namespace empty"},
		"not that name": {"iot", "core", "", "read Broker iot/core"},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := FromCluster(t.Context(), c, tc.namespace, tc.broker)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error = %v, want one that says %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := o.Broker.Namespace + "/" + o.Broker.Name; got != tc.want {
				t.Errorf("Broker %s, want %s", got, tc.want)
			}
		})
	}
}
