package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/hack/torture/client"
)

// Retained messages: more than the disk takes, more than there is room for, and
// more than one user should have.
var (
	retainedFlood = attack{
		name: "retained-flood", what: "retained messages of QoS 0, of 1 kB and empty, 10,000 a second",
		run: func(ctx context.Context, a *attacker) error { return a.floodRetained(ctx, 10000, 1<<10) },
	}
	retainedFullDisk = attack{
		name: "retained-full-disk", what: "the same with 16 KiB, 2,000 a second, on a volume of 96 MiB until it is full and then",
		volume: 96, refuses: true, restarts: true, settings: "persistence: {size: 96Mi}",
		run: func(ctx context.Context, a *attacker) error { return a.floodRetained(ctx, 2000, 16<<10) },
	}
	retainedQuota = attack{
		name: "retained-quota", what: "tiny retained messages under new topics until there may be no more, and then",
		settings:      "mqtt: {retained: {maxMessages: 40000}}",
		shortSettings: "mqtt: {retained: {maxMessages: 200}}",
		told:          []string{"PUBACK 0x97"},
		bounds:        map[string]bound{"godwit_retained_messages": {40000, 200}},
		run: func(ctx context.Context, a *attacker) error {
			a.publishAt(ctx, time.Second/5000, "retained", func(i int) *packet.Publish {
				return &packet.Publish{QoS: packet.QoS1, Retain: true, Topic: fmt.Appendf(nil, "r/%d", i), Payload: []byte{1}}
			})
			return nil
		},
		beside: retainBeside,
	}
)

// floodRetained publishes messages of a size at a rate; every fourth one takes the
// retained message of a topic away.
func (a *attacker) floodRetained(ctx context.Context, rate, size int) error {
	payload := make([]byte, size)
	_, _ = rand.Read(payload) // never fails; and what cannot be compressed takes its space
	a.publishAt(ctx, time.Second/time.Duration(rate), "flood", func(i int) *packet.Publish {
		p := &packet.Publish{Retain: true, Topic: fmt.Appendf(nil, "flood/%d", i), Payload: payload}
		if i%4 == 3 {
			p.Topic, p.Payload = fmt.Appendf(nil, "flood/%d", i/2), nil
		}
		return p
	})
	return nil
}

// retainBeside retains a message under another user's name all the time. Each has
// to be taken, and has to reach a subscriber.
func retainBeside(ctx context.Context, b *bystander) error {
	const topic = "beside/retained"
	arrived, refused := make(chan struct{}, 1), make(chan struct{}, 1)
	sub := b.client("beside-subscriber", bystanderUser, false, client.Options{Message: func(*packet.Publish) { note(arrived) }})
	pub := b.client("beside-publisher", bystanderUser, false, client.Options{Answered: func(_ *client.Outgoing, o client.Outcome) {
		if o == client.Refused {
			note(refused)
		}
	}})
	for _, c := range []*client.Client{sub, pub} {
		if _, err := c.Connect(ctx, true, nil); err != nil {
			return err
		}
		defer c.Drop()
	}
	if err := sub.Subscribe(ctx, packet.QoS1, topic); err != nil {
		return err
	}
	for ctx.Err() == nil {
		pub.Publish(&client.Outgoing{Publish: packet.Publish{QoS: packet.QoS1, Retain: true, Topic: []byte(topic), Payload: []byte("x")}})
		select {
		case <-arrived:
		case <-refused:
			return errors.New("another user's retained message was refused")
		case <-time.After(10 * time.Second):
			return errors.New("another user's retained message does not arrive")
		case <-ctx.Done():
		}
		sleep(ctx, 100*time.Millisecond)
	}
	return nil
}

// note remembers that something has happened.
func note(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
