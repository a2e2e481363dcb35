package cmd

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/cmd/acl"
	"github.com/godwit-mqtt/godwit/cmd/dev/manifest"
	"github.com/godwit-mqtt/godwit/cmd/mosquitto"
)

// identity of a client; without a username it is anonymous.
type identity struct{ user, client string }

var judgedIdentities = []identity{
	{"", "cid-1"}, {"", "c+1"}, {"", "c#1"}, {"", "c/1"},
	{"alice", "cid-1"}, {"alice", "c+1"}, {"bob", "c/1"}, {"carol", "a"}, {"a/b", "cid-1"}, {"a+b", "cid-1"},
}

// judgedTopics are of one to three levels, and as many as clients are asked about.
var judgedTopics = func() (all []string) {
	levels := []string{"a", "b", "foo", "cid-1", "alice", "x-alice"}
	all = append(all, levels...)
	for _, first := range levels[:4] {
		for _, second := range []string{"a", "b", "cid-1", "alice", "x-cid-1"} {
			all = append(all, first+"/"+second)
		}
	}
	return append(all, "a/c/1", "a/a/b", "a/b/alice", "b/cid-1/a", "$other/a", "$other/b")
}()

// TestImportNeverWidens: what the manifests of an ACL file allow a client, Mosquitto
// allows with that file; where they allow less, a note says that something is
// different. Files that one refuses the other does.
func TestImportNeverWidens(t *testing.T) {
	program := mosquittoProgram(t)
	files := map[string]string{
		"a pattern without a placeholder":                                "pattern readwrite foo\n",
		"a pattern that denies what a line for anonymous clients allows": "topic readwrite +\npattern deny cid-1\n",
		"denials with placeholders":                                      "pattern readwrite #\npattern deny a/%c/#\npattern deny b/%u\n",
		"placeholders within levels":                                     "user alice\ntopic read a\npattern write x-%u\npattern deny a/x-%c\npattern readwrite a/+\n",
		"a byte order mark":                                              "\ufefftopic readwrite foo\n",
		"a byte order mark, comment":                                     "\ufeff# comment\ntopic readwrite foo\n",
		"carriage returns":                                               "topic readwrite foo\r\n\r\n# comment\r\nuser alice\r\ntopic read a/+\r\n",
		"tabs":                                                           "topic\treadwrite\tfoo\n",
		"a tab before the topic":                                         "topic readwrite \tfoo\n",
		"a tab behind the topic":                                         "topic readwrite foo\t\n",
		"a space that is not of ASCII":                                   "topic readwrite \u00a0foo\n",
		"sections that come again":                                       "user alice\ntopic deny a\nuser bob\ntopic read #\nuser alice\ntopic readwrite +\n",
		"a user with a space":                                            "user alice  \ntopic readwrite foo\n",
		"topics that begin with $":                                       "topic readwrite #\ntopic read $other/#\nuser alice\ntopic readwrite $other/+\npattern deny $other/b\n",
	}
	for seed := range uint64(24) {
		files[fmt.Sprint("seed ", seed)] = (&aclWriter{rand.New(rand.NewPCG(seed, 0))}).file()
	}
	for name, file := range files {
		t.Run(name, func(t *testing.T) { judge(t, program, file) })
	}
}

// judge compares what the file allows with what its manifests do.
func judge(t *testing.T, program, file string) {
	t.Helper()
	port := freePort(t)
	conf := writeJudged(t, port, file+"\nuser witness\ntopic readwrite #\ntopic readwrite $other/#\n")
	out, err := convertJudged(t, conf)
	theirs, said := tryMosquitto(t, program, conf, port)
	if (theirs == nil) != (err != nil) {
		t.Fatalf("Mosquitto says %q, the import %v, of\n%s", said, err, file)
	}
	if err != nil {
		return
	}
	objects, err := acl.FromManifests(manifest.Source{Paths: []string{"-"}, Stdin: bytes.NewReader(out.Join())}, "")
	if err != nil {
		t.Fatal(err)
	}
	rights, err := acl.New(objects)
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range judgedIdentities {
		writes, reads := theirs.rightsOf(t, who)
		for _, topic := range judgedTopics {
			for action, allowed := range map[acl.Action]bool{acl.Publish: writes[topic], acl.Subscribe: reads[topic]} {
				compare(t, rights, out.Notes, acl.Question{Action: action, Topic: topic, User: who.user, Anonymous: who.user == "", ClientID: who.client}, allowed)
			}
		}
	}
	if t.Failed() {
		t.Logf("the file:\n%s\nnotes:\n%s", file, strings.Join(out.Notes, "\n"))
	}
}

func compare(t *testing.T, rights *acl.Rights, notes []string, q acl.Question, allowed bool) {
	t.Helper()
	a, err := rights.Answer(q)
	switch {
	case err != nil:
		t.Errorf("%+v: %v", q, err)
	case a.Allowed && !allowed:
		t.Errorf("wider: user %q with client ID %q may %s %q here, not in Mosquitto", q.User, q.ClientID, q.Action, q.Topic)
	case !a.Allowed && allowed && !slices.ContainsFunc(notes, func(note string) bool { return concerns(note, q) }):
		t.Errorf("narrower without a note: user %q with client ID %q may %s %q in Mosquitto alone", q.User, q.ClientID, q.Action, q.Topic)
	}
}

// concerns says that a note may be about the client: it is about a line of the file,
// and one about names that are no levels of a topic is about such clients alone.
func concerns(note string, q acl.Question) bool {
	return strings.HasPrefix(note, "acl:") &&
		(strings.ContainsAny(q.User+q.ClientID, "/+#") || !strings.Contains(note, "identities: Plain"))
}

// writeJudged writes a configuration with the file and the users that are judged.
func writeJudged(t *testing.T, port int, file string) (conf string) {
	t.Helper()
	passwd := "witness:" + mosquittoHash(t, "witness") + "\n"
	for _, who := range judgedIdentities {
		if who.user != "" && !strings.Contains(passwd, "\n"+who.user+":") {
			passwd += who.user + ":" + mosquittoHash(t, who.user) + "\n"
		}
	}
	dir := writeFiles(t, map[string]string{"passwd": passwd, "acl": file})
	conf = filepath.Join(dir, "mosquitto.conf")
	content := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\nuser root\npassword_file %s/passwd\nacl_file %s/acl\n", port, dir, dir)
	if err := os.WriteFile(conf, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return conf
}

func convertJudged(t *testing.T, conf string) (*mosquitto.Output, error) {
	t.Helper()
	in, err := (&mosquittoOptions{config: conf, broker: "edge", namespace: "iot"}).read()
	if err != nil {
		t.Fatal(err)
	}
	return mosquitto.Convert(in)
}

// rightsOf tells what the client may write and read.
func (c *compared) rightsOf(t *testing.T, who identity) (writes, reads map[string]bool) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", c.port))
	if err != nil {
		t.Fatal(err)
	}
	client := brokertest.NewClient(t, conn, packet.V5)
	if who.user == "" {
		client.Connect(who.client)
	} else {
		client.Connect(who.client, brokertest.Login(who.user, who.user))
	}
	writes, reads = map[string]bool{}, map[string]bool{}
	for _, topic := range judgedTopics {
		writes[topic] = publishes(client, topic)
	}
	for _, filter := range []string{"#", "$other/#"} {
		client.Subscribe(filter, packet.QoS0)
	}
	for _, topic := range judgedTopics {
		publishes(c.witness, topic)
	}
	for range 2 { // what was sent before the second answer has come
		client.Send(&packet.Pingreq{})
		for answered := false; !answered; {
			switch p := client.Next().(type) {
			case *packet.Publish:
				reads[string(p.Topic)] = true
			case *packet.Pingresp:
				answered = true
			}
		}
	}
	client.Disconnect()
	return writes, reads
}

// aclWriter writes ACL files as people do, and worse.
type aclWriter struct{ *rand.Rand }

func (w *aclWriter) pick(of ...string) string { return of[w.IntN(len(of))] }

// seldom says yes once in n times.
func (w *aclWriter) seldom(n int) bool { return w.IntN(n) == 0 }

func (w *aclWriter) file() string {
	var lines []string
	for range w.IntN(4) {
		lines = append(lines, w.entry("topic"))
	}
	for range w.IntN(4) {
		lines = append(lines, "user "+w.pick("alice", "bob", "a/b", "a+b", "nobody", "with space"))
		for range w.IntN(4) {
			lines = append(lines, w.entry("topic"))
		}
	}
	for range w.IntN(4) {
		lines = slices.Insert(lines, w.IntN(len(lines)+1), w.entry("pattern"))
	}
	for range w.IntN(3) {
		lines = slices.Insert(lines, w.IntN(len(lines)+1), w.pick("", "# a comment", "   ", "#topic readwrite #"))
	}
	end := w.pick("\n", "\n", "\r\n")
	file := strings.Join(lines, end) + end
	if w.seldom(12) {
		file = "\ufeff" + file
	}
	return file
}

func (w *aclWriter) entry(kind string) string {
	placeholders := []string{}
	if kind == "pattern" || w.seldom(6) {
		placeholders = []string{"%u", "%c", "x-%u", "x-%c"}
	}
	levels := []string{}
	for range 1 + w.IntN(3) {
		levels = append(levels, w.pick(append(placeholders, "a", "b", "foo", "+", "cid-1", "alice")...))
	}
	switch {
	case w.seldom(5):
		levels = append(levels, "#")
	case w.seldom(10):
		levels[0] = "$other"
	case w.seldom(40):
		levels[0] += "+"
	}
	words := []string{kind, w.pick("read", "write", "readwrite", "readwrite", "deny", "deny"), strings.Join(levels, "/")}
	if w.seldom(6) {
		words = slices.Delete(words, 1, 2)
	}
	line := strings.Join(words, w.pick(" ", " ", " ", "  "))
	switch {
	case w.seldom(60):
		line = strings.Replace(line, " ", "\t", 1)
	case w.seldom(8):
		line += w.pick(" ", "\t", "  \t")
	case w.seldom(8):
		line = " " + line
	}
	return line
}
