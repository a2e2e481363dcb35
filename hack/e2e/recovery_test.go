//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// restartOperator replaces the operator's pod. The new one goes through everything, and finds
// nothing to do.
func (s *story) restartOperator(t *testing.T) {
	before := s.versions(t)
	deployment := "deployment/" + s.deployment(t)
	s.do(t, "rollout", "restart", "--namespace", s.systemNS, deployment)
	s.do(t, "rollout", "status", "--namespace", s.systemNS, deployment, "--timeout=2m")
	s.programLateUser(t) // which only the new operator can do
	compareVersions(t, before, s.versions(t))
	s.mustHaveWitness(t)
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
