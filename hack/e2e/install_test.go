//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// installOperator installs or upgrades the operator by its chart, as the documentation says.
func (s *story) installOperator(t *testing.T) { s.install(t) }

// install runs `helm upgrade --install`, with more values than the story's own.
func (s *story) install(t *testing.T, values ...string) {
	t.Helper()
	args := slices.Concat(s.helm[1:], []string{
		"upgrade", "--install", s.release, "../../charts/godwit",
		"--namespace", s.systemNS, "--create-namespace", "--wait", "--timeout", "5m",
		"--set", "image.repository=" + s.repository, "--set-string", "image.tag=" + s.tag,
		"--set", "image.pullPolicy=IfNotPresent",
	}, values)
	if out := run(t, 6*time.Minute, s.helm[0], args...); out.code != 0 {
		t.Fatal(out)
	}
}

// explainFields reads the reference manual, where there must be more than names of fields.
func (s *story) explainFields(t *testing.T) {
	for _, path := range []string{
		"broker", "broker.spec.listeners", "broker.spec.tls.clientAuth.mode",
		"mqttuser.spec.authentication.password", "topicacl.spec.rules.topics",
	} {
		out := s.do(t, "explain", path)
		_, text, found := strings.Cut(out, "DESCRIPTION:\n")
		text, _, _ = strings.Cut(text, "FIELDS:")
		if text = strings.TrimSpace(text); !found || len(text) < 30 || strings.HasPrefix(text, "<empty>") {
			t.Errorf("kubectl explain %s has no text:\n%s", path, indent(out))
		}
	}
}
