package history

import (
	"fmt"
	"slices"
	"time"
)

// Kind of a violation.
type Kind string

// The kinds.
const (
	Lost     Kind = "lost"            // an acknowledged message did not come
	Repeated Kind = "repeated"        // a message came twice that must not
	Disorder Kind = "out of order"    // a message came first behind a later one
	Foreign  Kind = "not asked for"   // nobody has sent it, or it was not subscribed to
	Session  Kind = "session present" // was not the truth
	Retained Kind = "retained"        // a value that is older than the last acknowledged
	Will     Kind = "will"            // published though it was taken back
	Protocol Kind = "protocol"        // something that a broker must not do
)

// Violation is a promise that was not kept.
type Violation struct {
	Kind Kind
	At   time.Duration
	Text string
	// Excused: it is of the last moment before a kill, and is not promised.
	Excused bool
	// Before is how long before the kill a message was acknowledged that is lost.
	Before time.Duration
}

// String is a line that tells of it.
func (v Violation) String() string {
	s := fmt.Sprintf("%s: %s", v.Kind, v.Text)
	if v.Excused {
		return s + " (not promised)"
	}
	return s
}

// report keeps a violation that was found at a time.
func (h *History) report(k Kind, at time.Duration, excused bool, format string, args ...any) {
	h.found = append(h.found, Violation{Kind: k, At: at, Excused: excused, Text: fmt.Sprintf(format, args...) +
		fmt.Sprintf(", at %v, %s", round(at), h.around(at))})
}

// Fault tells of something that the broker did against the protocol.
func (h *History) Fault(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.report(Protocol, h.now(), false, "%v", err)
}

// Violations returns all that was found, and the messages that have not come.
func (h *History) Violations() []Violation {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.Clone(h.found)
	for _, r := range h.receivers {
		all = append(all, r.lost()...)
	}
	return all
}

// Complete reports whether all messages have come that have to.
func (h *History) Complete() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.receivers {
		if slices.ContainsFunc(r.lost(), func(v Violation) bool { return !v.Excused }) {
			return false
		}
	}
	return true
}
