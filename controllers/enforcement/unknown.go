package enforcement

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/conditions"
)

// BrokerNotFound is what is to be said of an object whose Broker does not exist.
func BrokerNotFound(broker types.NamespacedName) State {
	return State{
		Accepted: conditions.False(v1alpha1.ConditionAccepted, v1alpha1.ReasonBrokerNotFound,
			fmt.Sprintf("Broker %s does not exist", broker)),
		Programmed: conditions.False(v1alpha1.ConditionProgrammed, v1alpha1.ReasonNotAccepted, notAccepted),
	}
}

// Pending is what is to be said of an object that nobody has judged yet.
func Pending() State {
	const message = "the Broker has not been reconciled with it yet"
	return State{
		Accepted:   conditions.Unknown(v1alpha1.ConditionAccepted, v1alpha1.ReasonPending, message),
		Programmed: conditions.Unknown(v1alpha1.ConditionProgrammed, v1alpha1.ReasonPending, message),
	}
}
