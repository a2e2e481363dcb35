package main

import (
	"context"
	"fmt"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/hack/torture/client"
	"github.com/godwit-mqtt/godwit/hack/torture/history"
)

// topics of each quality of service that all publishers share.
const topics = 4

// publisher sends messages as fast as it may, and keeps those that were not
// acknowledged for the next connection.
type publisher struct {
	*actor
	durable  bool
	streams  [][]*history.Stream // by place among the qualities of service, and topic
	retained []*history.Stream
}

// sent names a message in its stream.
type sent struct {
	*history.Stream
	seq int
}

// newPublisher makes the i-th publisher. Every fourth has a session that ends
// with its connection, and publishes nothing that is retained.
func (r *run) newPublisher(i int) *publisher {
	const clean = 3 // of four
	p := &publisher{durable: i%4 != clean}
	name := fmt.Sprintf("publisher-%d", i)
	p.actor = r.newActor(name, r.options.versions.turn(i), p.durable, client.Options{Answered: p.answered})
	for _, q := range r.options.qos.chosen {
		var streams []*history.Stream
		for k := range topics {
			streams = append(streams, r.history.Stream(name, fmt.Sprintf("t/%v/%d", q, k), packet.QoS(q)))
		}
		p.streams = append(p.streams, streams)
		if p.durable && packet.QoS(q) > packet.QoS0 {
			p.retained = append(p.retained, r.history.Stream(name, fmt.Sprintf("r/%s/%v", name, q), packet.QoS(q)))
		}
	}
	return p
}

func (p *publisher) answered(m *client.Outgoing, o client.Outcome) {
	p.run.promised()
	s := m.Tag.(sent)
	if o == client.Refused {
		p.run.history.Fault(fmt.Errorf("message %d of %s on %s is refused", s.seq, s.Publisher, s.Topic))
		return
	}
	s.Acknowledged(s.seq)
}

// live publishes until the load is over, and then goes on until nothing is in
// flight.
func (p *publisher) live(ctx, load context.Context) {
	for load.Err() == nil {
		if _, ok := p.connect(ctx, !p.durable, nil); !ok {
			return
		}
		p.publish(load)
	}
	for !p.client.Room(ctx, 1) && ctx.Err() == nil {
		if !p.client.Connected() {
			p.connect(ctx, !p.durable, nil)
		}
	}
	p.client.Disconnect(ctx)
}

// publish sends bursts of messages at the rate of the run, as long as the
// connection stands.
func (p *publisher) publish(load context.Context) {
	const longest = 20 // messages of a burst
	perMessage := time.Second * time.Duration(p.run.options.publishers) / time.Duration(p.run.options.rate)
	due := time.Now()
	for p.client.Connected() && load.Err() == nil {
		burst := 1 + p.rand.IntN(longest)
		for range burst {
			if !p.client.Room(load, p.run.options.window) {
				return
			}
			p.send()
		}
		due = due.Add(time.Duration(burst) * perMessage)
		if late := time.Since(due); late > 0 { // what was missed is not made up for
			due = due.Add(late)
		}
		select {
		case <-time.After(time.Until(due)):
		case <-p.client.Ended():
		case <-load.Done():
		}
	}
}

func (p *publisher) send() {
	if len(p.retained) > 0 && p.oneIn(10) {
		p.sendOn(p.retained[p.rand.IntN(len(p.retained))], true, p.oneIn(5))
		return
	}
	streams := p.streams[p.rand.IntN(len(p.streams))]
	p.sendOn(streams[p.rand.IntN(len(streams))], false, false)
}

func (p *publisher) sendOn(s *history.Stream, retain, empty bool) {
	seq := s.Publish(empty)
	m := &client.Outgoing{Tag: sent{s, seq}, Publish: packet.Publish{QoS: s.QoS, Retain: retain, Topic: []byte(s.Topic)}}
	if !empty {
		m.Payload = payload(p.name, seq, p.size())
	}
	p.client.Publish(m)
}
