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
	streams map[string]*history.Stream // topic -> its retained messages

	mu     sync.Mutex
	lowest map[string]int // topic -> number of the oldest message that may be there
	found  map[string]int // topic -> number
}

func (r *run) newObserver() *observer {
	o := &observer{streams: map[string]*history.Stream{}}
	for _, p := range r.publishers {
		for _, s := range p.retained {
			o.streams[s.Topic] = s
		}
	}
	o.actor = r.newActor("observer", packet.V5, false, client.Options{Message: o.message})
	return o
}

func (o *observer) message(p *packet.Publish) {
	if !p.Retain {
		return
	}
	topic := string(p.Topic)
	_, seq, ok := parsePayload(p.Payload)
	if !ok || o.streams[topic] == nil {
		o.run.history.Fault(fmt.Errorf("retained on %s are %d bytes that nobody has published: %.60q", p.Topic, len(p.Payload), p.Payload))
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.found[topic] = seq
	o.streams[topic].Looked(seq, o.lowest[topic])
}

// live looks every now and then until the load is over.
func (o *observer) live(ctx, load context.Context) {
	for load.Err() == nil {
		o.look(ctx)
		o.stay(load, time.Second) // what comes late is judged as well
		o.client.Drop()
	}
}

// look connects and reads the retained messages. It is false where the connection
// ends before all have come that have to.
func (o *observer) look(ctx context.Context) bool {
	if _, ok := o.connect(ctx, true, nil); !ok {
		return false
	}
	o.mu.Lock()
	o.found, o.lowest = map[string]int{}, map[string]int{}
	for topic, s := range o.streams {
		o.lowest[topic] = s.Lowest()
	}
	o.mu.Unlock()
	if o.client.Subscribe(ctx, packet.QoS0, "r/#") != nil {
		return false
	}
	for end := time.Now().Add(patience); o.owed() && time.Now().Before(end) && o.client.Connected(); {
		o.stay(ctx, 20*time.Millisecond)
	}
	if !o.client.Connected() || ctx.Err() != nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for topic, s := range o.streams {
		if o.found[topic] == 0 {
			s.Looked(0, o.lowest[topic])
		}
	}
	return true
}

// owed reports whether something has to come that has not.
func (o *observer) owed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for topic, s := range o.streams {
		if o.found[topic] == 0 && s.Owed(o.lowest[topic]) {
			return true
		}
	}
	return false
}
