//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// applyManifests applies users and ACLs before the broker that they are for, and the issuers last:
// the order does not matter.
//
//api:semantics 12
func (s *story) applyManifests(t *testing.T) {
	begun := time.Now()
	for _, file := range []string{"namespace", "acls", "users", "broker", "issuers"} {
		s.do(t, "apply", "--namespace", namespace, "--filename", "manifests/"+file+".yaml")
	}
	s.awaitReady(t, namespace, 5*time.Minute, "broker/edge", "mqttuser/sensor", "mqttuser/dashboard",
		"mqttuser/bystander", "mqttuser/meter", "topicacl/devices", "topicacl/dashboard", "topicacl/bystander",
		"certificate/meter")
	t.Logf("all Ready after %.1f s", time.Since(begun).Seconds())
	s.connectToService(t)
}

// applyAgain applies the same manifests again, and makes the operator go through all of the Broker
// once more by a user who comes and goes. Nothing may be written, except the Secret that holds users.
func (s *story) applyAgain(t *testing.T) {
	before := s.versions(t)
	s.do(t, "apply", "--namespace", namespace, "--filename", "manifests/")
	s.programLateUser(t)
	compareVersions(t, before, s.versions(t))
}

// programLateUser applies another user, waits for it and deletes it.
func (s *story) programLateUser(t *testing.T) {
	t.Helper()
	s.apply(t, namespace, lateUser)
	s.awaitReady(t, namespace, 2*time.Minute, "mqttuser/late")
	s.do(t, "delete", "--namespace", namespace, "mqttuser/late")
}

const lateUser = `
apiVersion: mqtt.godwit.io/v1alpha1
kind: MQTTUser
metadata: {name: late}
spec:
  brokerRef: {name: edge}
  authentication: {password: {secretRef: {name: sensor}}}
`

// versions are those of the story's objects and of what the operator made of them: the resource
// version, or the generation where the status is expected to change, or the identity of a pod.
func (s *story) versions(t *testing.T) map[string]string {
	t.Helper()
	versions := map[string]string{}
	for resources, version := range map[string]string{
		"configmaps,services,serviceaccounts,networkpolicies": ".metadata.resourceVersion",
		"brokers,mqttusers,topicacls,issuers,certificates":    ".metadata.generation",
		"statefulsets": ".metadata.generation",
		"pods":         ".metadata.uid",
	} {
		out := s.do(t, "get", resources, "--namespace", namespace, "--output",
			"jsonpath={range .items[*]}{.kind}/{.metadata.name} {"+version+"}{\"\\n\"}{end}")
		for line := range strings.Lines(out) {
			name, version, _ := strings.Cut(strings.TrimSpace(line), " ")
			versions[name] = version
		}
	}
	for _, name := range []string{"Broker/edge", "ConfigMap/edge-settings", "Service/edge", "StatefulSet/edge", "Pod/edge-0"} {
		if versions[name] == "" {
			t.Fatalf("there is no %s among %v", name, versions)
		}
	}
	return versions
}

func compareVersions(t *testing.T, before, after map[string]string) {
	t.Helper()
	for name, version := range before {
		if after[name] != version {
			t.Errorf("%s was written: %q is now %q", name, version, after[name])
		}
	}
	for name := range after {
		if before[name] == "" {
			t.Errorf("%s is new", name)
		}
	}
}

// wrongManifests are mistakes that people make, and what the answer must say.
var wrongManifests = []struct{ name, manifest, answer string }{
	{"two sources of a certificate", brokerWith(`tls: {secretName: mine, certificate: {issuerRef: {name: ca}}}`),
		`exactly one of certificate .* and secretName`},
	{"TLS without a certificate", brokerWith(`listeners: [{name: mqtts, port: 8883, tls: {}}]`),
		`a listener with tls needs a certificate`},
	{"two replicas", brokerWith(`replicas: 2`), `more than one replica needs clustering`},
	{"two listeners on one port", brokerWith(`listeners: [{name: a, port: 1883}, {name: b, port: 1883}]`),
		`two listeners have the same port`},
	{"a field with a typing error", brokerWith(`listener: []`), `unknown field "spec.listener"`},
	{"a user without authentication", `
apiVersion: mqtt.godwit.io/v1alpha1
kind: MQTTUser
metadata: {name: wrong}
spec: {brokerRef: {name: edge}, authentication: {}}
`, `exactly one of password`},
	{"a '#' that is not the last level", aclWith(`{effect: Deny, actions: [Publish], topics: ["a/#/b"]}`),
		`spec.rules\[0\].topics\[0\].* should match`},
	{"a rule with an unknown effect", aclWith(`{effect: Permit, actions: [Publish], topics: [a]}`),
		`Unsupported value: "Permit": supported values: "Allow", "Deny"`},
}

func brokerWith(spec string) string {
	return fmt.Sprintf("apiVersion: mqtt.godwit.io/v1alpha1\nkind: Broker\nmetadata: {name: wrong}\nspec: {%s}\n", spec)
}

func aclWith(rule string) string {
	return fmt.Sprintf("apiVersion: mqtt.godwit.io/v1alpha1\nkind: TopicACL\nmetadata: {name: wrong}\n"+
		"spec:\n  brokerRef: {name: edge}\n  subjects: [{user: sensor}]\n  rules:\n  - %s\n", rule)
}

// applyWrongManifests applies manifests that the API server refuses, and one that only the operator
// can judge, which it answers in a condition.
func (s *story) applyWrongManifests(t *testing.T) {
	for _, wrong := range wrongManifests {
		out, err := s.try(t.Context(), wrong.manifest, "apply", "--namespace", namespace, "--filename", "-")
		if err == nil || !regexp.MustCompile(wrong.answer).MatchString(out) {
			t.Errorf("%s: want a refusal that says %q, got %v:\n%s", wrong.name, wrong.answer, err, indent(out))
		}
	}
	s.apply(t, namespace, aclWith(`{effect: Allow, actions: [Publish], topics: ["$share/g"]}`))
	eventually(t, patience, "the filter $share/g is refused", func() error {
		accepted := s.get(t, namespace, "topicacl/wrong").condition("Accepted")
		if accepted.Status != "False" || accepted.Reason != "InvalidRule" || !strings.Contains(accepted.Message, "$share/g") {
			return fmt.Errorf("condition %+v", accepted)
		}
		return nil
	})
	s.do(t, "delete", "--namespace", namespace, "topicacl/wrong")
}

const samples = `
apiVersion: v1
kind: Namespace
metadata:
  name: godwit-e2e-samples
  labels: {mqtt.godwit.io/e2e: story, pod-security.kubernetes.io/enforce: restricted}
`

// applySamples applies what `make run` reads.
func (s *story) applySamples(t *testing.T) {
	const namespace = "godwit-e2e-samples"
	s.apply(t, namespace, samples)
	s.do(t, "apply", "--namespace", namespace, "--filename", "../../config/samples")
	s.awaitReady(t, namespace, 2*time.Minute, "brokers,mqttusers,topicacls", "--all")
}
