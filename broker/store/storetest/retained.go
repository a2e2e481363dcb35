package storetest

import (
	"testing"
)

var retained = map[string]func(*testing.T, *place){
	"a retained message replaces the one before":  retainedReplaced,
	"an empty retained message removes":           retainedRemoved,
	"retained messages are read topic by topic":   retainedRead,
	"one topic may be the beginning of another's": retainedPrefixes,
}

func wantRetained(t testing.TB, c *Content, want map[string]string) {
	t.Helper()
	for topic, payload := range want {
		if m := c.Retained[topic]; m == nil || string(m.Payload) != payload || m.Topic != topic {
			t.Errorf("retained of %q: %+v, want %q", topic, m, payload)
		}
	}
	if len(c.Retained) != len(want) {
		t.Errorf("%d retained messages, want %d", len(c.Retained), len(want))
	}
}

func retainedReplaced(t *testing.T, p *place) {
	c := p.after(t, retain("a", "1"), retain("b", "1"), retain("a", "2"))
	wantRetained(t, c, map[string]string{"a": "2", "b": "1"})
}

func retainedRemoved(t *testing.T, p *place) {
	both := retain("b", "1")
	both.Retained = append(both.Retained, retain("b", "").Retained...)
	c := p.after(t, retain("a", "1"), retain("a", ""), both, retain("c", ""), retain("c", "1"))
	wantRetained(t, c, map[string]string{"c": "1"})
}

func retainedRead(t *testing.T, p *place) {
	p.after(t, retain("a", "1"), retain("c", "2"))
	ms, err := p.st.Retained([]string{"c", "b", "a", "a"})
	if err != nil {
		t.Fatal(err)
	}
	if len(ms) != 4 || ms[1] != nil || string(ms[0].Payload)+string(ms[2].Payload)+string(ms[3].Payload) != "211" {
		t.Errorf("got %+v", ms)
	}
	if ms, err := p.st.Retained(nil); err != nil || len(ms) != 0 {
		t.Errorf("no topics have %v: %v", ms, err)
	}
}

func retainedPrefixes(t *testing.T, p *place) {
	c := p.after(t, retain("a", "1"), retain("a/b", "2"), retain("a/b/c", "3"), retain("a/b", ""))
	wantRetained(t, c, map[string]string{"a": "1", "a/b/c": "3"})
}
