package main

import (
	"context"
	"time"
)

// Connections that never say what they want.
var (
	connections = attack{
		name: "connections", what: "12,000 connections of 200 addresses without CONNECT, more than there are descriptors",
		descriptors: 8192, told: []string{"closed|reset"},
		run: func(ctx context.Context, a *attacker) error { return a.openSilently(ctx, true) },
	}
	connectionsOfOneAddress = attack{
		name: "connections-one-address", what: "the same from the one address that everybody shares",
		descriptors: 8192, told: []string{"closed|reset"},
		run: func(ctx context.Context, a *attacker) error { return a.openSilently(ctx, false) },
	}
)

// openSilently opens connections, says nothing, and opens another one for each
// that is closed.
func (a *attacker) openSilently(ctx context.Context, spread bool) error {
	a.together(a.size(12000, 300), func(int) {
		for ctx.Err() == nil {
			if c, err := a.dial(ctx, spread); err == nil {
				c.drain()
			}
			sleep(ctx, time.Second)
		}
	})
	return nil
}
