//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Rules of the step judgeRules. What is denied stands in a TopicACL of its own.
const (
	ruleAllowed = `
apiVersion: mqtt.godwit.io/v1alpha1
kind: TopicACL
metadata: {name: plant}
spec:
  brokerRef: {name: edge}
  subjects: [{user: sensor}]
  rules:
  - {effect: Allow, actions: [All], topics: ["plant/#", "own/%u/#", "by-client/%c", "+/level", "two/a", "two/b"]}
---
apiVersion: mqtt.godwit.io/v1alpha1
kind: TopicACL
metadata: {name: plant-manager}
spec:
  brokerRef: {name: edge}
  subjects: [{user: dashboard}]
  rules:
  - {effect: Allow, actions: [All], topics: ["plant/#"]}
`
	ruleDenied = `
apiVersion: mqtt.godwit.io/v1alpha1
kind: TopicACL
metadata: {name: plant-secrets}
spec:
  brokerRef: {name: edge}
  subjects: [{user: sensor}]
  rules:
  - {effect: Deny, actions: [All], topics: ["plant/secret/#", "$share/blocked/plant/#"]}
`
)

// judgeRules tries rules of several TopicACLs with real clients, where the Deny rules are the older
// ones, and where they are the younger.
//
//api:semantics 1 2 3 4 5
func (s *story) judgeRules(t *testing.T) {
	for _, order := range [][]string{{ruleDenied, ruleAllowed}, {ruleAllowed, ruleDenied}} {
		for _, manifest := range order {
			s.apply(t, namespace, manifest)
		}
		s.awaitReady(t, namespace, time.Minute, "topicacl/plant", "topicacl/plant-manager", "topicacl/plant-secrets")
		s.judgePublishing(t)
		s.judgeSubscribing(t)
		s.withholdWhatIsDenied(t)
		s.do(t, "delete", "--namespace", namespace, "topicacl/plant", "topicacl/plant-manager", "topicacl/plant-secrets")
	}
	s.mustHaveWitness(t)
}

// explainDenials is refused something, of which there is an event of the user, and of the TopicACL that
// was in the way.
func (s *story) explainDenials(t *testing.T) {
	s.apply(t, namespace, ruleAllowed+"---"+ruleDenied)
	s.awaitReady(t, namespace, time.Minute, "topicacl/plant", "topicacl/plant-secrets")
	out := s.broker.publish(t, sensor, "plant/secret/told", "tried", "-V", "5", "-q", "1")
	if !strings.Contains(out.output, "Not authorized") {
		t.Fatalf("want the reason code 0x87: %s", out)
	}
	s.mustHaveEvents(t)
	s.do(t, "delete", "--namespace", namespace, "topicacl/plant", "topicacl/plant-manager", "topicacl/plant-secrets")
}

func (s *story) judgePublishing(t *testing.T) {
	t.Helper()
	for _, try := range []struct {
		clientID, topic string
		allowed         bool
	}{
		{"c1", "plant/open", true},
		{"c1", "plant/secret/x", false},
		{"c1", "own/sensor/x", true},
		{"c1", "own/dashboard/x", false},
		{"c1", "by-client/c1", true},
		{"c1", "by-client/c2", false},
		{"a/b", "by-client/a/b", false},
		{"c1", "pump/level", true},
		{"c1", "$pump/level", false},
	} {
		out := s.broker.publish(t, sensor, try.topic, "tried", "-V", "5", "-q", "1", "-i", try.clientID)
		refused := strings.Contains(out.output, "Not authorized")
		if refused == try.allowed || try.allowed && out.code != 0 {
			t.Errorf("publish to %s as client %s: want allowed %v: %s", try.topic, try.clientID, try.allowed, out)
		}
	}
}

func (s *story) judgeSubscribing(t *testing.T) {
	t.Helper()
	for filter, granted := range map[string]bool{
		"plant/#": true, "plant/+": true, "#": false, "two/+": false, "plant/secret/#": false, "own/+/x": false,
		"$share/workers/plant/#": true, "$share/blocked/plant/#": false, "$share/workers/elsewhere": false,
	} {
		for version, refusal := range map[string]string{"311": "128", "5": "135"} {
			code := refusal
			if granted {
				code = "1"
			}
			args := append(s.broker.subscribeArguments(sensor, filter, 1), "-V", version, "-E")
			out := run(t, patience, "mosquitto_sub", args...)
			if !strings.Contains(out.output, "Subscribed (mid: 1): "+code) {
				t.Errorf("subscribe to %s, version %s: want %s: %s", filter, version, code, out)
			}
		}
	}
}

// withholdWhatIsDenied subscribes to more than may be received.
func (s *story) withholdWhatIsDenied(t *testing.T) {
	t.Helper()
	s.broker.mustPublish(t, dashboard, "plant/secret/retained", "hidden", "-q", "1", "-r")
	sub := s.broker.subscribe(t, sensor, "plant/#", 1)
	s.broker.mustPublish(t, dashboard, "plant/secret/live", "hidden", "-q", "1")
	s.broker.mustPublish(t, dashboard, "plant/open", "seen", "-q", "1")
	sub.awaitMessage(t, message("plant/open", "seen", 1, 0)) // and nothing hidden before it
	sub.stop()
	s.broker.mustPublish(t, dashboard, "plant/secret/retained", "", "-q", "1", "-r")
}

func (s *story) mustHaveEvents(t *testing.T) {
	t.Helper()
	for object, note := range map[string]string{
		"MQTTUser/sensor":        `publish to "plant/secret/told" was refused: TopicACL ` + namespace + `/plant-secrets denies "plant/secret/#" in spec.rules[0]`,
		"TopicACL/plant-secrets": `user "sensor" was refused to publish to "plant/secret/told" by spec.rules[0]`,
	} {
		kind, name, _ := strings.Cut(object, "/")
		eventually(t, time.Minute, object+" has an event of a refusal", func() error {
			out := s.do(t, "get", "events", "--namespace", namespace, "--output", `jsonpath={range .items[*]}{.reason} {.message}{"\n"}{end}`,
				"--field-selector", "involvedObject.kind="+kind+",involvedObject.name="+name)
			if !strings.Contains(out, "Denied "+note) {
				return fmt.Errorf("its events are\n%s", indent(out))
			}
			return nil
		})
	}
}
