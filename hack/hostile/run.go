package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// run is one attack on one broker.
type run struct {
	options options
	attack  attack
	broker  *broker
	pair    *pair
	result  *result
}

// settling is the time at the beginning of an attack, and after its end, that
// does not count for the pair's latency.
const settling = time.Second

// settling is 0 where latency means nothing.
func (o options) settling() time.Duration {
	if o.short {
		return 0
	}
	return settling
}

// run attacks a new broker. The error is about the run itself; what the broker
// did wrong is in the result.
func (o options) run(ctx context.Context, a attack, try int) (_ *result, err error) {
	dir := filepath.Join(o.dir, fmt.Sprintf("%s-%d", a.name, try))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	b, err := newBroker(o, a, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.start(ctx); err != nil {
		return nil, err
	}
	r := &run{options: o, attack: a, broker: b, pair: newPair(b, o.rate),
		result: &result{attack: a, try: try, short: o.short, factor: o.factor, memory: o.memory << 20}}
	r.result.cage = b.cage.kind
	if err := r.perform(ctx); err != nil {
		return nil, err
	}
	if r.attack.restarts {
		r.restart(ctx)
	}
	return r.result, nil
}

// perform goes through the phases: the pair alone, the attack, the pair alone.
func (r *run) perform(ctx context.Context) error {
	pairing, endPair := context.WithCancel(ctx)
	defer endPair()
	if err := r.pair.start(pairing); err != nil {
		return fmt.Errorf("the pair: %w", err)
	}
	watching, endWatch := context.WithCancel(ctx)
	var watchers sync.WaitGroup
	watchers.Go(func() { r.watch(watching) })
	watchers.Go(func() { r.probe(watching) })
	defer watchers.Wait()
	defer endWatch()

	sleep(ctx, r.options.settling())
	before := r.pass(ctx, r.options.quiet)
	during, err := r.attackFor(ctx)
	if err != nil {
		return err
	}
	sleep(ctx, r.options.settling())
	after := r.pass(ctx, r.options.quiet)
	endPair()
	if r.broker.running() {
		r.pair.settle(ctx)
	}
	// Only now is it known how late what was due has come.
	r.result.before, r.result.during, r.result.after = r.pair.within(before), r.pair.within(during), r.pair.within(after)
	r.result.account = r.pair.account()
	return errors.Join(ctx.Err(), r.keepLatencies())
}

// keepLatencies writes what the pair has seen beside the broker's log.
func (r *run) keepLatencies() error {
	f, err := os.Create(filepath.Join(r.broker.dir, "latencies.txt"))
	if err != nil {
		return err
	}
	r.pair.print(f)
	return f.Close()
}

// pass waits for a time, and returns from when to when that was.
func (r *run) pass(ctx context.Context, d time.Duration) span {
	from := r.pair.now()
	sleep(ctx, d)
	return span{from, r.pair.now()}
}

// attackFor attacks for the time of the run, while the others do what they do. It
// returns when the pair was to be undisturbed.
func (r *run) attackFor(ctx context.Context) (during span, err error) {
	t := target{Plain: address(r.broker.plain), TLS: address(r.broker.secure), CAFile: r.broker.caFile, Short: r.options.short}
	used, _ := usageOf(r.broker.cmd.Process.Pid) // it may have ended
	l, err := launch(r.attack.name, t)
	if err != nil {
		return during, err
	}
	attacking, cancel := context.WithCancel(ctx)
	defer cancel()
	beside := r.beside(attacking, t)
	sleep(ctx, r.options.settling())
	during = r.pass(ctx, r.options.duration-r.options.settling())
	if r.options.short {
		r.await(ctx, l, beside)
	}
	cancel()
	r.result.beside = <-beside
	if r.result.told, err = l.end(); err != nil {
		return during, err
	}
	now, _ := usageOf(r.broker.cmd.Process.Pid)
	r.result.cpu = max(now.cpu-used.cpu, 0)
	return during, ctx.Err()
}

// await waits until an attack that is small has come to what it is about: the
// attackers were told what they have to be, and the others have done their part.
func (r *run) await(ctx context.Context, l *launched, beside chan error) {
	const patience = time.Minute
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for ctx.Err() == nil && slices.ContainsFunc(r.attack.told, func(want string) bool { return !heard(l.heard(), want) }) {
		sleep(ctx, reportInterval)
	}
	for ctx.Err() == nil && r.attack.finishes && len(beside) == 0 {
		sleep(ctx, reportInterval)
	}
}

// beside has bystanders do their part.
func (r *run) beside(ctx context.Context, t target) chan error {
	ended := make(chan error, 1)
	go func() {
		if r.attack.beside == nil {
			ended <- nil
			return
		}
		secure, err := tlsConfig(t.CAFile)
		if err == nil {
			err = r.attack.beside(ctx, &bystander{target: t, tls: secure})
		}
		ended <- err
	}()
	return ended
}

// watch follows what the process takes, and sees it end.
func (r *run) watch(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if u, err := usageOf(r.broker.cmd.Process.Pid); err == nil {
			r.result.resident = max(r.result.resident, u.resident)
			r.result.files = max(r.result.files, u.files)
			r.result.counts = r.broker.counts(ctx, r.attack.bounds, r.result.counts)
		}
		select {
		case <-tick.C:
		case <-r.broker.ended:
			r.result.died = fmt.Sprintf("the process ended: %v", r.broker.cmd.ProcessState)
			return
		case <-ctx.Done():
			return
		}
	}
}

// probe asks as a kubelet does, but more often.
func (r *run) probe(ctx context.Context) {
	for ctx.Err() == nil {
		for _, path := range []string{"/livez", "/readyz"} {
			if err := r.broker.ask(ctx, path); err != nil && ctx.Err() == nil {
				r.result.probes = append(r.result.probes, err.Error())
			}
		}
		sleep(ctx, time.Second)
	}
}

// restart ends the broker and starts it again.
func (r *run) restart(ctx context.Context) {
	err := r.broker.end()
	if err == nil {
		err = r.broker.start(ctx)
	}
	if err != nil {
		r.result.died = fmt.Sprintf("it does not start again: %v", err)
	}
}
