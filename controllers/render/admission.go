package render

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// Admits returns of which namespaces the Broker takes MQTTUsers and TopicACLs: of
// none where that cannot be read from its spec, of which Render makes an error.
func (in Input) Admits() func(namespace string) bool {
	verdict, err := admission(in)
	return func(namespace string) bool { return err == nil && verdict(namespace).Accepted() }
}

// admission returns the Broker's half of the consent: its verdict on objects of
// a namespace.
func admission(in Input) (func(namespace string) Verdict, error) {
	allowed := in.Broker.Spec.AllowedUsers.Namespaces
	selector, err := metav1.LabelSelectorAsSelector(allowed.Selector)
	if err != nil {
		return nil, fmt.Errorf("render Broker %s/%s: spec.allowedUsers.namespaces.selector: %w",
			in.Broker.Namespace, in.Broker.Name, err)
	}
	return func(namespace string) Verdict {
		if namespace == in.Broker.Namespace || allowed.From == v1alpha1.FromAll {
			return accepted("")
		}
		if allowed.From == v1alpha1.FromSelector && selector.Matches(labels.Set(in.Namespaces[namespace])) {
			return accepted("")
		}
		return rejected(v1alpha1.ReasonNotAllowedByBroker,
			"Broker %s/%s does not admit namespace %q: widen its spec.allowedUsers.namespaces",
			in.Broker.Namespace, in.Broker.Name, namespace)
	}, nil
}

// nameFor names an object to readers of a namespace, who are not told what objects
// others have.
func nameFor(namespace, kind string, key types.NamespacedName) string {
	if key.Namespace != namespace {
		return fmt.Sprintf("a %s of another namespace", kind)
	}
	return fmt.Sprintf("%s %s", kind, key)
}
