package server_test

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// documented returns the rows of the tables in docs/monitoring.md whose first
// cell is a name that begins with prefix, by that name.
func documented(t *testing.T, prefix string) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|(.*)\\|$").FindAllStringSubmatch(string(page), -1) {
		if strings.HasPrefix(m[1], prefix) {
			rows[m[1]] = m[2]
		}
	}
	return rows
}

// everything expects the same names in the code and on the page.
func everything(t *testing.T, page map[string]string, code map[string]bool) {
	t.Helper()
	for name := range code {
		if _, ok := page[name]; !ok {
			t.Errorf("docs/monitoring.md does not tell of %s", name)
		}
	}
	for name := range page {
		if !code[name] {
			t.Errorf("docs/monitoring.md tells of %s, which there is not", name)
		}
	}
}

func TestEveryMetricIsDocumented(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, users, rules(allow("kept/#")), mqtt(func(m *config.MQTT) { m.MaxRetainedMessages = 1 }))
	c := b.Connect(t, v5, "c", ann)
	c.Publish("denied", "m", qos0)
	for _, topic := range []string{"kept/a", "kept/b"} {
		c.Publish(topic, "m", qos0, brokertest.Retained)
	}
	c.Send(brokertest.NewConnect("c"))
	c.ExpectDisconnect(packet.ReasonProtocolError)
	stranger := b.Dial(t, v5)
	stranger.Send(brokertest.NewConnect("c", brokertest.Login("ann", "wrong")))
	stranger.ExpectRefused(packet.ReasonBadUserNameOrPassword)
	mistaken := b.DialAt(t, brokertest.TLS, v5)
	mistaken.Send(brokertest.NewConnect("c"))
	_, _ = io.Copy(io.Discard, mistaken)
	registry := prometheus.NewRegistry()
	registry.MustRegister(b.Metrics)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	page, code := documented(t, "godwit_"), map[string]bool{}
	for _, f := range families {
		code[f.GetName()] = true
		labels, _, _ := strings.Cut(page[f.GetName()], "|")
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if !strings.Contains(labels, "`"+l.GetName()+"`") {
					t.Errorf("%s: docs/monitoring.md does not tell of label %s", f.GetName(), l.GetName())
				}
				if told := strings.Contains(labels, "`"+l.GetName()+"`: `"); told && !strings.Contains(labels, "`"+l.GetValue()+"`") {
					t.Errorf("%s: docs/monitoring.md does not tell of %s %q", f.GetName(), l.GetName(), l.GetValue())
				}
			}
		}
	}
	everything(t, page, code)
}

func TestEverySysTopicIsDocumented(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, mqtt(func(m *config.MQTT) { m.SysInterval = config.Duration(1e9) }))
	c := b.Connect(t, v5, "c")
	c.Subscribe("$SYS/#", qos0)
	code := map[string]bool{}
	for first := ""; ; {
		topic := string(brokertest.Expect[*packet.Publish](c).Topic)
		if topic == first {
			break // the next round
		}
		if first == "" {
			first = topic
		}
		code[topic] = true
	}
	everything(t, documented(t, "$SYS/"), code)
}
