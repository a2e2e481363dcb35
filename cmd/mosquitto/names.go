package mosquitto

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxUsername is what a MQTTUser allows, in bytes.
const maxUsername = 256

// isUsername says that a MQTTUser can have the username.
func isUsername(name string) bool {
	return name != "" && len(name) <= maxUsername && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

// isLevel says that a username can stand for a level of a topic.
func isLevel(name string) bool { return !strings.ContainsAny(name, "/+#") }

// names of objects by what they are for.
type names map[string]string

var notInNames = regexp.MustCompile(`[^a-z0-9.-]+`)

// maxName leaves room for what makes a name unique.
const maxName = 200

// of returns the name of the object for a username, which must be valid: the same
// for the same one, and no other's.
func (n names) of(username string) string {
	name := notInNames.ReplaceAllString(strings.ToLower(username), "-")
	var labels []string
	for label := range strings.SplitSeq(name, ".") {
		if label = strings.Trim(label, "-"); label != "" {
			labels = append(labels, label)
		}
	}
	stem := strings.Join(labels, ".")
	stem = strings.TrimRight(stem[:min(len(stem), maxName)], "-.")
	return n.unique("user "+username, cmp.Or(stem, "user"))
}

// unique returns the name that was given for a purpose, and gives one that begins
// with stem, of at most maxName bytes, where none was.
func (n names) unique(purpose, stem string) string {
	if name, ok := n[purpose]; ok {
		return name
	}
	taken := map[string]bool{}
	for _, name := range n {
		taken[name] = true
	}
	name := stem
	for i := 2; taken[name]; i++ {
		name = fmt.Sprintf("%s-%d", stem, i)
	}
	n[purpose] = name
	return name
}

// group returns a function that gives each key a name that begins with stem.
func (n names) group(stem string) func(key string) string {
	return func(key string) string { return n.unique(stem+" "+key, stem) }
}
