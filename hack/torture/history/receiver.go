package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// Receiver is who gets messages: a session, or all members of a shared
// subscription together. Its subscriptions do not overlap.
type Receiver struct {
	history *History
	name    string
	qos     packet.QoS
	kind    ReceiverKind
	spans   []*span
	got     map[*Stream]*got
	owed    map[debt]struct{} // has not come; what is not owed any more may be among it
}

// debt names a message.
type debt struct {
	stream *Stream
	seq    int
}

// ReceiverKind says what a Receiver may expect.
type ReceiverKind int

// The kinds.
const (
	Durable ReceiverKind = iota // each acknowledged message of QoS 1 and 2, in order
	Group                       // the same in any order, by any member
	Passing                     // nothing, but what it gets is in order
)

// span is how long a subscription lasts. In between the pairs of times nobody
// knows whether there is one.
type span struct {
	filter      string
	from, since time.Duration // SUBSCRIBE is sent, SUBACK has come
	until, to   time.Duration // UNSUBSCRIBE is sent, UNSUBACK has come
}

// got is what a Receiver has of a Stream.
type got struct {
	count   []uint8 // by number, from 1
	highest int
	first   time.Duration // when the highest came
}

func (g *got) times(seq int) int {
	if g == nil || seq > len(g.count) {
		return 0
	}
	return int(g.count[seq-1])
}

func (g *got) add(seq int) {
	for len(g.count) < seq {
		g.count = append(g.count, 0)
	}
	g.count[seq-1] = max(g.count[seq-1]+1, g.count[seq-1])
}

// Receiver begins an account of what a client, or a group, gets whose
// subscriptions have a quality of service.
func (h *History) Receiver(name string, k ReceiverKind, q packet.QoS) *Receiver {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &Receiver{history: h, name: name, kind: k, qos: q, got: map[*Stream]*got{}, owed: map[debt]struct{}{}}
	h.receivers = append(h.receivers, r)
	return r
}

// Renewed tells that the session, with all that it waited for, is about to be
// discarded at the client's wish, or that it ended with its connection.
func (r *Receiver) Renewed() {
	r.history.mu.Lock()
	defer r.history.mu.Unlock()
	r.spans, r.got, r.owed = nil, map[*Stream]*got{}, map[debt]struct{}{}
}

// Subscribing tells that a SUBSCRIBE is about to be sent, or sent again.
func (r *Receiver) Subscribing(filter string) {
	r.history.mu.Lock()
	defer r.history.mu.Unlock()
	if s := r.last(filter); s != nil && s.until == never {
		return
	}
	r.spans = append(r.spans, &span{filter: filter, from: r.history.now(), since: never, until: never, to: never})
}

// Subscribed tells of a SUBACK.
func (r *Receiver) Subscribed(filter string) {
	r.history.mu.Lock()
	defer r.history.mu.Unlock()
	if s := r.last(filter); s.since == never {
		s.since = r.history.now()
	}
}

// Unsubscribing tells that an UNSUBSCRIBE is about to be sent, or sent again.
func (r *Receiver) Unsubscribing(filter string) {
	r.history.mu.Lock()
	defer r.history.mu.Unlock()
	if s := r.last(filter); s.until == never {
		s.until = r.history.now()
	}
}

// Unsubscribed tells of an UNSUBACK.
func (r *Receiver) Unsubscribed(filter string) {
	r.history.mu.Lock()
	defer r.history.mu.Unlock()
	r.last(filter).to = r.history.now()
}

// last returns the latest span of a filter.
func (r *Receiver) last(filter string) (last *span) {
	for _, s := range r.spans {
		if s.filter == filter {
			last = s
		}
	}
	return last
}

// must reports whether a message of a topic has to be delivered: what waits when
// its subscription ends is not owed any more (section 3.10.4).
func (r *Receiver) must(name string, m *message) bool {
	for _, s := range r.spans {
		if s.since < m.sent && s.until == never && topic.Match(s.filter, name) {
			return true
		}
	}
	return false
}

// may reports whether it can be that the broker took the message while there was
// a subscription.
func (r *Receiver) may(name string, m *message) bool {
	taken := m.acked
	if m.will {
		taken = never
	}
	for _, s := range r.spans {
		if s.from <= taken && m.sent <= s.to && topic.Match(s.filter, name) {
			return true
		}
	}
	return false
}

// stands reports whether the subscription that there is was there before the
// message was sent.
func (r *Receiver) stands(name string, m *message) bool {
	for _, s := range slices.Backward(r.spans) {
		if topic.Match(s.filter, name) {
			return s.since < m.sent
		}
	}
	return false
}

// Received tells that a message came, with a quality of service. At QoS 2 it is
// told once for each exchange.
func (r *Receiver) Received(publisher, topicName string, seq int, q packet.QoS) {
	h := r.history
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts.Delivered++
	s := h.streams[key{publisher, topicName}]
	if s == nil || seq < 1 || seq > len(s.messages) {
		h.report(Foreign, h.now(), false, "%s got message %d of %s on %s, which was never sent", r.name, seq, publisher, topicName)
		return
	}
	m := &s.messages[seq-1]
	if want := min(s.QoS, r.qos); q != want {
		h.report(Protocol, h.now(), false, "%s got %s with QoS %d, not %d", r.name, s.name(seq), q, want)
	}
	if m.forbidden {
		h.report(Will, h.now(), false, "%s got the %s, which was taken back", r.name, s.name(seq))
	}
	if !r.may(topicName, m) {
		h.report(Foreign, h.now(), false, "%s got %s, to which it was not subscribed", r.name, s.name(seq))
	}
	r.count(s, seq, m)
}

// count judges a message by what came before.
func (r *Receiver) count(s *Stream, seq int, m *message) {
	h := r.history
	g := r.got[s]
	if g == nil {
		g = &got{}
		r.got[s] = g
	}
	again := g.times(seq) > 0
	g.add(seq)
	delete(r.owed, debt{s, seq})
	switch {
	case again && r.mayRepeat(s):
		h.counts.Repeated++
	case again:
		excused := h.window > 0 && h.killBetween(m.sent, h.now())
		h.report(Repeated, h.now(), excused, "%s got %s again, for the %d. time", r.name, s.name(seq), g.times(seq))
	case seq > g.highest:
		g.highest, g.first = seq, h.now()
	case r.kind != Group && r.stands(s.Topic, m):
		h.report(Disorder, h.now(), false, "%s got %s only after message %d, which came at %v", r.name, s.name(seq), g.highest, round(g.first))
	}
}

// mayRepeat: at least once is what QoS 1 means on either side, and what QoS 0
// can make of a message that its publisher sends again.
func (r *Receiver) mayRepeat(s *Stream) bool {
	return s.QoS == packet.QoS1 || s.QoS == packet.QoS2 && r.qos < packet.QoS2
}

// owe notes that a message has to come, unless it has.
func (r *Receiver) owe(s *Stream, seq int) {
	if r.kind != Passing && min(s.QoS, r.qos) > packet.QoS0 && r.got[s].times(seq) == 0 && r.must(s.Topic, &s.messages[seq-1]) {
		r.owed[debt{s, seq}] = struct{}{}
	}
}

// lost returns the messages that have to come and have not, in the order of
// their acknowledgements.
func (r *Receiver) lost() (all []Violation) {
	h := r.history
	for d := range r.owed {
		m := &d.stream.messages[d.seq-1]
		if m.forbidden || !r.must(d.stream.Topic, m) {
			continue
		}
		all = append(all, Violation{
			Kind: Lost, At: m.acked, Excused: h.excusedMessage(m), Before: h.before(m.acked),
			Text: fmt.Sprintf("%s did not get %s, sent at %v and acknowledged at %v, %s",
				r.name, d.stream.name(d.seq), round(m.sent), round(m.acked), h.around(m.acked)),
		})
	}
	slices.SortFunc(all, func(a, b Violation) int { return cmp.Compare(a.At, b.At) })
	return all
}
