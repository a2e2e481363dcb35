package session

import "github.com/godwit-mqtt/godwit/broker/packet"

// queue holds the deliveries that wait for room in the window or for their
// client to come back, first in first out.
type queue struct {
	items []*Delivery
	head  int
	bytes int
	qos0  int // items of QoS 0
}

func (q *queue) len() int { return len(q.items) - q.head }

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
	case q.head == len(q.items):
		q.items, q.head = nil, 0
	case q.head >= 64 && q.head*2 >= len(q.items):
		q.items = append([]*Delivery(nil), q.items[q.head:]...)
		q.head = 0
	}
	return d
}
