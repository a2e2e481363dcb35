package acl

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/cmd/dev/manifest"
)

const manifests = `
apiVersion: mqtt.godwit.io/v1alpha1
kind: Broker
metadata: {name: edge, namespace: iot}
spec:
  mqtt: {maxQoS: 1}
---
apiVersion: mqtt.godwit.io/v1alpha1
kind: MQTTUser
metadata: {name: dev-1, namespace: iot, labels: {fleet: eu}}
spec:
  brokerRef: {name: edge}
  clientIds: ["dev-1-*"]
  authentication: {password: {secretRef: {name: comes-by-itself}}}
---
apiVersion: mqtt.godwit.io/v1alpha1
kind: MQTTUser
metadata: {name: dashboard, namespace: iot}
spec:
  brokerRef: {name: edge}
  authentication: {generate: {secretName: dashboard-mqtt}}
---
apiVersion: mqtt.godwit.io/v1alpha1
kind: MQTTUser
metadata: {name: retired, namespace: iot}
spec:
  brokerRef: {name: edge}
  disabled: true
  authentication: {x509: {commonName: retired}}
---
apiVersion: mqtt.godwit.io/v1alpha1
kind: MQTTUser
metadata: {name: issued, namespace: iot}
spec:
  brokerRef: {name: edge}
  authentication: {certificate: {issuerRef: {name: ca}, secretName: issued-cert}}
---
apiVersion: mqtt.godwit.io/v1alpha1
kind: MQTTUser
metadata: {name: outsider, namespace: elsewhere}
spec:
  brokerRef: {name: edge, namespace: iot}
  authentication: {x509: {commonName: outsider}}
---
apiVersion: mqtt.godwit.io/v1alpha1
kind: TopicACL
metadata: {name: devices, namespace: iot}
spec:
  brokerRef: {name: edge}
  subjects: [{selector: {matchLabels: {fleet: eu}}}]
  rules:
  - {effect: Allow, actions: [Publish], topics: ["telemetry/%u/#", "status/%c"], maxQoS: 0, retain: Deny}
  - {effect: Allow, actions: [Publish], topics: ["telemetry/%u/state"], maxQoS: 1}
  - {effect: Deny, actions: [All], topics: ["telemetry/+/secret"]}
---
apiVersion: mqtt.godwit.io/v1alpha1
kind: TopicACL
metadata: {name: dashboard, namespace: iot}
spec:
  brokerRef: {name: edge}
  subjects: [{user: dashboard}, {user: issued}]
  rules:
  - {effect: Allow, actions: [Subscribe], topics: ["telemetry/#"], maxQoS: 0}
  - {effect: Deny, actions: [Subscribe], topics: ["telemetry/+/private/#"]}
`

func rights(t *testing.T, manifests string) *Rights {
	t.Helper()
	objects, err := FromManifests(manifest.Source{Paths: []string{"-"}, Stdin: strings.NewReader(manifests)}, "")
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(objects)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// brief names rules as "name[index]", joined by spaces.
func brief(rules []Rule) string {
	var names []string
	for _, r := range rules {
		names = append(names, fmt.Sprintf("%s[%d]", strings.TrimPrefix(r.ACL, "iot/"), r.Index))
	}
	return strings.Join(names, " ")
}

func TestAnswer(t *testing.T) {
	r := rights(t, manifests)
	dev := func(topic string, change ...func(*Question)) Question {
		q := Question{Action: Publish, Topic: topic, User: "dev-1"}
		for _, c := range change {
			c(&q)
		}
		return q
	}
	client := func(q *Question) { q.ClientID = "dev-1-a" }
	atQoS1 := func(q *Question) { q.QoS = 1 }
	retained := func(q *Question) { q.Retain = true }
	dashboard := func(filter string, qos byte) Question {
		return Question{Action: Subscribe, Topic: filter, User: "dashboard", QoS: qos}
	}
	for name, tc := range map[string]struct {
		question                    Question
		allowed                     bool
		reason                      string
		rules, inVain, notDelivered string
	}{
		"a rule allows": {question: dev("telemetry/dev-1/t"), allowed: true, reason: "a rule allows it", rules: "devices[0]"},
		"no rule": {question: dev("other"),
			reason: "no rule matches, and spec.authorization.default of Broker iot/edge is Deny"},
		"a deny overrules": {question: dev("telemetry/dev-1/secret"),
			reason: "a rule denies it", rules: "devices[2]", inVain: "devices[0]"},
		"more QoS than granted": {question: dev("telemetry/dev-1/t", atQoS1),
			reason: "the rules that match grant less", inVain: "devices[0]"},
		"retained where that is not granted": {question: dev("telemetry/dev-1/t", retained),
			reason: "the rules that match grant less", inVain: "devices[0]"},
		"one rule of two grants enough": {question: dev("telemetry/dev-1/state", atQoS1, retained), allowed: true,
			reason: "a rule allows it", rules: "devices[1]", inVain: "devices[0]"},
		"more QoS than the Broker has": {question: dev("telemetry/dev-1/state", func(q *Question) { q.QoS = 2 }),
			reason: "spec.mqtt.maxQoS of Broker iot/edge is 1"},
		"the client ID": {question: dev("status/dev-1-a", client), allowed: true, reason: "a rule allows it", rules: "devices[0]"},
		"a client ID that the user may not have": {question: dev("telemetry/dev-1/t", func(q *Question) { q.ClientID = "x" }),
			reason: `MQTTUser iot/dev-1 may not use the client ID "x"`},
		"the broker's own topics": {question: dev("$SYS/broker/uptime"), reason: "topics below $SYS/ are the broker's own"},

		"subscribe, denied in part": {question: dashboard("telemetry/#", 0), allowed: true,
			reason: "a rule allows it", rules: "dashboard[0]", notDelivered: "dashboard[1]"},
		"subscribe, denied": {question: dashboard("telemetry/+/private/x", 0),
			reason: "a rule denies it", rules: "dashboard[1]", inVain: "dashboard[0]"},
		"subscribe, more than allowed": {question: dashboard("#", 0),
			reason: "no rule covers all topics of the filter", inVain: "dashboard[0]"},
		"subscribe, at a higher QoS": {question: dashboard("telemetry/x", 1),
			reason: "the rules that match grant QoS 0", inVain: "dashboard[0]"},
		"subscribe, no rule": {question: dashboard("other", 0),
			reason: "no rule matches, and spec.authorization.default of Broker iot/edge is Deny"},

		"anonymous": {question: Question{Action: Publish, Topic: "x", Anonymous: true},
			reason: "Broker iot/edge admits no anonymous clients"},
		"a disabled user": {question: Question{Action: Publish, Topic: "x", User: "retired"},
			reason: "MQTTUser iot/retired is not in force: disabled: nobody connects as this user"},
		"a user of a namespace that is not admitted": {question: Question{Action: Publish, Topic: "x", User: "outsider"},
			reason: `MQTTUser elsewhere/outsider is not in force: Broker iot/edge does not admit namespace "elsewhere": ` +
				"widen its spec.allowedUsers.namespaces"},
		"a user with a certificate that is issued": {question: Question{Action: Subscribe, Topic: "telemetry/x", User: "issued"},
			allowed: true, reason: "a rule allows it", rules: "dashboard[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := r.Answer(tc.question)
			if err != nil {
				t.Fatal(err)
			}
			if a.Allowed != tc.allowed || a.Reason != tc.reason {
				t.Errorf("%t: %s\nwant %t: %s", a.Allowed, a.Reason, tc.allowed, tc.reason)
			}
			for what, rules := range map[string][2]string{
				"rules": {brief(a.Rules), tc.rules}, "in vain": {brief(a.InVain), tc.inVain},
				"not delivered": {brief(a.NotDelivered), tc.notDelivered},
			} {
				if rules[0] != rules[1] {
					t.Errorf("%s: %s, want %s", what, rules[0], rules[1])
				}
			}
		})
	}
}

func TestAnswerRefusesWhatIsNoQuestion(t *testing.T) {
	r := rights(t, manifests)
	for name, tc := range map[string]struct {
		question Question
		want     string
	}{
		"another action":       {Question{Action: "read", Topic: "x", User: "dev-1"}, `"read" is no action`},
		"a filter to publish":  {Question{Action: Publish, Topic: "a/#", User: "dev-1"}, "wildcard"},
		"a bad filter":         {Question{Action: Subscribe, Topic: "a#", User: "dev-1"}, "a#"},
		"nobody":               {Question{Action: Publish, Topic: "x"}, "--as"},
		"two at once":          {Question{Action: Publish, Topic: "x", User: "dev-1", Anonymous: true}, "--as"},
		"QoS 3":                {Question{Action: Publish, Topic: "x", User: "dev-1", QoS: 3}, "3 is not"},
		"a retained subscribe": {Question{Action: Subscribe, Topic: "x", User: "dev-1", Retain: true}, "retain"},
		"an unknown user":      {Question{Action: Publish, Topic: "x", User: "dev-9"}, `no MQTTUser of Broker iot/edge has the username "dev-9"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Answer(tc.question)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want one that says %q", err, tc.want)
			}
		})
	}
}

func TestAHintTellsThatTheClientIDIsMissing(t *testing.T) {
	r := rights(t, manifests)
	for clientID, hinted := range map[string]bool{"": true, "dev-1-a": false} {
		a, err := r.Answer(Question{Action: Publish, Topic: "status/x", User: "dev-1", ClientID: clientID})
		if err != nil || a.Allowed || (a.Hint != "") != hinted {
			t.Errorf("client ID %q: %+v, %v", clientID, a, err)
		}
	}
}

func TestWhatIsNotInForceIsNoted(t *testing.T) {
	r := rights(t, manifests+`
---
apiVersion: mqtt.godwit.io/v1alpha1
kind: TopicACL
metadata: {name: slip, namespace: iot}
spec:
  brokerRef: {name: edge}
  subjects: [{authenticated: true}]
  rules:
  - {effect: Allow, actions: [All], topics: ["$share/g"]}
  - {effect: Deny, actions: [All], topics: ["telemetry/dev-1/t"]}
---
apiVersion: mqtt.godwit.io/v1alpha1
kind: TopicACL
metadata: {name: stray, namespace: iot}
spec:
  brokerRef: {name: egde}
  subjects: [{authenticated: true}]
  rules: [{effect: Allow, actions: [All], topics: ["x"]}]
`)
	for _, want := range []string{"TopicACL iot/slip is not in force", "iot/egde", "MQTTUser elsewhere/outsider is not in force"} {
		if !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, want) }) {
			t.Errorf("notes %q, want one that says %q", r.Notes, want)
		}
	}
	a, err := r.Answer(Question{Action: Publish, Topic: "telemetry/dev-1/t", User: "dev-1"})
	if err != nil || a.Allowed || brief(a.Rules) != "slip[1]" {
		t.Errorf("%+v, %v: want the denial by the second rule as it stands in the manifest", a, err)
	}
}

func TestExplainIsForPeople(t *testing.T) {
	r := rights(t, manifests)
	for name, tc := range map[string]struct {
		question Question
		want     string
	}{
		"granted in part": {
			Question{Action: Subscribe, Topic: "telemetry/#", User: "dashboard"},
			`yes: dashboard may subscribe to telemetry/# with QoS 0: a rule allows it
decided by:
  Allow  TopicACL iot/dashboard  spec.rules[0]  telemetry/#  (maxQoS 0)
granted, but messages on these topics are not delivered:
  Deny  TopicACL iot/dashboard  spec.rules[1]  telemetry/+/private/#
`,
		},
		"refused": {
			Question{Action: Publish, Topic: "telemetry/dev-1/t", User: "dev-1", Retain: true, ClientID: "dev-1-a"},
			`no: dev-1 as client dev-1-a may not publish a retained message to telemetry/dev-1/t with QoS 0: the rules that match grant less
matches in vain:
  Allow  TopicACL iot/devices  spec.rules[0]  telemetry/%u/#  (maxQoS 0, not retained)
`,
		},
		"hinted": {
			Question{Action: Publish, Topic: "status/x", User: "dev-1"},
			`no: dev-1 may not publish a message to status/x with QoS 0: no rule matches, and spec.authorization.default of Broker iot/edge is Deny
hint: rules with %c match only where the question has a client ID
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := r.Answer(tc.question)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			a.Explain(&out)
			if out.String() != tc.want {
				t.Errorf("\n%swant\n%s", out.String(), tc.want)
			}
		})
	}
}
