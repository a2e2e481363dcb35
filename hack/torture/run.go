package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/hack/torture/history"
)

// run is one run.
type run struct {
	options options
	broker  *broker
	history *history.History
	rand    *rand.Rand

	publishers  []*publisher
	subscribers []*subscriber
	wills       []*mourned
	observer    *observer
	groups      map[string]*history.Receiver

	// promises has a receiver while the broker is to be killed as soon as it has
	// acknowledged something.
	promises chan struct{}

	settling atomic.Bool    // the load is over
	playing  sync.WaitGroup // all actors
}

// run tortures a broker. Its files stay if there is an error or the result is
// not passed.
func (o options) run(ctx context.Context) (*result, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	own := o.dir == ""
	if own {
		var err error
		if o.dir, err = os.MkdirTemp("", "godwit-torture-"); err != nil {
			return nil, err
		}
	}
	persistence, window := config.Persistence{}, time.Duration(0)
	if o.sync == syncInterval {
		persistence.SyncEvery, window = config.Duration(syncEvery), syncWindow
	}
	b, err := newBroker(o.godwit, o.dir, persistence)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	r := &run{
		options: o, broker: b, rand: newRand(o.seed, "run"), groups: map[string]*history.Receiver{}, promises: make(chan struct{}),
		history: history.New(func() time.Duration { return time.Since(began) }, window),
	}
	result, err := r.play(ctx)
	switch {
	case err != nil || !result.passed():
		err = errors.Join(err, r.keep())
	case own:
		err = os.RemoveAll(o.dir)
	}
	return result, err
}

// keep writes the account beside the log and the data.
func (r *run) keep() error {
	f, err := os.Create(filepath.Join(r.options.dir, "account.txt"))
	if err != nil {
		return err
	}
	r.history.Print(f)
	return f.Close()
}

// newRand is random in a way that depends on the seed and on who uses it.
func newRand(seed uint64, who string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(who)) // never fails
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// play starts the broker and its clients, and ends them.
func (r *run) play(ctx context.Context) (*result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.broker.onEnd = func(err error) { cancel(err) }
	defer r.playing.Wait()
	defer cancel(nil)
	began := time.Now()
	err := r.broker.start()
	if err == nil {
		r.cast()
		r.tell(fmt.Sprintf("seed %d", r.options.seed))
		err = r.perform(ctx)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	cancel(nil)
	r.playing.Wait()
	found := r.history.Violations()
	if err != nil { // nobody has waited for what is still to come
		found = slices.DeleteFunc(found, func(v history.Violation) bool { return v.Kind == history.Lost })
	}
	err = errors.Join(err, r.broker.close())
	return &result{
		options: r.options, took: time.Since(began), counts: r.history.Counts(),
		violations: found, complaints: r.broker.complaints(),
	}, err
}

// cast makes all clients.
func (r *run) cast() {
	o := &r.options
	for i := range o.publishers {
		r.publishers = append(r.publishers, r.newPublisher(i))
	}
	for i := range o.subscribers {
		r.subscribers = append(r.subscribers, r.newSubscriber(i))
	}
	for i := range o.wills {
		r.wills = append(r.wills, r.newMourned(fmt.Sprintf("mourned-%d", i), o.versions.turn(i), packet.QoS(1+i%2)))
	}
	r.observer = r.newObserver()
}

// perform goes through the acts: all subscribe, the load with the kills, what is
// still to come, and one more kill after which nothing may come again.
func (r *run) perform(ctx context.Context) error {
	load, endLoad := context.WithCancel(ctx)
	defer endLoad()
	restarted := make(chan struct{})
	var loading, receiving sync.WaitGroup
	r.subscribe(ctx, load, restarted, &receiving)
	if r.options.sync == syncInterval { // the subscriptions themselves are to last
		time.Sleep(syncWindow)
	}
	r.publish(ctx, load, &loading)

	if err := r.killAround(load); err != nil {
		return err
	}
	endLoad()
	r.settling.Store(true)
	r.tell("end of the load")
	if err := r.await(ctx, "acknowledgements", done(&loading)); err != nil {
		return err
	}
	r.tell("all is acknowledged")
	// What does not come is found in the history.
	if r.await(ctx, "messages", r.history.Complete) != nil {
		return nil
	}
	if err := r.kill(syscall.SIGKILL, 0); err != nil {
		return err
	}
	close(restarted)
	if err := r.await(ctx, "silence", done(&receiving)); err != nil {
		return err
	}
	if !r.observer.look(ctx) {
		return errors.New("the retained messages cannot be read")
	}
	r.observer.client.Drop()
	return r.broker.end(syscall.SIGTERM)
}

// subscribe starts the subscribers, and returns when all have subscribed.
func (r *run) subscribe(ctx, load context.Context, restarted <-chan struct{}, receiving *sync.WaitGroup) {
	var ready sync.WaitGroup
	for _, s := range r.subscribers {
		ready.Add(1)
		once := sync.OnceFunc(ready.Done)
		play := func() {
			defer once()
			s.live(ctx, load, once)
			s.settle(ctx, restarted)
		}
		receiving.Add(1)
		r.playing.Go(func() {
			defer receiving.Done()
			play()
		})
	}
	ready.Wait()
}

// publish starts all others.
func (r *run) publish(ctx, load context.Context, loading *sync.WaitGroup) {
	lives := []func(ctx, load context.Context){r.observer.live}
	for _, p := range r.publishers {
		lives = append(lives, p.live)
	}
	for _, w := range r.wills {
		lives = append(lives, w.live)
	}
	for _, live := range lives {
		loading.Add(1)
		r.playing.Go(func() {
			defer loading.Done()
			live(ctx, load)
		})
	}
}

// done is false as long as a group works.
func done(group *sync.WaitGroup) func() bool {
	ended := make(chan struct{})
	go func() { group.Wait(); close(ended) }()
	return func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	}
}

// patience is how long nothing may happen while something is waited for.
const patience = 20 * time.Second

// await waits until a condition holds, as long as anything still happens.
func (r *run) await(ctx context.Context, what string, holds func() bool) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	last, since := 0, time.Now()
	for !holds() {
		if n := r.history.Counts().Events(); n != last {
			last, since = n, time.Now()
		} else if time.Since(since) > patience {
			return fmt.Errorf("waited in vain for %s", what)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// killAround kills the broker at random moments until the load has lasted for
// its time.
func (r *run) killAround(ctx context.Context) error {
	over := time.After(r.options.duration)
	for {
		if err := r.broker.waitServing(ctx); err != nil {
			return err
		}
		next := r.options.killEvery/2 + time.Duration(r.rand.Int64N(int64(r.options.killEvery)))
		select {
		case <-time.After(next):
		case <-over:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := r.killOnce(); err != nil {
			return err
		}
	}
}

// promised tells that an acknowledgement has just come.
func (r *run) promised() {
	select {
	case r.promises <- struct{}{}:
	default:
	}
}

// killOnce ends the broker in one way or another; half of the time right after it
// has acknowledged something, where a promise that was made too early is found.
func (r *run) killOnce() error {
	if r.rand.IntN(2) == 0 {
		select {
		case <-r.promises:
		case <-time.After(time.Second):
		}
	}
	const percent = 100
	switch chance := r.rand.IntN(percent); {
	case chance < 70:
		return r.kill(syscall.SIGKILL, 0)
	case chance < 85: // and while it starts
		return r.kill(syscall.SIGKILL, 1+r.rand.IntN(2))
	default:
		return r.kill(syscall.SIGTERM, 0)
	}
}

var names = map[syscall.Signal]string{syscall.SIGKILL: "SIGKILL", syscall.SIGTERM: "SIGTERM"}

// kill ends the broker and starts it again. As often as is asked for, it is
// killed while it starts.
func (r *run) kill(signal syscall.Signal, starting int) error {
	const startup = 200 * time.Millisecond // at most, of what is of interest
	if err := r.end(signal, names[signal]); err != nil {
		return err
	}
	for range starting {
		time.Sleep(time.Duration(r.rand.Int64N(int64(startup))))
		if err := r.end(syscall.SIGKILL, "SIGKILL while it starts"); err != nil {
			return err
		}
	}
	return nil
}

// end ends the broker and starts it again.
func (r *run) end(signal syscall.Signal, how string) error {
	r.history.Killed(how)
	err := r.broker.end(signal)
	if err != nil {
		return err
	}
	r.broker.note("%s at %v", how, r.history.Now())
	r.tell(how)
	r.history.Restarted()
	return r.broker.start()
}

// tell prints how far the run is.
func (r *run) tell(what string) {
	if w := r.options.progress; w != nil {
		c := r.history.Counts()
		fmt.Fprintf(w, "%6.1f s  %-24s %8d acknowledged %9d delivered\n", r.history.Now().Seconds(), what, c.Acknowledged[1]+c.Acknowledged[2], c.Delivered)
	}
}
