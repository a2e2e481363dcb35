package render_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/render"
)

func TestRefusalsNameTheRuleThatDenies(t *testing.T) {
	acl := func(name, subject, rules string) string {
		return `{kind: TopicACL, metadata: {name: ` + name + `}, spec: {brokerRef: {name: edge}, subjects: [{` + subject + `}], rules: [` + rules + `]}}`
	}
	out := mustRender(t, input(t, `{kind: Broker, spec: {authentication: {anonymous: true}}}`, secrets, dev,
		acl("guard", "authenticated: true", `{effect: Allow, actions: [All], topics: ["open/#"]}, {effect: Deny, actions: [All], topics: ["other", "open/secret/#"]}`),
		acl("mine", "user: dev", `{effect: Allow, actions: [All], topics: ["open/secret/a", "low"], maxQoS: 0, retain: Deny}`),
		acl("public", "anonymous: true", `{effect: Deny, actions: [Publish], topics: ["news"]}`)))
	rules, err := render.CompileRules(out)
	if err != nil {
		t.Fatal(err)
	}
	const (
		secret     = `TopicACL iot/guard denies "open/secret/#" in spec.rules[1]`
		news       = `TopicACL iot/public denies "news" in spec.rules[0]`
		noRule     = "no rule allows it"
		uncovered  = "no rule covers all topics of the filter"
		otherwise  = "the rules allow it with a lower QoS"
		ownOnly    = "only the broker itself publishes there"
		nobodyElse = "gone"
	)
	for _, tc := range []struct {
		username, publish, subscribe, want string
	}{
		{"dev", "open/secret/a", "", secret},
		{"dev", "", "open/secret/a", secret},
		{"dev", "elsewhere", "", noRule},
		{"dev", "", "elsewhere", uncovered},
		{"dev", "low", "", otherwise},
		{"dev", "", "open/a", otherwise},
		{"dev", "$SYS/broker", "", ownOnly},
		{nobodyElse, "open/a", "", noRule}, // what is allowed to everybody is not to a user that is gone
		{nobodyElse, "", "open/a", uncovered},
		{nobodyElse, "open/secret/a", "", noRule},
		{"", "news", "", news},
		{"", "open/a", "", noRule},
		{"", "", "news", uncovered},
	} {
		got := rules.WhyPublish(tc.username, tc.publish)
		if tc.publish == "" {
			got = rules.WhySubscribe(tc.username, tc.subscribe)
		}
		text := got.Reason
		if got.By != nil {
			text = got.By.String()
		}
		if !strings.HasPrefix(text, tc.want) || (got.By != nil) == (got.Reason != "") {
			t.Errorf("%q, publish %q, subscribe %q: %q, want %q", tc.username, tc.publish, tc.subscribe, text, tc.want)
		}
	}
}

// A rule that allows is not what refuses an anonymous client where there are none.
func TestRefusalsOfAnonymousClientsWhereThereAreNone(t *testing.T) {
	rules, err := render.CompileRules(mustRender(t, input(t,
		`{kind: TopicACL, metadata: {name: a}, spec: {brokerRef: {name: edge}, subjects: [{anonymous: true}], rules: [{effect: Allow, actions: [All], topics: [a]}]}}`)))
	if err != nil {
		t.Fatal(err)
	}
	if got := rules.WhyPublish("", "a"); got.By != nil || got.Reason != "no rule allows it" {
		t.Errorf("%+v", got)
	}
}

// A configuration that cannot be read is no configuration without rules.
func TestRulesOfAConfigurationThatCannotBeRead(t *testing.T) {
	out := mustRender(t, input(t, secrets, dev))
	out.Settings = []byte("{")
	if rules, err := render.CompileRules(out); rules != nil || err == nil {
		t.Errorf("compiled %v, error %v", rules, err)
	}
	if found, err := render.FindShadows(out); found != nil || err == nil {
		t.Errorf("found %v, error %v", found, err)
	}
}

// A password that cannot be hashed lets nobody in, and the user is told.
func TestAPasswordThatCannotBeHashedIsRefused(t *testing.T) {
	in := input(t, secrets, dev, devACL)
	in.Passwords = render.NewPasswords(
		func(string, []byte) (bool, error) { return false, errors.New("no hash") },
		func([]byte) (string, error) { return "", errors.New("out of chance") },
		func(string) error { return nil })
	out := mustRender(t, in)
	v := verdictOf(t, out.Users, "dev")
	if v.Reason != v1alpha1.ReasonInvalidCredentials || !strings.Contains(v.Message, "the password: out of chance") {
		t.Errorf("verdict %+v", v)
	}
	if n := len(accessOf(t, out).Users); n != 0 {
		t.Errorf("%d users are rendered", n)
	}
}

// A hash that cannot be read verifies nothing, whatever is said besides.
func TestAHashThatCannotBeReadIsReplaced(t *testing.T) {
	in := input(t, secrets, dev)
	in.Previous = mustRender(t, in).Access
	before := accessOf(t, mustRender(t, in)).Users[0].PasswordHashes[0]
	in.Passwords = render.NewPasswords(
		func(string, []byte) (bool, error) { return true, errors.New("cannot be read") },
		func([]byte) (string, error) { return "new$one", nil },
		func(string) error { return nil })
	if after := accessOf(t, mustRender(t, in)).Users[0].PasswordHashes; len(after) != 1 || after[0] != "new$one" || after[0] == before {
		t.Errorf("the hash %q became %q", before, after)
	}
}
