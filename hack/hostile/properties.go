package main

import (
	"context"
	"fmt"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Messages that are small by their payload and large by their properties, for a
// session whose client is away, for a client that does not read, and retained.
var properties = attack{
	name: "properties", what: "100 messages a second of one byte with 10,000 user properties, which wait and are retained",
	run: func(ctx context.Context, a *attacker) error {
		const topic = "properties/t"
		away := a.insist(ctx, login{id: "properties-away", durable: true})
		deaf := a.insist(ctx, login{id: "properties-deaf"})
		if away == nil || deaf == nil {
			return nil
		}
		for _, c := range []*link{away, deaf} {
			if err := c.subscribe(packet.QoS1, topic); err != nil {
				return err
			}
		}
		away.close()
		a.publishAt(ctx, time.Second/100, "properties-publisher", func(i int) *packet.Publish {
			p := &packet.Publish{QoS: packet.QoS1, Topic: []byte(topic), Payload: []byte{1}}
			if i%2 == 0 {
				p.Topic, p.Retain = fmt.Appendf(nil, "properties/retained/%d", i), true
			}
			for range a.size(10000, 2000) {
				p.Properties.AddUserProperty(nil, nil)
			}
			return p
		})
		return nil
	},
}

// subscribe subscribes to filters and reads on to the SUBACK, whatever it says.
func (c *link) subscribe(q packet.QoS, filters ...string) error {
	p := &packet.Subscribe{ID: c.id()}
	for _, f := range filters {
		p.Subscriptions = append(p.Subscriptions, packet.Subscription{Filter: []byte(f), QoS: q})
	}
	c.send(p)
	for {
		h, _, err := c.receive()
		if err != nil || h.Type == packet.TypeSuback {
			return err
		}
	}
}

// publishAt publishes messages at a rate until ctx ends, of which at most a
// window waits for its acknowledgement. A connection that ends is followed by
// another.
func (a *attacker) publishAt(ctx context.Context, interval time.Duration, id string, message func(i int) *packet.Publish) {
	const window = 512
	for i := 0; ctx.Err() == nil; {
		c := a.insist(ctx, login{id: id})
		if c == nil {
			return
		}
		go c.drain()
		var unacked int64
		for due := time.Now(); !c.over.Load() && ctx.Err() == nil; i++ {
			p := message(i)
			if p.QoS > packet.QoS0 {
				p.ID = c.id()
				unacked++
				c.await(ctx, unacked-window)
			}
			if !c.send(p) {
				break
			}
			due = due.Add(interval)
			if late := time.Since(due); late > time.Second { // what was missed is not made up for
				due = due.Add(late)
			}
			if wait := time.Until(due); wait > time.Millisecond {
				sleep(ctx, wait)
			}
		}
	}
}
