package acl

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/godwit-mqtt/godwit/broker/config"
)

// Explain writes the answer for people.
func (a *Answer) Explain(out io.Writer) {
	verdict, modal := "no", "may not"
	if a.Allowed {
		verdict, modal = "yes", "may"
	}
	fmt.Fprintf(out, "%s: %s %s %s: %s\n", verdict, a.who(), modal, a.what(), a.Reason)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	listRules(w, "decided by", a.Rules)
	listRules(w, "matches in vain", a.InVain)
	listRules(w, "granted, but messages on these topics are not delivered", a.NotDelivered)
	_ = w.Flush() // the writer below is the caller's to judge
	if a.Hint != "" {
		fmt.Fprintf(out, "hint: %s\n", a.Hint)
	}
}

func (q Question) who() string {
	who := q.User
	if strings.ContainsFunc(who, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) }) {
		who = strconv.Quote(who)
	}
	if q.Anonymous {
		who = "an anonymous client"
	}
	if q.ClientID != "" {
		who += " as client " + q.ClientID
	}
	return who
}

func (q Question) what() string {
	if q.Action == Subscribe {
		return fmt.Sprintf("subscribe to %s with QoS %d", q.Topic, q.QoS)
	}
	message := "a message"
	if q.Retain {
		message = "a retained message"
	}
	return fmt.Sprintf("publish %s to %s with QoS %d", message, q.Topic, q.QoS)
}

// listRules writes the rules below a heading, if there are any.
func listRules(out io.Writer, heading string, rules []Rule) {
	if len(rules) == 0 {
		return
	}
	fmt.Fprintf(out, "%s:\n", heading)
	for _, r := range rules {
		fmt.Fprintf(out, "  %s\tTopicACL %s\tspec.rules[%d]\t%s%s\n", r.Effect, r.ACL, r.Index, r.Topic, r.limits())
	}
}

// limits of what an Allow rule grants, where there are any.
func (r Rule) limits() string {
	if r.Effect != config.Allow {
		return ""
	}
	var limits []string
	if *r.MaxQoS < 2 {
		limits = append(limits, fmt.Sprintf("maxQoS %d", *r.MaxQoS))
	}
	if !*r.Retain {
		limits = append(limits, "not retained")
	}
	if limits == nil {
		return ""
	}
	return "  (" + strings.Join(limits, ", ") + ")"
}
