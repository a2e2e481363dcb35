package main

import (
	"context"
	"fmt"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Shared subscriptions: one message that becomes many, and groups with many
// members.
var (
	sharedGroups = attack{
		name: "shared-groups", what: "10 clients with 1,000 shared subscriptions each to one topic, and 20 messages of 1 kB a second to it",
		told: []string{"SUBACK 0x97"},
		run: func(ctx context.Context, a *attacker) error {
			const topic = "shared/t"
			a.together(a.size(10, 2), func(i int) {
				c := a.insist(ctx, login{id: fmt.Sprintf("groups-%d", i)})
				if c == nil {
					return
				}
				var filters []string
				for g := range 1000 {
					filters = append(filters, fmt.Sprintf("$share/g%d-%d/%s", i, g, topic))
				}
				if c.subscribe(packet.QoS0, filters...) == nil {
					go c.drain()
				}
			})
			payload := make([]byte, 1<<10)
			a.publishAt(ctx, time.Second/20, "groups-publisher", func(int) *packet.Publish {
				return &packet.Publish{QoS: packet.QoS1, Topic: []byte(topic), Payload: payload}
			})
			return nil
		},
	}
	sharedMembers = attack{
		name: "shared-members", what: "a group with 4,000 members, 400 of which leave and join each second",
		run: func(ctx context.Context, a *attacker) error {
			n := a.size(4000, 100)
			members := make(chan *link, n)
			a.together(a.size(16, 4), func(w int) {
				for i := w; i < n && ctx.Err() == nil; i += a.size(16, 4) {
					c, err := a.connect(ctx, login{id: fmt.Sprintf("member-%d", i)})
					if err == nil && c.subscribe(packet.QoS1, memberFilter) == nil {
						members <- c
					}
				}
			})
			for ctx.Err() == nil {
				select {
				case c := <-members:
					if c.send(&packet.Unsubscribe{ID: c.id(), Filters: [][]byte{[]byte(memberFilter)}}) &&
						c.subscribe(packet.QoS1, memberFilter) == nil {
						members <- c
					}
				case <-ctx.Done():
				}
				sleep(ctx, time.Second/400)
			}
			return nil
		},
	}
)

const memberFilter = "$share/members/shared/m"
