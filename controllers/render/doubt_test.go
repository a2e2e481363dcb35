package render_test

import (
	"strings"
	"testing"
)

// TestAPasswordThatMayBeASlipIsWarnedOf, and taken as it is.
func TestAPasswordThatMayBeASlipIsWarnedOf(t *testing.T) {
	const user = `{kind: MQTTUser, metadata: {name: dev}, spec: {brokerRef: {name: edge}, authentication: {password: {secretRef: {name: s}}}}}`
	for value, want := range map[string]string{
		"secret":                     "",
		"two\nlines":                 "",
		"secret\n":                   "ends in a line break",
		"secret\r\n":                 "ends in a line break",
		"$2b$12$abcdefghijklmnopqrs": "looks like the hash",
		"$argon2id$v=19$m=7168":      "looks like the hash",
		"$7$101$abc$def":             "looks like the hash",
		"$money$":                    "",
	} {
		in := input(t, user, `{kind: Secret, metadata: {name: s}}`)
		for _, s := range in.Secrets {
			s.Data = map[string][]byte{"password": []byte(value)}
		}
		out := mustRender(t, in)
		v := verdictOf(t, out.Users, "dev")
		if !v.Accepted() || (want == "") != (v.Message == "") || !strings.Contains(v.Message, want) {
			t.Errorf("%q: %+v, want a warning %q", value, v, want)
		}
		if len(accessOf(t, out).Users) != 1 {
			t.Errorf("%q: the user is not in force", value)
		}
	}
}
