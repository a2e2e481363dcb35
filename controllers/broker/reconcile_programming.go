package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	admin "github.com/godwit-mqtt/godwit/broker/admin/client"
	"github.com/godwit-mqtt/godwit/controllers/enforcement"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// answerWithin is how long a pod has to answer.
const answerWithin = 2 * time.Second

// podAnswer is a running pod and what it said.
type podAnswer struct {
	pod    *corev1.Pod
	status admin.Status
	err    error
}

// enforces says that the pod has taken the newest files.
func (a podAnswer) enforces(revision string) bool {
	return a.err == nil && a.status.Revision == revision
}

// serves says that each listener that the pod tells of has the certificates of
// these fingerprints.
func (a podAnswer) serves(fingerprints map[servedCertificate]string) bool {
	isOther := func(c admin.Certificate, listener, additional string) bool {
		want := fingerprints[servedCertificate{listener, additional}]
		return want != "" && c.SHA256 != want
	}
	for _, l := range a.status.Listeners {
		if l.Certificate != nil && isOther(*l.Certificate, l.Name, "") {
			return false
		}
		for _, c := range l.AdditionalCertificates {
			if isOther(c.Certificate, l.Name, c.Name) {
				return false
			}
		}
	}
	return true
}

// problem says for people why the pod does not enforce the newest files; empty
// where it only takes its time.
func (a podAnswer) problem() string {
	switch {
	case errors.Is(a.err, admin.ErrUnreachable):
		return "its admin endpoint does not answer"
	case a.err != nil:
		return a.err.Error()
	default:
		return a.status.Error
	}
}

// reconcileProgramming makes the pods take up their files at once, asks them
// what they enforce, and publishes the answers.
func (r *Reconciler) reconcileProgramming(ctx context.Context, s *scope) error {
	var pods corev1.PodList
	err := r.Client.List(ctx, &pods, client.InNamespace(s.broker.Namespace), client.MatchingLabels(resource.Selector(s.broker)))
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	s.pods = r.ask(ctx, running(s, pods.Items))
	s.broken = broken(s, pods.Items)
	err = r.touchPods(ctx, s)
	if s.rendered == nil {
		return err
	}
	err = errors.Join(err, r.shadows.add(s.key(), s.rendered))
	r.Ledger.Publish(ctx, s.key(), s.rendered, enforced(s.pods))
	r.tellDenials(ctx, s)
	return err
}

// running returns the pods of the Broker's StatefulSet whose broker runs, by
// name. A pod that is being deleted takes no new clients and counts no more.
func running(s *scope, pods []corev1.Pod) []podAnswer {
	var out []podAnswer
	for i := range pods {
		p := &pods[i]
		if s.set != nil && metav1.IsControlledBy(p, s.set) && p.DeletionTimestamp.IsZero() && instance(p) != "" {
			out = append(out, podAnswer{pod: p})
		}
	}
	slices.SortFunc(out, func(a, b podAnswer) int { return cmp.Compare(a.pod.Name, b.pod.Name) })
	return out
}

// ask asks all pods at the same time.
func (r *Reconciler) ask(ctx context.Context, pods []podAnswer) []podAnswer {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var wg sync.WaitGroup
	for i := range pods {
		wg.Go(func() { pods[i].status, pods[i].err = r.Prober.Status(ctx, pods[i].pod) })
	}
	wg.Wait()
	return pods
}

// touchPods annotates pods whose files are not the newest, upon which the
// kubelet brings them up to date without waiting for its next round.
func (r *Reconciler) touchPods(ctx context.Context, s *scope) error {
	if !s.configWritten {
		return nil
	}
	annotations := map[string]string{resource.AnnotationRevision: s.rendered.Revision}
	if s.certificates != "" {
		annotations[resource.AnnotationCertificates] = s.certificates
	}
	var failed []error
	for _, a := range s.pods {
		failed = append(failed, r.touch(ctx, s, a, annotations))
	}
	return errors.Join(failed...)
}

// touch patches a pod that has other annotations, and reminds one that has had
// them for a while and is not up to date.
func (r *Reconciler) touch(ctx context.Context, s *scope, a podAnswer, annotations map[string]string) error {
	now := time.Now()
	patched := a.pod.DeepCopy()
	for k, v := range annotations {
		metav1.SetMetaDataAnnotation(&patched.ObjectMeta, k, v)
	}
	if !maps.Equal(a.pod.Annotations, patched.Annotations) {
		r.touches.begin(s.key(), a.pod.UID, now)
	} else if a.enforces(s.rendered.Revision) && a.serves(s.fingerprints) {
		return nil
	} else if r.touches.due(s.key(), a.pod.UID, now) {
		metav1.SetMetaDataAnnotation(&patched.ObjectMeta, resource.AnnotationReminded, now.UTC().Format(time.RFC3339))
	}
	pace := r.touches.pace(s.key(), a.pod.UID, now)
	s.again(pace)
	s.overdue = s.overdue || pace == whileStubborn
	if maps.Equal(a.pod.Annotations, patched.Annotations) {
		return nil
	}
	if err := r.Client.Patch(ctx, patched, client.MergeFrom(a.pod)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("annotate pod %s: %w", a.pod.Name, err)
	}
	return nil
}

// enforced is what the ledger is told of the pods.
func enforced(answers []podAnswer) []enforcement.Pod {
	var out []enforcement.Pod
	for _, a := range answers {
		pod := enforcement.Pod{Name: a.pod.Name, Instance: instance(a.pod), Problem: a.problem()}
		if a.err == nil {
			pod.Revision = a.status.Revision
		}
		out = append(out, pod)
	}
	return out
}

// instance names the run of the broker in a pod; empty where it does not run.
func instance(pod *corev1.Pod) string {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == resource.ContainerName && c.State.Running != nil {
			return string(pod.UID) + "/" + c.ContainerID
		}
	}
	return ""
}
