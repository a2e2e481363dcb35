package server

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClip(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		most int
		want string
	}{
		"a short text stays":                 {"dev-1", 5, "dev-1"},
		"a long one is cut":                  {"dev-12", 5, "dev-1…"},
		"between characters":                 {"aä", 2, "a…"},
		"behind a character that fits":       {"aäb", 3, "aä…"},
		"before the first that does not fit": {"😀", 3, "…"},
	} {
		if got := clip(tc.text, tc.most); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
	if long := clip(strings.Repeat("ä", 1<<15), longestName); len(long) > longestName+len("…") || !utf8.ValidString(long) {
		t.Errorf("%d bytes", len(long))
	}
}
