package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Clients that want everything and take it at a trickle.
var slowReaders = attack{
	name: "slow-readers", what: "10 clients that read 1 kB a second of '#', at QoS 0, 1 and 2, where 2 MB a second are published besides",
	run: func(ctx context.Context, a *attacker) error {
		go a.publishLarge(ctx, "slow/t")
		a.together(a.size(10, 6), func(i int) {
			for ctx.Err() == nil {
				c := a.insist(ctx, login{id: fmt.Sprintf("slow-%d", i)})
				if c == nil {
					return
				}
				c.shrink()
				if c.subscribe(packet.QoS(i%3), "#") == nil {
					c.trickle(ctx)
				}
				c.close()
			}
		})
		return nil
	},
}

// shrink has the kernel keep little of what comes.
func (c *link) shrink() {
	if t, ok := c.Conn.(*net.TCPConn); ok {
		_ = t.SetReadBuffer(4 << 10) // it keeps more then
	}
}

// trickle reads at 1 kB a second until the connection ends, and answers nothing.
func (c *link) trickle(ctx context.Context) {
	buf := make([]byte, 100)
	for ctx.Err() == nil {
		if _, err := c.in.Read(buf); err != nil {
			c.ended(err)
			return
		}
		sleep(ctx, 100*time.Millisecond)
	}
}

// publishLarge publishes 20 messages of 100 kB a second.
func (a *attacker) publishLarge(ctx context.Context, topic string) {
	payload := make([]byte, 100_000)
	a.publishAt(ctx, time.Second/20, "large-publisher", func(int) *packet.Publish {
		return &packet.Publish{QoS: packet.QoS0, Topic: []byte(topic), Payload: payload}
	})
}
