package retain

import "strings"

// scan walks the names that a filter matches, in their order, and skips those
// between them that it can tell from their neighbours.
//
// All names below the levels P are the names that begin with P and '/', and
// stand together; they end before P and '0', the byte after '/'.
type scan struct {
	filter string
	from   []byte // where to go on: no name below it is left to look at
	done   bool
}

// These come right after '/' and '$' in the order of bytes.
const (
	afterSeparator = "0"
	afterDollar    = "%"
)

// start points the scan at the first name that can match.
func (s *scan) start() { s.to("", s.literal(0)) }

// literal returns how all names go on that match from the level at f on: the
// filter up to its next wildcard.
func (s *scan) literal(f int) string {
	rest := s.filter[f:]
	switch i := strings.IndexAny(rest, "+#"); {
	case i < 0:
		return rest
	case i > 0 && rest[i] == '#':
		return rest[:i-1] // '#' includes the parent level
	default:
		return rest[:i]
	}
}

// check reports whether the filter matches name, which is not below from, and
// moves from up to the next name that can match, or sets done.
func (s *scan) check(name string) bool {
	if name[0] == '$' && (s.filter[0] == '+' || s.filter[0] == '#') { // [MQTT-4.7.2-1]
		s.to("", afterDollar)
		return false
	}
	f, n := 0, 0 // where the level begins, in filter and name
	plus := -1   // where the last level that a '+' stood for ends in name
	for {
		want, moreWanted := levelAt(s.filter, f)
		if want == "#" {
			s.to(name, "\x00")
			return true
		}
		level, more := levelAt(name, n)
		if want != "+" && want != level {
			s.skip(name, n, f, plus)
			return false
		}
		f, n = f+len(want), n+len(level)
		if want == "+" {
			plus = n
		}
		switch {
		case more && moreWanted:
			f, n = f+1, n+1
		case more: // this name and its kin are too deep
			s.to(name[:n], afterSeparator)
			return false
		default:
			s.to(name, "\x00")
			return !moreWanted || s.filter[f:] == "/#"
		}
	}
}

// skip leaves a name behind that does not have the level at f of the filter at
// n, while all levels before match; plus is as in check.
func (s *scan) skip(name string, n, f, plus int) {
	prefix, rest := name[:n], name[n:]
	want, more := levelAt(s.filter, f)
	switch {
	case rest < want:
		s.to(prefix, s.literal(f))
	case more && strings.HasPrefix(rest, want) && rest[len(want)] < '/':
		// Between the wanted level itself and what is below it.
		s.to(prefix, want)
		s.from = append(s.from, '/')
	case plus < 0:
		s.done = true
	default: // nothing more below what '+' stood for
		s.to(name[:plus], afterSeparator)
	}
}

// to makes prefix and rest together the name to go on with.
func (s *scan) to(prefix, rest string) {
	s.from = append(append(s.from[:0], prefix...), rest...)
}

// levelAt returns the level of a topic that begins at i, and whether another
// follows.
func levelAt(topic string, i int) (level string, more bool) {
	if end := strings.IndexByte(topic[i:], '/'); end >= 0 {
		return topic[i : i+end], true
	}
	return topic[i:], false
}
