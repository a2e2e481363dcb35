package main

import (
	"context"
	"fmt"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/hack/torture/client"
	"github.com/godwit-mqtt/godwit/hack/torture/history"
)

// mourned is a client that leaves wills. Its session outlives its connections.
type mourned struct {
	*actor
	version packet.Version
	stream  *history.Stream
	seq     int // of the will of the latest CONNECT
	left    int // those who never came back
}

// Delays of wills, in seconds. MQTT 3 has none.
const (
	atOnce  = 0
	soon    = 1
	faraway = sessionExpiry / 2
)

func (r *run) newMourned(name string, v packet.Version, q packet.QoS) *mourned {
	return &mourned{
		actor: r.newActor(name, v, true, client.Options{}), version: v,
		stream: r.history.Stream(name, "will/"+name, q),
	}
}

// will makes the will of the next CONNECT. Each has one of its own, since nobody
// knows what became of a CONNECT that was not answered.
func (m *mourned) will(delay uint32) func() *packet.Will {
	return func() *packet.Will {
		m.seq = m.stream.Will()
		w := &packet.Will{QoS: m.stream.QoS, Topic: []byte(m.stream.Topic), Payload: payload(m.name, m.seq, m.size())}
		if delay > 0 {
			w.Properties.WillDelay = delay
			w.Properties.Set(packet.PropWillDelay)
		}
		return w
	}
}

// live connects and leaves until the load is over.
func (m *mourned) live(ctx, load context.Context) {
	resolve := func() {}
	for load.Err() == nil {
		delay := uint32(atOnce)
		if m.version == packet.V5 && m.oneIn(2) {
			delay = faraway
		}
		if _, ok := m.connect(ctx, false, m.will(delay)); !ok {
			return
		}
		resolve()
		m.stay(load, 2*time.Second)
		resolve = m.end(ctx, delay)
		if m.version == packet.V5 && m.oneIn(4) {
			m.mourn(ctx)
		}
		m.pause(load, 500*time.Millisecond)
	}
}

// end ends the connection. resolve is to be called after the next CONNACK and says
// what is sure of the will by then.
func (m *mourned) end(ctx context.Context, delay uint32) (resolve func()) {
	seq := m.seq
	if m.client.Connected() && m.oneIn(3) {
		// DISCONNECT has no answer: a kill near to it may have been first.
		before := m.run.history.Now() - time.Second
		m.client.Disconnect(ctx)
		return func() {
			if !m.run.history.KilledSince(before) {
				m.stream.Withdrawn(seq)
			}
		}
	}
	m.client.Drop()
	if delay > 0 {
		return func() { m.stream.Withdrawn(seq) } // the client is back in time
	}
	m.stream.Due(seq)
	return func() {}
}

// mourn has somebody leave a will who never comes back.
func (m *mourned) mourn(ctx context.Context) {
	m.left++
	gone := m.run.newMourned(fmt.Sprintf("%s-%d", m.name, m.left), packet.V5, m.stream.QoS)
	if _, ok := gone.connect(ctx, false, gone.will(soon)); ok {
		gone.stay(ctx, time.Second)
		gone.client.Drop()
		gone.stream.Due(gone.seq)
	}
}
