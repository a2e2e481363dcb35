package mqttuser

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/conditions"
	"github.com/godwit-mqtt/godwit/controllers/enforcement"
)

// updateStatus computes the whole status from the scope and writes it in one
// patch, if it differs. While nobody knows better it stays as it is.
func (r *Reconciler) updateStatus(ctx context.Context, s *scope) error {
	version, err := r.secretVersion(ctx, s)
	if err != nil {
		return err
	}
	before := s.user.DeepCopy()
	status := &s.user.Status
	if !s.known && status.ObservedGeneration == s.user.Generation && status.ObservedSecretVersion == version {
		return nil
	}
	accepted, programmed := s.conditions(version)
	status.ObservedGeneration = s.user.Generation
	if !s.behind(version) {
		status.ObservedSecretVersion = version
	}
	status.Username = s.user.Username()
	status.SecretName = s.madeSecret()
	status.Password, status.Certificate = s.password, s.certificate
	conditions.Set(&status.Conditions, s.user.Generation, accepted, programmed, conditions.Ready(accepted, programmed))
	if equality.Semantic.DeepEqual(before.Status, s.user.Status) {
		return nil
	}
	if err := r.Client.Status().Patch(ctx, s.user, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("update status of MQTTUser: %w", err)
	}
	r.Stopwatch.See(s.user, s.user.Status.Conditions, time.Now())
	r.announce(before, s.user)
	return nil
}

// secretVersion is the version of the Secret with the user's credentials, empty
// where there is none.
func (r *Reconciler) secretVersion(ctx context.Context, s *scope) (string, error) {
	key, ok := s.user.SecretKey()
	if !ok {
		return "", nil
	}
	return r.Secrets.Version(ctx, key)
}

// conditions are Accepted and Programmed: what the Broker says, unless the
// credentials are not there, or the Broker has not seen this version of them.
func (s *scope) conditions(version string) (accepted, programmed metav1.Condition) {
	state := s.state
	if !s.known {
		state = enforcement.Pending()
	}
	accepted, programmed = state.Accepted, state.Programmed
	if s.problem != nil && lacksCredentials(accepted) {
		accepted = conditions.False(v1alpha1.ConditionAccepted, s.problem.reason, s.problem.message)
	}
	if s.behind(version) && accepted.Status == metav1.ConditionTrue && programmed.Status == metav1.ConditionTrue {
		programmed = conditions.False(v1alpha1.ConditionProgrammed, v1alpha1.ReasonApplying,
			"the Broker has not been reconciled with the Secret as it is now")
	}
	return accepted, programmed
}

// behind says that the Broker has not taken up this version of the Secret: it knows
// another, or is yet to look at the user.
func (s *scope) behind(version string) bool {
	return !s.known || s.state.SecretVersion != "" && s.state.SecretVersion != version
}

// lacksCredentials says that nothing but credentials may be in the user's way, by
// what its Broker says.
func lacksCredentials(accepted metav1.Condition) bool {
	switch accepted.Reason {
	case v1alpha1.ReasonAccepted, v1alpha1.ReasonWaitingForSecret, v1alpha1.ReasonNotOwned:
		return true
	default:
		return false
	}
}

// madeSecret is the name of the Secret that is made for the user; empty where
// none is.
func (s *scope) madeSecret() string {
	if key, ok := s.user.SecretKey(); ok && s.user.Spec.Authentication.Password == nil {
		return key.Name
	}
	return ""
}

// announce emits an event where the user turned ready, and where it came to be
// not accepted, or for another reason.
func (r *Reconciler) announce(before, after *v1alpha1.MQTTUser) {
	find := func(u *v1alpha1.MQTTUser, kind string) metav1.Condition {
		if c := meta.FindStatusCondition(u.Status.Conditions, kind); c != nil {
			return *c
		}
		return metav1.Condition{}
	}
	was, is := find(before, v1alpha1.ConditionAccepted), find(after, v1alpha1.ConditionAccepted)
	if is.Status == metav1.ConditionFalse && (is.Reason != was.Reason || is.Message != was.Message) {
		r.Events.Eventf(after, nil, corev1.EventTypeWarning, is.Reason, "Reconcile", "%s", is.Message)
	}
	was, is = find(before, v1alpha1.ConditionReady), find(after, v1alpha1.ConditionReady)
	if is.Status == metav1.ConditionTrue && (was.Status != is.Status || was.Reason != is.Reason) {
		r.Events.Eventf(after, nil, corev1.EventTypeNormal, is.Reason, "Reconcile", "every running pod of the broker enforces it")
	}
}
