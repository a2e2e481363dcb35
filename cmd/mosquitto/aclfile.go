package mosquitto

import (
	"errors"
	"fmt"
	"strings"

	"github.com/godwit-mqtt/godwit/broker/topic"
)

// access that a line of an ACL file speaks of.
type access string

const (
	read      access = "read"
	write     access = "write"
	readwrite access = "readwrite"
	deny      access = "deny"
)

// entry is a line with a topic.
type entry struct {
	line   int
	access access
	topic  string
}

// section holds the topic lines of one user.
type section struct {
	username string
	line     int // of its first user line
	entries  []entry
}

// aclFile is what an ACL file says.
type aclFile struct {
	anonymous []entry    // topic lines before the first user line
	users     []*section // in the order of their first lines
	patterns  []entry
}

// parseACL reads an ACL file as Mosquitto does, and refuses what it refuses.
func parseACL(s *Source) (*aclFile, error) {
	f := &aclFile{}
	var current *section
	for i, line := range strings.Split(string(s.Content), "\n") {
		line = strings.TrimRight(line, blanks)
		if line == "" || line[0] == '#' {
			continue
		}
		word, rest, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
		var err error
		switch word {
		case "user":
			current, err = f.section(strings.Trim(rest, blanks), i+1)
		case "topic":
			err = f.topic(current, i+1, rest)
		case "pattern":
			f.patterns, err = appendEntry(f.patterns, i+1, rest)
		default:
			err = fmt.Errorf("%q is not known: use user, topic or pattern", word)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", s.Name, i+1, err)
		}
	}
	return f, nil
}

// section returns that of a user, which may be spread over the file, for more
// entries.
func (f *aclFile) section(username string, line int) (*section, error) {
	if username == "" {
		return nil, errors.New("user: the name is missing")
	}
	s := f.sectionOf(username)
	if s.line == 0 {
		s.line = line
		f.users = append(f.users, s)
	}
	return s, nil
}

// sectionOf returns that of a user, which is empty where the file has none.
func (f *aclFile) sectionOf(username string) *section {
	for _, s := range f.users {
		if s.username == username {
			return s
		}
	}
	return &section{username: username}
}

func (f *aclFile) topic(of *section, line int, rest string) (err error) {
	entries := &f.anonymous
	if of != nil {
		entries = &of.entries
	}
	*entries, err = appendEntry(*entries, line, rest)
	return err
}

// blanks are what Mosquitto takes for space around a line. Within one it knows spaces
// alone; a space that is not of ASCII is a part of a topic.
const blanks = " \t\r\v\f"

// appendEntry reads "[read|write|readwrite|deny] TOPIC". A single word is a topic.
func appendEntry(to []entry, line int, text string) ([]entry, error) {
	text = strings.TrimLeft(text, " ")
	e := entry{line, readwrite, text}
	if word, rest, more := strings.Cut(text, " "); more {
		e.access, e.topic = access(word), strings.Trim(rest, blanks)
	}
	switch e.access {
	case read, write, readwrite, deny:
	default:
		return nil, fmt.Errorf("%q is no access: use read, write, readwrite or deny", e.access)
	}
	if err := topic.ValidateFilter(e.topic); err != nil {
		return nil, err
	}
	return append(to, e), nil
}
