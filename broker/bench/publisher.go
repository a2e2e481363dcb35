package bench

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"strings"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// publisher is what a client that publishes keeps.
type publisher struct {
	receiveMaximum int // that the broker announced; zero is no limit
	inflight       int // sent and not acknowledged, in QoS 1 and 2
	unreceived     int // deliveries that are expected and have not come
	id             uint16
	sent           uint64
	quota          uint64 // of messages to send in all
	due            int    // messages that the schedule wants to be sent
	held           int    // those of them that were counted as held back
	touched        bool   // it is in run.touched

	frame   []byte   // a PUBLISH in which topic, identifier and stamp are changed
	idAt    int      // negative in QoS 0
	stampAt int      // negative where the payload is empty
	numbers []uint32 // sequence number of each stream
	walk    *walk    // of Wildcard and Retained
	sentAt  []int64  // by packet identifier modulo its length; not in QoS 0
	noise   []byte   // that payloads are cut from; nil: they are all the same
}

// maxPending bounds the bytes that wait because the broker does not read.
const maxPending = 256 << 10

// newPublisher encodes the message that c will send again and again.
func newPublisher(o *Options, number int) *publisher {
	p := &publisher{numbers: make([]uint32, 1), quota: math.MaxUint64}
	switch o.Scenario {
	case Wildcard:
		p.walk = newWalk(o, number)
		p.numbers = make([]uint32, o.Subscribers)
	case Retained:
		p.walk = newRetainedWalk(o, number)
	default:
	}
	if o.stores() {
		p.quota = uint64(quota(o, number))
	}
	p.encode(o, expand(o.Topic, number), bytes.Repeat([]byte("godwit "), o.Size/7+1)[:o.Size])
	p.stampAt = len(p.frame) - o.Size
	if o.QoS > packet.QoS0 {
		p.sentAt = make([]int64, 1<<bits.Len(uint(o.Window+1)))
	}
	return p
}

// noiseSize is the number of bytes after which payloads that cannot be
// compressed begin anew.
const noiseSize = 1 << 20

// noise is what the payloads of messages that may be stored are cut from. A disk
// that compresses would make all others look small.
func noise(o *Options) []byte {
	if !o.Persistent && !o.stores() {
		return nil
	}
	b := make([]byte, noiseSize+o.Size)
	_, _ = rand.Read(b) // never fails
	return b
}

// encode sets the frame. Where there is a walk, the topic is its pattern.
func (p *publisher) encode(o *Options, topic string, payload []byte) {
	if p.walk != nil {
		topic = p.walk.pattern
	}
	message := packet.Publish{QoS: o.QoS, Retain: o.Retain, Topic: []byte(topic), Payload: payload}
	p.frame, p.idAt = message.AppendFrame(nil, o.Version)
	if p.walk != nil {
		p.walk.at = bytes.Index(p.frame, []byte(topic)) + p.walk.digits
	}
}

// startErasing makes it go over its topics once more, with the empty payload
// that removes a retained message [MQTT-3.3.1-6].
func (p *publisher) startErasing(o *Options) {
	p.walk.next = 0
	p.encode(o, "", nil)
	p.stampAt = -1
	p.sent, p.quota = 0, p.sent
}

// quota is a publisher's share of the messages to be stored.
func quota(o *Options, number int) int {
	share := o.Messages / o.Publishers
	if number < o.Messages%o.Publishers {
		share++
	}
	return share
}

// walk goes over the topics of Wildcard or Retained, so that no two messages in
// a row have the same.
type walk struct {
	pattern string // a topic in which the number's digits are zeros
	digits  int    // where they begin in it
	at      int    // where they begin in the frame
	next    int    // number of the next topic
	stride  int
	numbers int // that there are
}

const (
	digits     = 6
	walkStride = 2 * 7919 // even, so that it keeps to one kind of filter
)

// Even filters have a wildcard in the middle, odd ones at the end.
func wildcardFilter(prefix string, filter int) string {
	if filter%2 == 0 {
		return fmt.Sprintf("%s/+/state/%0*d", prefix, digits, filter)
	}
	return fmt.Sprintf("%s/%0*d/#", prefix, digits, filter)
}

func newWalk(o *Options, publisher int) *walk {
	w := &walk{numbers: o.Filters, stride: walkStride, next: publisher%2 + 2*(publisher*977%(o.Filters/2))}
	zeros := strings.Repeat("0", digits)
	if publisher%2 == 0 {
		w.pattern = fmt.Sprintf("%s/r%d/state/", o.Topic, publisher)
		w.digits = len(w.pattern)
		w.pattern += zeros
	} else {
		w.digits = len(o.Topic) + 1
		w.pattern = fmt.Sprintf("%s/%s/r%d/state", o.Topic, zeros, publisher)
	}
	return w
}

// newRetainedWalk goes over as many topics as the publisher has messages.
func newRetainedWalk(o *Options, publisher int) *walk {
	prefix := fmt.Sprintf("%s/%d/", o.Topic, publisher)
	return &walk{
		pattern: prefix + strings.Repeat("0", digits), digits: len(prefix),
		stride: 1, numbers: quota(o, publisher),
	}
}

// step writes the topic into the frame, goes on, and returns its number; in
// Wildcard that of the filter which matches it.
func (w *walk) step(frame []byte) (number int) {
	number = w.next
	for i, rest := w.at+digits-1, number; i >= w.at; i, rest = i-1, rest/10 {
		frame[i] = byte('0' + rest%10)
	}
	w.next = (number + w.stride) % w.numbers
	return number
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
	return int(min(uint64(c.free()), c.quota-c.sent))
}

// free is how many messages the window and the connection have room for.
func (c *client) free() int {
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
	if c.stampAt >= 0 {
		if c.noise != nil {
			o := &c.run.options
			from := (c.sent*uint64(o.Publishers) + uint64(c.number)) * uint64(o.Size)
			copy(frame[c.stampAt:], c.noise[from%noiseSize:])
		}
		stamp{run: c.run.id, publisher: uint32(c.number), sequence: c.numbers[stream], time: at}.put(frame[c.stampAt:])
	}
	c.numbers[stream]++
	c.sent++
	if c.idAt < 0 {
		return
	}
	if c.id++; c.id == 0 {
		c.id = 1
	}
	binary.BigEndian.PutUint16(frame[c.idAt:], c.id)
	c.sentAt[int(c.id)&(len(c.sentAt)-1)] = at
}

// acknowledged takes the end of a QoS 1 or 2 exchange.
func (c *client) acknowledged(id uint16, refused bool) {
	c.inflight = max(c.inflight-1, 0)
	c.run.count.acknowledged++
	if refused {
		c.run.count.refused++
	}
	if c.sentAt != nil {
		c.run.record(&c.run.acks, c.sentAt[int(id)&(len(c.sentAt)-1)])
	}
}
