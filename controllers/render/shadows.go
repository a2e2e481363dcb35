package render

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/auth"
)

// Shadows are the rules that decide nothing, by the TopicACL that they stand in,
// "namespace/name".
type Shadows map[string][]v1alpha1.ShadowedRule

// FindShadows compiles the rules as the engine does, and finds those that decide
// nothing. It takes some ten milliseconds for a thousand TopicACLs, and where they
// have more in common than can be looked at in some 100, it does not find all.
func FindShadows(out *Output) (Shadows, error) {
	rules, err := compile(out)
	if err != nil {
		return nil, fmt.Errorf("find shadowed rules: %w", err)
	}
	found := Shadows{}
	for _, s := range rules.Shadowed() {
		found[s.Policy] = append(found[s.Policy], v1alpha1.ShadowedRule{Index: int32(s.Rule), CoveredBy: coveredBy(s)})
	}
	return found, nil
}

// coveredBy names the rule that covers another, for eyes of the other's namespace.
func coveredBy(s auth.Shadow) string {
	namespace, _, _ := strings.Cut(s.Policy, "/")
	in, name, _ := strings.Cut(s.By.Policy, "/")
	text := fmt.Sprintf("%s in %s", s.By.Effect, nameFor(namespace, v1alpha1.KindTopicACL, types.NamespacedName{Namespace: in, Name: name}))
	if in == namespace {
		text += fmt.Sprintf(", spec.rules[%d]", s.By.Rule)
	}
	return text
}
