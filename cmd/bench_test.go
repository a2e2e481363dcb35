package cmd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/bench"
	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// runBench is the command with these arguments, as a shell would start it.
func runBench(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	c := newBenchCommand()
	c.SilenceUsage, c.SilenceErrors = true, true
	c.SetArgs(args)
	c.SetIn(strings.NewReader(stdin))
	var out, errs bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&errs)
	err = c.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

func TestBenchPrintsJSON(t *testing.T) {
	b := brokertest.Start(t)
	ca := filepath.Join(t.TempDir(), "ca.crt")
	brokertest.WriteFile(t, ca, b.CA.PEM())
	stdout, stderr, err := runBench(t, "", "pair", "-u", "mqtts://"+b.Addr(brokertest.TLS).String(), "--ca", ca,
		"--mqtt-version", "5", "-q", "1", "-c", "2", "-r", "200", "-d", "200ms", "--warm-up", "0s", "--json")
	if err != nil {
		t.Fatal(err)
	}
	var result bench.Result
	if err := json.Unmarshal([]byte(stdout), &result); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	if m := result.Messages; m.Sent != 40 || m.Delivered != 40 || result.QoS != packet.QoS1 || result.Version != "5.0" {
		t.Errorf("%+v", result)
	}
	if stderr != "" {
		t.Errorf("progress without a terminal: %s", stderr)
	}
}

func TestBenchMeasuresWhatIsStored(t *testing.T) {
	b := brokertest.Start(t)
	stdout, _, err := runBench(t, "", "offline", "-u", "mqtt://"+b.Addr(brokertest.Plain).String(), "--messages", "30", "--json",
		"--broker-pid", strconv.Itoa(os.Getpid()), "--broker-dir", b.Dir())
	if err != nil {
		t.Fatal(err)
	}
	var result bench.Result
	if err := json.Unmarshal([]byte(stdout), &result); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	if x := result.Backlog; x == nil || x.Store.Messages != 30 || x.Read.Messages != 30 || result.AckLatency.Count != 30 {
		t.Errorf("%+v", result)
	}
}

func TestBenchPrintsASummary(t *testing.T) {
	b := brokertest.Start(t)
	stdout, _, err := runBench(t, "", "fanout", "-u", "mqtts://"+b.Addr(brokertest.TLS).String(), "--insecure", "-c", "2", "-d", "100ms", "--warm-up", "0s")
	if err != nil || !strings.Contains(stdout, "fanout, 1 publishers, 2 subscribers") || strings.HasPrefix(stdout, "{") {
		t.Errorf("%v, %s", err, stdout)
	}
}

func TestBenchShowsItsCertificateAndPassword(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	b := brokertest.Start(t, func(c *config.Config) {
		c.Settings.Listeners[1].TLS.ClientAuth = config.ClientAuthRequired
		c.Settings.Listeners[1].TLS.ClientCAFile = at("ca.crt")
		// The authority that clients are checked against is one of its own.
		ca := brokertest.NewCA(t)
		brokertest.WriteFile(t, at("ca.crt"), ca.PEM())
		ca.Issue(t, "load").Write(t, at("client.crt"), at("client.key"))
	})
	url := "mqtts://" + b.Addr(brokertest.TLS).String()
	if _, _, err := runBench(t, "", "idle", "-u", url, "--insecure", "-c", "2", "-d", "0s"); err == nil {
		t.Error("a client without a certificate connects")
	}
	_, _, err := runBench(t, "secret\n", "idle", "-u", url, "--insecure", "-c", "2", "-d", "0s",
		"--cert", at("client.crt"), "--key", at("client.key"), "--username", "anybody", "--password-file", "-")
	if err == nil || !strings.Contains(err.Error(), "refused the connection") {
		t.Errorf("the certificate is not shown, or unknown credentials are accepted: %v", err)
	}
}

func TestBenchExplainsWrongFlags(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"accepts 1 arg":          {},
		"invalid argument":       {"flood"},
		"--mqtt-version":         {"pair", "--mqtt-version", "3.1"},
		"no certificate in PEM":  {"pair", "--ca", empty},
		"missing [key]":          {"pair", "--cert", empty},
		"--cert:":                {"pair", "--cert", empty, "--key", empty},
		"--password-file":        {"pair", "--password-file", empty + "-not"},
		"none of the others can": {"pair", "--password", "a", "--password-file", empty},
		"QoS 3":                  {"pair", "-q", "3"},
		"could persist":          {"pub", "--persistent"},
		"to 1000000":             {"retained", "--messages", "3"},
		"use mqtt":               {"pair", "-u", "localhost"},
	} {
		if _, _, err := runBench(t, "", args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", args, err, want)
		}
	}
}

func TestBenchReadsThePasswordWithoutItsLineBreak(t *testing.T) {
	f := benchFlags{version: "5", passFile: "-"}
	if err := f.complete(strings.NewReader(" a secret \r\n")); err != nil || f.options.Password != " a secret " {
		t.Errorf("%q, %v", f.options.Password, err)
	}
}
