// Bench compares Godwit's engine with Debian's Mosquitto and with a relay, which
// does nothing but to pass messages on and so shows the floor of cost. `make
// bench` runs it.
//
// For each round and scenario every broker is started anew, put under load by
// `godwit bench`, and stopped, in turn, so that a machine that becomes slower or
// faster meanwhile does so for all of them. The tables are of medians.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/godwit-mqtt/godwit/broker/bench"
)

// options of a comparison.
type options struct {
	godwit, relay, mosquitto string
	scenarios, brokers       string
	scale                    bool
	rounds                   int
	duration                 time.Duration
	out, data                string
}

func main() {
	var o options
	flag.StringVar(&o.godwit, "godwit", "bin/godwit", "godwit program, which is also the load generator")
	flag.StringVar(&o.relay, "relay", "dist/bench/relay", "relay program")
	flag.StringVar(&o.mosquitto, "mosquitto", "mosquitto", "Mosquitto program; left out if it is not installed")
	flag.StringVar(&o.scenarios, "scenarios", "", "beginnings of names of scenarios, separated by commas; all if empty")
	flag.BoolVar(&o.scale, "scale", false, "measure how cost grows with connections, subscriptions and messages, instead of comparing throughput")
	flag.StringVar(&o.brokers, "brokers", "relay,mosquitto,godwit", "brokers to compare; NAME=PROGRAM is another godwit, compared with the first")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds")
	flag.DurationVar(&o.duration, "duration", 3*time.Second, "time to measure in each run")
	flag.StringVar(&o.out, "out", "dist/bench", "directory of what is measured: runs.jsonl and table.md")
	flag.StringVar(&o.data, "data", "", "directory on a disk for the brokers' data; that of -out if empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := compare(ctx, o); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

// run is one measurement.
type run struct {
	Round    int          `json:"round"`
	Scenario string       `json:"scenario"`
	Broker   string       `json:"broker"`
	Error    string       `json:"error,omitempty"`
	Result   bench.Result `json:"result"`
}

func compare(ctx context.Context, o options) error {
	selected, unknown := selectScenarios(o.suite(), o.scenarios)
	if unknown != "" {
		return fmt.Errorf("no scenario begins with %q", unknown)
	}
	brokers, err := o.selectBrokers()
	if err != nil {
		return err
	}
	if o.data == "" {
		o.data = o.out
	}
	if err := errors.Join(os.MkdirAll(o.out, 0o755), os.MkdirAll(o.data, 0o755)); err != nil {
		return err
	}
	d, err := diskOf(o.data)
	if err != nil {
		return err
	}
	if err := d.check(); err != nil {
		return err
	}
	runs := o.measureAll(ctx, selected, brokers)
	return errors.Join(o.report(d, runs, selected, brokers), ctx.Err())
}

// measureAll takes the brokers in turn. When ctx ends it returns what it has.
func (o options) measureAll(ctx context.Context, selected []scenario, brokers []broker) (runs []run) {
	for round := range o.rounds {
		for _, s := range selected {
			for _, b := range brokers {
				if !s.suits(b) {
					continue
				}
				r := o.measure(ctx, b, s)
				if ctx.Err() != nil {
					return runs
				}
				r.Round = round + 1
				fmt.Fprintln(os.Stderr, r)
				runs = append(runs, r)
			}
		}
	}
	return runs
}

func (o options) suite() []scenario {
	if o.scale {
		return scaleScenarios
	}
	return scenarios
}

// selectBrokers finds the programs; all but Mosquitto have to be there.
func (o options) selectBrokers() (brokers []broker, err error) {
	for entry := range strings.SplitSeq(o.brokers, ",") {
		name, program, other := strings.Cut(entry, "=")
		switch {
		case slices.ContainsFunc(brokers, func(b broker) bool { return b.name == name }):
			return nil, fmt.Errorf("broker %q is there twice", name)
		case other:
			brokers = append(brokers, godwit(name, program))
		case name == "relay":
			brokers = append(brokers, relay(o.relay))
		case name == "godwit":
			brokers = append(brokers, godwit(name, o.godwit))
		case name == "mosquitto":
			path, err := findMosquitto(o.mosquitto)
			if err != nil {
				fmt.Fprintln(os.Stderr, "without Mosquitto:", err)
				continue
			}
			brokers = append(brokers, mosquitto(path))
		default:
			return nil, fmt.Errorf("broker %q: there are relay, mosquitto, godwit and NAME=PROGRAM", name)
		}
	}
	return brokers, nil
}

// findMosquitto looks where Debian installs it, too.
func findMosquitto(name string) (string, error) {
	path, err := exec.LookPath(name)
	if errors.Is(err, exec.ErrNotFound) && name == "mosquitto" {
		return exec.LookPath("/usr/sbin/mosquitto")
	}
	return path, err
}

// patience is how long connecting and storing may take.
const patience = 10 * time.Minute

// measure starts a broker, puts it under load and stops it.
func (o options) measure(ctx context.Context, b broker, s scenario) run {
	r := run{Scenario: s.name, Broker: b.name}
	p, err := b.start(ctx, o.data, s)
	if err != nil {
		r.Error = err.Error()
		return r
	}
	defer p.stop()
	ctx, cancel := context.WithTimeout(ctx, o.duration+patience)
	defer cancel()
	if s.kind == scaleLoginAgain {
		_, err = o.load(ctx, s.arguments(b, p, o.duration, "--connect-rate", firstLoginRate))
	}
	if err == nil {
		r.Result, err = o.load(ctx, s.arguments(b, p, o.duration))
	}
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

// load runs godwit bench.
func (o options) load(ctx context.Context, args []string) (result bench.Result, err error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, o.godwit, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if err == nil {
		err = json.Unmarshal(stdout.Bytes(), &result)
	}
	if err != nil {
		err = errors.New(strings.TrimSpace(fmt.Sprintf("%v %s", err, &stderr)))
	}
	return result, err
}

// report writes the runs and the tables of them.
func (o options) report(d disk, runs []run, selected []scenario, brokers []broker) error {
	var lines, table bytes.Buffer
	e := json.NewEncoder(&lines)
	rounds := 0
	for _, r := range runs {
		rounds = max(rounds, r.Round)
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	fmt.Fprintf(&table, "%s, %s; %d rounds of %v.\n", machine(), d, rounds, o.duration)
	writeTables(&table, runs, selected, brokers)
	writePaper(&table, runs, selected)
	fmt.Print(table.String())
	return errors.Join(
		os.WriteFile(filepath.Join(o.out, "runs.jsonl"), lines.Bytes(), 0o644),
		os.WriteFile(filepath.Join(o.out, "table.md"), table.Bytes(), 0o644))
}
