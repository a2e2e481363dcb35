package bench

import (
	"errors"
	"fmt"
	"time"
)

// Limits of connecting.
const (
	setupStall = int64(20 * time.Second) // in nanoseconds without a new connection: give up
	maxOpening = 64                      // connections that are being opened at a time
)

// connectAll opens connections and waits until their clients take part.
func (r *run) connectAll(clients []*client) error {
	start, before := r.clock.now(), r.ready
	seen, since := before, start
	for opened := 0; r.ready-before < len(clients) && !r.stopped.Load(); {
		r.now = r.clock.now()
		for opened < len(clients) && r.opening < maxOpening && r.mayOpen(opened, start) {
			r.open(clients[opened])
			opened++
		}
		if err := r.turn(r.now + tick/10); err != nil {
			return err
		}
		if r.err != nil {
			return fmt.Errorf("connection %d of %d: %w", r.ready-before+1, len(clients), r.err)
		}
		if r.ready > seen {
			seen, since = r.ready, r.now
		}
		if r.now-since > setupStall {
			return fmt.Errorf("%d of %d connections: the broker does not answer", r.ready-before, len(clients))
		}
	}
	return nil
}

func (r *run) mayOpen(opened int, start int64) bool {
	rate := r.options.ConnectRate
	return rate == 0 || float64(r.now-start)/1e9*rate >= float64(opened)
}

func (r *run) open(c *client) {
	c.state, c.opened = opening, r.clock.now()
	r.opening++
	link, err := r.network.open(c)
	c.link = link
	if err != nil {
		c.lost(err)
	}
}

func (r *run) becameReady(c *client) {
	if c.state == opening {
		c.state = ready
		r.opening--
		r.ready++
		r.count.opened++
	}
}

// left takes a connection out of the count, before its state changes.
func (r *run) left(c *client) {
	switch c.state {
	case opening:
		r.opening--
	case ready:
		r.ready--
	case unopened, closedDown:
	}
}

// lost counts a connection that has ended by itself.
func (r *run) lost(c *client, err error) {
	if c.state == ready {
		r.count.lostClients++
	}
	r.left(c)
	if r.err == nil {
		r.err = err
	}
}

// leaveAll lets clients say goodbye.
func (r *run) leaveAll(clients []*client) error {
	for _, c := range clients {
		c.leave()
	}
	for end := r.clock.now() + goodbye; r.now < end; {
		if err := r.turn(end); err != nil {
			return err
		}
	}
	return nil
}

// finish takes back what the run has left on the broker, and ends all
// connections.
func (r *run) finish() error {
	r.stopped.Store(false)
	r.sending, r.err = false, nil
	return errors.Join(r.erase(), r.leaveAll(r.clients), r.endSessions())
}

// endSessions ends those that have outlived their connections: each is taken
// over by a clean one [MQTT-3.1.2-4].
func (r *run) endSessions() error {
	if len(r.lasting) == 0 {
		return nil
	}
	var clean []*client
	for _, c := range r.lasting {
		clean = append(clean, &client{run: r, number: c.number, name: c.name})
	}
	return errors.Join(r.connectAll(clean), r.leaveAll(clean))
}
