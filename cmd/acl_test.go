package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/cmd/acl"
)

// runCommand runs godwit with the arguments, and returns its exit code and what
// it prints.
func runCommand(t *testing.T, stdin io.Reader, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	root := NewCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(&out)
	root.SetErr(&errs)
	if err := root.ExecuteContext(t.Context()); err != nil {
		code = report(&errs, err)
	}
	return code, out.String(), errs.String()
}

func TestACLExitCodes(t *testing.T) {
	for name, tc := range map[string]struct {
		args   string
		code   int
		stdout string
		stderr string
	}{
		"yes":                  {"can-i publish telemetry/sensor/t --as sensor", 0, "yes\n", ""},
		"no":                   {"can-i publish telemetry/other/t --as sensor", 1, "no\n", ""},
		"explained":            {"explain publish telemetry/other/t --as sensor", 1, "no: sensor may not publish", ""},
		"an unknown user":      {"can-i publish x --as nobody", 2, "", `no MQTTUser of Broker default/edge has the username "nobody"`},
		"a flag that is none":  {"can-i publish x --is nobody", 2, "", "unknown flag: --is"},
		"a number that is not": {"can-i publish x --as sensor --qos many", 2, "", "invalid argument"},
		"too few words":        {"can-i publish --as sensor", 2, "", "a topic"},
		"an output of no kind": {"can-i publish x --as sensor -o yaml", 2, "", `--output "yaml"`},
		"another Broker":       {"can-i publish x --as sensor --broker core", 2, "", `no Broker "core"`},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"acl"}, strings.Fields(tc.args)...)
			code, stdout, stderr := runCommand(t, nil, append(args, "-f", "../config/samples")...)
			if code != tc.code || !strings.HasPrefix(stdout, tc.stdout) || tc.stdout == "" && stdout != "" || !strings.Contains(stderr, tc.stderr) {
				t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
			}
		})
	}
}

func TestACLLint(t *testing.T) {
	const twice = `
apiVersion: mqtt.godwit.io/v1alpha1
kind: TopicACL
metadata: {name: twice, namespace: default}
spec:
  brokerRef: {name: edge}
  subjects: [{user: dashboard}]
  rules: [{effect: Allow, actions: [Subscribe], topics: [telemetry/+/state]}]
`
	const finding = "TopicACL default/twice spec.rules[0] decides nothing: " +
		"Allow in TopicACL default/dashboard spec.rules[0] covers it with telemetry/#\n"
	for name, tc := range map[string]struct {
		args   []string
		code   int
		stdout string
	}{
		"nothing":         {nil, 0, ""},
		"nothing as JSON": {[]string{"-o", "json"}, 0, "[]\n"},
		"a finding":       {[]string{"-f", "-"}, 1, finding},
		"no manifests":    {[]string{"-f", "nowhere"}, 2, ""},
		"an argument":     {[]string{"all"}, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"acl", "lint", "-f", "../config/samples"}, tc.args...)
			code, stdout, stderr := runCommand(t, strings.NewReader(twice), args...)
			if code != tc.code || stdout != tc.stdout {
				t.Errorf("exit code %d, %q\n%s", code, stdout, stderr)
			}
		})
	}
}

func TestACLReadsStandardInputBesidesFiles(t *testing.T) {
	const more = `
apiVersion: mqtt.godwit.io/v1alpha1
kind: TopicACL
metadata: {name: more, namespace: default}
spec:
  brokerRef: {name: edge}
  subjects: [{user: sensor}]
  rules: [{effect: Allow, actions: [Publish], topics: [more]}]
`
	code, stdout, stderr := runCommand(t, strings.NewReader(more),
		"acl", "explain", "publish", "more", "--as", "sensor", "-o", "json", "-f", "../config/samples", "-f", "-")
	var a acl.Answer
	if err := json.Unmarshal([]byte(stdout), &a); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s%s", code, err, stdout, stderr)
	}
	if !a.Allowed || len(a.Rules) != 1 || a.Rules[0].ACL != "default/more" || a.Broker != "default/edge" {
		t.Errorf("answer %+v", a)
	}
}

func TestACLAnswersAsTheBrokerDoes(t *testing.T) {
	r := newDevRun(t)
	r.start()
	clients := map[string]*brokertest.Client{}
	for _, user := range []string{"sensor", "dashboard"} {
		clients[user] = r.connect(user, user+"-password")
	}
	for _, tc := range []struct {
		user, action, topic string
		retain              bool
	}{
		{"sensor", "publish", "telemetry/sensor/t", false},
		{"sensor", "publish", "telemetry/sensor/t", true},
		{"sensor", "publish", "telemetry/other/t", false},
		{"sensor", "publish", "$SYS/broker/x", false},
		{"sensor", "subscribe", "commands/sensor/#", false},
		{"sensor", "subscribe", "commands/#", false},
		{"dashboard", "subscribe", "telemetry/#", false},
		{"dashboard", "subscribe", "$share/g/telemetry/+/x", false},
		{"dashboard", "subscribe", "telemetry/+/private/x", false},
		{"dashboard", "subscribe", "#", false},
		{"dashboard", "publish", "commands/sensor/reboot", false},
		{"dashboard", "publish", "commands/sensor/reboot", true},
	} {
		t.Run(fmt.Sprintf("%s %s %s retain=%t", tc.user, tc.action, tc.topic, tc.retain), func(t *testing.T) {
			c := clients[tc.user]
			id := c.NextID()
			var reason packet.ReasonCode
			if tc.action == "publish" {
				p := &packet.Publish{ID: id, Topic: []byte(tc.topic), QoS: packet.QoS1, Retain: tc.retain}
				c.Send(p)
				reason = answerOf(c)
			} else {
				c.Send(&packet.Subscribe{ID: id, Subscriptions: []packet.Subscription{{Filter: []byte(tc.topic), QoS: packet.QoS1}}})
				reason = answerOf(c)
			}
			want := 0
			if reason.IsError() {
				want = 1
			}
			args := []string{"acl", "can-i", tc.action, tc.topic, "--as", tc.user, "--qos", "1", "-f", r.dir}
			if tc.retain {
				args = append(args, "--retain")
			}
			if code, _, stderr := runCommand(t, nil, args...); code != want {
				t.Errorf("exit code %d, the broker says 0x%02x\n%s", code, byte(reason), stderr)
			}
		})
	}
}

// answerOf passes over messages and returns what the broker says to a PUBLISH or
// SUBSCRIBE.
func answerOf(c *brokertest.Client) packet.ReasonCode {
	for {
		switch p := c.Next().(type) {
		case *packet.Publish:
			c.Acknowledge(p)
		case *packet.Ack:
			return p.Reason
		case *packet.Suback:
			return p.Reasons[0]
		}
	}
}
