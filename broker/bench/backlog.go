package bench

import (
	"errors"
	"slices"
	"time"
)

// Backlog tells of messages that were stored first and read afterwards.
type Backlog struct {
	Store Transfer `json:"store"` // until all were acknowledged
	Read  Transfer `json:"read"`  // from connecting until all had come
	// Resident is the memory by which the broker grew while they were stored, and
	// Disk that of its directory, in bytes for each message; zero is unknown.
	Resident float64 `json:"residentBytesPerMessage,omitempty"`
	Disk     float64 `json:"diskBytesPerMessage,omitempty"`
}

// Transfer is what it took to move messages one way.
type Transfer struct {
	Messages  uint64  `json:"messages"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"perSecond"`
	// CPUMicros and Written are what the broker spent on each, in microseconds
	// and in bytes that went to disk; zero is unknown.
	CPUMicros float64 `json:"cpuMicrosPerMessage,omitempty"`
	Written   float64 `json:"writtenBytesPerMessage,omitempty"`
}

// storeStall is how long the broker may take until it acknowledges the next
// message, in nanoseconds.
const storeStall = int64(20 * time.Second)

// goAway opens the sessions that messages are to wait for, and leaves them.
func (r *run) goAway(*samples) error {
	if r.options.Scenario != Offline {
		return nil
	}
	return errors.Join(r.connectAll(r.subscribers), r.leaveAll(r.subscribers))
}

func (r *run) connectPublishers(s *samples) error { return r.connectThese(r.publishers, s) }

// store publishes all messages.
func (r *run) store(s *samples) error {
	r.stage, r.from, r.to = stageStore, r.clock.now(), never
	s.begin = r.sample()
	r.start(r.publishers)
	if err := r.await(r.stored, storeStall); err != nil {
		return err
	}
	s.stored = r.sample()
	r.sending, r.from = false, never
	if err := r.turnUntil(s.stored.at + settle); err != nil {
		return err
	}
	s.settled = r.sample()
	return nil
}

// stored says that publishers have sent all that they had to, and that the
// broker has it.
func (r *run) stored() bool {
	for _, c := range r.publishers {
		if c.state == ready && c.sent < c.quota {
			return false
		}
	}
	return r.acknowledged()
}

// readBack connects the subscribers, anew or again, and waits for the messages.
func (r *run) readBack(s *samples) error {
	r.stage = stageRead
	readers := r.subscribers
	if r.options.Scenario == Offline {
		readers = r.comeBack()
	}
	s.reading = r.sample()
	if err := r.connectAll(readers); err != nil {
		return err
	}
	err := r.await(r.complete, drainFor)
	s.end = r.sample()
	return err
}

// comeBack makes clients that take up the sessions of those which went away.
func (r *run) comeBack() (readers []*client) {
	for _, c := range r.subscribers {
		readers = append(readers, &client{
			run: r, number: c.number, name: c.name, subscriber: c.subscriber, session: resumed,
		})
	}
	r.clients = append(r.clients, readers...)
	return readers
}

// erase removes the retained messages that the run has stored.
func (r *run) erase() error {
	if r.options.Scenario != Retained || r.count.sent == 0 {
		return nil
	}
	for _, c := range r.publishers {
		c.startErasing(&r.options)
	}
	r.start(r.publishers)
	err := r.await(r.stored, storeStall)
	r.sending = false
	gone := slices.ContainsFunc(r.publishers, func(c *client) bool { return c.state != ready })
	if err == nil && (gone || !r.stored()) {
		err = errors.New("retained messages could not be removed")
	}
	return err
}

// backlog is nil unless the scenario stores messages.
func (r *run) backlog(s samples) *Backlog {
	if !r.options.stores() {
		return nil
	}
	b := &Backlog{
		Store: transfer(s.begin, s.stored, s.stored.count.acknowledged-s.begin.count.acknowledged),
		Read:  transfer(s.reading, s.end, s.end.count.received-s.reading.count.received),
	}
	messages := float64(b.Store.Messages)
	b.Resident = ratio(float64(s.settled.broker.resident-s.begin.broker.resident), messages)
	b.Disk = ratio(float64(s.settled.directory-s.begin.directory), messages)
	return b
}

func transfer(from, to sample, messages uint64) Transfer {
	t := Transfer{Messages: messages, Seconds: float64(to.at-from.at) / 1e9}
	n := float64(messages)
	t.PerSecond = ratio(n, t.Seconds)
	t.CPUMicros = ratio(float64((to.broker.cpu - from.broker.cpu).Microseconds()), n)
	t.Written = ratio(float64(to.broker.written-from.broker.written), n)
	return t
}
