package cmd

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// bridgeWitness is a user of Godwit that may do anything; what it says and hears
// shows what the bridge does.
const bridgeWitness = `---
apiVersion: mqtt.godwit.io/v1alpha1
kind: MQTTUser
metadata: {name: witness, namespace: iot}
spec: {brokerRef: {name: edge}, authentication: {password: {secretRef: {name: witness}}}}
---
apiVersion: v1
kind: Secret
metadata: {name: witness, namespace: iot}
stringData: {password: witness}
---
apiVersion: mqtt.godwit.io/v1alpha1
kind: TopicACL
metadata: {name: witness, namespace: iot}
spec:
  brokerRef: {name: edge}
  subjects: [{user: witness}]
  rules: [{effect: Allow, actions: [All], topics: ["#"]}]
`

// bridgeRecipe returns the manifests and the part of mosquitto.conf that the page
// recommends for a bridge.
func bridgeRecipe(t *testing.T) (manifests, bridge string) {
	t.Helper()
	recipes := readRecipes(t)
	i := slices.IndexFunc(recipes, func(r recipe) bool { return r.bridge != "" })
	if i < 0 {
		t.Fatal("docs/users-and-acls.md has no configuration of a bridge")
	}
	return recipes[0].manifests + recipes[i].manifests, recipes[i].bridge
}

// substitute replaces what the text has to hold once.
func substitute(t *testing.T, text, old, replacement string) string {
	t.Helper()
	if strings.Count(text, old) != 1 {
		t.Fatalf("%q is there %d times, want once, in\n%s", old, strings.Count(text, old), text)
	}
	return strings.Replace(text, old, replacement, 1)
}

// side is one of the two brokers, and a client that has subscribed to everything.
type side struct {
	port    int
	watcher *brokertest.Client
}

// join connects a client whose session may last.
func (s *side) join(t *testing.T, clientID string, changes ...func(*packet.Connect)) *brokertest.Client {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	c := brokertest.NewClient(t, conn, packet.V5)
	c.Connect(clientID, append(changes, brokertest.Login("witness", "witness"))...)
	return c
}

func (s *side) publish(t *testing.T, topic, payload string, changes ...func(*packet.Publish)) {
	t.Helper()
	c := s.join(t, "publisher")
	c.Publish(topic, payload, packet.QoS1, changes...)
	c.Disconnect()
}

// watch subscribes to everything, in a session that outlasts the connection.
func (s *side) watch(t *testing.T) {
	t.Helper()
	s.watcher = s.join(t, "watcher", brokertest.Persistent)
	s.watcher.Subscribe("#", packet.QoS1, func(s *packet.Subscription) { s.RetainAsPublished = true })
}

// hear returns what the watcher receives until the message on the topic "commands/end",
// sorted, as in "state/a on retained".
func (s *side) hear(end string) (heard []string) {
	for {
		p := brokertest.Expect[*packet.Publish](s.watcher)
		s.watcher.Acknowledge(p)
		switch {
		case string(p.Topic) != "commands/end":
			heard = append(heard, string(p.Topic)+" "+string(p.Payload)+map[bool]string{true: " retained"}[p.Retain])
		case string(p.Payload) == end:
			slices.Sort(heard)
			return heard
		}
	}
}

// retains waits until a new subscriber gets the retained message.
func (s *side) retains(t *testing.T, payload string) {
	t.Helper()
	brokertest.WaitFor(t, fmt.Sprintf("%q to be retained", payload), func() bool { return s.retained(t, "state/a") == payload })
}

// retained returns what a new subscriber gets on the topic before the answer to a
// PINGREQ.
func (s *side) retained(t *testing.T, topic string) (payload string) {
	t.Helper()
	c := s.join(t, "reader")
	c.Subscribe(topic, packet.QoS0)
	c.Send(&packet.Pingreq{})
	for {
		switch p := c.Next().(type) {
		case *packet.Publish:
			if p.Retain {
				payload = string(p.Payload)
			}
		case *packet.Pingresp:
			_ = c.Close() // another message may be on its way
			return payload
		}
	}
}

// bridged are a Godwit and a Mosquitto with the bridge of the page.
type bridged struct {
	t            *testing.T
	ours, theirs side
	program      string
	conf, alone  string // the configurations of Mosquitto, with and without the bridge
	stop         func()
	rounds       int
}

// newBridged runs the Godwit, and prepares the Mosquitto.
func newBridged(t *testing.T, change func(bridge string) string) *bridged {
	t.Helper()
	b := &bridged{t: t, program: mosquittoProgram(t)}
	manifests, bridge := bridgeRecipe(t)
	r := &devRun{
		t: t, dir: writeFiles(t, map[string]string{"bridge.yaml": manifests + bridgeWitness}), state: t.TempDir(),
		out: &output{}, plain: freePort(t), secure: freePort(t), adm: freePort(t),
	}
	r.edit("bridge.yaml", "spec: {}", fmt.Sprintf("spec: {listeners: [{name: mqtt, port: %d}, {name: mqtts, port: %d, tls: {}}], "+
		"tls: {certificate: {issuerRef: {name: ca}}}}", r.plain, r.secure))
	r.start()
	b.ours.port, b.theirs.port = r.plain, freePort(t)
	bridge = change(bridge)
	if strings.Contains(bridge, "bridge_cafile") {
		bridge = substitute(t, bridge, "mqtt.example.com:8883", fmt.Sprintf("127.0.0.1:%d", r.secure))
		bridge = substitute(t, bridge, "/etc/mosquitto/godwit-ca.crt", filepath.Join(r.state, "ca.crt"))
	} else {
		bridge = substitute(t, bridge, "mqtt.example.com:8883", fmt.Sprintf("127.0.0.1:%d", r.plain))
	}
	dir := t.TempDir()
	b.conf, b.alone = filepath.Join(dir, "bridge.conf"), filepath.Join(dir, "alone.conf")
	head := fmt.Sprintf("listener %d 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\npersistence_location %s/\n", b.theirs.port, dir)
	for file, content := range map[string]string{b.alone: head, b.conf: head + bridge} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// run runs the Mosquitto with a configuration.
func (b *bridged) run(conf string) {
	b.t.Helper()
	ended, says, stop := runMosquitto(b.t, b.program, conf, b.theirs.port)
	if ended {
		b.t.Fatalf("mosquitto ended: %s", says)
	}
	b.stop = stop
}

// exchange sends a message back and forth behind all others, and returns what the
// watchers have heard before it: all that the bridge makes of those others.
func (b *bridged) exchange() (ours, theirs []string) {
	b.t.Helper()
	b.rounds++
	end := func(from *side, n int) string {
		payload := fmt.Sprint(b.rounds, ".", n)
		from.publish(b.t, "commands/end", payload)
		return payload
	}
	ours = b.ours.hear(end(&b.theirs, 1))
	theirs = b.theirs.hear(end(&b.ours, 2))
	return append(ours, b.ours.hear(end(&b.theirs, 3))...), theirs
}

// bridgeCase is a way to run the bridge, and what the page says of it.
type bridgeCase struct {
	change  func(bridge string) string
	inward  bool   // state/# is published at Godwit
	arrives string // a change of state, live, on the other side
	kept    string // what the other side then retains
	echo    []string
	waits   []string // what was published at Godwit while the bridge was away, and arrives
}

func TestBridgeOfMosquittoCarriesMessages(t *testing.T) {
	verbatim := func(bridge string) string { return bridge }
	inward := func(bridge string) string { return substitute(t, bridge, "state/# out", "state/# in") }
	v311 := func(bridge string) string { // and without TLS
		bridge = substitute(t, bridge, "mqttv50", "mqttv311")
		return substitute(t, bridge, "bridge_cafile /etc/mosquitto/godwit-ca.crt\n", "")
	}
	echo, waits := []string{"telemetry/there live"}, []string{"telemetry/here meanwhile"}
	for name, c := range map[string]bridgeCase{
		"MQTT 5, state goes out":     {verbatim, false, "state/a live retained", "live", nil, nil},
		"MQTT 5, state comes in":     {inward, true, "state/a live retained", "live", nil, nil},
		"MQTT 3.1.1, state goes out": {v311, false, "state/a live retained", "live", echo, waits},
		"MQTT 3.1.1, state comes in": {func(s string) string { return inward(v311(s)) }, true, "state/a live", "before", echo, waits},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBridged(t, c.change)
			from, to := &b.theirs, &b.ours
			if c.inward {
				from, to = to, from
			}
			b.retainsBefore(from, to)
			b.carriesLive(c, from, to)
			b.carriesWhatWasSaidMeanwhile(c, from, to)
		})
	}
}

// retainsBefore starts the bridge when there is a retained message.
func (b *bridged) retainsBefore(from, to *side) {
	b.t.Helper()
	b.run(b.alone)
	from.publish(b.t, "state/a", "before", brokertest.Retained)
	b.stop()
	b.run(b.conf)
	to.retains(b.t, "before")
	b.ours.watch(b.t)
	b.theirs.watch(b.t)
	b.exchange()
}

// carriesLive publishes on both sides while the bridge is connected.
func (b *bridged) carriesLive(c bridgeCase, from, to *side) {
	b.t.Helper()
	from.publish(b.t, "state/a", "live", brokertest.Retained)
	b.ours.publish(b.t, "telemetry/here", "live")
	b.theirs.publish(b.t, "telemetry/there", "live")
	both := []string{"telemetry/here live", "telemetry/there live"}
	want := map[*side][]string{
		from: append([]string{"state/a live retained"}, both...),
		to:   append([]string{c.arrives}, both...),
	}
	ours, theirs := b.exchange()
	if !slices.Equal(ours, want[&b.ours]) {
		b.t.Errorf("a client of Godwit hears %q, want %q", ours, want[&b.ours])
	}
	if want := append(want[&b.theirs], c.echo...); !slices.Equal(theirs, want) {
		b.t.Errorf("a client of Mosquitto hears %q, want %q", theirs, want)
	}
	to.retains(b.t, c.kept)
}

// carriesWhatWasSaidMeanwhile restarts the bridge, and publishes at Godwit while it is
// away.
func (b *bridged) carriesWhatWasSaidMeanwhile(c bridgeCase, from, to *side) {
	b.t.Helper()
	b.stop()
	state := "live"
	if c.inward {
		state = "meanwhile"
		b.ours.publish(b.t, "state/a", state, brokertest.Retained)
	}
	b.ours.publish(b.t, "telemetry/here", "meanwhile")
	b.run(b.conf)
	b.theirs.watcher = b.theirs.join(b.t, "watcher", brokertest.Persistent)
	to.retains(b.t, state)
	_, theirs := b.exchange()
	theirs = slices.DeleteFunc(theirs, func(m string) bool { return strings.HasPrefix(m, "state/") }) // may come again
	if !slices.Equal(theirs, c.waits) {
		b.t.Errorf("a client of Mosquitto hears %q, want %q", theirs, c.waits)
	}
	from.retains(b.t, state) // nothing older has taken its place
}
