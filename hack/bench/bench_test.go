package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
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
				p, err := b.start(t.Context(), scenario{relay: mode})
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
	_, err := b.start(t.Context(), scenario{})
	if err == nil || !strings.Contains(err.Error(), "start ender") || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("error %v", err)
	}
}

func TestTheEnginesConfigurationIsValid(t *testing.T) {
	dir := t.TempDir()
	if err := writeCertificate(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := godwit("godwit").command(dir, 1883, scenario{kind: secure}); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(dir, dir)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Access.Policies[0].Rules); n != 100 {
		t.Errorf("%d rules", n)
	}
}

func TestScenariosAreSelectedByTheirBeginnings(t *testing.T) {
	for names, want := range map[string]int{"": len(scenarios), "pair": 3, "fanin-q1": 1, "fan,idle": 5, "fan,none": 0} {
		selected, unknown := selectScenarios(names)
		if len(selected) != want || (unknown != "") != (want == 0) {
			t.Errorf("%q selects %d, and %q is unknown", names, len(selected), unknown)
		}
	}
}

func TestThereIsAWayAroundAMissingMosquitto(t *testing.T) {
	brokers, err := options{brokers: "relay,mosquitto,godwit", mosquitto: filepath.Join(t.TempDir(), "none")}.selectBrokers()
	if err != nil || len(brokers) != 2 {
		t.Errorf("%d brokers, %v", len(brokers), err)
	}
	if _, err := (options{brokers: "nats"}).selectBrokers(); err == nil {
		t.Error("an unknown broker is no error")
	}
}

// result of a run whose broker took so much CPU time a message.
func result(round int, broker string, rate, micros float64) run {
	return run{Round: round, Scenario: "pair-q0", Broker: broker, Result: bench.Result{
		ReceivedPerSecond: rate, Broker: &bench.Broker{CPUMicros: micros}, Generator: bench.Generator{LoopPercent: 50},
	}}
}

func TestTheTableHoldsMediansAndRatiosWithinRounds(t *testing.T) {
	runs := []run{
		result(1, "relay", 5e6, .1), result(1, "mosquitto", 60000, 10), result(1, "godwit", 3e6, .2),
		result(2, "relay", 2e6, .3), result(2, "mosquitto", 50000, 12), result(2, "godwit", 1e6, .9),
		result(3, "relay", 4e6, .2), result(3, "godwit", 2e6, .5),
		{Round: 3, Scenario: "pair-q0", Broker: "mosquitto", Error: "it fell over"},
	}
	runs[1].Result.Messages.Lost = 7
	runs[2].Result.Generator.LoopPercent = 97
	runs[7].Result.Generator.LoopPercent = 97
	selected, _ := selectScenarios("pair-q0")
	var text strings.Builder
	writeTables(&text, runs, selected, []broker{relay(""), mosquitto(""), godwit("")})
	want := "| 50 pairs, QoS 0 | 4.00M (0.20) | 55k (11), 7 lost, 1 failed | > 2.00M (0.50) | 2.50 | 2.50 | 70 |"
	if !strings.Contains(text.String(), want) {
		t.Errorf("%s\nis not in\n%s", want, &text)
	}
}

func TestATargetThatWasMissedIsSaid(t *testing.T) {
	runs := []run{result(1, "relay", 5e6, .1), result(1, "godwit", 3e6, .26)}
	if got := multiples(runs, scenarios[0]); !strings.Contains(got, "2.60 | 2.50, missed") {
		t.Errorf("%q", got)
	}
	secured := scenario{name: "pair-q0", kind: secure, target: .2}
	if got := allowed(runs, secured); !strings.Contains(got, "0.20 us, missed") {
		t.Errorf("%q", got)
	}
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
	p, err := b.start(t.Context(), scenario{relay: "all"})
	if err != nil {
		t.Fatal(err)
	}
	p.stop()
	if _, err := os.Stat(p.dir); !os.IsNotExist(err) {
		t.Errorf("the directory is there: %v", err)
	}
}

func TestTheRelayGetsALoadThatItCanServe(t *testing.T) {
	selected, _ := selectScenarios("wildcard")
	s := selected[0]
	ours, floor := s.arguments(godwit(""), 1, 2, "3s"), s.arguments(relay(""), 1, 2, "3s")
	if ours[1] != "wildcard" || floor[1] != "pair" {
		t.Errorf("godwit gets %q, the relay %q", ours, floor)
	}
}
