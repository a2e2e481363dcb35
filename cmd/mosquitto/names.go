package mosquitto

import (
	"fmt"
	"regexp"
	"strings"
)

// usernames that a MQTTUser can have.
var validUsername = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$`)

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
	return n.unique("user "+username, strings.Join(labels, "."))
}

// unique returns the name that was given for a purpose, and gives one that begins
// with stem where none was.
func (n names) unique(purpose, stem string) string {
	if name, ok := n[purpose]; ok {
		return name
	}
	taken := map[string]bool{}
	for _, name := range n {
		taken[name] = true
	}
	stem = stem[:min(len(stem), maxName)]
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
