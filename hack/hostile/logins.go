package main

import (
	"context"
	"fmt"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Logins of users that there are not.
var usernames = attack{
	name: "usernames", what: "4,000 logins at a time of made-up users, from 200 addresses",
	told: []string{"CONNACK 0x86|CONNACK 0x89|CONNACK 0x87"},
	run: func(ctx context.Context, a *attacker) error {
		workers := a.size(4000, 40)
		a.together(workers, func(i int) {
			for n := i; ctx.Err() == nil; n += workers {
				c, err := a.connect(ctx, login{id: fmt.Sprintf("made-up-%d", n), change: func(p *packet.Connect) {
					p.Username = fmt.Appendf(nil, "made-up-%d", n)
				}})
				if err == nil {
					c.close()
				}
				sleep(ctx, settling)
			}
		})
		return nil
	},
	// Users who have never been here before log in.
	finishes: true,
	beside: func(ctx context.Context, b *bystander) error {
		for i := range b.size(strangers, 3) {
			name := fmt.Sprintf(strangersName, i)
			if err := b.logIn(ctx, name, name, false); err != nil || ctx.Err() != nil {
				return err
			}
			sleep(ctx, settling/2)
		}
		return nil
	},
}

// Clients without credentials, where they are admitted.
var anonymous = attack{
	name: "anonymous", what: "5,000 anonymous clients of MQTT 3.1.1 without keep alive, with durable sessions, which say nothing",
	settings: "authentication: {anonymous: true}",
	run: func(ctx context.Context, a *attacker) error {
		a.together(a.size(5000, 50), func(i int) {
			for n := i; ctx.Err() == nil; n++ {
				c, err := a.connect(ctx, login{id: fmt.Sprintf("anonymous-%d", i), version: packet.V311, anonymous: true, durable: true})
				if err == nil && c.subscribe(packet.QoS1, fmt.Sprintf("anonymous/%d", i)) == nil {
					c.drain()
				}
				sleep(ctx, settling)
			}
		})
		return nil
	},
}
