package mqttuser

import (
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/apply"
	"github.com/godwit-mqtt/godwit/controllers/enforcement"
)

// scope is what one reconciliation knows.
type scope struct {
	// user as it was read; only updateStatus changes it, and only its status.
	user *v1alpha1.MQTTUser

	// broker, state and known are set by readBroker: the Broker with its defaults
	// filled in, nil where there is none; what is to be said of the user; and false
	// while nobody has judged this generation.
	broker *v1alpha1.Broker
	state  enforcement.State
	known  bool

	// password and certificate describe what was made. They begin as what an
	// earlier pass has found.
	password    *v1alpha1.GeneratedPasswordStatus
	certificate *v1alpha1.CertificateStatus
	// problem keeps clients from connecting; nil where nothing does.
	problem *notice
	requeue time.Duration
}

// notice is the reason and message of a condition.
type notice struct{ reason, message string }

func newScope(u *v1alpha1.MQTTUser) *scope {
	s := &scope{user: u}
	if key, ok := u.SecretKey(); ok && key.Name == u.Status.SecretName {
		s.password, s.certificate = u.Status.Password, u.Status.Certificate
	}
	return s
}

// mayHaveCredentials says that the Broker admits the user, and that nobody has
// stopped the operator from changing anything.
func (s *scope) mayHaveCredentials() bool {
	return s.known && s.state.Admitted && s.broker != nil && !s.broker.Spec.Paused
}

// again asks for another look after d at the latest.
func (s *scope) again(d time.Duration) {
	if d = max(d, time.Millisecond); s.requeue == 0 || d < s.requeue {
		s.requeue = d
	}
}

// waitFor notes what keeps clients from connecting. What was noted first stays.
func (s *scope) waitFor(reason, message string) {
	if s.problem == nil {
		s.problem = &notice{reason, message}
	}
}

// checkListeners notes where no listener asks for the client certificate that the
// user comes with.
func (s *scope) checkListeners() {
	for i := range s.broker.Spec.Listeners {
		if tls := s.broker.ListenerTLS(&s.broker.Spec.Listeners[i]); tls != nil && tls.AsksForCertificate() {
			return
		}
	}
	s.waitFor(v1alpha1.ReasonNoClientAuth, fmt.Sprintf(
		"no listener of Broker %s/%s asks for client certificates: set clientAuth in its spec.tls, or in the tls of a listener",
		s.broker.Namespace, s.broker.Name))
}

// judge notes what an error means for people, and returns it where the call is to
// be tried again.
func (s *scope) judge(err error) error {
	var notOwned *apply.NotOwnedError
	var leftover *apply.LeftoverError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &notOwned):
		// Its own end is watched; that of others is not.
		s.waitFor(v1alpha1.ReasonNotOwned, notOwned.Error())
		s.again(whileWaiting)
	case errors.As(err, &leftover):
		s.waitFor(v1alpha1.ReasonWaitingForSecret, leftover.Error())
		s.again(whileLeftover)
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err), apierrors.IsBadRequest(err):
		s.waitFor(v1alpha1.ReasonInvalidChild, err.Error())
		s.again(whileWaiting)
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return err // the cache was behind
	default:
		if s.state.Accepted.Status != metav1.ConditionTrue {
			s.waitFor(v1alpha1.ReasonFailed, err.Error())
		}
		return err
	}
	return nil
}
