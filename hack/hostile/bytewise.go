package main

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// A CONNECT that never becomes complete, a byte at a time.
var bytewise = attack{
	name: "bytewise", what: "8 connections that send a CONNECT of 16 KiB to 1 MiB byte by byte, 4,000 segments a second",
	told: []string{"closed|reset"},
	run: func(ctx context.Context, a *attacker) error {
		const workers = 8
		sizes := []uint64{16 << 10, 60 << 10, 250 << 10, 1 << 20}
		interval := time.Second * workers / 4000
		a.together(workers, func(i int) {
			for ctx.Err() == nil {
				if c, err := a.dial(ctx, true); err == nil {
					go c.drain()
					c.spell(ctx, sizes[i%len(sizes)], interval)
					c.close()
				}
				sleep(ctx, 100*time.Millisecond)
			}
		})
		return nil
	},
}

// spell sends most of a CONNECT at once, and what follows byte by byte. A broker
// that has enough of it closes.
func (c *link) spell(ctx context.Context, size uint64, interval time.Duration) {
	const rest = 8 << 10 // bytes
	b := binary.AppendUvarint([]byte{byte(packet.TypeConnect) << 4}, size)
	b = append(b, 0, 4, 'M', 'Q', 'T', 'T', byte(packet.V5), 2, 0, 0)
	b = append(b, make([]byte, size-rest)...)
	if c.shout(b) != nil {
		return
	}
	for range rest / 2 {
		if c.over.Load() || ctx.Err() != nil || c.shout([]byte{0}) != nil {
			return
		}
		sleep(ctx, interval)
	}
}
