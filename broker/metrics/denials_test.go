package metrics

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func TestDenialsOfTheSameKindAreOne(t *testing.T) {
	m := New()
	for i := range 3 {
		m.Denied(noon.Add(time.Duration(i)*time.Second), "ann", "publish", "a")
	}
	m.Denied(noon.Add(time.Minute), "ann", "subscribe", "a")
	got := m.Denials()
	want := []Denial{
		{"ann", "subscribe", "a", "", 1, noon.Add(time.Minute), noon.Add(time.Minute)},
		{"ann", "publish", "a", "", 3, noon, noon.Add(2 * time.Second)},
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("denials %+v, want %+v", got, want)
	}
}

func TestDenialsAreBounded(t *testing.T) {
	m := New()
	m.Denied(noon, "quiet", "publish", "mine")
	now := noon
	for i := range 10_000 {
		now = now.Add(time.Second)
		m.Denied(now, "loud", "publish", fmt.Sprintf("t/%d", i))
	}
	all := m.Denials()
	if n := len(all); n != maxDenialsOfUser+1 || all[n-1].User != "quiet" {
		t.Errorf("%d denials are kept, %+v the oldest: one client hides another", n, all[len(all)-1])
	}
	if all[0].Topic != "t/9999" {
		t.Errorf("the latest is %+v", all[0])
	}
	for i := range 10_000 {
		now = now.Add(time.Second)
		m.Denied(now, fmt.Sprintf("u%d", i), "publish", "t")
	}
	if n := len(m.Denials()); n != maxDenials {
		t.Errorf("%d denials are kept", n)
	}
}

func TestNewDenialsAreTakenAtABoundedRate(t *testing.T) {
	m := New()
	for i := range 10 * maxDenials {
		m.Denied(noon, fmt.Sprint(i), "publish", "t")
	}
	for _, d := range m.Denials() {
		if d.User == fmt.Sprint(10*maxDenials-1) {
			t.Error("the last of a flood is kept: it took the place of another")
		}
	}
	m.Denied(noon, "0", "publish", "t")
	for _, d := range m.Denials() {
		if d.User == "0" && d.Count != 2 {
			t.Errorf("%+v: what is known is counted in a flood too", d)
		}
	}
}

func TestOneUserDoesNotHideTheDenialsOfOthers(t *testing.T) {
	m := New()
	for i := range 100 * maxDenials {
		now := noon.Add(time.Duration(i) * time.Millisecond)
		m.Denied(now, "loud", "publish", fmt.Sprint("t/", i))
		if i == 50*maxDenials {
			m.Denied(now, "quiet", "publish", "t")
		}
	}
	seen := map[string]int{}
	for _, d := range m.Denials() {
		seen[d.User]++
	}
	if seen["quiet"] != 1 || seen["loud"] != maxDenialsOfUser {
		t.Errorf("denials kept by user: %v", seen)
	}
}

func TestDeniedNamesAreCut(t *testing.T) {
	m := New()
	m.Denied(noon, strings.Repeat("u", 4000), "publish", strings.Repeat("é", 4000))
	d := m.Denials()[0]
	if len(d.User) != maxDeniedUser || len(d.Topic) != maxDeniedTopic || !utf8.ValidString(d.Topic) {
		t.Errorf("%d and %d bytes are kept", len(d.User), len(d.Topic))
	}
	if got := clip("aé", 2); got != "a" {
		t.Errorf("clip leaves %q", got)
	}
}

func TestUsersBeyondABoundShareATimeSeries(t *testing.T) {
	m := New()
	for i := range maxUserLabels + 5 {
		m.Denied(noon, fmt.Sprint(i), "publish", "t")
	}
	m.Denied(noon, "0", "publish", "t")
	got := gathered(t, m)
	if got["godwit_authorization_denied_total{action=publish,user=0}"] != 2 ||
		got["godwit_authorization_denied_total{action=publish,user=(other)}"] != 5 {
		t.Error("users are not counted as they should be")
	}
	series := 0
	for name := range got {
		if strings.HasPrefix(name, "godwit_authorization_denied_total") {
			series++
		}
	}
	if series != maxUserLabels+1 {
		t.Errorf("%d time series", series)
	}
}

func BenchmarkDenied(b *testing.B) {
	m := New()
	topic := []byte("telemetry/dev-1/temperature")
	b.ReportAllocs()
	for b.Loop() {
		m.Denied(noon, "dev-1", "publish", string(topic))
	}
}

func TestAMessageThatIsTooLargeIsNoDenialOfTheRules(t *testing.T) {
	m := New()
	m.TooLarge(noon, "ann", "a", "an old limit")
	m.TooLarge(noon.Add(time.Second), "ann", "a", "the limit")
	want := Denial{"ann", ActionSize, "a", "the limit", 2, noon, noon.Add(time.Second)}
	if got := m.Denials(); len(got) != 1 || got[0] != want {
		t.Errorf("denials %+v, want %+v", got, want)
	}
	counted := make(chan prometheus.Metric, 1)
	if m.denied.Collect(counted); len(counted) > 0 {
		t.Error("it is counted as refused by the topic ACLs")
	}
}
