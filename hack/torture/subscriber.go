package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/hack/torture/client"
	"github.com/godwit-mqtt/godwit/hack/torture/history"
)

// kind says how a subscriber lives.
type kind string

// The kinds. All but passing have sessions that outlive their connections.
const (
	online   kind = "online"   // connected whenever the broker lets it
	roaming  kind = "roaming"  // goes offline and comes back
	churning kind = "churning" // roams, unsubscribes and subscribes
	renewing kind = "renewing" // roams, and at times begins a new session
	shared   kind = "shared"   // roams, as a member of a shared subscription
	passing  kind = "passing"  // like online, with a session that ends with its connection
)

var kinds = []kind{online, roaming, churning, renewing, shared, shared, passing}

func (k kind) String() string { return string(k) }

// subscriber gets messages and accounts for them.
type subscriber struct {
	*actor
	kind     kind
	qos      packet.QoS
	filters  []string
	receiver *history.Receiver
	got      atomic.Int64 // messages
	lag      *rand.Rand   // for linger, which is called by another goroutine
	// subscribed are the filters of the session that the broker has; nil before
	// the first SUBACK. Those of leaving were to be unsubscribed, without an answer.
	subscribed, leaving map[string]bool
}

// newSubscriber makes the i-th subscriber. In every second round of the kinds all
// subscribe at QoS 1.
func (r *run) newSubscriber(i int) *subscriber {
	turn := len(r.options.kinds.chosen)
	s := &subscriber{kind: r.kindOf(i), qos: packet.QoS2, filters: []string{"t/#", "will/#"}}
	if i/turn%2 == 1 {
		s.qos = packet.QoS1
	}
	name := fmt.Sprintf("%s-%d", s.kind, i)
	s.lag = newRand(r.options.seed, name+"'s lag")
	s.actor = r.newActor(name, r.options.versions.turn(i+i/turn), s.kind != passing, client.Options{
		Message: s.message, Linger: s.linger, ReceiveMaximum: r.receiveMaximum(),
	})
	switch s.kind {
	case shared:
		group := fmt.Sprintf("group-%d", i/turn)
		s.receiver = r.group(group, s.qos)
		s.filters = []string{"$share/" + group + "/t/#"}
	case passing:
		s.receiver = r.history.Receiver(name, history.Passing, s.qos)
	case churning:
		s.filters = []string{"t/0/#", "t/1/+", "t/2/+", "will/#"}
		fallthrough
	default:
		s.receiver = r.history.Receiver(name, history.Durable, s.qos)
	}
	return s
}

// kindOf is the kind of the i-th subscriber. Where the last moment before a kill
// is not promised, subscriptions and sessions are made before the first one.
func (r *run) kindOf(i int) kind {
	k := r.options.kinds.turn(i)
	if r.options.sync == syncInterval && (k == churning || k == renewing) {
		return roaming
	}
	return k
}

// receiveMaximum is that of the specification in half of the cases, and else low,
// but not so low that the subscriber falls behind.
func (r *run) receiveMaximum() uint16 {
	if r.rand.IntN(2) == 0 {
		return 0
	}
	return uint16(10 + r.rand.IntN(100))
}

// group returns the receiver of all members of a shared subscription.
func (r *run) group(name string, q packet.QoS) *history.Receiver {
	if r.groups[name] == nil {
		r.groups[name] = r.history.Receiver(name, history.Group, q)
	}
	return r.groups[name]
}

func (s *subscriber) message(p *packet.Publish) {
	s.got.Add(1)
	publisher, seq, ok := parsePayload(p.Payload)
	if !ok {
		s.run.history.Fault(fmt.Errorf("%s got %d bytes on %s that nobody has published: %.60q", s.name, len(p.Payload), p.Topic, p.Payload))
		return
	}
	s.receiver.Received(publisher, string(p.Topic), seq, p.QoS)
}

// linger holds acknowledgements back at times, so that a kill finds messages at
// every step of their exchange. After the load there is no need to.
func (s *subscriber) linger() time.Duration {
	if s.run.settling.Load() || s.lag.IntN(2) == 0 {
		return 0
	}
	return time.Duration(s.lag.Int64N(int64(10 * time.Millisecond)))
}

// live receives until the load is over.
func (s *subscriber) live(ctx, load context.Context, ready func()) {
	for load.Err() == nil {
		if !s.attach(ctx, s.kind == renewing && s.oneIn(4)) {
			return
		}
		ready()
		s.online(load)
		if s.client.Connected() && load.Err() == nil {
			s.leave(ctx)
			s.pause(load, 2*time.Second)
		}
	}
}

// online spends one time online.
func (s *subscriber) online(ctx context.Context) {
	switch s.kind {
	case online, passing:
		select {
		case <-s.client.Ended():
		case <-ctx.Done():
		}
	case churning:
		for range s.rand.IntN(5) {
			s.stay(ctx, time.Second)
			s.churn(ctx)
		}
	default:
		s.stay(ctx, 4*time.Second)
	}
}

// attach connects if it is not, and subscribes where the session is new. It is
// false when ctx has ended.
func (s *subscriber) attach(ctx context.Context, renew bool) bool {
	for !s.client.Connected() {
		if renew || s.kind == passing {
			s.receiver.Renewed()
			s.subscribed = nil
		}
		present, ok := s.connect(ctx, renew || s.kind == passing, nil)
		if !ok {
			return false
		}
		if !present {
			s.subscribed = nil
		}
		if !s.subscribeAll(ctx) {
			s.client.Drop()
		}
		renew = false
	}
	return true
}

// subscribeAll subscribes to what the session has not subscribed to. It is false
// where the connection ends meanwhile.
func (s *subscriber) subscribeAll(ctx context.Context) bool {
	if s.subscribed != nil {
		return true
	}
	for _, f := range s.filters {
		s.receiver.Subscribing(unshared(f))
	}
	if err := s.client.Subscribe(ctx, s.qos, s.filters...); err != nil {
		return false
	}
	s.run.promised()
	s.subscribed, s.leaving = map[string]bool{}, map[string]bool{}
	for _, f := range s.filters {
		s.receiver.Subscribed(unshared(f))
		s.subscribed[f] = true
	}
	return true
}

// unshared is the filter of a shared subscription.
func unshared(filter string) string {
	if rest, ok := strings.CutPrefix(filter, "$share/"); ok {
		_, filter, _ = strings.Cut(rest, "/")
	}
	return filter
}

// churn takes a subscription back, or makes it again.
func (s *subscriber) churn(ctx context.Context) {
	f := s.filters[s.rand.IntN(len(s.filters))]
	switch {
	case !s.client.Connected():
	case s.subscribed[f]:
		s.unsubscribe(ctx, f)
	default:
		s.receiver.Subscribing(f)
		if s.client.Subscribe(ctx, s.qos, f) == nil {
			s.receiver.Subscribed(f)
			s.subscribed[f] = true
		}
	}
}

func (s *subscriber) unsubscribe(ctx context.Context, filter string) {
	s.receiver.Unsubscribing(filter)
	existed, err := s.client.Unsubscribe(ctx, filter)
	if err != nil {
		s.leaving[filter] = true
		return
	}
	s.receiver.Unsubscribed(filter)
	if !existed && !s.leaving[filter] {
		s.run.history.Fault(fmt.Errorf("%s is told that it was not subscribed to %s", s.name, filter))
	}
	s.subscribed[filter], s.leaving[filter] = false, false
}

// settle receives until the broker was restarted for the last time, and then
// until nothing comes any more.
func (s *subscriber) settle(ctx context.Context, restarted <-chan struct{}) {
	for s.attach(ctx, false) {
		select {
		case <-s.client.Ended():
			continue
		case <-ctx.Done():
			return
		case <-restarted:
		}
		if s.quiet(ctx) {
			s.client.Disconnect(ctx)
			return
		}
	}
}

// quiet waits until nothing comes. It is false where the connection ends before.
func (s *subscriber) quiet(ctx context.Context) bool {
	const enough = 10
	for silent := 0; silent < enough; silent++ {
		before := s.got.Load()
		if s.client.Ping(ctx) != nil {
			return false
		}
		if s.got.Load() != before {
			silent = 0
		}
		s.stay(ctx, 20*time.Millisecond)
	}
	return true
}
