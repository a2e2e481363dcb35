package main

import (
	"context"
	"fmt"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Durable sessions that nobody comes back to.
var (
	sessions = attack{
		name: "sessions", what: "durable sessions under new client IDs with 10 subscriptions each, 400 a second",
		settings: "mqtt: {maxSessions: 500}", shortSettings: "mqtt: {maxSessions: 20}",
		told: []string{"CONNACK 0x97"}, bounds: map[string]bound{"godwit_sessions": {500, 20}},
		run: func(ctx context.Context, a *attacker) error {
			workers := a.size(8, 2)
			a.together(workers, func(i int) {
				for n := i; ctx.Err() == nil; n += workers {
					a.leaveSession(ctx, n, sessionExpiry)
					sleep(ctx, time.Second/50)
				}
			})
			return nil
		},
	}
	expiry = attack{
		name: "expiry", what: "as many durable sessions as there may be, which all expire in the same second",
		run: func(ctx context.Context, a *attacker) error {
			const workers = 16
			began, last := time.Now(), time.Duration(a.size(8, 3))*time.Second
			a.together(workers, func(i int) {
				for n := i; ctx.Err() == nil && time.Since(began) < last-time.Second; n += workers {
					left := last - time.Since(began)
					a.leaveSession(ctx, n, uint32(left.Round(time.Second)/time.Second))
				}
			})
			return nil
		},
	}
)

// leaveSession makes a session that lasts for some seconds, and leaves it.
func (a *attacker) leaveSession(ctx context.Context, n int, seconds uint32) {
	const filters = 10
	c, err := a.connect(ctx, login{id: fmt.Sprintf("session-%08d", n), durable: true, change: func(p *packet.Connect) {
		p.Properties.SessionExpiry = seconds
	}})
	if err != nil {
		return
	}
	defer c.close()
	var all []string
	for i := range filters {
		all = append(all, fmt.Sprintf("session/%d/%d", n, i))
	}
	if c.subscribe(packet.QoS1, all...) == nil {
		c.send(&packet.Disconnect{})
	}
}
