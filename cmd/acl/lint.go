package acl

import (
	"fmt"
	"io"
)

// Finding is a rule that decides nothing, because others cover it.
type Finding struct {
	ACL   string `json:"acl"`   // "namespace/name" of the TopicACL
	Index int    `json:"index"` // in its spec.rules
	// CoveredBy is a rule that covers its first topic filter.
	CoveredBy Rule `json:"coveredBy"`
}

// Lint returns the rules that decide nothing. Those of a TopicACL without any user
// are not among them: they wait.
func (r *Rights) Lint() []Finding {
	found := []Finding{}
	for _, s := range r.snapshot.Shadowed() {
		found = append(found, Finding{s.Policy, s.Rule, ruleOf(s.By)})
	}
	return found
}

// ExplainFindings writes findings for people.
func ExplainFindings(out io.Writer, found []Finding) {
	for _, f := range found {
		fmt.Fprintf(out, "TopicACL %s spec.rules[%d] decides nothing: %s in TopicACL %s spec.rules[%d] covers it with %s\n",
			f.ACL, f.Index, f.CoveredBy.Effect, f.CoveredBy.ACL, f.CoveredBy.Index, f.CoveredBy.Topic)
	}
}
