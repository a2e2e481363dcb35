//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// restartOperator replaces the operator's pod. The new one goes through everything, and finds
// nothing to do.
//
//api:semantics 17
func (s *story) restartOperator(t *testing.T) {
	before := s.versions(t)
	deployment := "deployment/" + s.deployment(t)
	s.do(t, "rollout", "restart", "--namespace", s.systemNS, deployment)
	s.do(t, "rollout", "status", "--namespace", s.systemNS, deployment, "--timeout=2m")
	s.programLateUser(t) // which only the new operator can do
	compareVersions(t, before, s.versions(t))
	s.mustHaveWitness(t)
}

// withoutOperator has the broker's pod replaced while there is no operator: who may connect is in
// files that the pod mounts.
//
//api:semantics 13 16
func (s *story) withoutOperator(t *testing.T) {
	deployment := "deployment/" + s.deployment(t)
	scale := func(replicas int) {
		t.Helper()
		s.do(t, "scale", "--namespace", s.systemNS, deployment, fmt.Sprintf("--replicas=%d", replicas))
		s.do(t, "rollout", "status", "--namespace", s.systemNS, deployment, "--timeout=2m")
	}
	scale(0)
	t.Cleanup(func() {
		if t.Failed() {
			scale(1)
		}
	})
	gone := s.get(t, namespace, "pod/edge-0")
	s.do(t, "delete", "--namespace", namespace, "pod/edge-0")
	s.awaitOtherPod(t, gone)
	s.disconnects++
	s.witness.awaitEvent(t, patience, "subscribed")
	s.mustHaveWitness(t)
	s.broker.mustPublish(t, sensor, "telemetry/sensor/x", "hello", "-q", "1")
	s.mustRefuse(t, sensor.with("another-password"), "5")
	s.mustRefuse(t, login{username: "nobody", password: sensor.password}, "5")
	out := s.broker.publish(t, sensor, "telemetry/meter/x", "forged", "-V", "5", "-q", "1")
	if !strings.Contains(out.output, "Not authorized") {
		t.Errorf("the rules are not in force: %s", out)
	}
	s.apply(t, namespace, lateUser)
	seen := s.do(t, "get", "--namespace", namespace, "mqttuser/late", "--output", "jsonpath={.status.observedGeneration}")
	if seen != "-1" {
		t.Errorf("a user whom no operator has seen has the observedGeneration %q, and tools take it for finished", seen)
	}
	scale(1)
	s.programLateUser(t)
	s.mustHaveWitness(t)
}

// upgradeOperator upgrades the operator while a Broker names its image. Neither its pod nor its
// clients notice.
//
//api:semantics 17
func (s *story) upgradeOperator(t *testing.T) {
	s.patch(t, "broker/edge", fmt.Sprintf(`[{"op": "add", "path": "/spec/image", "value": %q}]`, s.repository+":"+s.tag))
	s.awaitReady(t, namespace, time.Minute, "broker/edge")
	before, operator := s.versions(t), s.operatorPod(t)
	upgraded := []string{"--set-string", "podAnnotations.upgraded=yes"}
	if s.local {
		upgraded = []string{"--set-string", "image.tag=dev"} // another name of the same program
	}
	s.install(t, upgraded...)
	if s.operatorPod(t) == operator {
		t.Error("the operator was not upgraded")
	}
	s.programLateUser(t) // which only the new operator can do
	compareVersions(t, before, s.versions(t))
	s.mustHaveWitness(t)
	s.install(t)
	s.patch(t, "broker/edge", `[{"op": "remove", "path": "/spec/image"}]`)
	s.programLateUser(t)
	compareVersions(t, before, s.versionsBut(t, "Broker/edge", before))
	s.mustHaveWitness(t)
}

// versionsBut are the versions now, where that of one object is as it was before.
func (s *story) versionsBut(t *testing.T, object string, before map[string]string) map[string]string {
	t.Helper()
	versions := s.versions(t)
	versions[object] = before[object]
	return versions
}

// operatorPod is the name of the operator's pod.
func (s *story) operatorPod(t *testing.T) string {
	t.Helper()
	return s.do(t, "get", "pods", "--namespace", s.systemNS, "--output", "jsonpath={.items[0].metadata.name}",
		"--field-selector", "status.phase=Running", "--selector", "app.kubernetes.io/name=godwit,app.kubernetes.io/instance="+s.release)
}

// deployment is the name of the operator's.
func (s *story) deployment(t *testing.T) string {
	t.Helper()
	return s.do(t, "get", "deployments", "--namespace", s.systemNS, "--output", "jsonpath={.items[0].metadata.name}",
		"--selector", "app.kubernetes.io/name=godwit,app.kubernetes.io/instance="+s.release)
}

// killBroker kills the only pod. Kubernetes makes another, and clients that come back by themselves
// find all as before, what was retained too.
func (s *story) killBroker(t *testing.T) {
	const state = "telemetry/sensor/state"
	s.broker.mustPublish(t, sensor, state, "kept", "-q", "1", "-r")
	killed := s.get(t, namespace, "pod/edge-0")
	begun := time.Now()
	s.do(t, "delete", "--namespace", namespace, "pod/edge-0", "--grace-period=0", "--force")
	s.witness.awaitEvent(t, patience, "disconnected")
	s.awaitOtherPod(t, killed)
	s.awaitWitness(t)
	t.Logf("the bystander was back after %.1f s", time.Since(begun).Seconds())
	s.broker.subscribe(t, dashboard, state, 1).awaitMessage(t, message(state, "kept", 1, 1))
}

// awaitOtherPod waits until a pod is ready in the place of one that is gone.
func (s *story) awaitOtherPod(t *testing.T, gone *object) {
	t.Helper()
	eventually(t, 2*time.Minute, "another pod is ready", func() error {
		pod := s.get(t, namespace, "pod/edge-0")
		if pod == nil || pod.Metadata.UID == gone.Metadata.UID || pod.condition("Ready").Status != "True" {
			return fmt.Errorf("pod %+v", pod)
		}
		return nil
	})
}

// awaitWitness waits for the bystander, who was disconnected, and for everything to be as before.
func (s *story) awaitWitness(t *testing.T) {
	t.Helper()
	s.disconnects++
	s.witness.awaitEvent(t, patience, "subscribed")
	s.awaitReady(t, namespace, time.Minute, "broker/edge", "mqttuser/sensor", "topicacl/devices")
	s.mustHaveWitness(t)
}

// mustHaveWitness checks that the bystander is connected, and was disconnected only where the story
// says so.
func (s *story) mustHaveWitness(t *testing.T) {
	t.Helper()
	s.witness.mustBeThere(t, s.broker, s.disconnects)
}

// deleteNamespace deletes both namespaces with all that is in them, and a client that is connected.
//
//api:semantics 12
func (s *story) deleteNamespace(t *testing.T) {
	s.mustHaveWitness(t)
	begun := time.Now()
	s.do(t, "delete", "namespaces", "--selector", ourNamespaces, "--timeout=60s")
	t.Logf("gone after %.1f s", time.Since(begun).Seconds())
}

// ourNamespaces selects the namespaces that a story has made.
const ourNamespaces = "mqtt.godwit.io/e2e=story"

// removeNamespaces removes what an earlier story, or this one, left behind, and nothing else.
func (s *story) removeNamespaces(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute) // t's may be over
	defer cancel()
	if _, err := s.try(ctx, "", "delete", "namespaces", "--selector", ourNamespaces, "--timeout=2m"); err != nil {
		t.Error(err)
	}
}
