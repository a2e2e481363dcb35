package auth

import "testing"

// A template that names an identity which stands for no level is refused, and nothing of it is
// returned.
func TestExpandPutsIdentitiesIntoTopics(t *testing.T) {
	for _, tc := range []struct {
		name     string
		who      Principal
		template string
		want     string
		ok       bool
	}{
		{"no placeholder", Principal{}, "responses/all", "responses/all", true},
		{"username", Principal{Username: "u"}, "a/%u/b", "a/u/b", true},
		{"client identifier", Principal{ClientID: "c"}, "%c", "c", true},
		{"both", Principal{Username: "u", ClientID: "c"}, "%c/%u/%c", "c/u/c", true},
		{"part of a level", Principal{Username: "u"}, "a%u/%ux", "a%u/%ux", true},
		{"an identity that reads like a placeholder", Principal{Username: "%c", ClientID: "c"}, "%u/%c", "%c/c", true},
		{"no username", Principal{ClientID: "c"}, "a/%u", "", false},
		{"no client identifier", Principal{Username: "u"}, "a/%c/%u", "", false},
		{"a separator", Principal{Username: "a/b"}, "%u", "", false},
		{"a wildcard", Principal{ClientID: "a+"}, "%c", "", false},
		{"a wildcard of many levels", Principal{ClientID: "#"}, "x/%c", "", false},
	} {
		if got, ok := tc.who.Expand(tc.template); got != tc.want || ok != tc.ok {
			t.Errorf("%s: %q expands to %q, %t, want %q, %t", tc.name, tc.template, got, ok, tc.want, tc.ok)
		}
	}
}

func TestPatternsOfClientIdentifiers(t *testing.T) {
	for _, tc := range []struct {
		patterns []string
		id       string
		want     bool
	}{
		{nil, "any", true},
		{[]string{"dev"}, "dev", true},
		{[]string{"dev"}, "dev-1", false},
		{[]string{"dev"}, "de", false},
		{[]string{"dev*"}, "dev", true},
		{[]string{"dev*"}, "dev-1", true},
		{[]string{"dev*"}, "de", false},
		{[]string{"*"}, "any", true},
		{[]string{"a", "b*"}, "bc", true},
		{[]string{"a", "b*"}, "ab", false},
	} {
		if got := allowsClientID(tc.patterns, tc.id); got != tc.want {
			t.Errorf("%q admits %q: %t, want %t", tc.patterns, tc.id, got, tc.want)
		}
	}
}
