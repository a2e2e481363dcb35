//go:build e2e

package e2e

import (
	"os"
	"sync/atomic"
	"testing"
)

// namespace is that of the story, which makes and removes it.
const namespace = "godwit-e2e"

// story is what one step leaves to the next ones.
type story struct {
	*cluster
	whole   *testing.T // for what outlives a step
	broker  *broker
	service atomic.Pointer[string] // its address, where that answers on this machine
	caPEM   []byte                 // of the broker's certificate
	witness witness                // from "a bystander connects" on
	// disconnects is how often that one was disconnected by what the story did.
	disconnects int
}

// TestStory tells the story. Each step stands on those before it: the first that fails ends it, and
// is followed by what one would want to look at.
func TestStory(t *testing.T) {
	c, err := clusterFromEnvironment(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	s := &story{cluster: c, whole: t}
	if s.removeNamespaces(t); t.Failed() {
		return
	}
	if os.Getenv("E2E_KEEP") == "" {
		t.Cleanup(func() { s.removeNamespaces(t) })
	}
	for _, step := range []struct {
		name string
		tell func(*story, *testing.T)
	}{
		{"Helm installs the operator", (*story).installOperator},
		{"kubectl explains the fields", (*story).explainFields},
		{"all objects become Ready", (*story).applyManifests},
		{"the certificate holds the names of the Service", (*story).verifyCertificate},
		{"applied again, nothing changes", (*story).applyAgain},
		{"messages pass over TLS at QoS 0, 1 and 2", (*story).passMessages},
		{"a retained message waits for subscribers", (*story).retainMessage},
		{"the first program of a paho user works on 1883", (*story).listenWithPaho},
		{"a bystander connects, and stays until the end", (*story).startBystander},
		{"a wrong password and an unknown user are refused", (*story).refuseCredentials},
		{"certificates of another CA are refused on both sides", (*story).refuseCertificates},
		{"a publish without permission is refused", (*story).refusePublish},
		{"a subscribe without permission is refused", (*story).refuseSubscribe},
		{"rules of many ACLs are one union, in which Deny wins", (*story).judgeRules},
		{"a refusal is an event that names the rule", (*story).explainDenials},
		{"users who are Ready connect at once", (*story).connectAtOnce},
		{"users who are disabled or deleted are disconnected", (*story).endConnections},
		{"of two users of one name the older has it", (*story).shareUsername},
		{"users of another namespace need the consent of the broker", (*story).admitGuests},
		{"a generated password rotates, with an overlap", (*story).rotatePassword},
		{"a certificate is issued for a user", (*story).issueCertificate},
		{"a changed ACL is enforced within seconds", (*story).changeACL},
		{"a hundred changes of an ACL are enforced on a live connection", (*story).changeACLOften},
		{"a changed password takes the place of the old one", (*story).changePassword},
		{"a renewed certificate is served", (*story).renewCertificate},
		{"manifests that are wrong get an answer that says why", (*story).applyWrongManifests},
		{"a restart of the operator leaves brokers alone", (*story).restartOperator},
		{"an upgrade of the operator restarts no broker that names its image", (*story).upgradeOperator},
		{"a pod that starts without the operator knows who may connect", (*story).withoutOperator},
		{"nobody tells a password", (*story).tellNoPassword},
		{"a killed broker comes back, and so do its clients", (*story).killBroker},
		{"a process killed on its node loses nothing", (*story).killProcess},
		{"a pod that is scheduled anew loses nothing", (*story).rescheduleBroker},
		{"a Broker that is made again has its state back", (*story).recreateBroker},
		{"the samples become Ready", (*story).applySamples},
		{"a deleted namespace is gone within a minute", (*story).deleteNamespace},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.tell(s, t) }) {
			s.diagnose(t, namespace)
			t.FailNow()
		}
	}
}
