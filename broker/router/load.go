package router

import (
	"slices"
	"time"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

// Load takes over what the store kept. It is called once, before any Worker
// runs. Sessions that have expired meanwhile end at the first Tick, when wills
// that are due are published.
func (r *Router) Load(now time.Time) error {
	l := &loader{r: r, now: now, sessions: map[uint64]*Subscriber{}}
	if err := r.store.Load(l); err != nil {
		return err
	}
	l.settle()
	return nil
}

// settleMost is the number of changes that are handed to the store at a time.
const settleMost = 1000

// settle tells the store of what was changed while it was loaded.
func (l *loader) settle() {
	for some := range slices.Chunk(l.changed, settleMost) {
		var b store.Batch
		for _, s := range some {
			b.Sessions = append(b.Sessions, s.record())
		}
		l.r.store.Commit(&b, nil)
	}
	for some := range slices.Chunk(l.expired, settleMost) {
		var b store.Batch
		for _, name := range some {
			b.Retained = append(b.Retained, &session.Message{Topic: name})
		}
		l.r.store.Commit(&b, nil)
	}
}

// loader is the store.Loader of a router.
type loader struct {
	r        *Router
	now      time.Time
	sessions map[uint64]*Subscriber
	changed  []*Subscriber // whose records are not those of the store any more
	expired  []string      // topics whose retained messages have expired
}

// LoadSession implements store.Loader.
func (l *loader) LoadSession(rec store.Session) error {
	s := &Subscriber{
		ClientID:     rec.ClientID,
		ID:           rec.ID,
		principal:    auth.Principal{Username: rec.Username, Anonymous: rec.Anonymous, ClientID: rec.ClientID},
		disconnected: rec.Disconnected,
		will:         rec.Will,
		session:      session.Session{Durable: true, Expiry: rec.Expiry, Limits: l.r.limits.Load().Queue},
		overflow:     l.r.limits.Load().Overflow,
	}
	s.session.Park()
	l.sessions[s.ID] = s
	l.r.sessions.add(s)
	l.r.sessions.users.begin(rec.Username, 0)
	if rec.Will != nil {
		rec.Will.Message.Owner = rec.Username
	}
	access := l.r.access.Load()
	l.r.authorize(s, access)
	if s.disconnected.IsZero() {
		l.interrupted(s)
	}
	l.r.disown(s, access)
	l.r.schedule(s)
	return nil
}

// interrupted ends the connection of a session that stood when the process that
// had it ended.
func (l *loader) interrupted(s *Subscriber) {
	s.disconnected = l.now
	if s.will != nil {
		s.will = delayed(s.will, l.now, s.session.Expiry)
	}
	l.changed = append(l.changed, s)
}

// LoadReceived implements store.Loader.
func (l *loader) LoadReceived(id uint64, packetID uint16) error {
	if s := l.sessions[id]; s != nil {
		s.session.Receive(packetID)
	}
	return nil
}

// LoadSent implements store.Loader.
func (l *loader) LoadSent(sent store.Sent) error {
	if s := l.sessions[sent.Session]; s != nil {
		s.session.RestoreSent(sent.ID, session.Waiting{Seq: sent.Seq, Message: sent.Message}, sent.Released)
	}
	return nil
}

// LoadWaiting implements store.Loader.
func (l *loader) LoadWaiting(id uint64, w session.Waiting) error {
	if s := l.sessions[id]; s != nil {
		s.session.Restore(w)
	}
	return nil
}

// LoadSubscription implements store.Loader. What is granted of it is decided by
// the rules of now.
func (l *loader) LoadSubscription(id uint64, sub session.Subscription) error {
	if s := l.sessions[id]; s != nil {
		sub.QoS, sub.Suspended = l.r.grant(s.acl(), &sub)
		l.r.subscribe(s, sub)
	}
	return nil
}

// LoadRetained implements store.Loader.
func (l *loader) LoadRetained(m store.Retained) error {
	if !m.Expires.IsZero() && !l.now.Before(m.Expires) {
		l.expired = append(l.expired, m.Topic)
		return nil
	}
	owner, _ := l.r.sessions.users.retain(m.Owner, int64(m.Size), &kept{}, config.UserLimits{})
	l.r.retained.put(m.Topic, kept{size: uint32(m.Size), expires: session.Seconds(m.Expires), owner: owner})
	return nil
}
