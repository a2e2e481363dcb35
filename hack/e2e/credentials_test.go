//go:build e2e

package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"
)

const recorderUser = `
apiVersion: mqtt.godwit.io/v1alpha1
kind: MQTTUser
metadata: {name: recorder, labels: {fleet: demo}}
spec:
  brokerRef: {name: edge}
  authentication: {generate: {secretName: recorder-mqtt, rotateEvery: 24h, overlap: 1h}}
---
apiVersion: mqtt.godwit.io/v1alpha1
kind: TopicACL
metadata: {name: recorder}
spec:
  brokerRef: {name: edge}
  subjects: [{user: recorder}]
  rules:
  - {effect: Allow, actions: [Subscribe], topics: ["news/#"]}
`

// rotatePassword connects with what the operator has written into a Secret. When the next password's
// time has come both work, and once the overlap is over only the new one does.
//
//api:semantics 6 11
func (s *story) rotatePassword(t *testing.T) {
	s.apply(t, namespace, recorderUser)
	s.awaitReady(t, namespace, time.Minute, "mqttuser/recorder", "topicacl/recorder")
	old := s.generated(t)
	s.broker.mustPublish(t, old, "telemetry/recorder/x", "with the first", "-q", "1")
	connected := s.broker.subscribe(t, old, "news/#", 1, "-V", "5")

	// The password was made long ago, says the Secret.
	s.do(t, "annotate", "--namespace", namespace, "--overwrite", "secret/recorder-mqtt", "mqtt.godwit.io/password-made-at=2020-01-01T00:00:00Z")
	var next login
	eventually(t, patience, "there is another password", func() error {
		if next = s.generated(t); next.password == old.password {
			return errors.New("it is still the first")
		}
		return nil
	})
	s.awaitReady(t, namespace, time.Minute, "mqttuser/recorder")
	eventually(t, patience, "the new password works", func() error { return s.accepts(t, next) })
	s.broker.mustPublish(t, old, "telemetry/recorder/x", "in the overlap", "-q", "1")
	s.mustHaveWitness(t)
	connected.awaitMessage(t, message("news/today", t.Name(), 1, 0)) // by the first password

	s.patch(t, "mqttuser/recorder", `[{"op": "replace", "path": "/spec/authentication/generate/overlap", "value": "0s"}]`)
	connected.await(t, patience, "the first password's connection ends", containing("Received DISCONNECT (135)"))
	s.mustRefuse(t, old, "5")
	s.broker.mustPublish(t, next, "telemetry/recorder/x", "with the second", "-q", "1")
	s.mustHaveWitness(t)
}

// generated reads the Secret that the operator has made, in which there is all that a client needs.
func (s *story) generated(t *testing.T) login {
	t.Helper()
	read := func(key string) string { return string(s.secret(t, namespace, "recorder-mqtt", key)) }
	l := login{username: read("username"), password: read("password")}
	host, port, uri := read("host"), read("port"), read("uri")
	if want := "mqtts://" + l.username + ":" + l.password + "@" + host + ":" + port; uri != want || port != "8883" {
		t.Errorf("the Secret has the URI %q, want %q", uri, want)
	}
	if _, err := s.broker.certificate([]byte(read("ca.crt")), host); err != nil {
		t.Errorf("the Secret's ca.crt and host do not verify what the broker serves: %v", err)
	}
	return l
}

// accepts publishes what the login's user may publish.
func (s *story) accepts(t *testing.T, l login) error {
	t.Helper()
	out := s.broker.publish(t, l, "telemetry/"+l.username+"/x", "tried", "-q", "1")
	if out.code != 0 {
		return errors.New(out.String())
	}
	return nil
}

const collectorUser = `
apiVersion: mqtt.godwit.io/v1alpha1
kind: MQTTUser
metadata: {name: collector, labels: {fleet: demo}}
spec:
  brokerRef: {name: edge}
  authentication: {certificate: {issuerRef: {name: devices-ca}, secretName: collector-cert}}
`

// issueCertificate has cert-manager issue the certificate of a user, who connects with it for as long
// as there is the user.
//
//api:semantics 6
func (s *story) issueCertificate(t *testing.T) {
	s.apply(t, namespace, collectorUser)
	s.awaitReady(t, namespace, 2*time.Minute, "mqttuser/collector")
	if ends := s.get(t, namespace, "mqttuser/collector").Status.Certificate.NotAfter; !ends.After(time.Now()) {
		t.Errorf("the status says that the certificate ends %s", ends)
	}
	collector := login{
		certFile: writeFile(t, "collector.crt", s.secret(t, namespace, "collector-cert", "tls.crt")),
		keyFile:  writeFile(t, "collector.key", s.secret(t, namespace, "collector-cert", "tls.key")),
	}
	sub := s.broker.subscribe(t, dashboard, "telemetry/collector/#", 1)
	s.broker.mustPublish(t, collector, "telemetry/collector/x", "7", "-q", "1")
	sub.awaitMessage(t, message("telemetry/collector/x", "7", 1, 0))
	if out := s.broker.publish(t, collector, "telemetry/meter/x", "7", "-V", "5", "-q", "1"); !strings.Contains(out.output, "Not authorized") {
		t.Errorf("the collector publishes as the meter: %s", out)
	}

	s.do(t, "delete", "--namespace", namespace, "mqttuser/collector")
	eventually(t, patience, "the certificate opens nothing any more", func() error {
		if s.accepts(t, collector) == nil {
			return errors.New("it does")
		}
		return nil
	})
	s.mustHaveWitness(t)
}
