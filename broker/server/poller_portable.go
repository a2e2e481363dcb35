//go:build !linux || portable

package server

import (
	"errors"
	"sync"
)

// poller tells which sockets are ready. It stands for epoll on systems that have
// none, for development: the goroutines of the sockets tell it what has changed.
// As with epoll, what is ready is told again until it is not.
type poller struct {
	signal chan struct{} // holds one where there is something to look at

	mu    sync.Mutex
	woken bool
	queue []*socket // to be looked at
	spare []*socket
}

// event is a socket that is ready.
type event struct {
	fd              int
	readable, write bool
}

func newPoller() (*poller, error) { return &poller{signal: make(chan struct{}, 1)}, nil }

// add begins to watch fd for reading. It may be called from any goroutine, as
// may watch.
func (p *poller) add(fd int) error { return withSocket(fd, func(s *socket) { s.open(p) }) }

// watch changes what fd is watched for.
func (p *poller) watch(fd int, read, write bool) error {
	return withSocket(fd, func(s *socket) { s.watch(read, write) })
}

// groupSize has each loop run by itself: these pollers cannot attend to each
// other.
const groupSize = 1

func (p *poller) attend(*poller) error { return errors.ErrUnsupported }
func (p *poller) leave(*poller) error  { return errors.ErrUnsupported }
func (p *poller) fd() int              { return -1 }

// wait appends the sockets that are ready to events. If there are none it waits
// for one, or for wake.
func (p *poller) wait(events []event) ([]event, error) {
	for {
		woken := p.take()
		if events, _ = p.report(events); woken || len(events) > 0 {
			return events, nil
		}
		<-p.signal
	}
}

// peek is wait without waiting.
func (p *poller) peek(events []event) ([]event, error) {
	p.take()
	return p.report(events)
}

// report appends what is ready of what was taken.
func (p *poller) report(events []event) ([]event, error) {
	for i, s := range p.spare {
		p.spare[i] = nil
		if e, ok := s.event(); ok {
			events = append(events, e)
			p.look(s)
		}
	}
	return events, nil
}

// take moves the queue to spare, and reports whether there was a wake.
func (p *poller) take() (woken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	woken, p.woken = p.woken, false
	p.queue, p.spare = p.spare[:0], p.queue
	for _, s := range p.spare {
		s.queued = false
	}
	return woken
}

// look has wait look at s.
func (p *poller) look(s *socket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !s.queued {
		s.queued = true
		p.queue = append(p.queue, s)
	}
	p.poke()
}

// wake ends a wait, from any goroutine.
func (p *poller) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.woken = true
	p.poke()
}

func (p *poller) poke() {
	select {
	case p.signal <- struct{}{}:
	default:
	}
}

func (p *poller) close() error { return nil }
