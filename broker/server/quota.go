package server

import (
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

// set puts limits in force, for what is published from now on.
func (q *quota) set(l config.UserLimits) {
	adjust(q.messages, int64(l.PublishRate))
	adjust(q.bytes, l.PublishBytesPerSecond)
	q.limited.Store(l.PublishRate > 0 || l.PublishBytesPerSecond > 0)
	q.paid.Store(0)
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

func adjust(r *rate.Limiter, n int64) {
	limit, burst := perSecond(n)
	r.SetLimit(limit)
	r.SetBurst(burst)
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
	mu     sync.Mutex
	byUser map[string]*quota
}

// of returns the quota of a principal, nil for anonymous ones.
func (qs *quotas) of(who auth.Principal, access *auth.Snapshot) *quota {
	u, ok := access.User(who.Username)
	if !ok || who.Anonymous {
		return nil
	}
	qs.mu.Lock()
	defer qs.mu.Unlock()
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

// review brings all quotas up to new access rules, and forgets users that are
// gone.
func (qs *quotas) review(access *auth.Snapshot) {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	for name, q := range qs.byUser {
		u, ok := access.User(name)
		if !ok {
			delete(qs.byUser, name)
			continue
		}
		q.set(u.Limits)
	}
}
