package bench

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// publisher is what a client that publishes keeps.
type publisher struct {
	receiveMaximum int // that the broker announced; zero is no limit
	inflight       int // sent and not acknowledged, in QoS 1 and 2
	unreceived     int // deliveries that are expected and have not come
	id             uint16
	sent           uint64
	due            int  // messages that the schedule wants to be sent
	held           int  // those of them that were counted as held back
	touched        bool // it is in run.touched

	frame   []byte // a PUBLISH in which topic, identifier and stamp are changed
	idAt    int    // negative in QoS 0
	stampAt int
	numbers []uint32 // sequence number of each stream
	walk    *walk    // of Wildcard
	sentAt  []int64  // by packet identifier modulo its length, where acknowledgements are timed
}

// maxPending bounds the bytes that wait because the broker does not read.
const maxPending = 256 << 10

// newPublisher encodes the message that c will send again and again.
func newPublisher(o *Options, number int) *publisher {
	p := &publisher{numbers: make([]uint32, 1)}
	topic := expand(o.Topic, number)
	if o.Scenario == Wildcard {
		p.walk = newWalk(o, number)
		p.numbers = make([]uint32, o.Subscribers)
		topic = p.walk.pattern
	}
	message := packet.Publish{
		QoS: o.QoS, Retain: o.Retain, Topic: []byte(topic),
		Payload: bytes.Repeat([]byte("godwit "), o.Size/7+1)[:o.Size],
	}
	p.frame, p.idAt = message.AppendFrame(nil, o.Version)
	p.stampAt = len(p.frame) - o.Size
	if p.walk != nil {
		p.walk.at += bytes.Index(p.frame, []byte(topic))
	}
	if o.copies() == 0 && o.QoS > packet.QoS0 {
		p.sentAt = make([]int64, 1<<bits.Len(uint(o.Window+1)))
	}
	return p
}

// walk goes over the topics of Wildcard, so that no two messages in a row have
// the same.
type walk struct {
	pattern string
	at      int // where the digits of the filter's number stand in the frame
	filter  int // that the next topic matches
	filters int
}

const (
	filterDigits = 6
	walkStride   = 2 * 7919 // even, so that it keeps to one kind of filter
)

// Even filters have a wildcard in the middle, odd ones at the end.
func wildcardFilter(prefix string, filter int) string {
	if filter%2 == 0 {
		return fmt.Sprintf("%s/+/state/%0*d", prefix, filterDigits, filter)
	}
	return fmt.Sprintf("%s/%0*d/#", prefix, filterDigits, filter)
}

func newWalk(o *Options, publisher int) *walk {
	w := &walk{filters: o.Filters, filter: publisher%2 + 2*(publisher*977%(o.Filters/2))}
	zeros := fmt.Sprintf("%0*d", filterDigits, 0)
	if publisher%2 == 0 {
		w.pattern = fmt.Sprintf("%s/r%d/state/", o.Topic, publisher)
		w.at = len(w.pattern)
		w.pattern += zeros
	} else {
		w.at = len(o.Topic) + 1
		w.pattern = fmt.Sprintf("%s/%s/r%d/state", o.Topic, zeros, publisher)
	}
	return w
}

// step writes the topic into the frame, goes on, and returns the filter that
// matches it.
func (w *walk) step(frame []byte) (filter int) {
	filter = w.filter
	for i, rest := w.at+filterDigits-1, filter; i >= w.at; i, rest = i-1, rest/10 {
		frame[i] = byte('0' + rest%10)
	}
	w.filter = (filter + walkStride) % w.filters
	return filter
}

// fill sends what may be sent.
func (c *client) fill() {
	c.touched = false
	if c.state != ready || !c.run.sending {
		return
	}
	n := c.room()
	c.holdBack(n)
	if n == 0 {
		return
	}
	now := c.run.clock.now()
	for range n {
		at := now
		if c.run.options.Rate > 0 {
			at = c.run.schedule.due(uint64(c.number) + c.sent*uint64(c.run.options.Publishers))
		}
		c.send(at)
	}
	c.run.account(c, n)
	c.link.flush(c)
	if c.state == ready && c.run.unbounded && len(c.out) == 0 {
		c.run.touch(c)
	}
}

// holdBack counts the messages that are due and have to wait, each once, when n
// others are about to go.
func (c *client) holdBack(n int) {
	waiting := max(c.due-n, 0)
	before := max(c.held-n, 0)
	c.run.count.heldBack += uint64(max(waiting-before, 0))
	c.held = waiting
}

// room is how many messages may be sent now.
func (c *client) room() int {
	if len(c.out) > maxPending {
		return 0
	}
	window := c.run.options.Window
	if c.receiveMaximum > 0 && c.idAt >= 0 {
		window = min(window, c.receiveMaximum)
	}
	if c.run.options.Rate > 0 {
		return max(min(window-c.inflight, c.due), 0)
	}
	if c.run.unbounded && len(c.out) > 0 {
		return 0
	}
	busy := c.inflight
	if copies := c.run.copies; copies > 0 {
		busy = max(busy, (c.unreceived+copies-1)/copies)
	}
	// Half a window at a time: a message at a time would make each of them pay
	// for a system call.
	if free := window - busy; free >= max(window/2, 1) {
		return free
	}
	return 0
}

// send appends one message to what goes out.
func (c *client) send(at int64) {
	stream := 0
	if c.walk != nil {
		stream = c.walk.step(c.frame) % len(c.numbers)
	}
	start := len(c.out)
	c.out = append(c.out, c.frame...)
	frame := c.out[start:]
	stamp{run: c.run.id, publisher: uint32(c.number), sequence: c.numbers[stream], time: at}.put(frame[c.stampAt:])
	c.numbers[stream]++
	c.sent++
	if c.idAt < 0 {
		return
	}
	if c.id++; c.id == 0 {
		c.id = 1
	}
	binary.BigEndian.PutUint16(frame[c.idAt:], c.id)
	if c.sentAt != nil {
		c.sentAt[int(c.id)&(len(c.sentAt)-1)] = at
	}
}

// acknowledged takes the end of a QoS 1 or 2 exchange.
func (c *client) acknowledged(id uint16, refused bool) {
	c.inflight = max(c.inflight-1, 0)
	c.run.count.acknowledged++
	if refused {
		c.run.count.refused++
	}
	if c.sentAt != nil {
		c.run.record(c.sentAt[int(id)&(len(c.sentAt)-1)])
	}
}
