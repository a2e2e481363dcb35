//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// promise is the time within which a change is enforced.
const promise = 5 * time.Second

// changeACL lets the sensor publish alerts, and takes telemetry from a dashboard that is subscribed.
//
//api:semantics 6
func (s *story) changeACL(t *testing.T) {
	if err := s.alertIsAllowed(t); err == nil {
		t.Fatal("alerts are allowed before the change")
	}
	sub := s.broker.subscribe(t, dashboard, "telemetry/#", 1, "-t", "news/#")

	s.patch(t, "topicacl/devices", `[{"op": "add", "path": "/spec/rules/-",
		"value": {"effect": "Allow", "actions": ["Publish"], "topics": ["alerts/#"]}}]`)
	granted := eventually(t, patience, "the sensor may publish alerts", func() error { return s.alertIsAllowed(t) })
	s.patch(t, "topicacl/dashboard", `[{"op": "replace", "path": "/spec/rules/0/topics", "value": ["reports/#"]}]`)
	taken := eventually(t, patience, "the dashboard may not subscribe to telemetry", func() error { return s.telemetryIsDenied(t) })
	t.Logf("enforced %.1f s after a right was granted, %.1f s after one was taken away", granted.Seconds(), taken.Seconds())
	if granted > promise || taken > promise {
		t.Errorf("want it within %s", promise)
	}
	s.awaitReady(t, namespace, time.Minute, "topicacl/devices", "topicacl/dashboard")

	s.broker.mustPublish(t, sensor, "telemetry/sensor/secret", "hidden", "-q", "1")
	s.mustHaveWitness(t)
	sub.awaitMessage(t, message("news/today", t.Name(), 1, 0)) // and nothing hidden before it
	s.patch(t, "topicacl/dashboard", `[{"op": "replace", "path": "/spec/rules/0/topics", "value": ["telemetry/#"]}]`)
	s.awaitReady(t, namespace, time.Minute, "topicacl/dashboard")
}

// patch changes an object by a JSON patch.
func (s *story) patch(t *testing.T, resource, patch string, flags ...string) {
	t.Helper()
	s.do(t, append([]string{"patch", "--namespace", namespace, resource, "--type=json", "--patch", patch}, flags...)...)
}

// alertIsAllowed publishes by MQTT 5, where a refusal is seen.
func (s *story) alertIsAllowed(t *testing.T) error {
	t.Helper()
	out := s.broker.publish(t, sensor, "alerts/fire", "hot", "-V", "5", "-q", "1")
	if out.code != 0 || out.output != "" {
		return errors.New(out.String())
	}
	return nil
}

// telemetryIsDenied subscribes, and has no objection to a refusal.
func (s *story) telemetryIsDenied(t *testing.T) error {
	t.Helper()
	out := run(t, patience, "mosquitto_sub", append(s.broker.subscribeArguments(dashboard, "telemetry/#", 1), "-E")...)
	if !strings.Contains(out.output, "Subscribed (mid: 1): 128") {
		return errors.New(out.String())
	}
	return nil
}

// changePassword changes a Secret: whoever is connected with the old password is told to leave (reason
// code 0x87), it does not open the door any more, and the new one does.
//
//api:semantics 6 11
func (s *story) changePassword(t *testing.T) {
	const changed = "another-password"
	subscriber := s.broker.subscribe(t, dashboard, "telemetry/#", 1, "-V", "5")
	s.patch(t, "secret/dashboard", `[{"op": "add", "path": "/stringData", "value": {"password": "`+changed+`"}}]`)
	begun := time.Now()
	subscriber.await(t, patience, "the broker ends the connection", containing("Received DISCONNECT (135)"))
	t.Logf("the old password's connection ended after %.1f s", time.Since(begun).Seconds())
	if time.Since(begun) > promise {
		t.Errorf("want it within %s", promise)
	}
	s.broker.mustPublish(t, dashboard.with(changed), "news/today", "by the new password", "-q", "1")
	s.mustRefuse(t, dashboard, "5")
	dashboard.password = changed
	s.mustHaveWitness(t)
}

// renewCertificate asks cert-manager for a new certificate, as `cmctl renew` does, and waits until
// it is the one that is served.
//
//api:semantics 11
func (s *story) renewCertificate(t *testing.T) {
	old := s.served(t)
	s.patch(t, "certificate/edge-tls", fmt.Sprintf(`[{"op": "add", "path": "/status/conditions/-", "value": {
		"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "renewed by hand",
		"lastTransitionTime": %q}}]`, time.Now().UTC().Format(time.RFC3339)), "--subresource=status")
	took := eventually(t, time.Minute, "another certificate is served", func() error {
		if s.served(t) == old {
			return errors.New("it is still " + old)
		}
		return nil
	})
	t.Logf("another certificate was served %.1f s after cert-manager was asked", took.Seconds())
	eventually(t, time.Minute, "the Broker's status shows the served certificate", func() error {
		if shown, served := s.shown(t), s.served(t); shown != served {
			return fmt.Errorf("status shows %q, served is %q", shown, served)
		}
		return nil
	})
	s.mustHaveWitness(t)
}

// shown is the fingerprint of the certificate that the Broker's status shows.
func (s *story) shown(t *testing.T) string {
	t.Helper()
	for _, l := range s.get(t, namespace, "broker/edge").Status.Listeners {
		if l.Name == "mqtts" {
			return l.Certificate.SHA256
		}
	}
	return ""
}

// served is the fingerprint of the certificate that the broker serves.
func (s *story) served(t *testing.T) string {
	t.Helper()
	c, err := s.broker.certificate(s.caPEM, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	return fingerprint(c)
}
