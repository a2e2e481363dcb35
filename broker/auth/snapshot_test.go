package auth

import (
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/config"
)

func TestCompileRefuses(t *testing.T) {
	withRule := func(r config.Rule) config.Config {
		return config.Config{Access: config.Access{Policies: []config.Policy{
			{Source: "iot/good", Authenticated: true, Rules: []config.Rule{allow("p", "a")}},
			{Source: "iot/bad", Authenticated: true, Rules: []config.Rule{allow("p", "a"), r}},
		}}}
	}
	withUsers := func(users ...config.User) config.Config {
		return config.Config{Access: config.Access{Users: users}}
	}
	for _, tc := range []struct {
		name string
		c    config.Config
		want []string // parts of the text
	}{
		{"effect", withRule(config.Rule{Effect: "Permit", Actions: []config.Action{"All"}, Topics: []string{"a"}}), []string{"iot/bad", "rules[1]", "effect"}},
		{"no actions", withRule(allow("", "a")), []string{"iot/bad", "actions"}},
		{"no topics", withRule(allow("p")), []string{"iot/bad", "topics"}},
		{"filter", withRule(deny("p", "a/#/b")), []string{"iot/bad", "rules[1]", "a/#/b"}},
		{"placeholder within a level", withRule(deny("p", "a/x%u")), []string{"iot/bad", "whole level"}},
		{"share without a filter", withRule(deny("s", "$share/g")), []string{"iot/bad", "$share/g"}},
		{"wildcard as group", withRule(deny("s", "$share/+/a")), []string{"iot/bad", "$share/+/a"}},
		{"QoS", withRule(withQoS(allow("p", "a"), 3)), []string{"iot/bad", "maxQoS"}},
		{"retain", withRule(config.Rule{Effect: "Allow", Actions: []config.Action{"All"}, Topics: []string{"a"}, Retain: "No"}), []string{"iot/bad", "retain"}},
		{"username twice", withUsers(config.User{Username: "u"}, config.User{Username: "u"}), []string{"users[1]"}},
		{"common name twice", withUsers(config.User{Username: "u", CommonName: "x"}, config.User{Username: "v", CommonName: "x"}), []string{"users[1]"}},
		{"password hash", withUsers(config.User{Username: "u", PasswordHashes: []string{"hunter2"}}), []string{"users[0] (u).passwordHashes[0]", "plain password"}},
		{"default effect", config.Config{Settings: config.Settings{DefaultEffect: "Maybe"}}, []string{"defaultEffect", "Maybe"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := Compile(&tc.c)
			if err == nil || s != nil {
				t.Fatal("compiled")
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not name %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q holds the secret", err)
			}
		})
	}
}

func TestUser(t *testing.T) {
	s := compile(t, config.Config{Access: config.Access{Users: []config.User{
		{Username: "u", Limits: config.UserLimits{MaxConnections: 3}},
	}}})
	if u, ok := s.User("u"); !ok || u.Limits.MaxConnections != 3 {
		t.Errorf("User = %+v, %t", u, ok)
	}
	if u, ok := s.User("v"); ok || u != nil {
		t.Errorf("User of an unknown name = %+v, %t", u, ok)
	}
}
