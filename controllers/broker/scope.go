package broker

import (
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/apply"
	"github.com/godwit-mqtt/godwit/controllers/render"
)

// scope is what one reconciliation knows. Phases write to it; updateStatus turns
// it into the status.
type scope struct {
	// broker as it was read; only updateStatus changes it, and only its status.
	broker *v1alpha1.Broker
	// desired is broker with its defaults filled in, for the builders.
	desired *v1alpha1.Broker
	// wanted holds the children that the phases have asked for.
	wanted map[apply.Child]bool

	// services is set by reconcileServices: the live Services of clients by name.
	services map[string]*corev1.Service
	// tls, certificates and fingerprints are set by reconcileTLS: whether every
	// Secret of the listeners can be used (Unknown where they could not be read),
	// what names their content (empty where there is none), and the fingerprint of
	// each certificate of the listeners.
	tls          metav1.Condition
	certificates string
	fingerprints map[servedCertificate]string
	// rendered is set by reconcileConfig; nil where the spec makes no valid
	// configuration, or reading what it depends on failed. configWritten says that
	// the children hold it.
	rendered      *render.Output
	configWritten bool
	// set is the live StatefulSet, set by reconcileStatefulSet; nil before there
	// is one.
	set *appsv1.StatefulSet
	// pods and overdue are set by reconcileProgramming: the running pods and their
	// answers, and whether one takes longer than it should to be up to date.
	pods    []podAnswer
	overdue bool
	// broken is set by reconcileProgramming: the pods whose storage does not work,
	// and why.
	broken []string

	stalls []notice
	waits  []notice
	// failures of calls. incomplete says that one may have kept the spec from being
	// carried out.
	failures   []error
	incomplete bool
	requeue    time.Duration
}

// servedCertificate names a certificate of a listener: one of its additional ones
// or, where additional is empty, the first.
type servedCertificate struct{ listener, additional string }

// notice is the reason and message of a condition.
type notice struct{ reason, message string }

func newScope(b *v1alpha1.Broker) *scope {
	desired := b.DeepCopy()
	desired.Default()
	return &scope{
		broker:       b,
		desired:      desired,
		wanted:       map[apply.Child]bool{},
		services:     map[string]*corev1.Service{},
		fingerprints: map[servedCertificate]string{},
	}
}

func (s *scope) key() types.NamespacedName { return client.ObjectKeyFromObject(s.broker) }

// stall notes what only a person can mend. It may be mended where nobody
// watches, so the Broker is looked at again.
func (s *scope) stall(reason, message string) {
	s.stalls = append(s.stalls, notice{reason, message})
	s.again(whileWaiting)
}

// waitFor notes what mends itself.
func (s *scope) waitFor(reason, message string, after time.Duration) {
	s.waits = append(s.waits, notice{reason, message})
	s.again(after)
}

// fail notes a call that failed, and is tried again.
func (s *scope) fail(err error) { s.failures = append(s.failures, err) }

// failure is one error for all calls that failed, nil where none did.
func (s *scope) failure() error {
	if len(s.failures) == 0 {
		return nil
	}
	return fmt.Errorf("reconcile Broker: %w", errors.Join(s.failures...))
}

// again asks for another look after d at the latest.
func (s *scope) again(d time.Duration) {
	if s.requeue == 0 || d < s.requeue {
		s.requeue = d
	}
}

func (s *scope) requeueAfter() time.Duration {
	s.again(whileReady)
	return s.requeue
}

// joined is one notice for many: the first reason and all messages.
func joined(notices []notice) notice {
	var messages []string
	for _, n := range notices {
		messages = append(messages, n.message)
	}
	return notice{notices[0].reason, strings.Join(messages, "; ")}
}
