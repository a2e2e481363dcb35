package session

import "github.com/godwit-mqtt/godwit/broker/packet"

// queue holds the deliveries that wait in memory for room in the window or for
// their client to come back, first in first out.
type queue struct {
	items []*Delivery
	bytes int
	head  int32
	qos0  int32 // items of QoS 0
}

// What a queue holds at most of a durable session, whose store has the rest; it
// gets more when it has a quarter of that, or less.
const (
	wholeMessages = 256
	wholeBytes    = 1 << 20
)

func (q *queue) len() int { return len(q.items) - int(q.head) }

// room returns how much more the queue may hold of a durable session.
func (q *queue) room() (messages, bytes int) {
	return wholeMessages - q.len(), wholeBytes - q.bytes
}

// takes reports whether d may come to the queue of a durable session.
func (q *queue) takes(d *Delivery) bool {
	messages, bytes := q.room()
	return messages > 0 && d.Size() <= bytes || q.len() == 0
}

// low reports whether the queue of a durable session is to be refilled.
func (q *queue) low() bool { return q.len() <= wholeMessages/4 && q.bytes <= wholeBytes/4 }

func (q *queue) push(d *Delivery) {
	q.items = append(q.items, d)
	q.bytes += d.Size()
	if d.QoS == packet.QoS0 {
		q.qos0++
	}
}

func (q *queue) pop() *Delivery {
	d := q.items[q.head]
	q.items[q.head] = nil
	q.head++
	q.bytes -= d.Size()
	if d.QoS == packet.QoS0 {
		q.qos0--
	}
	switch {
	case int(q.head) == len(q.items):
		q.items, q.head = nil, 0
	case q.head >= 64 && int(q.head)*2 >= len(q.items):
		q.items = append([]*Delivery(nil), q.items[q.head:]...)
		q.head = 0
	}
	return d
}
