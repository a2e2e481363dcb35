package conformance

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/conformance/evidence"
)

var update = flag.Bool("update", false, "write docs/conformance.md instead of comparing it")

const (
	root     = "../.."
	document = root + "/docs/conformance.md"
)

// standards in the order of the document, with how many statements each has.
var standards = []struct {
	version    string
	statements int
}{{"3.1.1", 141}, {"5.0", 251}}

// statement is a normative statement of a standard.
type statement struct {
	number string // "3.1.0-2"
	role   string // who is bound: server, client, void
	text   string
}

// section returns "3.1" for "3.1.0-2".
func (s statement) section() string {
	parts := strings.SplitN(s.number, ".", 3)
	return parts[0] + "." + parts[1]
}

// statementsOf reads the list of a standard.
func statementsOf(t *testing.T, version string) []statement {
	t.Helper()
	b, err := os.ReadFile("testdata/mqtt-" + version + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []statement
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), " ", 3)
		if len(f) != 3 || !slices.Contains([]string{"server", "client", "void"}, f[1]) {
			t.Fatalf("%s: %q is not a number, a role and a text", version, line)
		}
		all = append(all, statement{f[0], f[1], f[2]})
	}
	return all
}

// collect reads the comments of all tests below broker/.
func collect(t *testing.T) evidence.Evidence {
	t.Helper()
	var versions []string
	for _, s := range standards {
		versions = append(versions, s.version)
	}
	e, err := evidence.Collect(root, "broker", "mqtt", versions...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestStatementsAreListedOnce(t *testing.T) {
	for _, s := range standards {
		all := statementsOf(t, s.version)
		if len(all) != s.statements {
			t.Errorf("MQTT %s: %d statements are listed, want %d", s.version, len(all), s.statements)
		}
		seen := map[string]bool{}
		for _, st := range all {
			if seen[st.number] {
				t.Errorf("MQTT %s: %s is listed twice", s.version, st.number)
			}
			seen[st.number] = true
		}
	}
}

func TestEveryStatementIsShown(t *testing.T) {
	e := collect(t)
	for _, s := range standards {
		known := map[string]bool{}
		for _, st := range statementsOf(t, s.version) {
			known[st.number] = true
			if st.role == "server" && len(e[s.version][st.number]) == 0 {
				t.Errorf("[MQTT-%s] of MQTT %s has no test: %s", st.number, s.version, st.text)
			}
			if st.role == "void" && len(e[s.version][st.number]) > 0 {
				t.Errorf("[MQTT-%s] of MQTT %s is void and has a test", st.number, s.version)
			}
		}
		for _, n := range slices.Sorted(maps.Keys(e[s.version])) {
			if !known[n] {
				t.Errorf("%s shows %s, which MQTT %s does not have", e[s.version][n][0].Name, n, s.version)
			}
		}
	}
}

// citation is how comments in the code name a statement.
var citation = regexp.MustCompile(`\[MQTT-(\d[^\]]*)\]`)

// TestCitationsAreOfStatements: comments in broker/ cite MQTT 5.0, or say that
// they cite 3.1.1.
func TestCitationsAreOfStatements(t *testing.T) {
	known := map[string]bool{}
	for _, s := range standards {
		for _, st := range statementsOf(t, s.version) {
			known[s.version+" "+st.number] = true
		}
	}
	err := filepath.WalkDir(root+"/broker", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		src, err := os.ReadFile(path)
		for line := range strings.Lines(string(src)) {
			for _, c := range citation.FindAllStringSubmatch(line, -1) {
				if !known["5.0 "+c[1]] && (!strings.Contains(line, "3.1.1") || !known["3.1.1 "+c[1]]) {
					t.Errorf("%s cites %s, which there is not: %s", path, c[0], strings.TrimSpace(line))
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDocumentIsUpToDate(t *testing.T) {
	if err := evidence.Page(document, render(t), *update); err != nil {
		t.Error(err)
	}
}

const introduction = `# Conformance

Every normative statement of the two OASIS standards, MQTT 3.1.1 and MQTT 5.0, in words of our own, with the tests that
show that the engine keeps it. The statements that bind only clients are marked so; where tests stand behind one, they
show what the engine does to a client that breaks it. This page is written by ` + "`go generate ./broker/conformance`" + `
from comments of the tests, and a test fails when it is stale or a statement of the server's has no test.

MQTT 3.1 has no numbered statements: where it differs from 3.1.1, the tests say so.
`

// sections are the titles of the parts of the two standards.
var sections = map[string]string{
	"1.5": "Data representation", "2.1": "Structure of a control packet", "2.2": "Fixed and variable header",
	"2.3": "Variable header", "3.1": "CONNECT", "3.2": "CONNACK", "3.3": "PUBLISH", "3.4": "PUBACK", "3.5": "PUBREC",
	"3.6": "PUBREL", "3.7": "PUBCOMP", "3.8": "SUBSCRIBE", "3.9": "SUBACK", "3.10": "UNSUBSCRIBE", "3.11": "UNSUBACK",
	"3.12": "PINGREQ", "3.14": "DISCONNECT", "3.15": "AUTH", "4.1": "Session state", "4.2": "Network connections",
	"4.3": "Quality of service", "4.4": "Message delivery retry", "4.5": "Message receipt", "4.6": "Message ordering",
	"4.7": "Topic names and filters", "4.8": "Subscriptions and errors", "4.9": "Flow control",
	"4.12": "Enhanced authentication", "4.13": "Handling errors", "6.0": "WebSocket", "7.0": "Conformance targets",
	"7.1": "Conformance targets",
}

func render(t *testing.T) []byte {
	t.Helper()
	e := collect(t)
	var b bytes.Buffer
	b.WriteString(introduction)
	for _, s := range standards {
		all := statementsOf(t, s.version)
		fmt.Fprintf(&b, "\n## MQTT %s\n\n%s\n", s.version, summary(all))
		section := ""
		for _, st := range all {
			if st.section() != section {
				section = st.section()
				fmt.Fprintf(&b, "\n### %s %s\n\n| Statement | What it says | Shown by |\n|---|---|---|\n", section, sections[section])
			}
			fmt.Fprintf(&b, "| MQTT-%s | %s | %s |\n", st.number, st.text, proof(st, e[s.version][st.number]))
		}
	}
	return b.Bytes()
}

func summary(all []statement) string {
	count := map[string]int{}
	for _, st := range all {
		count[st.role]++
	}
	return fmt.Sprintf("%d statements: %d bind a server and are shown by tests, %d bind only clients, %d demand nothing here.",
		len(all), count["server"], count["client"], count["void"])
}

func proof(st statement, tests []evidence.Test) string {
	var parts []string
	if st.role != "server" {
		parts = append(parts, map[string]string{"client": "(client)", "void": "(does not arise)"}[st.role])
	}
	if len(tests) > 0 {
		parts = append(parts, evidence.Links(tests))
	}
	return strings.Join(parts, " ")
}
