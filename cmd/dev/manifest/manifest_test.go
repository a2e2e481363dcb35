package manifest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

const broker = `apiVersion: mqtt.godwit.io/v1alpha1
kind: Broker
metadata:
  name: edge
  namespace: iot
`

const user = `apiVersion: mqtt.godwit.io/v1alpha1
kind: MQTTUser
metadata:
  name: dev-1
  namespace: iot
spec:
  brokerRef: {name: edge}
  authentication:
    password: {secretRef: {name: s}}
`

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadReadsTheSamples(t *testing.T) {
	s, err := Load("../../../config/samples")
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Broker("")
	if err != nil {
		t.Fatal(err)
	}
	if b.Namespace != "default" || b.Name != "edge" {
		t.Errorf("broker = %s/%s, want default/edge", b.Namespace, b.Name)
	}
	if *b.Spec.MQTT.MaxQueuedMessages != 10000 {
		t.Error("the defaults of the schema are not filled in")
	}
	if len(s.Users) == 0 || len(s.ACLs) == 0 || len(s.Secrets) == 0 {
		t.Errorf("users %d, ACLs %d, secrets %d: want some of each", len(s.Users), len(s.ACLs), len(s.Secrets))
	}
	if strays := s.Strays(); len(strays) != 0 {
		t.Errorf("strays = %q", strays)
	}
}

func TestLoadNamesFileLineAndField(t *testing.T) {
	tests := map[string]struct{ content, want string }{
		"unknown field": {broker + "spec:\n  listenerz: []\n",
			"m.yaml:7: Broker iot/edge: spec.listenerz: unknown field: remove it or correct its spelling"},
		"unknown field in a list": {broker + "spec:\n  listeners:\n  - name: mqtt\n    prot: 1883\n    port: 1\n",
			"m.yaml:9: Broker iot/edge: spec.listeners[0].prot: unknown field"},
		"unknown field of metadata": {strings.Replace(broker, "namespace: iot", "namespace: iot\n  lables: {}", 1),
			"m.yaml:6: Broker iot/edge: metadata.lables: unknown field"},
		"wrong type": {broker + "spec:\n  listeners:\n  - name: mqtt\n    port: many\n",
			"m.yaml:9: Broker iot/edge: spec.listeners[0].port: must be of type integer"},
		"missing": {broker + "spec:\n  listeners:\n  - port: 1883\n",
			"m.yaml:8: Broker iot/edge: spec.listeners[0].name: is missing"},
		"not in the list of values": {broker + "spec:\n  listeners:\n  - {name: m, port: 1, protocol: CoAP}\n",
			`spec.listeners[0].protocol: Unsupported value: "CoAP": supported values: "MQTT", "WebSocket"`},
		"a rule of the kind": {broker + "spec:\n  replicas: 3\n",
			"m.yaml:7: Broker iot/edge: spec.replicas: more than one replica needs clustering"},
		"a rule over fields": {strings.Replace(user, "password: {secretRef: {name: s}}", "{}", 1),
			"set exactly one of password, generate, x509 and certificate"},
		"twice in a list": {broker + "spec:\n  listeners:\n  - {name: m, port: 1}\n  - {name: m, port: 2}\n",
			"m.yaml:9: Broker iot/edge: spec.listeners[1]: Duplicate value"},
		"second document": {broker + "---\n# users\n" + strings.Replace(user, "brokerRef", "broker", 1),
			"m.yaml:14: MQTTUser iot/dev-1: spec.broker: unknown field"},
		"no kind":       {"apiVersion: v1\n", "m.yaml:1: kind: is missing"},
		"no name":       {"apiVersion: v1\nkind: Secret\n", "m.yaml:1: Secret: metadata.name: is missing"},
		"a bad name":    {strings.Replace(broker, "edge", "Edge_1", 1), `m.yaml:4: Broker iot/Edge_1: metadata.name: "Edge_1"`},
		"a kind's typo": {strings.Replace(broker, "Broker", "Brokr", 1), `"Brokr" is not a kind of mqtt.godwit.io/v1alpha1: use Broker, MQTTUser, TopicACL`},
		"a version":     {strings.Replace(broker, "v1alpha1", "v1", 1), `apiVersion: "mqtt.godwit.io/v1" has no kind Broker: use mqtt.godwit.io/v1alpha1`},
		"a group":       {strings.Replace(broker, "mqtt.godwit.io", "example.com", 1), "use mqtt.godwit.io/v1alpha1"},
		"not yaml":      {broker + "spec: [\n", "m.yaml: line 6"},
		"not an object": {"just text\n", "m.yaml:1: not an object"},
		"a key twice":   {broker + "kind: Broker\n", `key "kind" already set in map`},
		"an object twice": {broker + "---\n" + broker,
			"m.yaml:10: Broker iot/edge: metadata.name: Broker iot/edge stands in "},
		"a secret's field": {"apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringdata: {a: b}\n",
			"m.yaml:4: Secret default/s: stringdata: unknown field"},
		"a certificate without a secret": {"apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: c}\n",
			"spec.secretName: is missing"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Load(filepath.Join(write(t, map[string]string{"m.yaml": tt.content}), "m.yaml"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v\nwant one that says %q", err, tt.want)
			}
		})
	}
}

func TestLoadTellsAllProblemsOfAllFiles(t *testing.T) {
	dir := write(t, map[string]string{
		"a.yaml": broker + "spec:\n  one: 1\n  two: 2\n",
		"b.json": `{"apiVersion":"mqtt.godwit.io/v1alpha1","kind":"Brokr","metadata":{"name":"x"}}`,
		"c.yml":  user,
	})
	s, err := Load(dir)
	if err == nil || len(strings.Split(err.Error(), "\n")) != 3 {
		t.Errorf("error = %v, want three lines", err)
	}
	if len(s.Users) != 1 {
		t.Error("the good file was not read")
	}
}

func TestLoadPassesOverWhatNeedsACluster(t *testing.T) {
	dir := write(t, map[string]string{
		"a.yaml": broker + `---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {name: own, namespace: iot}
spec: {secretName: own-tls, anything: 1}
---
apiVersion: v1
kind: Namespace
metadata: {name: iot, labels: {team: a}}
---
# nothing but a comment
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
`,
		"kustomization.yaml": "resources: [a.yaml]\n",
		".hidden.yaml":       "{",
		"notes.txt":          "{",
	})
	s, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Skipped) != 2 || !strings.Contains(s.Skipped[1], "Deployment default/web: of no use without a cluster") {
		t.Errorf("skipped = %q", s.Skipped)
	}
	if !s.Issued[types.NamespacedName{Namespace: "iot", Name: "own-tls"}] {
		t.Error("the Secret of the Certificate is not noted")
	}
	if s.Namespaces["iot"]["team"] != "a" {
		t.Errorf("namespaces = %v", s.Namespaces)
	}
}

func TestLoadMergesStringData(t *testing.T) {
	dir := write(t, map[string]string{"s.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: eA==, b: eA==}\nstringData: {b: z}\n"})
	s, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	data := s.Secrets[types.NamespacedName{Namespace: "default", Name: "s"}].Data
	if string(data["a"]) != "x" || string(data["b"]) != "z" {
		t.Errorf("data = %q", data)
	}
}

func TestBrokerIsChosenByName(t *testing.T) {
	other := strings.NewReplacer("edge", "core").Replace(broker)
	twin := strings.NewReplacer("iot", "lab").Replace(broker)
	tests := map[string]struct {
		manifests, name, want, err string
	}{
		"the only one":       {broker, "", "iot/edge", ""},
		"by name":            {broker + "---\n" + other, "core", "iot/core", ""},
		"by full name":       {broker + "---\n" + twin, "lab/edge", "lab/edge", ""},
		"none":               {user, "", "", "add one, as in config/samples/broker.yaml"},
		"several":            {broker + "---\n" + other, "", "", "choose with --broker one of iot/core, iot/edge"},
		"several of a name":  {broker + "---\n" + twin, "edge", "", "choose with --broker one of iot/edge, lab/edge"},
		"no one of the name": {broker, "x", "", `no Broker "x" in the manifests: they hold iot/edge`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := Load(write(t, map[string]string{"m.yaml": tt.manifests}))
			if err != nil {
				t.Fatal(err)
			}
			b, err := s.Broker(tt.name)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error = %v, want one that says %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := b.Namespace + "/" + b.Name; got != tt.want {
				t.Errorf("broker = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestStraysAreNamed(t *testing.T) {
	s, err := Load(write(t, map[string]string{"m.yaml": strings.Replace(user, "name: edge", "name: egde", 1)}))
	if err != nil {
		t.Fatal(err)
	}
	strays := s.Strays()
	if len(strays) != 1 || !strings.HasSuffix(strays[0], "m.yaml:1: MQTTUser iot/dev-1: no Broker iot/egde in the manifests: correct spec.brokerRef") {
		t.Errorf("strays = %q", strays)
	}
}

func TestSourceReadsSeveralPathsAndStandardInput(t *testing.T) {
	dir := write(t, map[string]string{"broker.yaml": broker})
	s, err := Source{
		Paths: []string{dir, "-"}, Namespace: "lab",
		Stdin: strings.NewReader(strings.Replace(user, "  namespace: iot\n", "", 1)),
	}.Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Brokers) != 1 || s.Brokers[0].Namespace != "iot" || len(s.Users) != 1 || s.Users[0].Namespace != "lab" {
		t.Errorf("brokers %+v, users %+v", s.Brokers, s.Users)
	}
	_, err = Source{Paths: []string{"-"}, Stdin: strings.NewReader("kind: x\n")}.Load()
	if err == nil || !strings.Contains(err.Error(), "standard input:1: apiVersion: is missing") {
		t.Errorf("error = %v, want one that names standard input", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(broker + "---\n" + user))
	f.Add([]byte("a: &a [*a]"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(dir, "m.yaml")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = Load(path)
	})
}
