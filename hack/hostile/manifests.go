package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/godwit-mqtt/godwit/broker/auth/password"
)

// Users of the broker. All have the same password, whose hash is as slow as that
// of any other.
const (
	publisherUser  = "ann"
	subscriberUser = "bob"
	attackerUser   = "eve"
	bystanderUser  = "carol"
	commonPassword = "correct-horse"
	// strangers are users who have not logged in before the attack.
	strangers     = 40
	strangersName = "stranger-%d"
)

// Listeners of the broker.
const (
	plainListener = "mqtt"
	tlsListener   = "mqtts"
)

// writeManifests writes what a person would apply: a Broker with nothing but
// defaults, a memory limit and what the attack is about, and its users.
func writeManifests(dir, spec string, plain, secure int, memory int64) error {
	hash, err := password.Hash([]byte(commonPassword))
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, brokerManifest, plain, secure, memory)
	for line := range strings.Lines(spec) {
		b.WriteString("  " + line)
	}
	fmt.Fprintf(&b, usersManifests, hash)
	for _, name := range []string{publisherUser, subscriberUser, attackerUser, bystanderUser} {
		fmt.Fprintf(&b, userManifest, name)
	}
	for i := range strangers {
		fmt.Fprintf(&b, userManifest, fmt.Sprintf(strangersName, i))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "hostile.yaml"), []byte(b.String()), 0o600)
}

const brokerManifest = `
apiVersion: mqtt.godwit.io/v1alpha1
kind: Broker
metadata: {name: godwit, namespace: hostile}
spec:
  listeners:
  - {name: mqtt, port: %d, protocol: MQTT}
  - {name: mqtts, port: %d, protocol: MQTT, tls: {}}
  tls: {certificate: {issuerRef: {name: dev}, dnsNames: [localhost]}}
  resources: {limits: {memory: %dMi}}
`

// Everybody but the attacker has topics of its own; the attacker may do anything,
// as clients may where nobody has thought of rules.
const usersManifests = `
---
apiVersion: v1
kind: Secret
metadata: {name: common, namespace: hostile}
stringData: {passwordHash: "%s"}
---
apiVersion: mqtt.godwit.io/v1alpha1
kind: TopicACL
metadata: {name: everybody, namespace: hostile}
spec:
  brokerRef: {name: godwit}
  subjects: [{authenticated: true}]
  rules: [{effect: Allow, actions: [All], topics: ["pair/#", "beside/#"]}]
---
apiVersion: mqtt.godwit.io/v1alpha1
kind: TopicACL
metadata: {name: attackers, namespace: hostile}
spec:
  brokerRef: {name: godwit}
  subjects: [{user: eve}, {anonymous: true}]
  rules: [{effect: Allow, actions: [All], topics: ["#"]}]
`

const userManifest = `---
apiVersion: mqtt.godwit.io/v1alpha1
kind: MQTTUser
metadata: {name: %s, namespace: hostile}
spec:
  brokerRef: {name: godwit}
  authentication: {password: {secretRef: {name: common, key: passwordHash}}}
`
