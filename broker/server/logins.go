package server

import (
	"net/netip"
	"sync"
)

// Bounds on the clients that wait for a password to be checked: in all, and of one
// username that comes from one address.
const (
	maxVerifications        = 4096
	maxVerificationsOfAUser = maxVerifications / 4
)

// login is a password that waits to be checked.
type login struct {
	address  netip.Addr // as auth.Network has it
	username string
	known    bool   // the username has succeeded from the address before
	check    func() // on a goroutine of the pool
	giveUp   func() // in place of check, where too many wait; it does not wait
}

// logins are the password checks that wait, and those that run: few at a time,
// since each takes long on purpose. Those that are known and all others take
// turns, in either of the two the addresses, and of an address the usernames that
// its clients come with: many logins keep neither the others of their address
// waiting nor other addresses, and nobody keeps those waiting who were here
// before.
type logins struct {
	mu      sync.Mutex
	atOnce  int // how many may run
	running int
	known   crowdedLogins
	others  crowdedLogins
	turn    bool // of those that are known
}

func newLogins(atOnce int) *logins { return &logins{atOnce: atOnce, turn: true} }

// waits returns how many wait.
func (l *logins) waits() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting()
}

// waiting is how many wait. mu is held.
func (l *logins) waiting() int { return l.known.count() + l.others.count() }

// add has a login checked in its turn, on another goroutine. It reports false
// where too many wait. Where an address has more than its share of those that
// wait, one of its logins is given up for the new one.
func (l *logins) add(n login) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	class := &l.others
	if n.known {
		class = &l.known
	}
	if class.waiting(n) >= maxVerificationsOfAUser {
		return false
	}
	if l.waiting() >= maxVerifications {
		out, ok := l.displace(class, n.address)
		if !ok {
			return false
		}
		out.giveUp()
	}
	class.add(n)
	if l.running < l.atOnce {
		l.running++
		go l.run()
	}
	return true
}

// displace takes a login that makes room for one of an address. Those that are
// known make room for each other alone, once no other waits. mu is held.
func (l *logins) displace(class *crowdedLogins, address netip.Addr) (login, bool) {
	if class == &l.known && l.others.count() > 0 {
		return l.others.displace(0)
	}
	return class.displace(class.byAddress.waiting(address) + 1)
}

// run is a goroutine that runs one check after the other until none waits. Event
// loops come before it.
func (l *logins) run() {
	computing.begin()
	defer computing.done()
	keepThread()
	for n, ok := l.next(); ok; n, ok = l.next() {
		n.check()
	}
}

// next takes the login whose turn it is. Where none waits ok is false, and a place
// is free again.
func (l *logins) next() (n login, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first, second := &l.others, &l.known
	if l.turn {
		first, second = second, first
	}
	l.turn = !l.turn
	if n, ok = first.next(); !ok {
		n, ok = second.next()
	}
	if !ok {
		l.running--
	}
	return n, ok
}

// crowdedLogins are logins that take turns by address, and of an address by
// username.
type crowdedLogins struct {
	byAddress turns[netip.Addr, struct{}] // one for each that waits
	byUser    map[netip.Addr]*turns[string, login]
	crowd     netip.Addr // the address of which most wait, as far as is known
}

func (c *crowdedLogins) count() int { return c.byAddress.count }

// waiting returns how many wait of the address and the username of n.
func (c *crowdedLogins) waiting(n login) int {
	if users := c.byUser[n.address]; users != nil {
		return users.waiting(n.username)
	}
	return 0
}

func (c *crowdedLogins) add(n login) {
	users := c.byUser[n.address]
	if users == nil {
		if c.byUser == nil {
			c.byUser = map[netip.Addr]*turns[string, login]{}
		}
		users = new(turns[string, login])
		c.byUser[n.address] = users
	}
	c.byAddress.add(n.address, struct{}{})
	users.add(n.username, n)
	if users.count >= c.byAddress.waiting(c.crowd) {
		c.crowd = n.address
	}
}

func (c *crowdedLogins) next() (n login, ok bool) {
	address, _, ok := c.byAddress.next()
	if !ok {
		return n, false
	}
	users := c.byUser[address]
	_, n, _ = users.next()
	if users.count == 0 {
		delete(c.byUser, address)
	}
	return n, true
}

// displace takes the newest login of the address of which most wait, if those are
// more than so many.
func (c *crowdedLogins) displace(most int) (n login, ok bool) {
	if c.byAddress.waiting(c.crowd) <= most {
		if len(c.byUser) == 0 || c.count()/len(c.byUser) <= most {
			return n, false
		}
		for address, users := range c.byUser {
			if users.count > c.byAddress.waiting(c.crowd) {
				c.crowd = address
			}
		}
	}
	users := c.byUser[c.crowd]
	c.byAddress.drop(c.crowd)
	n = users.drop(users.order[len(users.order)-1])
	if users.count == 0 {
		delete(c.byUser, c.crowd)
	}
	return n, true
}
