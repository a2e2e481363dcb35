package bench

import (
	"encoding/binary"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// subscriber is what a client that subscribes keeps.
type subscriber struct {
	// sequences of the publishers that it hears, by their numbers. In Pair there
	// is only one, in Subscribe they are in strangers.
	sequences []sequence
	strangers map[stranger]*sequence
}

// stranger is a publisher of another run.
type stranger struct{ run, publisher uint32 }

func newSubscriber(o *Options) *subscriber {
	switch o.Scenario {
	case Subscribe:
		return &subscriber{strangers: map[stranger]*sequence{}}
	case Pair:
		return &subscriber{sequences: make([]sequence, 1)}
	case Retained:
		s := &subscriber{sequences: make([]sequence, o.Publishers)}
		for i := range s.sequences {
			s.sequences[i] = newUnordered(quota(o, i))
		}
		return s
	default:
		return &subscriber{sequences: make([]sequence, o.Publishers)}
	}
}

// handlePublish takes a message and acknowledges it.
func (c *client) handlePublish(flags byte, body []byte) error {
	if len(body) < 2 {
		return errShort
	}
	n := 2 + int(binary.BigEndian.Uint16(body))
	if qos := packet.QoS(flags >> 1 & 3); qos > packet.QoS0 {
		if n += 2; n > len(body) {
			return errShort
		}
		reply := packet.TypePuback
		if qos == packet.QoS2 {
			reply = packet.TypePubrec
		}
		c.out = packet.AppendAck(c.out, reply, binary.BigEndian.Uint16(body[n-2:]))
	}
	if n > len(body) {
		return errShort
	}
	if c.run.options.Version >= packet.V5 {
		length, size := binary.Uvarint(body[n:])
		if n += size + int(min(length, packet.MaxLength)); size <= 0 || n > len(body) {
			return errShort
		}
	}
	c.run.count.bytes += uint64(len(body) - n)
	c.deliver(body[n:])
	return nil
}

// deliver accounts for a message by its payload.
func (c *client) deliver(payload []byte) {
	r := c.run
	r.count.received++
	if c.subscriber == nil || len(payload) < stampSize {
		r.count.foreign++
		return
	}
	s := parseStamp(payload)
	follow, from := c.follow(s)
	if follow == nil {
		r.count.foreign++
		return
	}
	a, gap := follow.accept(s.sequence)
	switch a {
	case duplicate:
		r.count.duplicates++
		return
	case late:
		r.count.late++
		r.count.missing--
	case afterGap:
		r.count.missing += uint64(gap)
	case inOrder:
	}
	r.count.delivered++
	r.record(&r.latency, s.time)
	if from != nil && a != late {
		from.unreceived = max(from.unreceived-1-int(gap), 0)
		r.touch(from)
	}
}

// follow returns the sequence that a message belongs to, nil if to none, and
// the publisher if it is of this run.
func (c *client) follow(s stamp) (follow *sequence, from *client) {
	if c.strangers != nil {
		return c.followStranger(s), nil
	}
	r := c.run
	if s.run != r.id || int64(s.publisher) >= int64(len(r.publishers)) {
		return nil, nil
	}
	from = r.publishers[s.publisher]
	if len(c.sequences) != len(r.publishers) { // Pair
		if int(s.publisher) != c.number {
			return nil, nil
		}
		return &c.sequences[0], from
	}
	return &c.sequences[s.publisher], from
}

// followStranger counts from the first message that is heard of a publisher.
func (c *client) followStranger(s stamp) *sequence {
	key := stranger{s.run, s.publisher}
	follow := c.strangers[key]
	if follow == nil && len(c.strangers) < maxStrangers {
		follow = &sequence{next: s.sequence}
		c.strangers[key] = follow
	}
	return follow
}

// maxStrangers bounds the memory that messages from anywhere can take.
const maxStrangers = 1 << 20
