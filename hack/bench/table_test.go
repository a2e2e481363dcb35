package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/bench"
)

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
	selected, _ := selectScenarios(scenarios, "pair-q0")
	var text strings.Builder
	writeTables(&text, runs, selected, []broker{relay(""), mosquitto(""), godwit("godwit", "")})
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

// brokers that are compared in the tables of tests.
func someBrokers() []broker {
	return []broker{relay(""), mosquitto(""), godwit("godwit", ""), godwit("other", "")}
}

// written tables of runs, whose rows a test expects to find.
func expectRows(t *testing.T, runs []run, selected []scenario, rows ...string) {
	t.Helper()
	var text strings.Builder
	writeTables(&text, runs, selected, someBrokers())
	writePaper(&text, runs, selected)
	for _, row := range rows {
		if !strings.Contains(text.String(), row+"\n") {
			t.Errorf("%s\nis not in\n%s", row, &text)
		}
	}
}

// of makes a run out of a result.
func of(s scenario, broker string, result bench.Result) run {
	return run{Round: 1, Scenario: s.name, Broker: broker, Result: result}
}

func find(t *testing.T, suite []scenario, name string) scenario {
	t.Helper()
	for _, s := range suite {
		if s.name == name {
			return s
		}
	}
	t.Fatalf("no scenario %s", name)
	return scenario{}
}

func TestAnotherGodwitIsComparedWithTheFirst(t *testing.T) {
	s := find(t, scenarios, "pair-q0")
	expectRows(t, []run{
		result(1, "relay", 4e6, .2), result(1, "godwit", 2e6, .4), result(1, "other", 2e6, .3),
		result(2, "relay", 4e6, .2), result(2, "godwit", 2e6, .4), result(2, "other", 2e6, .4),
	}, []scenario{s},
		"| scenario | relay | mosquitto | godwit | other | godwit / relay | target | mosquitto / relay | other / godwit |",
		"|---|---:|---:|---:|---:|---:|---:|---:|---:|",
		"| 50 pairs, QoS 0 | 4.00M (0.20) | - | 2.00M (0.40) | 2.00M (0.35) | 2.00 | 2.50 | - | 0.88 |")
}

func TestDurableMessagesAreComparedByTheirNumber(t *testing.T) {
	s := find(t, scenarios, "durable-q1")
	for rate, want := range map[float64]string{
		250000: "| 50 pairs, persistent sessions, QoS 1 | 40k (20) | 250k (4.00), 150 B | - | 6.25 | 5.00 | - |",
		100000: "| 50 pairs, persistent sessions, QoS 1 | 40k (20) | 100k (4.00), 150 B | - | 2.50 | 5.00, missed | - |",
	} {
		expectRows(t, []run{
			of(s, "mosquitto", bench.Result{ReceivedPerSecond: 40000, Broker: &bench.Broker{CPUMicros: 20}}),
			of(s, "godwit", bench.Result{ReceivedPerSecond: rate, Broker: &bench.Broker{CPUMicros: 4, Written: 150}}),
		}, []scenario{s}, "| scenario | mosquitto | godwit | other | godwit / mosquitto, messages | target | other / godwit |", want)
	}
}

func TestDurableMessagesAtARate(t *testing.T) {
	s := find(t, scenarios, "durable-10k")
	expectRows(t, []run{of(s, "godwit", bench.Result{
		SentPerSecond: 10000, AckLatency: bench.Latency{P50: 800, P99: 4000}, Latency: bench.Latency{P50: 900, P99: 4100},
		Broker: &bench.Broker{CPUMicros: 50, Written: 590}, Messages: bench.Messages{Lost: 3},
	})}, []scenario{s},
		"| broker | messages/s | PUBACK p50 | p99 | delivery p50 | p99 | CPU | to disk | sent/s |",
		"| godwit | 10,000, 3 lost | 800 | 4000 | 900 | 4100 | 50 | 590 | 10k |",
		"| mosquitto | 10,000 | - | - | - | - | - | - | - |")
}

func TestCurvesAreOfWhatGrows(t *testing.T) {
	subscriptions := find(t, scaleScenarios, "subscriptions-10000")
	persistent := find(t, scaleScenarios, "durable-subscriptions-100000")
	offline := find(t, scaleScenarios, "offline-1000000")
	b := &bench.Broker{BytesPerConnection: 20000, CPUMicrosConnect: 150, CPUMicros: 1.5}
	expectRows(t, []run{
		of(subscriptions, "godwit", bench.Result{Connections: bench.Connections{Opened: 200}, Broker: b, ReceivedPerSecond: 1e6}),
		of(persistent, "godwit", bench.Result{Connections: bench.Connections{Opened: 200}, Broker: b, ReceivedPerSecond: 1e6}),
		of(offline, "godwit", bench.Result{Backlog: &bench.Backlog{
			Resident: 800, Disk: 175, Store: bench.Transfer{PerSecond: 1e5, CPUMicros: 4.5}, Read: bench.Transfer{PerSecond: 5e5, CPUMicros: .6},
		}}),
	}, []scenario{subscriptions, persistent, offline},
		"| godwit | 10,000 | 400 | 3.00 | 1.50 | 1.00M |",
		"| godwit | 100,000, persistent sessions | 40 | 0.30 | 1.50 | 1.00M |",
		"| godwit | 1,000,000 | 800 | 175 | 100k | 4.50 | 500k | 0.60 |",
		"| mosquitto | 1,000,000 | - | - | - | - | - | - |")
}

func TestPaperGoesOnFromTheLargest(t *testing.T) {
	names := []string{"connections-1000", "connections-15000", "tls-connections-5000", "spread-7500"}
	var selected []scenario
	for _, name := range names {
		selected = append(selected, find(t, scaleScenarios, name))
	}
	runs := []run{
		of(selected[0], "godwit", bench.Result{Broker: &bench.Broker{BytesPerConnection: 3000}}),
		// 3000 PINGREQ a second at 3 % of a core are 10 us each.
		of(selected[1], "godwit", bench.Result{Broker: &bench.Broker{BytesPerConnection: 1500, CPUPercent: 3, CPUMicrosConnect: 60}}),
		of(selected[2], "godwit", bench.Result{Broker: &bench.Broker{BytesPerConnection: 15000}}),
		of(selected[3], "godwit", bench.Result{Broker: &bench.Broker{CPUMicros: 24}}),
		of(selected[3], "mosquitto", bench.Result{Broker: &bench.Broker{CPUMicros: 1}}),
	}
	expectRows(t, runs, selected,
		"| memory | 1,500 B | 1.50 GB |",
		"| memory, TLS | 15,000 B | 15 GB |",
		"| PINGREQ, 16,666/s | 10 us | 0.17 cores |",
		"| messages, 16,666/s | 24 us | 0.40 cores |",
		"| all connect within 5 minutes, 3,333/s | 60 us | 0.20 cores |",
		"| messages that the cores have time for | 24 us | 459,722/s |")
	var text strings.Builder
	writePaper(&text, runs[:3], selected)
	if text.Len() > 0 {
		t.Errorf("without messages there is %s", &text)
	}
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d is %q", n, got)
		}
	}
}

func TestAComparisonThatIsStoppedTellsWhatItHas(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := options{rounds: 3, duration: time.Second, out: t.TempDir(), data: t.TempDir()}
	s := find(t, scenarios, "pair-q0")
	if runs := o.measureAll(ctx, []scenario{s}, []broker{relay(buildRelay(t))}); len(runs) > 0 {
		t.Errorf("%d runs", len(runs))
	}
	runs := []run{result(1, "relay", 4e6, .2), result(2, "relay", 2e6, .2)}
	if err := o.report(disk{"ext4", "/dev/sda"}, runs, []scenario{s}, someBrokers()); err != nil {
		t.Fatal(err)
	}
	table, err := os.ReadFile(filepath.Join(o.out, "table.md"))
	if err != nil || !strings.Contains(string(table), "data on ext4 (/dev/sda); 2 rounds of 1s") || !strings.Contains(string(table), "| 3.00M (0.20) |") {
		t.Errorf("%v, %s", err, table)
	}
	lines, err := os.ReadFile(filepath.Join(o.out, "runs.jsonl"))
	if err != nil || strings.Count(string(lines), "\n") != 2 {
		t.Errorf("%v, %s", err, lines)
	}
}
