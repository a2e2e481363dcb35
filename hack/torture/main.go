// Torture kills a broker over and over while clients publish and subscribe, and
// accounts for every message that was acknowledged. `make torture` runs it.
//
// The broker is the program itself, with its files and its data directory; the
// clients speak to it over TCP. At random moments it is killed (SIGKILL, also
// while it starts, or SIGTERM) and started again, and the clients come back to
// their sessions. At the end everybody waits for what is still to come, and the
// promises of docs/durability.md are held against what came. What was broken is
// printed with the kill that it was near to; the log and the data stay.
//
// With -measure-start it does something else: it fills a broker with sessions and
// messages, and measures how that one starts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

func main() {
	o := defaults()
	o.register(flag.CommandLine)
	measure := flag.Bool("measure-start", false, "measure how a broker starts that has much on its disk, and do nothing else")
	var a amounts
	a.register(flag.CommandLine)
	flag.Parse()
	o.progress = os.Stderr
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	do := func() error { return torture(ctx, o) }
	if *measure {
		do = func() error { return measureStart(ctx, os.Stdout, o.godwit, a) }
	}
	if err := do(); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

func torture(ctx context.Context, o options) error {
	result, err := o.run(ctx)
	if result != nil {
		fmt.Print(result)
	}
	if err == nil && !result.passed() {
		err = errors.New("promises were broken")
	}
	return err
}

// options of a run.
type options struct {
	godwit      string
	dir         string
	seed        uint64
	duration    time.Duration
	killEvery   time.Duration
	sync        string
	publishers  int
	subscribers int
	wills       int
	kinds       list[kind]
	versions    list[packet.Version]
	qos         list[quality]
	rate        int
	window      int
	smallest    int
	largest     int
	progress    io.Writer // nil: nobody wants to know
}

// defaults are those of `make torture`.
func defaults() options {
	return options{
		godwit: "bin/godwit", seed: uint64(time.Now().UnixNano()), duration: time.Minute, killEvery: 2 * time.Second, sync: syncAlways,
		publishers: 8, subscribers: 14, wills: 4,
		kinds:    list[kind]{kinds, kinds},
		versions: list[packet.Version]{versions, versions},
		qos:      list[quality]{qualities, qualities},
		rate:     1000, window: 32, smallest: 32, largest: 16 << 10,
	}
}

// Ways to write to disk, as in a Broker's spec.
const (
	syncAlways   = "always"
	syncInterval = "interval"
)

func (o *options) register(f *flag.FlagSet) {
	f.StringVar(&o.godwit, "godwit", o.godwit, "godwit program")
	f.StringVar(&o.dir, "dir", o.dir, "directory for the log and the data; one of its own, which is removed if all went well, if empty")
	f.Uint64Var(&o.seed, "seed", o.seed, "seed of what is random: who does what, and the kills; not of who wins a race")
	f.DurationVar(&o.duration, "duration", o.duration, "time under load")
	f.DurationVar(&o.killEvery, "kill-every", o.killEvery, "mean time between kills")
	f.StringVar(&o.sync, "sync", o.sync, "always, or interval, with which the last moment before a kill is not promised")
	f.IntVar(&o.publishers, "publishers", o.publishers, "publishers, every fourth with a session that ends with its connection")
	f.IntVar(&o.subscribers, "subscribers", o.subscribers, "subscribers, of the kinds in turn")
	f.IntVar(&o.wills, "wills", o.wills, "clients that leave wills")
	f.Var(&o.kinds, "kinds", "kinds of subscribers, of "+o.kinds.String())
	f.Var(&o.versions, "versions", "versions of MQTT that the clients speak")
	f.Var(&o.qos, "qos", "qualities of service of what is published")
	f.IntVar(&o.rate, "rate", o.rate, "messages that are published a second, at most")
	f.IntVar(&o.window, "window", o.window, "messages that a publisher has on their way, at most")
	f.IntVar(&o.smallest, "size-min", o.smallest, "bytes of the smallest payload")
	f.IntVar(&o.largest, "size-max", o.largest, "bytes of the largest payload")
}

// validate refuses what makes no sense.
func (o *options) validate() error {
	switch {
	case o.sync != syncAlways && o.sync != syncInterval:
		return fmt.Errorf("-sync %q: use %s or %s", o.sync, syncAlways, syncInterval)
	case o.publishers < 1 || o.subscribers < 1 || o.rate < 1 || o.window < 1:
		return errors.New("-publishers, -subscribers, -rate and -window have to be above 0")
	case o.smallest < 1 || o.largest < o.smallest:
		return errors.New("-size-min has to be above 0, and -size-max not below it")
	case o.killEvery <= 0:
		return errors.New("-kill-every has to be above 0")
	}
	return nil
}
