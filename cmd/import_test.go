package cmd

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/cmd/dev/manifest"
)

// writeFiles writes files into a new directory.
func writeFiles(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestImportWritesManifestsAndNotes(t *testing.T) {
	dir := writeFiles(t, map[string]string{"passwd": "old:$6$x$y\n", "acl": "user old\ntopic read a\n"})
	args := []string{"import", "mosquitto", "--passwd", filepath.Join(dir, "passwd"), "--acl", filepath.Join(dir, "acl"), "-n", "iot"}

	code, toStdout, notes := runCommand(t, nil, args...)
	if code != 0 || !strings.Contains(toStdout, "kind: TopicACL") || !strings.Contains(notes, `note: passwd:1: the password of user "old" cannot be moved`) {
		t.Errorf("exit code %d, stdout\n%s\nstderr\n%s", code, toStdout, notes)
	}

	out := filepath.Join(dir, "out")
	if code, _, stderr := runCommand(t, nil, append(args, "-o", out)...); code != 0 {
		t.Fatal(stderr)
	}
	set, err := manifest.Load(out)
	if err != nil || len(set.Users) != 1 || len(set.ACLs) != 1 {
		t.Errorf("%+v, %v", set, err)
	}
	if info, err := os.Stat(filepath.Join(out, "users.yaml")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: password hashes are for their owner alone", info, err)
	}
	if code, _, stderr := runCommand(t, nil, append(args, "-o", out)...); code == 0 || !strings.Contains(stderr, "exists") {
		t.Errorf("manifests that are there are overwritten: %s", stderr)
	}
}

func TestImportSaysWhatItNeeds(t *testing.T) {
	conf := filepath.Join(writeFiles(t, map[string]string{"m.conf": "acl_file /nowhere/acl\n"}), "m.conf")
	for want, args := range map[string][]string{
		"name the files of Mosquitto":     nil,
		"say with --acl where a copy is":  {"--config", conf},
		"metadata.name: \"Not_A_Name\": ": {"--config", conf, "--acl", os.DevNull, "--broker", "Not_A_Name"},
	} {
		code, _, stderr := runCommand(t, nil, append([]string{"import", "mosquitto"}, args...)...)
		if code != 1 || !strings.Contains(stderr, want) {
			t.Errorf("exit code %d, %q: want %q", code, stderr, want)
		}
	}
}

// The rules of the comparison. Everybody may hear the barrier, by which a client
// knows that what came before it has arrived; the witness may do anything.
const comparedACL = `
topic readwrite public/#
topic deny public/secret
topic read listed/a

user alice
topic readwrite own/#
topic deny own/secret/#
topic write drop/+/in
topic read two words
topic read literal/%u

user bob
topic read #
topic deny hidden/#
topic write drop/bob

user alice
topic read late

user witness
topic readwrite #
topic readwrite $other/#

pattern readwrite users/%u/#
pattern deny users/%u/locked
pattern read clients/%c
pattern write mail-%u/x
pattern read plain/#
pattern deny own/blocked
pattern read barrier
`

var comparedTopics = []string{
	"public/x", "public/secret", "public", "listed/a", "listed/b",
	"own", "own/x", "own/secret", "own/secret/y", "own/blocked", "drop/a/in", "drop/bob", "two words",
	"literal/alice", "hidden", "hidden/x", "late", "unknown",
	"users/alice/x", "users/bob/x", "users/alice/locked", "users/carol", "clients/alice", "clients/bob",
	"mail-alice/x", "mail-bob/x", "plain/x", "$other/x", "plain", "users",
}

// What Mosquitto allows and the manifests deny, as the notes of the import say: a
// user's line wins over a pattern that denies there, and here it does not.
var comparedDifferences = []string{
	"alice read own/blocked", "alice write own/blocked",
	"bob read own/blocked", "bob read users/bob/locked",
}

// mosquittoProgram is Debian's, which is among what CI installs.
func mosquittoProgram(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("mosquitto")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("mosquitto is not installed: hack/cluster/install-debian.sh does it")
		}
		t.Skip("mosquitto is not installed")
	}
	return program
}

func TestImportDecidesAsMosquitto(t *testing.T) {
	program := mosquittoProgram(t)
	users := []string{"alice", "bob", "carol", "witness"}
	passwd := ""
	for _, u := range users {
		passwd += u + ":" + mosquittoHash(t, u) + "\n"
	}
	port := freePort(t)
	dir := writeFiles(t, map[string]string{"passwd": passwd, "acl": comparedACL})
	conf := filepath.Join(dir, "mosquitto.conf")
	content := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\nuser root\npassword_file %s/passwd\nacl_file %s/acl\n", port, dir, dir)
	if err := os.WriteFile(conf, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	theirs := startMosquitto(t, program, conf, port)
	ours := startImported(t, conf, port)

	topics := append(slices.Clone(comparedTopics), "users/bob/locked")
	for _, user := range append(users[:3], "") {
		their, our := theirs.decisions(t, user, topics), ours.decisions(t, user, topics)
		for i, d := range their {
			decision, allowed := strings.CutSuffix(d, " yes")
			narrower := slices.Contains(comparedDifferences, decision)
			if (d != our[i]) != narrower || narrower && !allowed {
				t.Errorf("Mosquitto says %q, godwit %q", d, our[i])
			}
		}
	}
}

// mosquittoHash hashes a password as mosquitto_passwd does, with few iterations.
func mosquittoHash(t *testing.T, password string) string {
	t.Helper()
	const iterations = 101
	salt := []byte("twelve bytes")
	key, err := pbkdf2.Key(sha512.New, password, salt, iterations, sha512.Size)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("$7$%d$%s$%s", iterations, encode(salt), encode(key))
}

// compared is one of the two brokers, and its witness.
type compared struct {
	port    int
	witness *brokertest.Client
}

func startMosquitto(t *testing.T, program, conf string, port int) *compared {
	t.Helper()
	c, said := tryMosquitto(t, program, conf, port)
	if c == nil {
		t.Fatalf("mosquitto ended: %s", said)
	}
	return c
}

// tryMosquitto starts it, and returns nil and what it said where it ends at once.
func tryMosquitto(t *testing.T, program, conf string, port int) (c *compared, said string) {
	t.Helper()
	if ended, says, _ := runMosquitto(t, program, conf, port); ended {
		return nil, says.String()
	}
	return newCompared(t, port), ""
}

// runMosquitto starts it, and waits until it listens on the port or has ended. stop
// lets it save what it has, and end.
func runMosquitto(t *testing.T, program, conf string, port int) (ended bool, says *output, stop func()) {
	t.Helper()
	says = &output{}
	cmd := exec.CommandContext(t.Context(), program, "-c", conf)
	cmd.Stdout, cmd.Stderr = says, says
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := make(chan struct{})
	go func() {
		defer close(end)
		_ = cmd.Wait() // what it said tells more
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-end
	})
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-end
	}
	brokertest.WaitFor(t, "mosquitto to listen", func() bool {
		select {
		case <-end:
			ended = true
			return true
		default:
		}
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return ended, says, stop
}

// startImported imports the configuration and runs its Broker on another port.
func startImported(t *testing.T, conf string, port int) *compared {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "manifests")
	if code, _, stderr := runCommand(t, nil, "import", "mosquitto", "--config", conf, "-o", dir); code != 0 {
		t.Fatal(stderr)
	}
	r := &devRun{t: t, dir: dir, state: t.TempDir(), out: &output{}, plain: freePort(t), adm: freePort(t)}
	r.edit("broker.yaml", fmt.Sprintf("port: %d", port), fmt.Sprintf("port: %d", r.plain))
	r.start()
	return newCompared(t, r.plain)
}

func newCompared(t *testing.T, port int) *compared {
	t.Helper()
	c := &compared{port: port}
	c.witness = c.connect(t, "witness")
	return c
}

// connect connects a user, whose password and client ID are its name, or for an
// empty name nobody.
func (c *compared) connect(t *testing.T, user string) *brokertest.Client {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", c.port))
	if err != nil {
		t.Fatal(err)
	}
	client := brokertest.NewClient(t, conn, packet.V5)
	if user == "" {
		client.Connect("nobody")
	} else {
		client.Connect(user, brokertest.Login(user, user))
	}
	return client
}

// decisions tells of each topic whether the user can write and read it, as in
// "alice read own/x yes".
func (c *compared) decisions(t *testing.T, user string, topics []string) (all []string) {
	t.Helper()
	client := c.connect(t, user)
	say := func(action, topic string, yes bool) {
		verdict := map[bool]string{true: "yes", false: "no"}[yes]
		all = append(all, fmt.Sprintf("%s %s %s %s", user, action, topic, verdict))
	}
	for _, topic := range topics {
		say("write", topic, publishes(client, topic))
	}
	client.Subscribe("barrier", packet.QoS1)
	for _, topic := range topics {
		client.Send(&packet.Subscribe{ID: client.NextID(), Subscriptions: []packet.Subscription{{Filter: []byte(topic), QoS: packet.QoS1}}})
		answerOf(client)
		publishes(c.witness, topic)
		publishes(c.witness, "barrier")
		say("read", topic, hears(client, topic))
		client.Send(&packet.Unsubscribe{ID: client.NextID(), Filters: [][]byte{[]byte(topic)}})
		brokertest.Expect[*packet.Unsuback](client)
	}
	client.Disconnect()
	return all
}

// publishes reports whether the broker takes a message on the topic.
func publishes(c *brokertest.Client, topic string) bool {
	c.Send(brokertest.NewPublish(topic, "x", func(p *packet.Publish) { p.QoS, p.ID = packet.QoS1, c.NextID() }))
	return !answerOf(c).IsError()
}

// hears reports whether a message on the topic comes before the barrier.
func hears(c *brokertest.Client, topic string) (heard bool) {
	for {
		p := brokertest.Expect[*packet.Publish](c)
		c.Acknowledge(p)
		if string(p.Topic) == "barrier" {
			return heard
		}
		heard = heard || string(p.Topic) == topic
	}
}
