package main

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/hack/torture/client"
	"github.com/godwit-mqtt/godwit/hack/torture/history"
)

// actor is a client of a run, with its account. One goroutine plays it.
type actor struct {
	run      *run
	name     string
	rand     *rand.Rand
	client   *client.Client
	sessions *history.Sessions
}

// sessionExpiry is far beyond any run, in seconds.
const sessionExpiry = 24 * 3600

// newActor makes a client that is not connected. Its session outlives its
// connections if it is durable.
func (r *run) newActor(name string, v packet.Version, durable bool, o client.Options) *actor {
	a := &actor{run: r, name: name, rand: newRand(r.options.seed, name), sessions: r.history.Sessions(name, durable)}
	o.Address, o.ID, o.Version, o.Fault = address(r.broker.port), name, v, r.history.Fault
	if durable {
		o.Expiry = sessionExpiry
	}
	a.client = client.New(o)
	return a
}

// connect tries until the broker accepts. present says that it has the session;
// ok is false where ctx has ended before.
func (a *actor) connect(ctx context.Context, clean bool, will func() *packet.Will) (present, ok bool) {
	for ctx.Err() == nil {
		var w *packet.Will
		if will != nil {
			w = will()
		}
		a.sessions.Connecting(clean)
		present, err := a.client.Connect(ctx, clean, w)
		if err == nil {
			a.sessions.Connected(present)
			return present, true
		}
		a.pause(ctx, 20*time.Millisecond)
	}
	return false, false
}

// pause waits for a random time, at most a limit.
func (a *actor) pause(ctx context.Context, limit time.Duration) {
	select {
	case <-time.After(a.upTo(limit)):
	case <-ctx.Done():
	}
}

// stay waits for a random time, or until the connection has ended.
func (a *actor) stay(ctx context.Context, limit time.Duration) {
	select {
	case <-time.After(a.upTo(limit)):
	case <-a.client.Ended():
	case <-ctx.Done():
	}
}

func (a *actor) upTo(limit time.Duration) time.Duration {
	return time.Duration(a.rand.Int64N(int64(limit)))
}

// oneIn is true once in n times.
func (a *actor) oneIn(n int) bool { return a.rand.IntN(n) == 0 }

// leave ends the connection, with or without a word.
func (a *actor) leave(ctx context.Context) {
	if a.oneIn(2) {
		a.client.Drop()
		return
	}
	a.client.Disconnect(ctx)
}

// size of a payload: as often below as above the geometric mean.
func (a *actor) size() int {
	low, high := math.Log(float64(a.run.options.smallest)), math.Log(float64(a.run.options.largest))
	return int(math.Exp(low + a.rand.Float64()*(high-low)))
}
