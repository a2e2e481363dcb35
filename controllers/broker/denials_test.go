package broker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	admin "github.com/godwit-mqtt/godwit/broker/admin/client"
	"github.com/godwit-mqtt/godwit/controllers/render"
)

// saying is the answer of a pod that tells of denials.
func saying(denials ...admin.Denial) podAnswer {
	return podAnswer{status: admin.Status{Denials: denials}}
}

func anybody(string) client.Object { return &v1alpha1.MQTTUser{} }

func nobody(string) client.Object { return nil }

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

func TestDenialsAreEventsOfTheUserOrTheBroker(t *testing.T) {
	recorder := &recorder{}
	r := &Reconciler{Events: recorder}
	b := &v1alpha1.Broker{}
	b.Name, b.Kind = "edge", v1alpha1.KindBroker
	s := newScope(b)
	s.rendered = &render.Output{Users: []render.Object{
		{Key: types.NamespacedName{Namespace: "iot", Name: "late"}, Username: "dev", Verdict: render.Verdict{Reason: v1alpha1.ReasonUsernameTaken}},
		{Key: types.NamespacedName{Namespace: "iot", Name: "dev-object"}, Username: "dev", Verdict: render.Verdict{Reason: v1alpha1.ReasonAccepted}},
	}}
	now := time.Now()
	hostile := "a\x1b[2J\n\u202e" + strings.Repeat("\x01", 1000)
	s.pods = []podAnswer{saying(
		admin.Denial{User: "dev", Action: "publish", Topic: hostile, Last: now},
		admin.Denial{Action: "subscribe", Topic: "#", Last: now},
		admin.Denial{User: "nobody", Action: "publish", Topic: "t", Last: now},
	)}
	r.tellDenials(s)
	told := recorder.told
	if len(told) != 2 {
		t.Fatalf("events %q, want two", told)
	}
	if !strings.HasPrefix(told[0], `*v1alpha1.MQTTUser dev-object: publish to "a\x1b[2J\n\u202e`) || len(told[0]) > 1024 {
		t.Errorf("event %q: want one of the MQTTUser, with the topic escaped and cut", told[0])
	}
	if !strings.HasPrefix(told[1], `*v1alpha1.Broker edge: subscribe to "#"`) {
		t.Errorf("event %q: want one of the Broker", told[1])
	}
}

// recorder keeps events as "TYPE NAME: NOTE".
type recorder struct{ told []string }

func (r *recorder) Eventf(regarding, _ runtime.Object, _, _, _, note string, args ...any) {
	name := regarding.(client.Object).GetName()
	r.told = append(r.told, fmt.Sprintf("%T %s: %s", regarding, name, fmt.Sprintf(note, args...)))
}
