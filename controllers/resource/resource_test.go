package resource_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/admin/client"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

var update = flag.Bool("update", false, "write the goldens")

// brokers are the specs that goldens are made of.
var brokers = map[string]string{
	"empty": `{}`,
	"tls":   `{tls: {certificate: {issuerRef: {name: ca, kind: ClusterIssuer}, dnsNames: [mqtt.example.com], duration: 2160h, renewBefore: 720h}}}`,
	"full": `{
		image: "registry.example.com/godwit:1",
		tls: {secretName: shared, clientAuth: {mode: Required, caSecretName: devices}},
		listeners: [
			{name: mqtt, port: 1883},
			{name: mqtts, port: 8883, tls: {}, service: {type: LoadBalancer, annotations: {a: b}, nodePort: 31883, externalTrafficPolicy: Local}},
			{name: wss, port: 443, protocol: WebSocket, tls: {certificate: {issuerRef: {name: web}}, clientAuth: {mode: None}}}],
		persistence: {enabled: true, size: 5Gi, storageClassName: fast, reclaimPolicy: Delete},
		updateStrategy: {drain: {timeout: 2m}},
		podDisruptionBudget: {minAvailable: 1},
		networkPolicy: {metricsFrom: [{namespaceSelector: {matchLabels: {team: monitoring}}}]},
		resources: {limits: {memory: 1Gi}},
		template: {metadata: {labels: {team: iot, mqtt.godwit.io/broker: other}, annotations: {x: "y"}},
			spec: {nodeSelector: {disk: ssd}, priorityClassName: high, imagePullSecrets: [{name: pull}]}}}`,
	"additional": `{
		tls: {certificate: {issuerRef: {name: ca}}, additionalCertificates: [
			{name: rsa, certificate: {issuerRef: {name: ca}, privateKey: {algorithm: RSA, size: 3072}, dnsNames: [old.example.com]}},
			{name: brought, secretName: mine}]},
		listeners: [
			{name: mqtts, port: 8883, tls: {clientAuth: {mode: Optional, caSecretName: devices}}},
			{name: again, port: 8884, tls: {}},
			{name: more, port: 8885, tls: {additionalCertificates: [{name: rsa, certificate: {issuerRef: {name: more}, privateKey: {algorithm: RSA}}}]}},
			{name: own, port: 8886, tls: {secretName: own}},
			{name: tls, port: 8887, tls: {certificate: {issuerRef: {name: ca}}, additionalCertificates: [{name: rsa, certificate: {issuerRef: {name: ca}, privateKey: {algorithm: RSA}}}]}}]}`,
	"stopped": `{replicas: 0, persistence: {enabled: false}, networkPolicy: {enabled: false}}`,
}

func broker(t *testing.T, spec string) *v1alpha1.Broker {
	t.Helper()
	b := &v1alpha1.Broker{ObjectMeta: metav1.ObjectMeta{Name: "edge", Namespace: "iot"}}
	if err := yaml.UnmarshalStrict([]byte("spec: "+strings.ReplaceAll(spec, "\t", " ")), b); err != nil {
		t.Fatal(err)
	}
	b.Default()
	return b
}

// children builds all that a Broker has.
func children(b *v1alpha1.Broker) []any {
	objects := []any{
		resource.ServiceAccount(b), resource.HeadlessService(b), resource.StatefulSet(b, "godwit:test"),
		resource.SettingsConfigMap(b, []byte("{}")), resource.AccessSecret(b, []byte("{}")),
		resource.ShardSecret(b, 0, config.Files{"access-0-0.json": []byte("{}")}),
	}
	for _, s := range resource.ClientServices(b) {
		objects = append(objects, s)
	}
	for _, c := range resource.Certificates(b, "cluster.local") {
		objects = append(objects, c)
	}
	if p := resource.PodDisruptionBudget(b); p != nil {
		objects = append(objects, p)
	}
	if n := resource.NetworkPolicy(b, "godwit-system"); n != nil {
		objects = append(objects, n)
	}
	return objects
}

func TestChildren(t *testing.T) {
	for name, spec := range brokers {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			for _, o := range children(broker(t, spec)) {
				encoded, err := yaml.Marshal(o)
				if err != nil {
					t.Fatal(err)
				}
				got.WriteString("---\n")
				got.Write(encoded)
			}
			golden := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want, got.Bytes()) {
				t.Errorf("differs from %s; `go test -update` writes it, and git diff shows how:\n%s", golden, got.Bytes())
			}
		})
	}
}

func TestTheTemplateOfPodsDoesNotDependOnTheConfiguration(t *testing.T) {
	b := broker(t, `{}`)
	before, err := yaml.Marshal(resource.StatefulSet(b, "godwit:test"))
	if err != nil {
		t.Fatal(err)
	}
	b.Spec.MQTT.MaxQoS = new(int32(1))
	b.Spec.Authentication.Anonymous = true
	b.Spec.AllowedUsers.Namespaces.From = v1alpha1.FromAll
	after, err := yaml.Marshal(resource.StatefulSet(b, "godwit:test"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("a change of settings restarts the pods")
	}
}

func TestAdminPortIsThatOfTheBroker(t *testing.T) {
	if resource.AdminPort != client.DefaultPort {
		t.Errorf("the operator knocks at %d, brokers listen at %d", resource.AdminPort, client.DefaultPort)
	}
}
