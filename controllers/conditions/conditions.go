// Package conditions has short forms for metav1.Condition.
package conditions

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// maxMessage is the longest message that a condition may have, in bytes.
const maxMessage = 32768

// True is a condition that holds.
func True(kind, reason, message string) metav1.Condition {
	return condition(kind, metav1.ConditionTrue, reason, message)
}

// False is a condition that does not hold.
func False(kind, reason, message string) metav1.Condition {
	return condition(kind, metav1.ConditionFalse, reason, message)
}

// Unknown is a condition that nobody has looked at yet.
func Unknown(kind, reason, message string) metav1.Condition {
	return condition(kind, metav1.ConditionUnknown, reason, message)
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	if len(message) > maxMessage {
		message = message[:maxMessage]
	}
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// Set writes conditions that were computed for a generation, and keeps the
// transition time of those whose status stays.
func Set(list *[]metav1.Condition, generation int64, conditions ...metav1.Condition) {
	for _, c := range conditions {
		c.ObservedGeneration = generation
		meta.SetStatusCondition(list, c)
	}
}

// Ready sums up what a MQTTUser or TopicACL is judged by: the first condition that
// is not True, or else True, with what there is to say of an accepted object.
func Ready(accepted, programmed metav1.Condition) metav1.Condition {
	for _, c := range []metav1.Condition{accepted, programmed} {
		if c.Status != metav1.ConditionTrue {
			return condition(v1alpha1.ConditionReady, c.Status, c.Reason, c.Message)
		}
	}
	reason := v1alpha1.ReasonReady
	if accepted.Reason == v1alpha1.ReasonDisabled {
		reason = accepted.Reason
	}
	return True(v1alpha1.ConditionReady, reason, accepted.Message)
}
