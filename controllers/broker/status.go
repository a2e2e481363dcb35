package broker

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	admin "github.com/godwit-mqtt/godwit/broker/admin/client"
	"github.com/godwit-mqtt/godwit/controllers/conditions"
	"github.com/godwit-mqtt/godwit/controllers/render"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// updateStatus computes the whole status from the scope and writes it in one
// patch, if it differs.
func (r *Reconciler) updateStatus(ctx context.Context, s *scope) error {
	before := s.broker.DeepCopy()
	if s.broker.Spec.Paused {
		s.pausedStatus()
	} else {
		s.computeStatus()
	}
	if equality.Semantic.DeepEqual(before.Status, s.broker.Status) {
		return nil
	}
	if err := r.Client.Status().Patch(ctx, s.broker, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("update status of Broker: %w", err)
	}
	r.announce(before, s.broker)
	return nil
}

// announce emits an event where the Broker turned ready or stopped being ready,
// and where it came to need a person.
func (r *Reconciler) announce(before, after *v1alpha1.Broker) {
	was, is := conditionsOf(before), conditionsOf(after)
	switch {
	case is.stalled.Status == metav1.ConditionTrue && is.stalled.Message != was.stalled.Message:
		r.Events.Eventf(after, nil, corev1.EventTypeWarning, is.stalled.Reason, "Reconcile", "%s", is.stalled.Message)
	case is.ready.Status == was.ready.Status:
	case is.ready.Status == metav1.ConditionTrue:
		r.Events.Eventf(after, nil, corev1.EventTypeNormal, is.ready.Reason, "Reconcile", "the broker is ready")
	case was.ready.Status == metav1.ConditionTrue:
		r.Events.Eventf(after, nil, corev1.EventTypeWarning, is.ready.Reason, "Reconcile", "no longer ready: %s", is.ready.Message)
	}
}

// told is what people are told of.
type told struct{ ready, stalled metav1.Condition }

func conditionsOf(b *v1alpha1.Broker) (t told) {
	for _, c := range b.Status.Conditions {
		switch c.Type {
		case v1alpha1.ConditionReady:
			t.ready = c
		case v1alpha1.ConditionStalled:
			t.stalled = c
		}
	}
	return t
}

// pausedStatus leaves what was found, and says that nothing is done.
func (s *scope) pausedStatus() {
	generation := s.broker.Generation
	s.broker.Status.ObservedGeneration = generation
	conditions.Set(&s.broker.Status.Conditions, generation,
		conditions.True(v1alpha1.ConditionReconciling, v1alpha1.ReasonPaused, "spec.paused is set: changes wait until it is unset"))
}

func (s *scope) computeStatus() {
	status := &s.broker.Status
	status.ObservedGeneration = s.broker.Generation
	status.Selector = labels.SelectorFromSet(resource.Selector(s.broker)).String()
	status.Replicas, status.ReadyReplicas = 0, 0
	if s.set != nil {
		status.Replicas, status.ReadyReplicas = s.set.Status.Replicas, s.set.Status.ReadyReplicas
	}
	if s.rendered != nil {
		status.ConfigRevision = s.rendered.Revision
		status.Users = countUsers(s.rendered)
	}
	status.Listeners = s.listenerStatuses()
	status.Clients = s.clients()
	conditions.Set(&status.Conditions, s.broker.Generation, s.conditions()...)
}

// conditions in the order in which they are computed: the summary last.
func (s *scope) conditions() []metav1.Condition {
	tls, config, storage, stalled := s.tls, s.configCondition(), s.storageCondition(), s.stalledCondition()
	ready := s.readyCondition(stalled, tls, config)
	return []metav1.Condition{tls, config, storage, stalled, s.reconcilingCondition(stalled, ready), ready}
}

// reconcilingCondition tells of calls that failed whether or not the Broker is
// ready.
func (s *scope) reconcilingCondition(stalled, ready metav1.Condition) metav1.Condition {
	switch err := s.failure(); {
	case err != nil:
		return conditions.True(v1alpha1.ConditionReconciling, v1alpha1.ReasonFailed, err.Error())
	case ready.Status != metav1.ConditionTrue && stalled.Status != metav1.ConditionTrue:
		return conditions.True(v1alpha1.ConditionReconciling, ready.Reason, ready.Message)
	}
	return conditions.False(v1alpha1.ConditionReconciling, ready.Reason, "")
}

func (s *scope) configCondition() metav1.Condition {
	no := func(reason, message string) metav1.Condition {
		return conditions.False(v1alpha1.ConditionConfigApplied, reason, message)
	}
	switch {
	case !s.configWritten && len(s.failures) > 0:
		return no(v1alpha1.ReasonFailed, fmt.Sprintf("the configuration could not be written: %v", s.failure()))
	case s.rendered == nil:
		return no(v1alpha1.ReasonConfigRejected, "the spec makes no valid configuration")
	case !s.configWritten:
		return no(v1alpha1.ReasonFailed, "the configuration could not be written")
	case len(s.pods) == 0:
		return no(v1alpha1.ReasonNoRunningPods, "no pod of the Broker is running")
	}
	for _, a := range s.pods {
		if a.err == nil && a.status.Error != "" {
			return no(v1alpha1.ReasonConfigRejected, fmt.Sprintf("pod %s keeps the configuration before: %s", a.pod.Name, a.status.Error))
		}
		if !a.enforces(s.rendered.Revision) {
			return no(v1alpha1.ReasonApplying, fmt.Sprintf("pod %s does not enforce the newest configuration yet", a.pod.Name))
		}
	}
	return conditions.True(v1alpha1.ConditionConfigApplied, v1alpha1.ReasonApplied, "every running pod enforces the newest configuration")
}

func (s *scope) stalledCondition() metav1.Condition {
	if len(s.stalls) == 0 {
		return conditions.False(v1alpha1.ConditionStalled, v1alpha1.ReasonNotStalled, "")
	}
	n := joined(s.stalls)
	return conditions.True(v1alpha1.ConditionStalled, n.reason, n.message)
}

// readyCondition takes the first thing that is in the way.
func (s *scope) readyCondition(stalled, tls, config metav1.Condition) metav1.Condition {
	no := func(reason, message string) metav1.Condition {
		return conditions.False(v1alpha1.ConditionReady, reason, message)
	}
	switch {
	case stalled.Status == metav1.ConditionTrue:
		return no(stalled.Reason, stalled.Message)
	case tls.Status == metav1.ConditionFalse:
		return no(tls.Reason, tls.Message)
	case len(s.waits) > 0:
		n := joined(s.waits)
		return no(n.reason, n.message)
	case len(s.broken) > 0:
		return no(v1alpha1.ReasonStorageFailed, strings.Join(s.broken, "; "))
	}
	if n := s.rollout(); n != nil {
		return no(n.reason, n.message)
	}
	if s.incomplete && !s.wasReady() {
		return no(v1alpha1.ReasonFailed, s.failure().Error())
	}
	if *s.desired.Spec.Replicas == 0 {
		return conditions.True(v1alpha1.ConditionReady, v1alpha1.ReasonScaledToZero, "stopped, as spec.replicas asks")
	}
	if config.Status != metav1.ConditionTrue && !s.merelyBehind(config) {
		return no(config.Reason, config.Message)
	}
	return conditions.True(v1alpha1.ConditionReady, v1alpha1.ReasonReady, "")
}

// merelyBehind says that a Broker whose spec is in force has users or ACLs on
// their way to its pods, in the time that this takes, or that the operator fails
// to send them. It stays ready.
func (s *scope) merelyBehind(config metav1.Condition) bool {
	onTheirWay := config.Reason == v1alpha1.ReasonApplying && !s.overdue
	return (onTheirWay || config.Reason == v1alpha1.ReasonFailed) && s.wasReady()
}

// wasReady says that the Broker was ready with the spec that it has.
func (s *scope) wasReady() bool {
	ready := conditionsOf(s.broker).ready
	return ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == s.broker.Generation
}

// rollout says what the StatefulSet still has to do; nil where nothing.
func (s *scope) rollout() *notice {
	want := *s.desired.Spec.Replicas
	set := s.set
	switch {
	case set == nil || set.Status.ObservedGeneration < set.Generation:
		return &notice{v1alpha1.ReasonRollingOut, "Kubernetes has not taken up the StatefulSet yet"}
	case set.Status.Replicas > want || set.Status.UpdatedReplicas < want:
		return &notice{v1alpha1.ReasonRollingOut, fmt.Sprintf("%d of %d pods are of the newest kind", set.Status.UpdatedReplicas, want)}
	case set.Status.ReadyReplicas < want:
		return &notice{v1alpha1.ReasonWaitingForPods, fmt.Sprintf("%d of %d pods are ready", set.Status.ReadyReplicas, want)}
	}
	return nil
}

func (s *scope) clients() int64 {
	var n int64
	for _, a := range s.pods {
		n += int64(a.status.Clients)
	}
	return n
}

func (s *scope) listenerStatuses() []v1alpha1.ListenerStatus {
	var out []v1alpha1.ListenerStatus
	for i := range s.desired.Spec.Listeners {
		l := &s.desired.Spec.Listeners[i]
		status := v1alpha1.ListenerStatus{Name: l.Name, Address: s.address(l), Port: l.Port}
		if served := s.served(l.Name); served != nil {
			status.Certificate = new(certificateStatus(*served.Certificate))
			for _, c := range served.AdditionalCertificates {
				status.AdditionalCertificates = append(status.AdditionalCertificates,
					v1alpha1.AdditionalCertificateStatus{Name: c.Name, CertificateStatus: certificateStatus(c.Certificate)})
			}
		}
		out = append(out, status)
	}
	return out
}

// address is where clients reach the Service of a listener: its load balancer,
// or its name in the cluster, which its certificate holds. Where the Service was
// not read, the address is what it was.
func (s *scope) address(l *v1alpha1.Listener) string {
	service := s.services[resource.ServiceName(s.desired, l)]
	if service == nil {
		return s.addressBefore(l.Name)
	}
	if service.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return resource.ServiceAddress(s.desired, l)
	}
	ingress := service.Status.LoadBalancer.Ingress
	if len(ingress) == 0 {
		return ""
	}
	return cmp.Or(ingress[0].Hostname, ingress[0].IP)
}

func (s *scope) addressBefore(listener string) string {
	for _, l := range s.broker.Status.Listeners {
		if l.Name == listener {
			return l.Address
		}
	}
	return ""
}

// served is what the first pod tells of a listener with TLS; nil where none does.
func (s *scope) served(listener string) *admin.Listener {
	for _, a := range s.pods {
		for i := range a.status.Listeners {
			if l := &a.status.Listeners[i]; l.Name == listener && l.Certificate != nil {
				return l
			}
		}
	}
	return nil
}

func certificateStatus(c admin.Certificate) v1alpha1.CertificateStatus {
	return v1alpha1.CertificateStatus{NotAfter: metav1.NewTime(c.NotAfter), SHA256: c.SHA256}
}

func countUsers(out *render.Output) v1alpha1.UserCounts {
	var n v1alpha1.UserCounts
	for _, u := range out.Users {
		switch {
		case u.Verdict.Accepted():
			n.Accepted++
		case u.Pending:
		default:
			n.Rejected++
		}
	}
	return n
}
