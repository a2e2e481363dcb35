package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// A volume that becomes full of what waits for sessions.
var fullDisk = attack{
	name: "full-disk", what: "messages of 32 KiB for 100 durable sessions whose clients are away, 400 a second, on a volume of 96 MiB until it is full and then",
	volume: 96, refuses: true, restarts: true, told: []string{"PUBACK 0x97"}, settings: "persistence: {size: 96Mi}",
	run: func(ctx context.Context, a *attacker) error {
		const sessions = 100
		for i := range sessions {
			c := a.insist(ctx, login{id: fmt.Sprintf("full-%d", i), durable: true})
			if c == nil {
				return nil
			}
			if err := c.subscribe(packet.QoS1, fmt.Sprintf("full/%d", i)); err != nil {
				return err
			}
			c.close()
		}
		payload := make([]byte, 32<<10)
		_, _ = rand.Read(payload) // never fails; and what cannot be compressed takes its space
		a.publishAt(ctx, time.Second/400, "full-publisher", func(i int) *packet.Publish {
			return &packet.Publish{QoS: packet.QoS1, Topic: fmt.Appendf(nil, "full/%d", i%sessions), Payload: payload}
		})
		return nil
	},
}
