package auth

import (
	"errors"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// What failed logins cost: how many are allowed at once, how long until one of
// them is forgotten, and how many attempts may be under way.
var (
	perAddress = allowance{burst: 100, interval: 100 * time.Millisecond, underWay: 500}
	perUser    = allowance{burst: 10, interval: 2 * time.Second, underWay: 50}
	// perPair is one address trying for one user: what is left to it while the
	// user is being guessed at from elsewhere.
	perPair = allowance{burst: 1, interval: 10 * time.Second, underWay: 1}
)

// throttleGeneration bounds each table of a throttle, to twice as many entries.
const throttleGeneration = 1 << 15

// throttle slows down failed logins. It is bounded in memory, but for a few words
// for each attempt that is under way, and may be used concurrently.
type throttle struct {
	now   func() time.Time
	start time.Time
	seed  maphash.Seed

	mu                      sync.Mutex
	addresses, users, pairs *failures
}

// attempt is a login that was admitted. It is under way until it ends.
type attempt struct {
	address, user, pair uint64
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{
		now: now, start: now(), seed: maphash.MakeSeed(),
		addresses: newFailures(perAddress), users: newFailures(perUser), pairs: newFailures(perPair),
	}
}

// admit says whether a password may be looked at: the error is nil, ErrThrottled
// or ErrBusy. If it is nil, end has to follow.
func (t *throttle) admit(addr netip.Addr, username string) (attempt, error) {
	a := t.attempt(addr, username)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.judge(a); err != nil {
		return attempt{}, err
	}
	t.addresses.began[a.address]++
	t.users.began[a.user]++
	t.pairs.began[a.pair]++
	return a, nil
}

// refuses reports whether there were too many failures for a password to be
// looked at.
func (t *throttle) refuses(addr netip.Addr, username string) bool {
	a := t.attempt(addr, username)
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Is(t.judge(a), ErrThrottled)
}

// end tells what became of an attempt. One that was given up has failed.
func (t *throttle) end(a attempt, failed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now().Sub(t.start)
	t.addresses.end(a.address, failed, now)
	t.users.end(a.user, failed, now)
	t.pairs.end(a.pair, failed, now)
}

func (t *throttle) attempt(addr netip.Addr, username string) attempt {
	addr = Network(addr)
	return attempt{
		address: maphash.Comparable(t.seed, addr),
		user:    maphash.String(t.seed, username),
		pair:    maphash.Comparable(t.seed, pair{addr, username}),
	}
}

// judge says whether an attempt may begin. mu is held.
func (t *throttle) judge(a attempt) error {
	now := t.now().Sub(t.start)
	user, pair := t.users.allow(a.user, now), t.pairs.allow(a.pair, now)
	switch {
	case !t.addresses.allow(a.address, now), !user && !pair:
		return ErrThrottled
	case t.addresses.full(a.address), (!user || t.users.full(a.user)) && (!pair || t.pairs.full(a.pair)):
		return ErrBusy
	}
	return nil
}

type pair struct {
	addr     netip.Addr
	username string
}

// Network returns what counts as one address of clients: a network of 64 bits in
// IPv6.
func Network(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		p, err := addr.Prefix(64)
		if err == nil {
			return p.Addr()
		}
	}
	return addr
}

// allowance is how many failures and attempts are tolerated.
type allowance struct {
	burst    int
	interval time.Duration
	underWay int
}

// failures counts the failures of each key that are not forgotten yet, and the
// attempts that are under way. Of failures it keeps the time at which the last of
// them will be forgotten, and is bounded as memory is.
type failures struct {
	allowance
	young, old map[uint64]time.Duration
	began      map[uint64]int
}

func newFailures(a allowance) *failures {
	return &failures{allowance: a, young: map[uint64]time.Duration{}, began: map[uint64]int{}}
}

// full reports whether as many attempts are under way as may be.
func (f *failures) full(key uint64) bool { return f.began[key] >= f.underWay }

func (f *failures) end(key uint64, failed bool, now time.Duration) {
	if f.began[key]--; f.began[key] == 0 {
		delete(f.began, key)
	}
	if failed {
		f.add(key, now)
	}
}

func (f *failures) allow(key uint64, now time.Duration) bool {
	return f.until(key)-now <= time.Duration(f.burst-1)*f.interval
}

func (f *failures) until(key uint64) time.Duration {
	if t, ok := f.young[key]; ok {
		return t
	}
	return f.old[key]
}

// add counts a failure. What was under way together is paid for one by one, so
// that nothing is gained by trying it at once; beyond that, failures prolong
// nothing.
func (f *failures) add(key uint64, now time.Duration) {
	until := max(f.until(key), now) + f.interval
	f.set(key, min(until, now+time.Duration(f.burst+f.underWay-1)*f.interval))
}

func (f *failures) set(key uint64, until time.Duration) {
	if _, ok := f.young[key]; !ok && len(f.young) >= throttleGeneration {
		f.old, f.young = f.young, map[uint64]time.Duration{}
	}
	f.young[key] = until
}
