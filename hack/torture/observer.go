package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/hack/torture/client"
	"github.com/godwit-mqtt/godwit/hack/torture/history"
)

// observer looks at the retained messages, each time with a new session.
type observer struct {
	*actor
	streams []*history.Stream // of all retained messages

	mu    sync.Mutex
	found map[string]int // topic -> number
}

func (r *run) newObserver() *observer {
	o := &observer{}
	for _, p := range r.publishers {
		o.streams = append(o.streams, p.retained...)
	}
	o.actor = r.newActor("observer", packet.V5, false, client.Options{Message: o.message})
	return o
}

func (o *observer) message(p *packet.Publish) {
	if !p.Retain {
		return
	}
	_, seq, ok := parsePayload(p.Payload)
	if !ok {
		o.run.history.Fault(fmt.Errorf("retained on %s are %d bytes that nobody has published: %.60q", p.Topic, len(p.Payload), p.Payload))
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.found[string(p.Topic)] = seq
}

// live looks every now and then until the load is over.
func (o *observer) live(ctx, load context.Context) {
	for load.Err() == nil {
		o.look(ctx)
		o.pause(load, time.Second)
	}
}

// look reads the retained messages. It is false where the connection ended
// before all had come.
func (o *observer) look(ctx context.Context) bool {
	o.mu.Lock()
	o.found = map[string]int{}
	o.mu.Unlock()
	if _, ok := o.connect(ctx, true, nil); !ok {
		return false
	}
	defer o.client.Drop()
	lowest := make([]int, len(o.streams))
	for i, s := range o.streams {
		lowest[i] = s.Lowest()
	}
	// What is retained comes before the answer to the PINGREQ.
	if o.client.Subscribe(ctx, packet.QoS0, "r/#") != nil || o.client.Ping(ctx) != nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, s := range o.streams {
		s.Looked(o.found[s.Topic], lowest[i])
	}
	return true
}
