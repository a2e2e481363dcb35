package topic

import "strings"

// Match reports whether the filter matches the topic name. Both must be valid;
// the filter of a shared subscription stands without its $share/group/ prefix.
// It does not allocate.
func Match[N string | []byte](filter string, name N) bool {
	if len(name) > 0 && name[0] == '$' && startsWithWildcard(filter) { // [MQTT-4.7.2-1]
		return false
	}
	f, n := 0, 0
	for f < len(filter) {
		switch {
		case filter[f] == '#':
			return true
		case filter[f] == '+':
			f++
			for n < len(name) && name[n] != '/' {
				n++
			}
		case n < len(name) && name[n] == filter[f]:
			f, n = f+1, n+1
		default:
			return n == len(name) && filter[f:] == "/#" // '#' includes the parent level
		}
	}
	return n == len(name)
}

// Covers reports whether filter a matches every topic name that filter b
// matches. Both must be valid filters without $share/group/; that names have a
// greatest length is not taken into account.
func Covers(a, b string) bool {
	if startsWithWildcard(a) && strings.HasPrefix(b, "$") { // [MQTT-4.7.2-1]
		return false
	}
	a, b = spellOut(a), spellOut(b)
	for ok := true; ok; {
		var la, lb string
		var more bool
		la, a, ok = strings.Cut(a, "/")
		lb, b, more = strings.Cut(b, "/")
		switch {
		case la == "#":
			return true
		case lb == "#" || la != "+" && la != lb:
			return false
		case !more:
			return !ok || a == "#"
		}
	}
	return false // b goes deeper than a
}

// Overlaps reports whether some topic name is matched by both filters. Both
// must be valid filters without $share/group/; that names have a greatest
// length is not taken into account.
func Overlaps(a, b string) bool {
	if startsWithWildcard(a) && strings.HasPrefix(b, "$") ||
		startsWithWildcard(b) && strings.HasPrefix(a, "$") { // [MQTT-4.7.2-1]
		return false
	}
	a, b = spellOut(a), spellOut(b)
	for {
		la, resta, moreA := strings.Cut(a, "/")
		lb, restb, moreB := strings.Cut(b, "/")
		switch {
		case la == "#" || lb == "#":
			return true
		case la != "+" && lb != "+" && la != lb:
			return false
		case !moreA || !moreB:
			return moreA == moreB || moreA && resta == "#" || moreB && restb == "#"
		}
		a, b = resta, restb
	}
}

// spellOut returns a filter that matches the same topic names, and whose '#',
// if it ends in one, has a parent level that can be the end of a name. For the
// two filters without, there is no such name: names are not empty.
func spellOut(filter string) string {
	switch filter {
	case "#":
		return "+/#"
	case "/#":
		return "/+/#"
	}
	return filter
}

func startsWithWildcard(filter string) bool {
	return filter != "" && (filter[0] == '+' || filter[0] == '#')
}
