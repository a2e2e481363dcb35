package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	admin "github.com/godwit-mqtt/godwit/broker/admin/client"
	"github.com/godwit-mqtt/godwit/controllers/render"
)

// saying is the answer of a pod that tells of denials.
func saying(denials ...admin.Denial) podAnswer {
	return podAnswer{status: admin.Status{Denials: denials}}
}

func anybody(string) *corev1.ObjectReference { return &corev1.ObjectReference{} }

func nobody(string) *corev1.ObjectReference { return nil }

func TestADenialIsToldOnceItsUserIsThere(t *testing.T) {
	var d denials
	now := time.Unix(1_000_000, 0)
	answers := []podAnswer{saying(admin.Denial{User: "dev-1", Action: "publish", Topic: "t", Last: now})}
	if n := len(d.news(types.NamespacedName{}, answers, nobody, now)); n != 0 {
		t.Errorf("%d are told of nobody", n)
	}
	if n := len(d.news(types.NamespacedName{}, answers, anybody, now)); n != 1 {
		t.Errorf("%d are told", n)
	}
}

func TestDenialsAreToldOnceInAWhile(t *testing.T) {
	var d denials
	broker := types.NamespacedName{Namespace: "iot", Name: "edge"}
	start := time.Unix(1_000_000, 0)
	at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
	publish := func(last time.Time) admin.Denial {
		return admin.Denial{User: "dev-1", Action: "publish", Topic: "t", Last: last}
	}
	for _, step := range []struct {
		what    string
		now     time.Time
		answers []podAnswer
		want    int
	}{
		{"an old one", at(60), []podAnswer{saying(publish(at(0)))}, 0},
		{"the first, of two pods", at(61), []podAnswer{saying(publish(at(60))), saying(publish(at(61)))}, 1},
		{"again", at(62), []podAnswer{saying(publish(at(62)))}, 0},
		{"another topic", at(63), []podAnswer{saying(admin.Denial{User: "dev-1", Action: "publish", Topic: "u", Last: at(63)})}, 1},
		{"an action that is none", at(63), []podAnswer{saying(admin.Denial{User: "dev-1", Action: "drop table", Topic: "u", Last: at(63)})}, 0},
		{"not again without a new one", at(71), []podAnswer{saying(publish(at(62)))}, 0},
		{"after the quiet", at(72), []podAnswer{saying(publish(at(72)))}, 1},
	} {
		if got := len(d.news(broker, step.answers, anybody, step.now)); got != step.want {
			t.Errorf("%s: %d are told, want %d", step.what, got, step.want)
		}
	}
}

func TestAFloodOfDenialsIsToldAtItsPace(t *testing.T) {
	var d denials
	broker := types.NamespacedName{Namespace: "iot", Name: "edge"}
	now := time.Unix(1_000_000, 0)
	told := 0
	for second := range 60 {
		now = now.Add(time.Second)
		var flood []admin.Denial
		for i := range 100 {
			flood = append(flood, admin.Denial{User: "dev-1", Action: "publish", Topic: fmt.Sprint(second, i), Last: now})
		}
		told += len(d.news(broker, []podAnswer{saying(flood...)}, anybody, now))
	}
	if most := denialsAtOnce + 6; told > most || told < denialsAtOnce {
		t.Errorf("%d are told in a minute", told)
	}
	if n := len(d.brokers[broker].at); n != told {
		t.Errorf("%d are remembered, %d were told", n, told)
	}
	d.forget(broker)
	if len(d.brokers) != 0 {
		t.Error("a Broker that is gone is remembered")
	}
}

// denying is the scope of a Broker "iot/edge" with the user dev, to whom the
// TopicACL guard of a namespace denies secret/#.
func denying(t *testing.T, guards string, pods ...podAnswer) *scope {
	t.Helper()
	meta := func(namespace, name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID(namespace + name)}
	}
	broker := &v1alpha1.Broker{ObjectMeta: meta("iot", "edge")}
	broker.Spec.AllowedUsers.Namespaces.From = v1alpha1.FromAll
	ref := v1alpha1.BrokerRef{Name: "edge", Namespace: "iot"}
	user := v1alpha1.MQTTUser{ObjectMeta: meta("team", "dev-object"), Spec: v1alpha1.MQTTUserSpec{BrokerRef: ref, Username: "dev"}}
	user.Spec.Authentication.X509 = &v1alpha1.X509Authentication{CommonName: "dev"}
	taken := v1alpha1.MQTTUser{ObjectMeta: meta("team", "late"), Spec: user.Spec}
	acl := v1alpha1.TopicACL{ObjectMeta: meta(guards, "guard"), Spec: v1alpha1.TopicACLSpec{
		BrokerRef: ref, Subjects: []v1alpha1.Subject{{Authenticated: true}, {Anonymous: true}}, Rules: []v1alpha1.Rule{
			{Effect: v1alpha1.Allow, Actions: []v1alpha1.Action{v1alpha1.ActionAll}, Topics: []string{"open/#"}},
			{Effect: v1alpha1.Deny, Actions: []v1alpha1.Action{v1alpha1.ActionAll}, Topics: []string{"secret/#"}},
		},
	}}
	out, err := render.Render(render.Input{
		Broker: broker, Users: []v1alpha1.MQTTUser{user, taken}, ACLs: []v1alpha1.TopicACL{acl},
		Passwords: render.NewPasswords(nil, nil, nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := newScope(broker)
	s.rendered, s.pods = out, pods
	return s
}

// notesOf are the events of a scope's denials, as "KIND NAMESPACE/NAME: NOTE".
func notesOf(s *scope) (notes []string) {
	for _, e := range new(denials).events(s, time.Now()) {
		notes = append(notes, fmt.Sprintf("%s %s/%s: %s", e.Regarding.Kind, e.Regarding.Namespace, e.Regarding.Name, e.Note))
	}
	return notes
}

func TestAMessageThatIsTooLargeIsAnEventOfItsOwnReason(t *testing.T) {
	d := deniedOf{denial{"dev", deniedSize, "t"}, &corev1.ObjectReference{Name: "dev"}, "too much"}
	if e := d.tooLarge(time.Now()); e.Reason != "PacketTooLarge" || e.Action != "Publish" || e.Type != corev1.EventTypeWarning {
		t.Errorf("event %+v", e)
	}
}

func TestDenialsAreEventsThatSayWhichRuleDecides(t *testing.T) {
	denied := func(user, action, topic string) podAnswer {
		return saying(admin.Denial{User: user, Action: action, Topic: topic, Last: time.Now()})
	}
	for name, tc := range map[string]struct {
		guards string // namespace of the TopicACL
		answer podAnswer
		want   []string
	}{
		"by a rule of the Broker's namespace": {"iot", denied("dev", "publish", "secret/x"), []string{
			`MQTTUser team/dev-object: publish to "secret/x" was refused: a TopicACL of another namespace denies it`,
			`TopicACL iot/guard: user "dev" was refused to publish to "secret/x" by spec.rules[1]`,
		}},
		"by a rule of the user's namespace": {"team", denied("dev", "will", "secret/x"), []string{
			`MQTTUser team/dev-object: leave a will on "secret/x" was refused: TopicACL team/guard denies "secret/#" in spec.rules[1]`,
			`TopicACL team/guard: user "dev" was refused to leave a will on "secret/x" by spec.rules[1]`,
		}},
		"by a rule of another team": {"others", denied("dev", "subscribe", "secret/#"), []string{
			`MQTTUser team/dev-object: subscribe to "secret/#" was refused: a TopicACL of another namespace denies it`,
		}},
		"by no rule": {"iot", denied("dev", "publish", "t"), []string{
			`MQTTUser team/dev-object: publish to "t" was refused: no rule allows it`,
		}},
		"a filter that is too wide": {"iot", denied("dev", "subscribe", "#"), []string{
			`MQTTUser team/dev-object: subscribe to "#" was refused: no rule covers all topics of the filter`,
		}},
		"the broker's own": {"iot", denied("dev", "publish", "$SYS/x"), []string{
			`MQTTUser team/dev-object: publish to "$SYS/x" was refused: only the broker itself publishes there`,
		}},
		"a client without credentials": {"iot", denied("", "subscribe", "t"), []string{
			`Broker iot/edge: subscribe to "t" was refused: no rule covers all topics of the filter`,
		}},
		"a client without credentials, by a rule of a team": {"team", denied("", "subscribe", "secret/#"), []string{
			`Broker iot/edge: subscribe to "secret/#" was refused: a TopicACL of another namespace denies it`,
		}},
		"a message that is too large": {"iot", saying(admin.Denial{User: "dev", Action: "size", Topic: "t", Limit: "9 bytes are more than 5", Last: time.Now()}), []string{
			`MQTTUser team/dev-object: a client that sent a message to "t" was disconnected: 9 bytes are more than 5`,
		}},
		"a message that is too large, of a client without credentials and on an alias": {"iot", saying(admin.Denial{Action: "size", Limit: "9 bytes are more than 5", Last: time.Now()}), []string{
			`Broker iot/edge: a client that sent a message was disconnected: 9 bytes are more than 5`,
		}},
		"a user that nobody declares": {"iot", denied("nobody", "publish", "t"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := notesOf(denying(t, tc.guards, tc.answer)); !slices.Equal(got, tc.want) {
				t.Errorf("told %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestNotesOfDenialsAreCut(t *testing.T) {
	for text, want := range map[string]string{"short": "short", "12345678": "12345678", "123456789": "12345678", "1234567ä": "1234567"} {
		if got := cut(text, 8); got != want {
			t.Errorf("%q is cut to %q, want %q", text, got, want)
		}
	}
	e := deniedEvent(&corev1.ObjectReference{}, strings.Repeat("x", 5000), time.Now())
	if len(e.Note) != 1024 {
		t.Errorf("a note has %d bytes", len(e.Note))
	}
}

func TestNamesInDenialsAreEscapedAndCut(t *testing.T) {
	hostile := "secret/\x1b[2J\n\u202e" + strings.Repeat("\x01", 1000)
	s := denying(t, "team", saying(admin.Denial{User: "dev", Action: "publish", Topic: hostile, Last: time.Now()}))
	notes := notesOf(s)
	if len(notes) != 2 {
		t.Fatalf("events %q, want two", notes)
	}
	for _, note := range notes {
		if !strings.Contains(note, `"secret/\x1b[2J\n\u202e`) || len(note) > 1024 {
			t.Errorf("event %q: want the topic escaped and cut", note)
		}
	}
}
