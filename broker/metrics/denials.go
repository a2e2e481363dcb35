package metrics

import (
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/time/rate"
)

// Denial is something that the topic ACLs refused, once or many times.
type Denial struct {
	User   string // empty for anonymous clients
	Action string // publish, subscribe or will; size for a packet that was too large
	// Topic name or topic filter as the client wrote it, cut at maxDeniedTopic
	// bytes. It is the client's choice: who shows it has to escape it.
	Topic string
	// Limit says what a packet of Action size was beyond; empty otherwise.
	Limit string
	Count uint64 // since First
	First time.Time
	Last  time.Time
}

// Bounds of what is kept of denials, whatever clients do.
const (
	maxDeniedTopic   = 256 // bytes
	maxDeniedUser    = 256 // bytes, of a username as long as a MQTTUser may have it
	maxDenials       = 64
	denialsPerSecond = 10 // that are new
)

// Bounds of what is kept of the denials of one user, so that it does not hide the
// others.
const (
	maxDenialsOfUser       = 8
	denialsOfUserPerSecond = 1 // that are new
)

// maxUserLabels bounds the users that have a time series, and a share of what is
// kept, of their own. The others share one.
const maxUserLabels = 1000

// otherUsers is the label of those that have none.
const otherUsers = "(other)"

// denials is the sample of the refusals of late.
type denials struct {
	mu     sync.Mutex
	recent map[denialKey]*Denial
	fresh  *rate.Limiter
	users  map[string]*deniedUser // that have a time series
	others *deniedUser
}

// deniedUser stands for a user, or for those beyond maxUserLabels.
type deniedUser struct {
	label string
	fresh *rate.Limiter
}

func newDeniedUser(label string) *deniedUser {
	return &deniedUser{label, rate.NewLimiter(denialsOfUserPerSecond, maxDenialsOfUser)}
}

type denialKey struct{ user, action, topic string }

func newDenials() denials {
	return denials{
		recent: map[denialKey]*Denial{},
		fresh:  rate.NewLimiter(denialsPerSecond, maxDenials),
		users:  map[string]*deniedUser{},
		others: newDeniedUser(otherUsers),
	}
}

// Denied counts a refusal by the topic ACLs, and keeps it in mind for a while.
// user is empty for anonymous clients.
func (m *Metrics) Denied(now time.Time, user, action, topic string) {
	user = clip(user, maxDeniedUser)
	d := &m.denials
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.user(user)
	m.denied.WithLabelValues(u.label, action).Inc()
	d.note(now, u, denialKey{user, action, clip(topic, maxDeniedTopic)}, "")
}

// ActionSize is the action of a Denial that stands for a packet that was too large.
const ActionSize = "size"

// TooLarge keeps in mind for a while that a message was larger than it may be, for
// the reason that limit names. It is none of the topic ACLs' refusals, and not
// counted as one.
func (m *Metrics) TooLarge(now time.Time, user, topic, limit string) {
	user = clip(user, maxDeniedUser)
	d := &m.denials
	d.mu.Lock()
	defer d.mu.Unlock()
	d.note(now, d.user(user), denialKey{user, ActionSize, clip(topic, maxDeniedTopic)}, limit)
}

// NotRetained counts a message of a user that could not be retained. user is empty
// for anonymous clients.
func (m *Metrics) NotRetained(user string) {
	d := &m.denials
	d.mu.Lock()
	defer d.mu.Unlock()
	m.unkept.WithLabelValues(d.user(clip(user, maxDeniedUser)).label).Inc()
}

// user returns what stands for a user.
func (d *denials) user(name string) *deniedUser {
	u := d.users[name]
	switch {
	case u != nil:
		return u
	case len(d.users) >= maxUserLabels:
		return d.others
	}
	u = newDeniedUser(strings.Clone(name))
	d.users[u.label] = u
	return u
}

// note keeps a denial of u, if it is known or there is room for a new one: first
// in the user's share, which it cannot go beyond at the expense of others.
func (d *denials) note(now time.Time, u *deniedUser, key denialKey, limit string) {
	if known := d.recent[key]; known != nil {
		known.Count++
		known.Last, known.Limit = now, limit
		return
	}
	if !u.fresh.AllowN(now, 1) || !d.fresh.AllowN(now, 1) {
		return
	}
	d.makeRoom(key.user)
	key = denialKey{strings.Clone(key.user), key.action, strings.Clone(key.topic)}
	d.recent[key] = &Denial{User: key.user, Action: key.action, Topic: key.topic, Limit: limit, Count: 1, First: now, Last: now}
}

// makeRoom forgets the oldest denial of the user if it has many, or else the
// oldest of all if there are many.
func (d *denials) makeRoom(user string) {
	var oldest, oldestOfUser denialKey
	ofUser := 0
	older := func(key, than denialKey) bool {
		return than == denialKey{} || d.recent[key].Last.Before(d.recent[than].Last)
	}
	for key := range d.recent {
		if older(key, oldest) {
			oldest = key
		}
		if key.user != user {
			continue
		}
		ofUser++
		if older(key, oldestOfUser) {
			oldestOfUser = key
		}
	}
	switch {
	case ofUser >= maxDenialsOfUser:
		delete(d.recent, oldestOfUser)
	case len(d.recent) >= maxDenials:
		delete(d.recent, oldest)
	}
}

// Denials returns a sample of the refusals of late, the latest first.
func (m *Metrics) Denials() []Denial {
	m.denials.mu.Lock()
	defer m.denials.mu.Unlock()
	all := make([]Denial, 0, len(m.denials.recent))
	for _, d := range m.denials.recent {
		all = append(all, *d)
	}
	slices.SortFunc(all, func(a, b Denial) int { return b.Last.Compare(a.Last) })
	return all
}

// clip cuts s so that it has at most so many bytes, and no part of a character at
// its end.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
