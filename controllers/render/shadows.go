package render

import (
	"fmt"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// Shadows are the rules that decide nothing, by the TopicACL that they stand in,
// "namespace/name".
type Shadows map[string][]v1alpha1.ShadowedRule

// FindShadows compiles the rules as the engine does, and finds those that decide
// nothing. It takes some ten milliseconds for a thousand TopicACLs.
func FindShadows(out *Output) (Shadows, error) {
	rules, err := compile(out)
	if err != nil {
		return nil, fmt.Errorf("find shadowed rules: %w", err)
	}
	found := Shadows{}
	for _, s := range rules.Shadowed() {
		found[s.Policy] = append(found[s.Policy], v1alpha1.ShadowedRule{
			Index:     int32(s.Rule),
			CoveredBy: fmt.Sprintf("%s in %s %s, spec.rules[%d]", s.By.Effect, v1alpha1.KindTopicACL, s.By.Policy, s.By.Rule),
		})
	}
	return found, nil
}
