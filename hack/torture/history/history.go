// Package history keeps what clients have sent, what was acknowledged to them
// and what they got, and finds where the two do not fit: the promises of
// docs/durability.md, as an account.
//
// A message is named by its publisher, its topic and a number; those of one
// publisher on one topic are a Stream, and numbered from 1. Whoever delivers
// them is watched by a Receiver. What is uncertain is never held against the
// broker: a message that was not acknowledged may come or not, and so may one
// that was published while a subscription changed.
//
// Everything is told when it happens: what a client sends, before it is written;
// what it gets, after it was read. All methods may be called from any goroutine.
package history

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// never is the time of what has not happened.
const never = time.Duration(math.MaxInt64)

// History is an account of one run.
type History struct {
	now    func() time.Duration
	window time.Duration

	mu        sync.Mutex
	streams   map[key]*Stream
	receivers []*Receiver
	kills     []kill
	found     []Violation
	counts    Counts
}

type key struct{ publisher, topic string }

type kill struct {
	at, up time.Duration // up is when the next process was started
	how    string
}

// Counts are the figures of a run.
type Counts struct {
	Published    [3]int // by quality of service
	Acknowledged [3]int // nothing at QoS 0
	Refused      int
	Delivered    int
	Repeated     int // deliveries that may come again and did
	Resumed      int // sessions that were present, as they had to be
	Retained     int // retained messages that were looked at
	Wills        int // that had to be published
	Kills        map[string]int
}

// Events is a number that grows as long as anything happens.
func (c *Counts) Events() int {
	return c.Acknowledged[1] + c.Acknowledged[2] + c.Delivered + c.Resumed + c.Wills
}

// New makes a history. now is the time since its beginning. Of what was
// acknowledged within window before a kill, nothing is held against the broker;
// 0 is the promise without exception.
func New(now func() time.Duration, window time.Duration) *History {
	return &History{now: now, window: window, streams: map[key]*Stream{}, counts: Counts{Kills: map[string]int{}}}
}

// Killed tells that the broker's process is about to be ended.
func (h *History) Killed(how string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kills = append(h.kills, kill{at: h.now(), up: never, how: how})
	h.counts.Kills[how]++
}

// Restarted tells that it has ended and that another one is about to be started.
func (h *History) Restarted() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kills[len(h.kills)-1].up = h.now()
}

// Now returns the time.
func (h *History) Now() time.Duration { return h.now() }

// KilledSince reports whether there was a kill at t or after it.
func (h *History) KilledSince(t time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.kills) > 0 && h.kills[len(h.kills)-1].up >= t
}

// Counts returns the figures up to here.
func (h *History) Counts() *Counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.counts
	c.Kills = maps.Clone(c.Kills)
	return &c
}

// late is how long an acknowledgement may have been on its way.
const late = 300 * time.Millisecond

// excused reports whether what was asked for and acknowledged at two times may be
// gone, since that was so shortly before a kill.
func (h *History) excused(asked, acked time.Duration) bool {
	return h.window > 0 && slices.ContainsFunc(h.kills, func(k kill) bool {
		return asked <= k.up && acked >= k.at-h.window && (k.up == never || acked <= k.up+late)
	})
}

// excusedMessage is excused for a message. A will is acknowledged with the
// CONNECT that has it, soon after which is not known.
func (h *History) excusedMessage(m *message) bool {
	if m.will {
		return h.excused(m.sent, m.sent)
	}
	return h.excused(m.sent, m.acked)
}

// killBetween reports whether a kill lies between two times.
func (h *History) killBetween(from, to time.Duration) bool {
	return slices.ContainsFunc(h.kills, func(k kill) bool { return k.up >= from && k.at <= to })
}

// before is the time from t to the next kill, 0 if there is none.
func (h *History) before(t time.Duration) time.Duration {
	for _, k := range h.kills {
		if k.at >= t {
			return k.at - t
		}
	}
	return 0
}

// around says what the nearest kill to t is.
func (h *History) around(t time.Duration) string {
	nearest, distance := -1, never
	for i, k := range h.kills {
		if d := (k.at - t).Abs(); d < distance {
			nearest, distance = i, d
		}
	}
	if nearest < 0 {
		return "before any kill"
	}
	side := "before"
	if h.kills[nearest].at < t {
		side = "after"
	}
	return fmt.Sprintf("%v %s kill %d (%s, at %v)", round(distance), side, nearest+1, h.kills[nearest].how, round(h.kills[nearest].at))
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// Stream are the messages of one publisher on one topic, all of one quality of
// service.
type Stream struct {
	Publisher, Topic string
	QoS              packet.QoS

	history  *History
	messages []message // by number, from 1
}

type message struct {
	sent, acked time.Duration
	empty       bool // it clears a retained message
	will        bool // it is published at any time after acked
	forbidden   bool // it is a will that was taken back
}

// Stream returns the stream of a publisher on a topic, which begins with the
// first call.
func (h *History) Stream(publisher, topic string, q packet.QoS) *Stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := key{publisher, topic}
	s := h.streams[k]
	if s == nil {
		s = &Stream{Publisher: publisher, Topic: topic, QoS: q, history: h}
		h.streams[k] = s
	}
	return s
}

// Publish tells that the next message is about to be sent, and returns its
// number. One that is empty clears a retained message.
func (s *Stream) Publish(empty bool) (seq int) {
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	s.messages = append(s.messages, message{sent: s.history.now(), acked: never, empty: empty})
	s.history.counts.Published[s.QoS]++
	return len(s.messages)
}

// Acknowledged tells that the broker answers for a message.
func (s *Stream) Acknowledged(seq int) {
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	s.acknowledged(seq)
	s.history.counts.Acknowledged[s.QoS]++
}

// acknowledged makes a message one that whoever is subscribed has to get.
func (s *Stream) acknowledged(seq int) {
	s.messages[seq-1].acked = s.history.now()
	for _, r := range s.history.receivers {
		r.owe(s, seq)
	}
}

// Refused tells that the broker will not have a message.
func (s *Stream) Refused(int) {
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	s.history.counts.Refused++
}

// Will tells that a connection with a will is about to be asked for, and returns
// the number of the will's message.
func (s *Stream) Will() (seq int) {
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	s.messages = append(s.messages, message{sent: s.history.now(), acked: never, will: true})
	return len(s.messages)
}

// Due tells that a will has to be published, some time from here on, since its
// connection has ended.
func (s *Stream) Due(seq int) {
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	s.acknowledged(seq)
	s.history.counts.Wills++
}

// Withdrawn tells that a will must not be published, and must not have been.
func (s *Stream) Withdrawn(seq int) {
	h := s.history
	h.mu.Lock()
	defer h.mu.Unlock()
	s.messages[seq-1].forbidden = true
	for _, r := range h.receivers {
		if g := r.got[s]; g.times(seq) > 0 {
			h.report(Will, h.now(), false, "%s got the %s, which was taken back", r.name, s.name(seq))
		}
	}
}

func (s *Stream) name(seq int) string {
	return fmt.Sprintf("message %d of %s on %s at QoS %d", seq, s.Publisher, s.Topic, s.QoS)
}
