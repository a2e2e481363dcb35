package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/hack/torture/client"
)

// pair is a publisher and a durable subscriber, who exchange messages of QoS 1 at
// a constant rate. It keeps an account of each.
type pair struct {
	rate      int
	pub, sub  *client.Client
	began     time.Time
	connected sync.WaitGroup

	mu       sync.Mutex
	messages []exchange // by sequence number
	ended    int        // connections that ended while they were in use
	faults   []error
}

// exchange is a message of the pair. Times count from the beginning of the pair.
type exchange struct {
	due       time.Duration // when it was to be sent
	delivered time.Duration // 0: not yet
	acked     bool
	refused   bool
}

const (
	pairTopic   = "pair/t"
	pairPayload = 128 // bytes
	// pairWindow is how many messages may be without their PUBACK. What waits
	// for room there counts as late.
	pairWindow    = 512
	sessionExpiry = 3600 // seconds
)

func newPair(b *broker, rate int) *pair {
	p := &pair{rate: rate, began: time.Now()}
	fault := func(err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.faults = append(p.faults, err)
	}
	common := client.Options{Address: address(b.plain), Version: packet.V5, Expiry: sessionExpiry, Password: commonPassword, Fault: fault}
	pub, sub := common, common
	pub.ID, pub.Username, pub.Answered = "pair-publisher", publisherUser, p.answered
	sub.ID, sub.Username, sub.Message = "pair-subscriber", subscriberUser, p.delivered
	p.pub, p.sub = client.New(pub), client.New(sub)
	return p
}

func (p *pair) answered(m *client.Outgoing, o client.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := &p.messages[m.Tag.(int)]
	e.acked, e.refused = o == client.Taken, o == client.Refused
}

func (p *pair) delivered(m *packet.Publish) {
	p.mu.Lock()
	defer p.mu.Unlock()
	seq := binary.BigEndian.Uint64(m.Payload)
	if e := &p.messages[seq]; e.delivered == 0 {
		e.delivered = p.now()
	}
}

func (p *pair) now() time.Duration { return time.Since(p.began) }

// start connects both, and has them work until ctx ends.
func (p *pair) start(ctx context.Context) error {
	for _, c := range []*client.Client{p.sub, p.pub} {
		if _, err := c.Connect(ctx, true, nil); err != nil {
			return err
		}
	}
	if err := p.sub.Subscribe(ctx, packet.QoS1, pairTopic); err != nil {
		return err
	}
	p.connected.Go(func() { p.subscribe(ctx) })
	p.connected.Go(func() { p.publish(ctx) })
	return nil
}

// subscribe keeps the subscriber connected.
func (p *pair) subscribe(ctx context.Context) {
	for p.resume(ctx, p.sub) {
		select {
		case <-p.sub.Ended():
		case <-ctx.Done():
		}
	}
}

// resume sees to it that a client is connected. It is false where ctx has ended.
func (p *pair) resume(ctx context.Context, c *client.Client) bool {
	if !c.Connected() && ctx.Err() == nil {
		p.mu.Lock()
		p.ended++
		p.mu.Unlock()
	}
	for ctx.Err() == nil && !c.Connected() {
		if _, err := c.Connect(ctx, false, nil); err != nil {
			sleep(ctx, 100*time.Millisecond)
		}
	}
	return ctx.Err() == nil
}

// publish sends each message when it is due, or as soon as there is room for it.
func (p *pair) publish(ctx context.Context) {
	interval := time.Second / time.Duration(p.rate)
	first := p.now()
	for seq := 0; p.resume(ctx, p.pub); {
		due := first + time.Duration(seq)*interval
		if wait := due - p.now(); wait > 0 {
			sleep(ctx, wait)
			continue
		}
		if !p.pub.Room(ctx, pairWindow) {
			continue
		}
		p.send(seq, due)
		seq++
	}
}

func (p *pair) send(seq int, due time.Duration) {
	payload := make([]byte, pairPayload)
	binary.BigEndian.PutUint64(payload, uint64(seq))
	p.mu.Lock()
	p.messages = append(p.messages, exchange{due: due})
	p.mu.Unlock()
	p.pub.Publish(&client.Outgoing{Tag: seq, Publish: packet.Publish{QoS: packet.QoS1, Topic: []byte(pairTopic), Payload: payload}})
}

// settle waits until everything that was taken has arrived, and ends the pair. It
// begins when the context of start has ended.
func (p *pair) settle(ctx context.Context) {
	const patience = 20 * time.Second
	p.connected.Wait()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for ctx.Err() == nil && !p.complete() {
		p.resume(ctx, p.sub)
		p.resume(ctx, p.pub)
		sleep(ctx, 20*time.Millisecond)
	}
	p.pub.Drop()
	p.sub.Drop()
}

func (p *pair) complete() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !slices.ContainsFunc(p.messages, func(e exchange) bool { return !e.refused && (!e.acked || e.delivered == 0) })
}

// account is what became of the messages.
type account struct {
	sent, lost, refused, unanswered int
	ended                           int
	faults                          []error
}

func (p *pair) account() account {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := account{sent: len(p.messages), ended: p.ended, faults: p.faults}
	for _, e := range p.messages {
		switch {
		case e.refused:
			a.refused++
		case !e.acked:
			a.unanswered++
		case e.delivered == 0:
			a.lost++
		}
	}
	return a
}

// sliceLength is the time over whose messages one p99 is taken. That of a longer
// time is the median of those of its slices, so that a moment in which the
// machine did something else does not decide.
const sliceLength = 500 * time.Millisecond

// latencies is what the pair has seen in a time.
type latencies struct{ p99, worst time.Duration }

// span is a time, as times of a pair are.
type span struct{ from, to time.Duration }

// within is over the messages that were due in a time.
func (p *pair) within(t span) latencies {
	var l latencies
	var all []time.Duration
	for _, s := range p.slices(t) {
		if len(s) > 0 {
			all = append(all, quantile(s, 0.99))
			l.worst = max(l.worst, s[len(s)-1])
		}
	}
	if len(all) > 0 {
		l.p99 = quantile(all, 0.5)
	}
	return l
}

// slices are the latencies of the messages that were due in a time, by slice. What
// has not arrived is as late as it is by now.
func (p *pair) slices(t span) [][]time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([][]time.Duration, int((t.to-t.from)/sliceLength))
	for _, e := range p.messages {
		i := int((e.due - t.from) / sliceLength)
		if e.due < t.from || i >= len(all) || e.refused {
			continue
		}
		if e.delivered == 0 {
			e.delivered = p.now()
		}
		all[i] = append(all[i], e.delivered-e.due)
	}
	return all
}

// print writes the latencies of each slice.
func (p *pair) print(w io.Writer) {
	for i, s := range p.slices(span{0, p.now()}) {
		if len(s) > 0 {
			fmt.Fprintf(w, "%6.1f s %6d messages, p50 %s p99 %s longest %s ms\n", (time.Duration(i) * sliceLength).Seconds(), len(s),
				milliseconds(quantile(s, 0.5)), milliseconds(quantile(s, 0.99)), milliseconds(s[len(s)-1]))
		}
	}
}

// quantile sorts durations, of which there is one at least.
func quantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[min(int(q*float64(len(d))), len(d)-1)]
}

// sleep waits for a time, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
