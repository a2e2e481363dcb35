package mosquitto

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// Bounds of a TopicACL.
const (
	maxTopics = 256 // of a rule
	maxRules  = 64
	maxTopic  = 1024 // bytes
)

// Placeholders of an ACL file.
const (
	placeholderUser   = "%u"
	placeholderClient = "%c"
)

// differences between the two ways to judge, which no manifest can bridge.
var differences = []string{
	"Mosquitto grants every subscription, and withholds the messages that the client may not read. " +
		"Here a subscription is granted where one Allow rule covers all of its filter: a client that " +
		"subscribes to more than it may read has to ask for less.",
	"Deny wins over Allow here, whatever the order.",
}

// acls makes TopicACLs of the ACL file.
func (c *converter) acls() []*document {
	if c.rules == nil {
		return nil
	}
	docs := c.anonymousACL()
	for _, username := range c.usernames() {
		docs = append(docs, c.userACL(username)...)
	}
	docs = append(docs, c.patternACL()...)
	if len(docs) > 0 {
		docs[0].comment = slices.Concat(differences, docs[0].comment)
	}
	return docs
}

func (c *converter) anonymousACL() []*document {
	if len(c.rules.anonymous) == 0 {
		return nil
	}
	d := &document{comment: []string{"Clients without credentials."}}
	if !c.admitsAnonymous() {
		d.comment = append(d.comment, "The Broker admits none, as mosquitto.conf says.")
	}
	entries := c.expressible(d, c.rules.anonymous, literal)
	return c.topicACLs(d, c.names.unique("anonymous", "anonymous"), v1alpha1.TopicACLSpec{Subjects: []v1alpha1.Subject{{Anonymous: true}}}, entries)
}

// userACL makes the TopicACLs of what is said of one user: the lines of its
// section, and patterns that hold its name within a level.
func (c *converter) userACL(username string) []*document {
	s := c.rules.sectionOf(username)
	patterns := c.spelledOut(username)
	if len(s.entries)+len(patterns) == 0 {
		return nil
	}
	d := &document{}
	if !isUsername(username) {
		d.note(c.ACL.Name, max(s.line, 1), "what user %q may do is left out: a MQTTUser cannot have this username", username)
		return []*document{d}
	}
	if !c.canConnect(username) {
		d.note(c.ACL.Name, s.line, "user %q is in no password file: the rules wait for a MQTTUser of this username", username)
	}
	if len(c.rules.patterns) > 0 && !isLevel(username) {
		d.note(c.ACL.Name, max(s.line, c.rules.patterns[0].line), "no pattern line is for user %q, whose name holds '/', '+' or '#'. "+
			"If it needs what they allow, give it rules of its own", username)
	}
	spec := v1alpha1.TopicACLSpec{Subjects: []v1alpha1.Subject{{User: username}}}
	name := c.names.of(username)
	docs := c.topicACLs(d, name, spec, c.expressible(d, s.entries, literal))
	if d.isEmpty() {
		docs = nil
	}
	if len(patterns) == 0 {
		return docs
	}
	spec.Identities = v1alpha1.IdentitiesPlain
	d = &document{comment: []string{fmt.Sprintf("Pattern lines, spelled out for user %q.", username)}}
	return append(docs, c.topicACLs(d, c.names.unique("patterns of "+name, name+"-patterns"), spec, c.expressible(d, patterns, pattern))...)
}

// canConnect says that a MQTTUser is made for the username.
func (c *converter) canConnect(username string) bool {
	return c.namesByCertificate() ||
		slices.ContainsFunc(c.credentials, func(cred credential) bool { return cred.username == username })
}

// patternACL makes the TopicACL of the patterns, which are for everybody.
func (c *converter) patternACL() []*document {
	if len(c.rules.patterns) == 0 {
		return nil
	}
	d := &document{comment: []string{"Everybody: the pattern lines."}}
	var entries []entry
	for _, e := range c.rules.patterns {
		if !isSpelledOut(e) {
			entries = append(entries, e)
			continue
		}
		d.note(c.ACL.Name, e.line, "%s %q is spelled out for each user that the files name, since %%u stands for a whole level in a rule. "+
			"Users that come later need a rule of their own", e.access, e.topic)
	}
	subjects := []v1alpha1.Subject{{Authenticated: true}}
	if c.admitsAnonymous() {
		subjects = append(subjects, v1alpha1.Subject{Anonymous: true})
	}
	entries = c.expressible(d, entries, pattern)
	d.note(c.ACL.Name, c.rules.patterns[0].line, "pattern lines are not for clients whose username or client ID holds '/', '+' or '#' "+
		"(identities: Plain). Mosquitto takes a '/' in them: give such clients rules of their own")
	c.noteOverruling(d, entries)
	return c.topicACLs(d, c.names.unique("patterns", "patterns"), v1alpha1.TopicACLSpec{Subjects: subjects, Identities: v1alpha1.IdentitiesPlain}, entries)
}

// noteOverruling notes where a topic line wins over a pattern that denies in
// Mosquitto, which asks the topic lines first.
func (c *converter) noteOverruling(d *document, patterns []entry) {
	for _, p := range patterns {
		if p.access != deny {
			continue
		}
		for _, s := range c.rules.users {
			if line := overrules(s.entries, p, s.username); line > 0 && isLevel(s.username) {
				d.note(c.ACL.Name, p.line, "in Mosquitto line %d wins over this denial for user %q, here the denial wins. "+
					"If the user needs it, name the other users in place of everybody", line, s.username)
			}
		}
		if line := overrules(c.rules.anonymous, p, "+"); line > 0 && c.admitsAnonymous() {
			d.note(c.ACL.Name, p.line, "in Mosquitto line %d wins over this denial for clients without credentials, here the denial wins. "+
				"If they need it, leave anonymous out of the subjects", line)
		}
	}
}

// overrules returns a line that allows something that the pattern denies to the
// user, 0 for none.
func overrules(lines []entry, pattern entry, username string) int {
	filter := strings.NewReplacer(placeholderUser, username, placeholderClient, "+").Replace(pattern.topic)
	for _, e := range lines {
		if e.access != deny && topic.Overlaps(e.topic, filter) {
			return e.line
		}
	}
	return 0
}

// spelledOut returns the patterns in which %u is a part of a level, with the
// username in its place: a rule has placeholders for whole levels only.
func (c *converter) spelledOut(username string) []entry {
	var out []entry
	if !isLevel(username) {
		return nil
	}
	for _, e := range c.rules.patterns {
		if !isSpelledOut(e) {
			continue
		}
		levels := strings.Split(e.topic, "/")
		for i, level := range levels {
			if level != placeholderUser {
				levels[i] = strings.ReplaceAll(level, placeholderUser, username)
			}
		}
		e.topic = strings.Join(levels, "/")
		out = append(out, e)
	}
	return out
}

// isSpelledOut says that a pattern becomes a rule for each user. One that denies does
// not: it is for users that come later, too.
func isSpelledOut(e entry) bool {
	return e.access != deny && hasWithinLevel(e.topic, placeholderUser) && !hasWithinLevel(e.topic, placeholderClient)
}

func hasWithinLevel(filter, placeholder string) bool {
	return slices.ContainsFunc(strings.Split(filter, "/"), func(level string) bool { return isWithin(level, placeholder) })
}

func isWithin(level, placeholder string) bool {
	return level != placeholder && strings.Contains(level, placeholder)
}

// kind is what a line with a topic begins with.
type kind struct {
	// inexpressible says that a rule cannot say a level as the line means it.
	inexpressible func(level string) bool
	why           string // it cannot
	instead       string // of an Allow rule
}

// literal is a topic line, in which %u and %c are nothing special.
var literal = kind{
	inexpressible: func(level string) bool {
		return strings.Contains(level, placeholderUser) || strings.Contains(level, placeholderClient)
	},
	why:     "a topic line takes %u and %c as they stand, a rule does not",
	instead: "If the name of the user or client is meant, make it a pattern line",
}

// pattern is a pattern line.
var pattern = kind{
	inexpressible: func(level string) bool {
		return isWithin(level, placeholderUser) || isWithin(level, placeholderClient)
	},
	why:     "%u and %c stand for whole levels in a rule",
	instead: "Give each user an Allow rule with its client ID, or change the topic",
}

// expressible returns the entries as a rule can say them, and notes what is not as it
// was: an entry that allows is left out, and one that denies denies more.
func (c *converter) expressible(d *document, entries []entry, k kind) []entry {
	var out []entry
	for _, e := range entries {
		why, instead := c.obstacle(e, k)
		if why == "" {
			out = append(out, e)
			continue
		}
		if wider, ok := k.widened(e.topic); ok && e.access == deny && !saysNothing(e.topic) {
			d.note(c.ACL.Name, e.line, "%s %q denies %q here, which is more: %s. If it is too much, deny the topics by their names",
				e.access, e.topic, wider, why)
			e.topic = wider
			out = append(out, e)
			continue
		}
		d.note(c.ACL.Name, e.line, "%s %q is left out: %s%s", e.access, e.topic, why, instead)
	}
	return out
}

// obstacle tells why a rule cannot say an entry, and what there is instead.
func (c *converter) obstacle(e entry, k kind) (why, instead string) {
	switch {
	case saysNothing(e.topic):
		return "no topic begins like this, so that it says nothing in Mosquitto", ""
	case slices.ContainsFunc(strings.Split(e.topic, "/"), k.inexpressible):
		return k.why, ". " + k.instead
	case len(e.topic) > maxTopic:
		return fmt.Sprintf("a topic of a rule has at most %d bytes", maxTopic), ""
	case e.access != deny && c.undeniable > 0 && strings.HasPrefix(e.topic, "$"):
		return fmt.Sprintf("line %d denies topics that begin with '$', and no rule can say which", c.undeniable), ""
	}
	return "", ""
}

func saysNothing(filter string) bool { return strings.HasPrefix(filter, "$share/") }

// widened returns a filter that a rule can say and that covers all that filter means:
// with '+' for what cannot be said of a level, and '#' for what is too long. Nothing
// stands for a first level that begins with '$'.
func (k kind) widened(filter string) (string, bool) {
	levels := strings.Split(filter, "/")
	if strings.HasPrefix(filter, "$") && (k.inexpressible(levels[0]) || len(levels[0])+len("/#") > maxTopic) {
		return "", false
	}
	for i, level := range levels {
		if k.inexpressible(level) {
			levels[i] = "+"
		}
	}
	filter = strings.Join(levels, "/")
	for n := len(levels) - 1; len(filter) > maxTopic; n-- {
		filter = strings.Join(append(levels[:n], "#"), "/")
	}
	return filter, true
}

// undeniable returns the line of a denial for which a rule can say nothing wider; 0
// where there is none.
func (f *aclFile) undeniable() int {
	lines := slices.Clone(f.anonymous)
	for _, s := range f.users {
		lines = append(lines, s.entries...)
	}
	return cmp.Or(literal.undeniable(lines), pattern.undeniable(f.patterns))
}

func (k kind) undeniable(entries []entry) int {
	for _, e := range entries {
		if _, ok := k.widened(e.topic); !ok && e.access == deny && !saysNothing(e.topic) {
			return e.line
		}
	}
	return 0
}

// topicACLs makes one TopicACL of the entries, or as many as their number needs, for
// the subjects and identities of spec.
func (c *converter) topicACLs(d *document, name string, spec v1alpha1.TopicACLSpec, entries []entry) []*document {
	spec.BrokerRef = v1alpha1.BrokerRef{Name: c.Broker}
	docs := []*document{d}
	for i, rules := range slices.Collect(slices.Chunk(rulesOf(entries), maxRules)) {
		if i > 0 {
			d = &document{}
			docs = append(docs, d)
			name = c.names.unique(fmt.Sprintf("%s, part %d", name, i+1), name)
		}
		spec.Rules = rules
		d.object = &v1alpha1.TopicACL{TypeMeta: typeOf(v1alpha1.KindTopicACL), ObjectMeta: c.metadata(name), Spec: spec}
	}
	return docs
}

// rulesOf makes rules of entries, by their access. A topic stands in a rule once.
func rulesOf(entries []entry) []v1alpha1.Rule {
	var rules []v1alpha1.Rule
	for _, kind := range []struct {
		access access
		effect v1alpha1.Effect
		action v1alpha1.Action
	}{
		{read, v1alpha1.Allow, v1alpha1.ActionSubscribe},
		{write, v1alpha1.Allow, v1alpha1.ActionPublish},
		{readwrite, v1alpha1.Allow, v1alpha1.ActionAll},
		{deny, v1alpha1.Deny, v1alpha1.ActionAll},
	} {
		var topics []string
		seen := map[string]bool{}
		for _, e := range entries {
			if e.access == kind.access && !seen[e.topic] {
				seen[e.topic] = true
				topics = append(topics, e.topic)
			}
		}
		for chunk := range slices.Chunk(topics, maxTopics) {
			rules = append(rules, v1alpha1.Rule{Effect: kind.effect, Actions: []v1alpha1.Action{kind.action}, Topics: chunk})
		}
	}
	return rules
}
