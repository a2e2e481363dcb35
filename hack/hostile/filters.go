package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Long filters in durable sessions, and changes of one short one.
var filters = attack{
	name: "filters", what: "durable sessions with long topic filters, which subscribe and unsubscribe 200 times a second",
	told: []string{"SUBACK 0x97"},
	run: func(ctx context.Context, a *attacker) error {
		a.together(a.size(4, 2), func(i int) {
			for ctx.Err() == nil {
				c := a.insist(ctx, login{id: fmt.Sprintf("filters-%d", i), durable: true})
				if c == nil {
					return
				}
				go c.drain()
				subscribeLong(ctx, c, a.size(1000, 200))
				toggle(ctx, c, time.Second/50)
			}
		})
		return nil
	},
}

// subscribeLong subscribes to n filters of 60 kB, ten at a time.
func subscribeLong(ctx context.Context, c *link, n int) {
	const size, atOnce = 60_000, 10
	level := strings.Repeat("f", size)
	for i := 0; i < n && ctx.Err() == nil; i += atOnce {
		p := &packet.Subscribe{ID: c.id()}
		for k := range atOnce {
			p.Subscriptions = append(p.Subscriptions, packet.Subscription{Filter: fmt.Appendf(nil, "long/%d/%s", i+k, level)})
		}
		if !c.send(p) {
			return
		}
		c.await(ctx, int64(i/atOnce+1))
	}
}

// toggle subscribes to a short filter and takes it back, over and over.
func toggle(ctx context.Context, c *link, pause time.Duration) {
	filter := []byte("short")
	for ctx.Err() == nil {
		done := c.acked.Load()
		if !c.send(
			&packet.Subscribe{ID: c.id(), Subscriptions: []packet.Subscription{{Filter: filter}}},
			&packet.Unsubscribe{ID: c.id(), Filters: [][]byte{filter}},
		) {
			return
		}
		c.await(ctx, done+2)
		sleep(ctx, pause)
	}
}
