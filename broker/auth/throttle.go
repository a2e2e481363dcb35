package auth

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// What failed logins cost: how many are allowed at once, and how long until one
// of them is forgotten.
var (
	perAddress = allowance{burst: 100, interval: 100 * time.Millisecond}
	perUser    = allowance{burst: 10, interval: 2 * time.Second}
	// perPair is one address trying for one user: what is left to it while the
	// user is being guessed at from elsewhere.
	perPair = allowance{burst: 1, interval: 10 * time.Second}
)

// throttleGeneration bounds each table of a throttle, to twice as many entries.
const throttleGeneration = 1 << 15

// throttle slows down failed logins. It is bounded in memory and may be used
// concurrently.
type throttle struct {
	now   func() time.Time
	start time.Time
	seed  maphash.Seed

	mu                      sync.Mutex
	addresses, users, pairs *failures
}

// attempt is a login that was admitted; it counts as failed until it succeeds.
type attempt struct {
	address, user, pair uint64
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{
		now: now, start: now(), seed: maphash.MakeSeed(),
		addresses: newFailures(perAddress), users: newFailures(perUser), pairs: newFailures(perPair),
	}
}

// admit reports whether a password may be looked at, and if so counts a failure
// until succeed takes it back.
func (t *throttle) admit(addr netip.Addr, username string) (attempt, bool) {
	addr = network(addr)
	a := attempt{
		address: maphash.Comparable(t.seed, addr),
		user:    maphash.String(t.seed, username),
		pair:    maphash.Comparable(t.seed, pair{addr, username}),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now().Sub(t.start)
	if !t.addresses.allow(a.address, now) || !t.users.allow(a.user, now) && !t.pairs.allow(a.pair, now) {
		return attempt{}, false
	}
	t.addresses.add(a.address, now)
	t.users.add(a.user, now)
	t.pairs.add(a.pair, now)
	return a, true
}

type pair struct {
	addr     netip.Addr
	username string
}

// succeed takes back the failure that admit counted.
func (t *throttle) succeed(a attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now().Sub(t.start)
	t.addresses.remove(a.address, now)
	t.users.remove(a.user, now)
	t.pairs.remove(a.pair, now)
}

// network returns what counts as one address.
func network(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		p, err := addr.Prefix(64)
		if err == nil {
			return p.Addr()
		}
	}
	return addr
}

// allowance is how many failures are tolerated.
type allowance struct {
	burst    int
	interval time.Duration
}

// failures counts the failures of each key that are not forgotten yet. What it
// keeps is the time at which the last of them will be. It is bounded as memory
// is.
type failures struct {
	allowance
	young, old map[uint64]time.Duration
}

func newFailures(a allowance) *failures {
	return &failures{allowance: a, young: map[uint64]time.Duration{}}
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

// add counts a failure; those beyond what is allowed prolong nothing.
func (f *failures) add(key uint64, now time.Duration) {
	until := max(f.until(key), now) + f.interval
	f.set(key, min(until, now+time.Duration(f.burst)*f.interval))
}

func (f *failures) remove(key uint64, now time.Duration) {
	until := f.until(key) - f.interval
	if until <= now {
		delete(f.young, key)
		delete(f.old, key)
		return
	}
	f.set(key, until)
}

func (f *failures) set(key uint64, until time.Duration) {
	if _, ok := f.young[key]; !ok && len(f.young) >= throttleGeneration {
		f.old, f.young = f.young, map[uint64]time.Duration{}
	}
	f.young[key] = until
}
