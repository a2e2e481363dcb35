package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/hack/torture/client"
)

// Clients that stop reading and sending, and keep their connections.
var deaf = attack{
	name: "deaf", what: "20 clients with a will and a keep alive of 2 s, half of which ask on and on, and none of which reads, while 2 MB a second are sent to each",
	run: func(ctx context.Context, a *attacker) error {
		a.together(deafClients, func(i int) {
			c := a.insist(ctx, login{id: fmt.Sprintf("deaf-%d", i), change: func(p *packet.Connect) {
				p.KeepAlive, p.HasWill = deafKeepAlive, true
				p.Will.Topic, p.Will.Payload = fmt.Appendf(nil, "beside/wills/%d", i), []byte("gone")
			}})
			if c == nil {
				return
			}
			c.shrink()
			if c.subscribe(packet.QoS1, "deaf/t") == nil && i%2 == 0 {
				go c.pester()
			}
		})
		a.publishLarge(ctx, "deaf/t")
		return nil
	},
	finishes: true,
	// All wills come while the attackers hold on to their connections.
	beside: func(ctx context.Context, b *bystander) error {
		var wills atomic.Int32
		all := make(chan struct{})
		c := b.client("beside-wills", bystanderUser, false, client.Options{Message: func(*packet.Publish) {
			if wills.Add(1) == deafClients {
				close(all)
			}
		}})
		if _, err := c.Connect(ctx, true, nil); err != nil {
			return err
		}
		defer c.Drop()
		if err := c.Subscribe(ctx, packet.QoS1, "beside/wills/+"); err != nil {
			return err
		}
		select {
		case <-all:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%d of %d wills were published", wills.Load(), deafClients)
		}
	},
}

const (
	deafClients   = 20
	deafKeepAlive = 2 // seconds
)

// pester asks for answers that it does not read, until nobody reads what it asks.
func (c *link) pester() {
	const requests = 4096
	var b []byte
	for range requests {
		b = (&packet.Pingreq{}).Append(b, c.version)
	}
	for err := error(nil); err == nil; {
		err = c.shout(b)
	}
}
