package page

import (
	"bytes"
	"flag"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/conformance/evidence"
)

var update = flag.Bool("update", false, "write docs/semantics.md instead of comparing it")

const (
	root     = "../../.."
	document = root + "/docs/semantics.md"
)

// statement is one of the semantics of the API.
type statement struct {
	text string
	// seen says that a client of MQTT, or a person with kubectl, sees it on a cluster.
	seen bool
}

// statements by number, from 1.
var statements = []statement{
	{"The rules of all TopicACLs of a Broker are one union. Deny wins, whatever the order. Where no rule matches, `authorization.default` decides", true},
	{"`%u` (username) and `%c` (client identifier) stand for one whole topic level. An identity that holds `/`, `+` or `#` matches no rule with a placeholder", true},
	{"Neither `#` nor a leading `+` covers topics that begin with `$`. `$share/G/F` is judged on F, and a rule that names `$share/G/F` speaks of that group", true},
	{"A subscription is granted where one Allow rule covers all of its filter. A Deny rule that covers all of it refuses it (SUBACK 0x87; 0x80 in MQTT 3.1.1); one that covers a part leaves it granted, and messages on denied topics are not delivered", true},
	{"A refused PUBLISH is answered 0x87 in MQTT 5, and acknowledged and dropped in 3.1.1. A metric counts both, by user", true},
	{"Changes take force on live connections: who may no longer connect is disconnected (MQTT 5: 0x87 with a reason string), subscriptions that are no longer granted stop delivering, and nobody else is disconnected", true},
	{"Of several MQTTUsers with one username the oldest holds it; the others say `UsernameTaken`", true},
	{"Objects of other namespaces bind only where the Broker's `allowedUsers` admits them; else they say `NotAllowedByBroker`", true},
	{"`Accepted`: valid and admitted. `Programmed`: every running pod has answered that it enforces this generation. `Ready` is both, so that the client can connect now", true},
	{"Passwords stand in no ConfigMap, log, event or status. Only hashes leave the operator, and an unchanged password makes no new revision", true},
	{"Secrets that are referred to are watched, so that a rotation takes force by itself. Of all others only metadata is cached", true},
	{"The order in which objects come does not matter; each says what it waits for. A namespace that is deleted ends, since no finalizer waits", true},
	{"The status is correct by kstatus from birth, so that `helm --wait`, Flux and Argo CD tell the truth", true},
	{"A deleted Broker leaves its volume with `reclaimPolicy: Retain`, and has its sessions and retained messages back when it is made again", true},
	{"The operator overwrites no Secret, Service or Certificate of somebody else, and says so in a condition", false},
	{"Pods that start while the operator is down authenticate as before", true},
	{"An upgrade of the operator restarts no broker unless its pod really changed; `spec.image` pins the engine", true},
}

// shownBy are the places where a statement may be shown, in the order of the page.
var shownBy = []struct {
	title, dir string
	// required says that a statement has to be shown there.
	required func(statement) bool
}{
	{"On a real API server", "controllers", func(statement) bool { return true }},
	{"On a cluster, with real clients", "hack/e2e", func(s statement) bool { return s.seen }},
	{"By the engine alone", "broker", func(statement) bool { return false }},
}

func TestEveryStatementIsShown(t *testing.T) {
	for _, place := range shownBy {
		e := collect(t, place.dir)
		for i, s := range statements {
			if number := strconv.Itoa(i + 1); place.required(s) && len(e[number]) == 0 {
				t.Errorf("no test in %s shows statement %s: %s", place.dir, number, s.text)
			}
		}
		for number, tests := range e {
			if n, err := strconv.Atoi(number); err != nil || n < 1 || n > len(statements) {
				t.Errorf("%s shows statement %s, which there is not", tests[0].Name, number)
			}
		}
	}
}

func collect(t *testing.T, dir string) map[string][]evidence.Test {
	t.Helper()
	e, err := evidence.Collect(root, dir, "api", "semantics")
	if err != nil {
		t.Fatal(err)
	}
	return e["semantics"]
}

func TestPageIsUpToDate(t *testing.T) {
	if err := evidence.Page(document, page(t), *update); err != nil {
		t.Error(err)
	}
}

const introduction = `# Semantics

What the three kinds mean, statement by statement, and the tests that show it: against a real kube-apiserver, where the
operator and the engine are real and only a kubelet's part is played; on a real cluster with mosquitto_pub, mosquitto_sub
and paho; and by the engine alone, over sockets or by its rules. This page is written by ` + "`go generate ./controllers/semantics/page`" + `
from comments of the tests, and a test fails when it is stale or a statement has no test.
`

func page(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString(introduction)
	var places []map[string][]evidence.Test
	for _, place := range shownBy {
		places = append(places, collect(t, place.dir))
	}
	for i, s := range statements {
		fmt.Fprintf(&b, "\n## %d\n\n%s.\n\n", i+1, s.text)
		for j, place := range shownBy {
			if tests := places[j][strconv.Itoa(i+1)]; len(tests) > 0 {
				fmt.Fprintf(&b, "- %s: %s\n", place.title, strings.ReplaceAll(evidence.Links(tests), " ", ", "))
			}
		}
	}
	return b.Bytes()
}
