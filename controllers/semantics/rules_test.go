package semantics_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Deny wins, whichever of the two TopicACLs is the older.
//
//api:semantics 1
func TestRulesOfAllACLsAreOneUnion(t *testing.T) {
	t.Parallel()
	for name, denyFirst := range map[string]bool{"Deny is older": true, "Allow is older": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.users(t, "dev")
			acls := []client.Object{w.everybody("b", allow("x/#")), w.everybody("a", deny("x/secret"))}
			if denyFirst {
				acls[0], acls[1] = acls[1], acls[0]
			}
			for _, acl := range append(acls, only("dev", w.everybody("c", allow("y")))) {
				w.ready(t, acl)
			}
			may(t, w.connect(t, "dev", "c"), map[string]bool{
				"pub x/open": true, "pub x/secret": false, "pub y": true, "pub z": false,
				"sub x/open": true, "sub x/secret": false, "sub y": true, "sub z": false,
			})
		})
	}
}

//api:semantics 1
func TestWithoutARuleTheDefaultDecides(t *testing.T) {
	t.Parallel()
	for _, effect := range []v1alpha1.Effect{v1alpha1.Allow, v1alpha1.Deny} {
		t.Run(string(effect), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(b *v1alpha1.Broker) { b.Spec.Authorization.Default = effect })
			w.users(t, "dev")
			w.ready(t, w.everybody("denied", deny("x")))
			allowed := effect == v1alpha1.Allow
			may(t, w.connect(t, "dev", "c"), map[string]bool{"pub a": allowed, "sub a": allowed, "pub x": false, "sub x": false})
		})
	}
}

//api:semantics 2
func TestPlaceholdersStandForOneLevel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(t, "dev", "other")
	w.ready(t, w.everybody("own", allow("by-user/%u/#", "by-client/%c")))
	may(t, w.connect(t, "dev", "c1"), map[string]bool{
		"pub by-user/dev/x": true, "pub by-user/other/x": false, "pub by-user/dev-1/x": false,
		"sub by-user/dev/#": true, "sub by-user/+/x": false,
		"pub by-client/c1": true, "pub by-client/c2": false, "sub by-client/c1": true,
	})
	may(t, w.connect(t, "other", "c2"), map[string]bool{"pub by-user/other/x": true, "pub by-client/c2": true, "pub by-client/c1": false})
	for _, id := range []string{"a/b", "+", "#", "a#"} {
		t.Run("client identifier "+id, func(t *testing.T) {
			may(t, w.connect(t, "dev", id), map[string]bool{
				"sub by-client/+": false, "sub by-client/#": false, "sub by-client/a/b": false, "pub by-client/a/b": false, "pub by-user/dev/x": true,
			})
		})
	}
}

//api:semantics 3
func TestWildcardsDoNotCoverDollarTopics(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(t, "dev", "operator")
	w.ready(t, only("dev", w.everybody("all", allow("#", "+/x"))), only("operator", w.everybody("named", allow("$own/#", "$SYS/#"))))
	may(t, w.connect(t, "dev", "c"), map[string]bool{"pub a/x": true, "pub $own/x": false, "sub $own/#": false, "sub $SYS/#": false, "sub #": true})
	may(t, w.connect(t, "operator", "o"), map[string]bool{"pub $own/x": true, "sub $SYS/#": true, "pub $SYS/x": false, "sub #": false})
}

//api:semantics 3
func TestSharedSubscriptionsAreJudgedOnTheirFilter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(t, "any", "grouped", "limited")
	w.ready(t,
		only("any", w.everybody("any", allow("jobs/#"))),
		only("grouped", w.everybody("grouped", allow("$share/workers/jobs/#"))),
		only("limited", w.everybody("limited", allow("jobs/#"), deny("$share/workers/jobs/#"))))
	may(t, w.connect(t, "any", "1"), map[string]bool{"sub $share/workers/jobs/#": true, "sub $share/others/jobs/1": true, "sub $share/workers/x": false})
	may(t, w.connect(t, "grouped", "2"), map[string]bool{"sub $share/workers/jobs/#": true, "sub $share/others/jobs/#": false, "sub jobs/#": false})
	may(t, w.connect(t, "limited", "3"), map[string]bool{"sub $share/workers/jobs/1": false, "sub $share/others/jobs/#": true, "sub jobs/#": true})
}

//api:semantics 4
func TestSubscriptionsAreGrantedByOneRule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(t, "dev", "sender")
	w.ready(t,
		only("dev", w.everybody("dev", allow("a/#", "b/+", "b/+/#"), deny("a/secret/#"))),
		only("sender", w.everybody("sender", allow("#"))))
	for v, no := range map[packet.Version]packet.ReasonCode{packet.V5: packet.ReasonNotAuthorized, packet.V311: packet.ReasonUnspecifiedError} {
		t.Run(v.String(), func(t *testing.T) {
			c := w.connectBy(t, v, "dev", "c"+v.String())
			for filter, want := range map[string]packet.ReasonCode{
				"a/#": 0, "a/+": 0, "#": no, "+/x": no, // more than one rule covers
				"b/#":      no,                                       // which two rules cover together
				"a/secret": no, "a/secret/#": no, "a/secret/+/x": no, // all of it is denied
			} {
				if got := subscribes(c, filter); got != want {
					t.Errorf("SUBSCRIBE to %s: %v, want %v", filter, got, want)
				}
			}
		})
	}
	c, sender := w.connect(t, "dev", "c"), w.connect(t, "sender", "s")
	sender.Publish("a/secret/retained", "hidden", packet.QoS1, brokertest.Retained)
	c.Subscribe("a/#", packet.QoS1)
	for _, topic := range []string{"a/secret", "a/secret/x", "a/open"} {
		sender.Publish(topic, "m", packet.QoS1)
	}
	c.ExpectPublish("a/open", "m")
	c.ExpectSilence()
}

//api:semantics 5
func TestARefusedPublishIsAnsweredAndCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(t, "dev")
	w.ready(t, w.everybody("all", allow("#"), deny("secret")))
	witness := w.connect(t, "dev", "witness")
	witness.Subscribe("#", packet.QoS0)
	for _, v := range []packet.Version{packet.V311, packet.V5} {
		c := w.connectBy(t, v, "dev", "c"+v.String())
		reason := packet.ReasonNotAuthorized
		if v == packet.V311 {
			reason = 0 // the packet has no place for one
		}
		first, second := brokertest.NewPublish("secret", "1"), brokertest.NewPublish("secret", "2")
		first.QoS, first.ID, second.QoS, second.ID = packet.QoS1, 1, packet.QoS2, 2
		c.Send(first, second)
		c.Expect(&packet.Ack{Type: packet.TypePuback, ID: 1, Reason: reason}, &packet.Ack{Type: packet.TypePubrec, ID: 2, Reason: reason})
	}
	witness.ExpectSilence()
	const counted = `godwit_authorization_denied_total{action="publish",user="dev"} 4`
	if metrics := w.metrics(t); !strings.Contains(metrics, counted+"\n") {
		t.Errorf("the metrics do not say %s", counted)
	}
}

// metrics are those of the broker.
func (w *world) metrics(t *testing.T) string { return w.ask(t, "/metrics") }

// ask asks the admin endpoint.
func (w *world) ask(t *testing.T, path string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.pod.Admin()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s (%v)", path, response.Status, err)
	}
	return string(text)
}
