package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/bench"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// buildRelay needs a C compiler, as the relay does.
func buildRelay(t *testing.T) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Fatal("the relay needs a C compiler: apt-get install gcc libc6-dev")
	}
	path := filepath.Join(t.TempDir(), "relay")
	if out, err := exec.Command(cc, "-O2", "-Wall", "-Wextra", "-Werror", "-o", path, "relay/relay.c").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func TestTheRelayPassesAllOn(t *testing.T) {
	b := relay(buildRelay(t))
	modes := map[bench.Scenario]string{bench.Pair: "pair", bench.FanIn: "all", bench.FanOut: "all", bench.Idle: "pair"}
	for s, mode := range modes {
		for q := packet.QoS0; q <= packet.QoS2; q++ {
			t.Run(string(s)+"/"+strconv.Itoa(int(q)), func(t *testing.T) {
				p, err := b.start(t.Context(), t.TempDir(), scenario{relay: mode})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(p.stop)
				result, err := bench.Run(t.Context(), bench.Options{
					Scenario: s, Connections: 5, QoS: q, KeepAlive: time.Second, Duration: 100 * time.Millisecond,
					URL: "mqtt://127.0.0.1:" + strconv.Itoa(p.port),
				}, nil)
				if err != nil {
					t.Fatal(err)
				}
				m := result.Messages
				if m.Delivered != m.Expected || m.Duplicates+m.Foreign+m.Late > 0 || s != bench.Idle && m.Delivered == 0 {
					t.Errorf("%+v, warnings %q", m, result.Warnings)
				}
			})
		}
	}
}

func TestAProgramThatEndsAtOnceIsToldOf(t *testing.T) {
	b := broker{name: "ender", command: func(string, int, scenario) ([]string, error) {
		return []string{"sh", "-c", "echo no such luck; exit 3"}, nil
	}}
	_, err := b.start(t.Context(), t.TempDir(), scenario{})
	if err == nil || !strings.Contains(err.Error(), "start ender") || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("error %v", err)
	}
}

func TestTheEnginesConfigurationIsValid(t *testing.T) {
	dir := t.TempDir()
	if err := writeCertificate(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := godwit("godwit", "godwit").command(dir, 1883, scenario{args: "pair --insecure"}); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(dir, dir)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Access.Policies[0].Rules); n != 100 {
		t.Errorf("%d rules", n)
	}
	if c.Settings.Persistence == nil || c.Settings.Persistence.SyncEvery != 0 {
		t.Errorf("persistence %+v", c.Settings.Persistence)
	}
}

func TestScenariosAreSelectedByTheirBeginnings(t *testing.T) {
	for _, test := range []struct {
		suite []scenario
		names string
		want  int
	}{
		{scenarios, "", len(scenarios)}, {scenarios, "pair", 3}, {scenarios, "fanin-q1", 1},
		{scenarios, "fan,idle", 5}, {scenarios, "durable", 4}, {scenarios, "fan,none", 0},
		{scaleScenarios, "connections", 4}, {scaleScenarios, "fanout-1", 4}, {scaleScenarios, "pair", 0},
	} {
		selected, unknown := selectScenarios(test.suite, test.names)
		if len(selected) != test.want || (unknown != "") != (test.want == 0) {
			t.Errorf("%q selects %d, and %q is unknown", test.names, len(selected), unknown)
		}
	}
}

func TestScenariosHaveNamesOfTheirOwn(t *testing.T) {
	for _, suite := range [][]scenario{scenarios, scaleScenarios} {
		names := map[string]bool{}
		for _, s := range suite {
			if names[s.name] {
				t.Errorf("there are two of %s", s.name)
			}
			names[s.name] = true
		}
	}
}

func TestTheRelayIsLeftOutOfWhatItDoesNotKnow(t *testing.T) {
	for _, s := range slices.Concat(scenarios, scaleScenarios) {
		if s.suits(relay("")) == (s.secure() || s.persistent() || s.size > 0) {
			t.Errorf("%s: %v", s.name, s.suits(relay("")))
		}
		if !s.suits(godwit("godwit", "")) || !s.suits(mosquitto("")) {
			t.Errorf("%s is not for everybody", s.name)
		}
	}
}

func TestBrokersAreSelectedByName(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	for names, want := range map[string]string{
		"relay,mosquitto,godwit": "relay godwit", // Mosquitto is not installed
		"godwit":                 "godwit",
		"godwit,old=/bin/old":    "godwit old",
	} {
		brokers, err := options{brokers: names, mosquitto: missing}.selectBrokers()
		var got []string
		for _, b := range brokers {
			got = append(got, b.name)
			if b.variant != (b.name == "old") {
				t.Errorf("%s is a variant: %v", b.name, b.variant)
			}
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %q, %v", names, got, err)
		}
	}
	for _, names := range []string{"nats", "godwit,godwit", "godwit,godwit=/bin/other"} {
		if _, err := (options{brokers: names}).selectBrokers(); err == nil {
			t.Errorf("%s is no error", names)
		}
	}
}

// aProcess has a number, which is all that a load asks for.
func aProcess() *process {
	return &process{cmd: &exec.Cmd{Process: &os.Process{Pid: 1}}, dir: "dir"}
}

func TestPortsAreFree(t *testing.T) {
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
}

func TestADirectoryGoesWithItsProcess(t *testing.T) {
	b := relay(buildRelay(t))
	p, err := b.start(t.Context(), t.TempDir(), scenario{relay: "all"})
	if err != nil {
		t.Fatal(err)
	}
	p.stop()
	if _, err := os.Stat(p.dir); !os.IsNotExist(err) {
		t.Errorf("the directory is there: %v", err)
	}
}

func TestTheRelayGetsALoadThatItCanServe(t *testing.T) {
	selected, _ := selectScenarios(scenarios, "wildcard")
	s, p := selected[0], aProcess()
	ours, floor := s.arguments(godwit("godwit", ""), p, time.Second), s.arguments(relay(""), p, time.Second)
	if ours[1] != "wildcard" || floor[1] != "pair" {
		t.Errorf("godwit gets %q, the relay %q", ours, floor)
	}
}
