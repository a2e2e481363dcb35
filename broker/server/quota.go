package server

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// quota is how much a user may publish, over all of its connections.
type quota struct {
	limited  atomic.Bool  // there is a limit at all
	paid     atomic.Int64 // when all that was published is within the limits, in Unix nanoseconds
	messages *rate.Limiter
	bytes    *rate.Limiter
}

// set puts limits in force. Under others than before, nothing that was published
// until now is held against the user.
func (q *quota) set(l config.UserLimits) {
	q.limited.Store(l.PublishRate > 0 || l.PublishBytesPerSecond > 0)
	messages, bytes := adjust(q.messages, int64(l.PublishRate)), adjust(q.bytes, l.PublishBytesPerSecond)
	if messages || bytes {
		q.paid.Store(0)
	}
}

// newQuota begins with a second's worth of everything.
func newQuota(l config.UserLimits) *quota {
	q := &quota{
		messages: rate.NewLimiter(perSecond(int64(l.PublishRate))),
		bytes:    rate.NewLimiter(perSecond(l.PublishBytesPerSecond)),
	}
	q.set(l)
	return q
}

// perSecond lets a second's worth pass at once; 0 is no limit.
func perSecond(n int64) (limit rate.Limit, burst int) {
	if n == 0 {
		return rate.Inf, 0
	}
	return rate.Limit(n), int(n)
}

// adjust has r let n pass a second, and reports whether that was different.
func adjust(r *rate.Limiter, n int64) (changed bool) {
	limit, burst := perSecond(n)
	if r.Limit() == limit && r.Burst() == burst {
		return false
	}
	r.SetLimit(limit)
	r.SetBurst(burst)
	return true
}

// take charges a message of n bytes and returns how long to wait before the next
// one.
func (q *quota) take(now time.Time, n int) time.Duration {
	wait := max(reserve(q.messages, now, 1), reserve(q.bytes, now, n))
	q.paid.Store(now.Add(wait).UnixNano())
	return wait
}

// debt is how long the next message would have to wait.
func (q *quota) debt(now time.Time) time.Duration {
	return time.Duration(q.paid.Load() - now.UnixNano())
}

// reserve takes n in parts that the limiter can ever grant.
func reserve(r *rate.Limiter, now time.Time, n int) (wait time.Duration) {
	if r.Limit() == rate.Inf {
		return 0
	}
	for n > 0 {
		part := min(n, max(r.Burst(), 1))
		wait = r.ReserveN(now, part).DelayFrom(now)
		n -= part
	}
	return wait
}

// quotas are the quotas of all users that have connected.
type quotas struct {
	mu       sync.Mutex
	byUser   map[string]*quota
	reviewed *auth.Snapshot // what the quotas were last brought up to, nil if never
}

// of returns the quota of a principal: that of its user, and for an anonymous one
// its own, nil where it has no limit. access are the rules that the caller knows:
// newer ones that were reviewed meanwhile decide.
func (qs *quotas) of(who auth.Principal, access *auth.Snapshot) *quota {
	if who.Anonymous {
		if q := newQuota(access.Limits(who)); q.limited.Load() {
			return q
		}
		return nil
	}
	qs.mu.Lock()
	defer qs.mu.Unlock()
	u, ok := cmp.Or(qs.reviewed, access).User(who.Username)
	if !ok {
		return nil
	}
	q := qs.byUser[who.Username]
	if q == nil {
		q = newQuota(u.Limits)
		if qs.byUser == nil {
			qs.byUser = map[string]*quota{}
		}
		qs.byUser[who.Username] = q
	}
	return q
}

// review brings all quotas up to new access rules, before anybody else knows of
// them, and forgets users that are gone.
func (qs *quotas) review(access *auth.Snapshot) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	qs.reviewed = access
	for name, q := range qs.byUser {
		u, ok := access.User(name)
		if !ok {
			delete(qs.byUser, name)
			continue
		}
		q.set(u.Limits)
	}
}
