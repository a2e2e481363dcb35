//go:build e2e

package e2e

import (
	"fmt"
	"testing"
	"time"
)

// user is the manifest of a MQTTUser with a password of its own, and its Secret.
func user(name, password, spec string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: %[1]s}
stringData: {password: %[2]s}
---
apiVersion: mqtt.godwit.io/v1alpha1
kind: MQTTUser
metadata: {name: %[1]s, labels: {fleet: demo}}
spec:
  brokerRef: {name: edge, namespace: %[4]s}
  authentication: {password: {secretRef: {name: %[1]s}}}
  %[3]s
`, name, password, spec, namespace)
}

// connectAtOnce makes users, one after the other, whose first attempt succeeds once they are Ready.
//
//api:semantics 9 12
func (s *story) connectAtOnce(t *testing.T) {
	for i := range 5 {
		l := login{username: fmt.Sprintf("punctual-%d", i), password: "punctual"}
		s.apply(t, namespace, user(l.username, l.password, ""))
		s.awaitReady(t, namespace, time.Minute, "mqttuser/"+l.username)
		s.broker.mustPublish(t, l, "telemetry/"+l.username+"/x", "first", "-q", "1")
	}
}

// endConnections disables and deletes users that are connected, and nobody else notices.
//
//api:semantics 6
func (s *story) endConnections(t *testing.T) {
	leaver := login{username: "leaver", password: "leaver"}
	for _, way := range []struct {
		name string
		end  func()
	}{
		{"disabled", func() {
			s.patch(t, "mqttuser/leaver", `[{"op": "add", "path": "/spec/disabled", "value": true}]`)
		}},
		{"deleted", func() { s.do(t, "delete", "--namespace", namespace, "mqttuser/leaver") }},
	} {
		s.apply(t, namespace, user(leaver.username, leaver.password, "disabled: false")+leaverACL)
		s.awaitReady(t, namespace, time.Minute, "mqttuser/leaver", "topicacl/leaver")
		newer := s.broker.subscribe(t, leaver, "news/#", 1, "-V", "5")
		older := s.broker.subscribe(t, leaver, "news/#", 1, "-V", "311")
		begun := time.Now()
		way.end()
		newer.await(t, patience, "MQTT 5 says why", containing("Received DISCONNECT (135)"))
		took := time.Since(begun)
		t.Logf("%s: the connection ended after %.1f s", way.name, took.Seconds())
		if took > promise {
			t.Errorf("want it within %s", promise)
		}
		s.mustRefuse(t, leaver, "5")
		// mosquitto_sub comes again by itself, and is told no.
		older.await(t, patience, "3.1.1 is refused", isRefusal)
	}
	s.do(t, "delete", "--namespace", namespace, "topicacl/leaver", "secret/leaver")
	s.mustHaveWitness(t)
}

const leaverACL = `
---
apiVersion: mqtt.godwit.io/v1alpha1
kind: TopicACL
metadata: {name: leaver}
spec:
  brokerRef: {name: edge}
  subjects: [{user: leaver}]
  rules:
  - {effect: Allow, actions: [Subscribe], topics: ["news/#"]}
`

// shareUsername lets two users ask for one username: the older one has it, until it goes.
//
//api:semantics 7
func (s *story) shareUsername(t *testing.T) {
	older, younger := login{username: "twin", password: "of-the-older"}, login{username: "twin", password: "of-the-younger"}
	s.apply(t, namespace, user("twin-z", older.password, "username: twin"))
	s.awaitReady(t, namespace, time.Minute, "mqttuser/twin-z")
	time.Sleep(1100 * time.Millisecond) // the age of objects counts in seconds
	s.apply(t, namespace, user("twin-a", younger.password, "username: twin"))
	s.awaitCondition(t, namespace, "mqttuser/twin-a", "Accepted", "False", "UsernameTaken")
	s.broker.mustPublish(t, older, "telemetry/twin/x", "mine", "-q", "1")
	s.mustRefuse(t, younger, "5")
	s.do(t, "delete", "--namespace", namespace, "mqttuser/twin-z")
	s.awaitReady(t, namespace, time.Minute, "mqttuser/twin-a")
	s.broker.mustPublish(t, younger, "telemetry/twin/x", "mine now", "-q", "1")
	s.mustRefuse(t, older, "5")
}

// awaitCondition waits for a condition of an object.
func (s *story) awaitCondition(t *testing.T, namespace, resource, kind, status, reason string) {
	t.Helper()
	eventually(t, time.Minute, resource+" is "+reason, func() error {
		if c := s.get(t, namespace, resource).condition(kind); c.Status != status || c.Reason != reason {
			return fmt.Errorf("condition %+v", c)
		}
		return nil
	})
}

// guests is a namespace of another team.
const guests = "godwit-e2e-guests"

const guestsNamespace = `
apiVersion: v1
kind: Namespace
metadata:
  name: godwit-e2e-guests
  labels: {mqtt.godwit.io/e2e: story}
`

const guestACL = `
---
apiVersion: mqtt.godwit.io/v1alpha1
kind: TopicACL
metadata: {name: guest}
spec:
  brokerRef: {name: edge, namespace: godwit-e2e}
  subjects: [{user: guest}]
  rules:
  - {effect: Allow, actions: [All], topics: ["guests/#"]}
`

// admitGuests lets the user and the rules of another namespace in, and turns them away again.
//
//api:semantics 8
func (s *story) admitGuests(t *testing.T) {
	guest := login{username: "guest", password: "guest-password"}
	s.apply(t, guests, guestsNamespace)
	s.apply(t, guests, user(guest.username, guest.password, "")+guestACL)
	turnedAway := func() {
		t.Helper()
		for _, resource := range []string{"mqttuser/guest", "topicacl/guest"} {
			s.awaitCondition(t, guests, resource, "Accepted", "False", "NotAllowedByBroker")
		}
		s.mustRefuse(t, guest, "5")
	}
	turnedAway()

	s.patch(t, "broker/edge", `[{"op": "add", "path": "/spec/allowedUsers", "value": {"namespaces":
		{"from": "Selector", "selector": {"matchLabels": {"mqtt.godwit.io/e2e": "story"}}}}}]`)
	s.awaitReady(t, guests, time.Minute, "mqttuser/guest", "topicacl/guest")
	sub := s.broker.subscribe(t, guest, "guests/#", 1, "-V", "5")
	s.broker.mustPublish(t, guest, "guests/x", "hello", "-q", "1")
	sub.awaitMessage(t, message("guests/x", "hello", 1, 0))

	s.patch(t, "broker/edge", `[{"op": "replace", "path": "/spec/allowedUsers/namespaces", "value": {"from": "Same"}}]`)
	sub.await(t, patience, "the guest is told to leave", containing("Received DISCONNECT (135)"))
	turnedAway()
	s.mustHaveWitness(t)
}
