package broker

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	admin "github.com/godwit-mqtt/godwit/broker/admin/client"
	"github.com/godwit-mqtt/godwit/controllers/conditions"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// storageCondition says whether the pods can store what is new: what they answer,
// and for those that do not run, why they have ended.
func (s *scope) storageCondition() metav1.Condition {
	const kind = v1alpha1.ConditionStorageReady
	if !*s.desired.Spec.Persistence.Enabled {
		return conditions.True(kind, v1alpha1.ReasonNotNeeded, "spec.persistence.enabled is false: nothing is kept on a disk")
	}
	if len(s.broken) > 0 {
		return conditions.False(kind, v1alpha1.ReasonStorageFailed, strings.Join(s.broken, "; "))
	}
	answered := false
	for _, a := range s.pods {
		if a.err != nil || a.status.Storage == nil {
			continue
		}
		if why := a.status.Storage.Error; why != "" {
			return conditions.False(kind, v1alpha1.ReasonStorageFull, full(a.pod, why))
		}
		answered = true
	}
	if !answered {
		return conditions.Unknown(kind, v1alpha1.ReasonNoRunningPods, "no pod of the Broker has told of its storage")
	}
	return conditions.True(kind, v1alpha1.ReasonReady, "")
}

// full says what a full disk means, and what to do.
func full(pod *corev1.Pod, why string) string {
	return fmt.Sprintf("pod %s: %s. New sessions and messages that would have to be stored are refused, and sessions that exist go on: "+
		"have their clients take what waits for them, or expand the PersistentVolumeClaim %s", pod.Name, why, claimOf(pod))
}

// claimOf is the name of the volume claim of a pod, which its StatefulSet makes.
func claimOf(pod *corev1.Pod) string { return resource.DataVolume + "-" + pod.Name }

// broken returns the pods of the Broker's StatefulSet that have ended because
// their storage does not work and do not serve again, with the reason that they
// gave.
func broken(s *scope, pods []corev1.Pod) (all []string) {
	for i := range pods {
		p := &pods[i]
		if s.set == nil || !metav1.IsControlledBy(p, s.set) || !p.DeletionTimestamp.IsZero() {
			continue
		}
		for j := range p.Status.ContainerStatuses {
			c := &p.Status.ContainerStatuses[j]
			end := ended(c)
			if c.Name == resource.ContainerName && !c.Ready && end != nil && end.ExitCode == admin.ExitStorage {
				all = append(all, fmt.Sprintf("pod %s: %s. Its volume is that of the PersistentVolumeClaim %s", p.Name, lastWords(end.Message), claimOf(p)))
			}
		}
	}
	return all
}

// ended is how a container has ended, the last time; nil if it never has.
func ended(c *corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	if c.State.Terminated != nil {
		return c.State.Terminated
	}
	return c.LastTerminationState.Terminated
}

// longestWords of a pod that a condition shows, in bytes.
const longestWords = 1024

// lastWords takes the reason out of the last lines of a broker's log.
func lastWords(log string) string {
	if i := strings.LastIndex("\n"+log, "\n"+admin.LastWords); i >= 0 {
		log = log[i+len(admin.LastWords):]
	}
	words := strings.Join(strings.Fields(log), " ")
	if words == "" {
		return "its storage does not work, and its log says why"
	}
	return strings.ToValidUTF8(words[:min(len(words), longestWords)], "")
}
