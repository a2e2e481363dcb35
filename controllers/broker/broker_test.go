package broker_test

import (
	"os"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/testenv"
)

var env *testenv.Env

func TestMain(m *testing.M) {
	os.Exit(testenv.Main(m, testenv.Options{CertManager: true}, func(e *testenv.Env) { env = e }))
}

// withTLS gives a Broker the default listeners, with a certificate of an issuer.
func withTLS(b *v1alpha1.Broker) {
	b.Spec.TLS = &v1alpha1.TLS{Certificate: &v1alpha1.Certificate{IssuerRef: v1alpha1.IssuerRef{Name: "ca"}}}
}

func isTrue(kind string) testenv.Expect {
	return testenv.Expect{Type: kind, Status: metav1.ConditionTrue}
}

func isFalse(kind, reason, message string) testenv.Expect {
	return testenv.Expect{Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: message}
}

func stalled(reason, message string) testenv.Expect {
	return testenv.Expect{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: reason, Message: message}
}
