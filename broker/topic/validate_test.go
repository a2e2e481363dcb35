package topic

import (
	"errors"
	"strings"
	"testing"
)

//mqtt:3.1.1 4.7.1-1 4.7.3-1 4.7.3-2 4.7.3-3
//mqtt:5.0 4.7.0-1 4.7.3-1 4.7.3-2 4.7.3-3
func TestValidateName(t *testing.T) {
	tests := []struct {
		behaviour string
		name      string
		want      error
		text      string
	}{
		{"one level", "a", nil, ""},
		{"only a separator", "/", nil, ""},
		{"empty levels", "//a//", nil, ""},
		{"spaces and a dollar", "$SYS/a b", nil, ""},
		{"greatest length", strings.Repeat("a", MaxLen), nil, ""},
		{"empty", "", ErrEmpty, "topic name is empty"},
		{"too long", strings.Repeat("/", MaxLen+1), ErrTooLong,
			`topic name "` + strings.Repeat("/", 128) + `"... is 65536 bytes long, more than the 65535 that MQTT allows`},
		{"plus", "a/+", ErrWildcardInName, `topic name "a/+" contains the wildcard '+'`},
		{"hash inside a level", "a/b#c", ErrWildcardInName, `topic name "a/b#c" contains the wildcard '#'`},
		{"null", "a\x00", ErrNull, `topic name "a\x00" contains the character U+0000`},
		{"percent in the text", "%s+", ErrWildcardInName, `topic name "%s+" contains the wildcard '+'`},
	}
	for _, tt := range tests {
		t.Run(tt.behaviour, func(t *testing.T) {
			checkInvalid(t, ValidateName(tt.name), tt.want, tt.text)
			checkInvalid(t, ValidateName([]byte(tt.name)), tt.want, tt.text)
		})
	}
}

//mqtt:3.1.1 4.7.1-2 4.7.1-3 4.7.3-1 4.7.3-2 4.7.3-3
//mqtt:5.0 4.7.1-1 4.7.1-2 4.7.3-1 4.7.3-2 4.7.3-3
func TestValidateFilter(t *testing.T) {
	tests := []struct {
		behaviour string
		filter    string
		want      error
		text      string
	}{
		{"no wildcard", "a/b", nil, ""},
		{"everything", "#", nil, ""},
		{"single level alone", "+", nil, ""},
		{"wildcards of both kinds", "+/a/+/#", nil, ""},
		{"empty levels", "/+//#", nil, ""},
		{"empty", "", ErrEmpty, "topic filter is empty"},
		{"too long", strings.Repeat("+/", MaxLen), ErrTooLong,
			`topic filter "` + strings.Repeat("+/", 64) + `"... is 131070 bytes long, more than the 65535 that MQTT allows`},
		{"null", "a/\x00/#", ErrNull, `topic filter "a/\x00/#" contains the character U+0000`},
		{"level after the multi-level wildcard", "a/#/b", ErrMultiLevelNotLast,
			`'#' must be the last level of topic filter "a/#/b"`},
		{"separator after the multi-level wildcard", "#/", ErrMultiLevelNotLast,
			`'#' must be the last level of topic filter "#/"`},
		{"multi-level wildcard behind text", "a#", ErrWildcardNotAlone,
			`'#' must stand alone in its level of topic filter "a#"`},
		{"single-level wildcard behind text", "a/b+/c", ErrWildcardNotAlone,
			`'+' must stand alone in its level of topic filter "a/b+/c"`},
		{"single-level wildcard before text", "+b", ErrWildcardNotAlone,
			`'+' must stand alone in its level of topic filter "+b"`},
		{"two wildcards in a level", "a/+#", ErrWildcardNotAlone,
			`'+' must stand alone in its level of topic filter "a/+#"`},
	}
	for _, tt := range tests {
		t.Run(tt.behaviour, func(t *testing.T) {
			checkInvalid(t, ValidateFilter(tt.filter), tt.want, tt.text)
			checkInvalid(t, ValidateFilter([]byte(tt.filter)), tt.want, tt.text)
		})
	}
}

//mqtt:5.0 4.8.2-1 4.8.2-2
func TestParseShared(t *testing.T) {
	tests := []struct {
		behaviour   string
		filter      string
		group, rest string
		shared      bool
		want        error
		text        string
	}{
		{"not shared", "a/#", "", "a/#", false, nil, ""},
		{"no separator behind the marker", "$share", "", "$share", false, nil, ""},
		{"another marker", "$shared/g/a", "", "$shared/g/a", false, nil, ""},
		{"shared", "$share/g/a/+", "g", "a/+", true, nil, ""},
		{"filter that begins with an empty level", "$share/g//finance", "g", "/finance", true, nil, ""},
		{"filter that looks shared itself", "$share/g/$share/h/a", "g", "$share/h/a", true, nil, ""},
		{"not shared and invalid", "a#", "", "a#", false, ErrWildcardNotAlone,
			`'#' must stand alone in its level of topic filter "a#"`},
		{"nothing behind the marker", "$share/", "", "", true, ErrShareName,
			`shared subscription "$share/" has an empty share name`},
		{"empty share name", "$share//a", "", "", true, ErrShareName,
			`shared subscription "$share//a" has an empty share name`},
		{"wildcard in the share name", "$share/g+/a", "", "", true, ErrShareName,
			`the share name of "$share/g+/a" contains a wildcard`},
		{"null in the share name", "$share/\x00/a", "", "", true, ErrNull,
			`the share name of "$share/\x00/a" contains the character U+0000`},
		{"no separator behind the share name", "$share/g", "", "", true, ErrShareFilter,
			`shared subscription "$share/g" has no topic filter after its share name`},
		{"no filter", "$share/g/", "", "", true, ErrShareFilter,
			`shared subscription "$share/g/" has no topic filter after its share name`},
		{"invalid filter", "$share/g/#/a", "", "", true, ErrMultiLevelNotLast,
			`'#' must be the last level of topic filter "#/a"`},
		{"too long with its marker", "$share/g/" + strings.Repeat("a", MaxLen-8), "", "", true, ErrTooLong,
			`topic filter "$share/g/` + strings.Repeat("a", 119) + `"... is 65536 bytes long, more than the 65535 that MQTT allows`},
	}
	for _, tt := range tests {
		t.Run(tt.behaviour, func(t *testing.T) {
			group, rest, shared, err := ParseShared(tt.filter)
			if group != tt.group || rest != tt.rest || shared != tt.shared {
				t.Errorf("got %q, %q, %v, want %q, %q, %v", group, rest, shared, tt.group, tt.rest, tt.shared)
			}
			checkInvalid(t, err, tt.want, tt.text)
		})
	}
}

func checkInvalid(t *testing.T, err, want error, text string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
	if want == nil {
		return
	}
	if _, ok := errors.AsType[*InvalidError](err); !ok {
		t.Fatalf("got a %T, want an *InvalidError", err)
	}
	if err.Error() != text {
		t.Errorf("got text\n%s\nwant\n%s", err, text)
	}
}

// levelsValid is what section 4.7 asks of a filter, said another way.
func levelsValid(filter string) bool {
	levels := strings.Split(filter, "/")
	for i, l := range levels {
		if len(l) > 1 && strings.ContainsAny(l, "+#") || l == "#" && i < len(levels)-1 {
			return false
		}
	}
	return filter != "" && len(filter) <= MaxLen && !strings.Contains(filter, "\x00")
}

func FuzzValidate(f *testing.F) {
	for _, s := range []string{"", "a/b", "+/#", "a/#/b", "a#", "$share/g/a", "$share//", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := ValidateFilter(s) == nil, levelsValid(s); got != want {
			t.Errorf("ValidateFilter(%q): valid %v, want %v", s, got, want)
		}
		wantName := levelsValid(s) && !strings.ContainsAny(s, "+#")
		if got := ValidateName([]byte(s)) == nil; got != wantName {
			t.Errorf("ValidateName(%q): valid %v, want %v", s, got, wantName)
		}
		group, rest, shared, err := ParseShared(s)
		if err != nil {
			return
		}
		if shared && s != "$share/"+group+"/"+rest || !shared && s != rest {
			t.Errorf("ParseShared(%q) returned %q, %q", s, group, rest)
		}
		if !levelsValid(rest) {
			t.Errorf("ParseShared(%q) accepts the filter %q", s, rest)
		}
	})
}
