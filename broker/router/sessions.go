package router

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// registry holds all sessions by client identifier [MQTT-3.1.3-2].
type registry struct {
	seed   maphash.Seed
	shards [64]shard

	count, connected, subscriptions atomic.Int64
	shared                          atomic.Int64 // of the subscriptions

	users users
}

type shard struct {
	mu   sync.Mutex
	byID map[string]*Subscriber
}

func (g *registry) init() {
	g.seed = maphash.MakeSeed()
	g.users.byName = map[string]*holding{}
	for i := range g.shards {
		g.shards[i].byID = map[string]*Subscriber{}
	}
}

// counts has n more subscriptions to filter, or fewer.
func (g *registry) counts(filter string, n int64) {
	g.subscriptions.Add(n)
	if _, _, shared, _ := topic.ParseShared(filter); shared {
		g.shared.Add(n)
	}
}

func (g *registry) shard(clientID string) *shard {
	return &g.shards[maphash.String(g.seed, clientID)%uint64(len(g.shards))]
}

func (g *registry) add(s *Subscriber) {
	sh := g.shard(s.ClientID)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	g.put(sh, s)
}

// put adds s to its shard, which is locked.
func (g *registry) put(sh *shard, s *Subscriber) {
	sh.byID[s.ClientID] = s
	g.count.Add(1)
}

// all returns the sessions of this moment.
func (g *registry) all() []*Subscriber {
	var all []*Subscriber
	for i := range g.shards {
		sh := &g.shards[i]
		sh.mu.Lock()
		for _, s := range sh.byID {
			all = append(all, s)
		}
		sh.mu.Unlock()
	}
	return all
}

// Connect is what a client that has authenticated asks for.
type Connect struct {
	Principal auth.Principal
	Link      Link
	Version   packet.Version
	// CleanStart discards an existing session [MQTT-3.1.2-4].
	CleanStart bool
	// Expiry is how long the session outlives its connection; at 0 it ends
	// with it.
	Expiry time.Duration
	// Window is the number of unacknowledged messages that the client takes.
	Window int
	// MaxPacket is the largest packet that the client takes, in bytes; 0 is no
	// limit.
	MaxPacket int
	// TopicAliases that the client takes; 0 is none.
	TopicAliases int
	// MaxConnections of the user at a time, and MaxSessions; 0 is no limit.
	MaxConnections int
	MaxSessions    int
	Limits         session.Limits
	Overflow       Overflow
	// Will is published when the connection ends other than by a DISCONNECT
	// that deletes it; nil is none. Its Expires is as if it had been published at
	// Unpublished.
	Will      *session.Message
	WillDelay time.Duration
}

// Connect gives the connection its session. It fails with a reason where the
// principal is not valid any more by the rules in force, the session belongs to
// somebody else, the user has too many connections, or the store cannot take
// another session. The CONNACK follows, and then Resume.
//
// wait is not nil where the session has another connection [MQTT-3.1.4-3], or has
// ended but for what is handed over, or where too much waits for the store: nothing
// was done then, and Connect is to be called again once wait calls back, from any
// goroutine.
func (w *Worker) Connect(c *Connect) (s *Subscriber, present bool, wait func(done func()), reason packet.ReasonCode) {
	switch {
	case !w.r.access.Load().Valid(c.Principal):
		return nil, false, nil, packet.ReasonNotAuthorized
	case (c.Expiry > 0 || c.Will != nil) && w.Backlogged():
		return nil, false, w.CatchUp, packet.ReasonSuccess
	}
	g := &w.r.sessions
	sh := g.shard(c.Principal.ClientID)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s, wills, wait, reason := w.existing(sh, c)
	if wait == nil && !reason.IsError() {
		if present = s != nil; !present {
			s, reason = w.begin(sh, c)
		}
		if s != nil {
			w.join(s, c)
		}
	}
	w.followUp(wills)
	return s, present, wait, reason
}

// begin makes a session for a client that has none, unless there are too many. The
// shard is locked, and the connection was counted.
func (w *Worker) begin(sh *shard, c *Connect) (*Subscriber, packet.ReasonCode) {
	g := &w.r.sessions
	name := c.Principal.Username
	reason := packet.ReasonQuotaExceeded
	most := w.r.limits.Load().Sessions
	switch {
	case !w.r.takesSession(c.Expiry > 0):
		w.Counts[metrics.SessionsShed]++
	case most == 0 || g.count.Load() < int64(most):
		reason = g.users.begin(name, c.MaxSessions)
	}
	if reason.IsError() {
		g.users.leave(name)
		return nil, reason
	}
	s := &Subscriber{ClientID: c.Principal.ClientID}
	if s.session.Durable = c.Expiry > 0; s.session.Durable {
		s.ID = w.r.store.NextID()
	}
	g.put(sh, s)
	return s, packet.ReasonSuccess
}

// existing returns the session that the client goes on with, if there is one.
// One that it does not go on with is ended, and wills are due. The shard is
// locked.
func (w *Worker) existing(sh *shard, c *Connect) (goesOn *Subscriber, wills []*session.Message, wait func(func()), reason packet.ReasonCode) {
	users, name := &w.r.sessions.users, c.Principal.Username
	s := sh.byID[c.Principal.ClientID]
	if s == nil {
		if c.Expiry > 0 && w.r.refusing.Load() {
			return nil, nil, nil, packet.ReasonQuotaExceeded
		}
		return nil, nil, nil, users.take(name, c.MaxConnections)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	same, lasts := sameOwner(s.principal, c.Principal), s.link != nil || w.Now.Before(s.ends())
	switch {
	case s.leaving != nil:
		return nil, nil, s.leaving.wait, packet.ReasonSuccess
	case !same && lasts && !w.claims(s, c):
		return nil, nil, nil, packet.ReasonClientIdentifierNotValid
	case s.link != nil:
		return nil, nil, s.link.Yield, packet.ReasonSuccess
	}
	if reason = users.take(name, c.MaxConnections); reason.IsError() {
		return nil, nil, nil, reason
	}
	if same && lasts && !c.CleanStart {
		if s.willIsDue(w.Now) { // the client was not back in time
			wills = w.takeWill(s)
		}
		return s, wills, nil, packet.ReasonSuccess
	}
	wills = w.end(sh, s)
	if s.leaving != nil {
		users.leave(name)
		wait = s.leaving.wait
	}
	return nil, wills, wait, packet.ReasonSuccess
}

// sameOwner: a session belongs to a user, and is never handed to another one.
func sameOwner(a, b auth.Principal) bool {
	return a.Username == b.Username && a.Anonymous == b.Anonymous
}

// claims reports whether the client identifier is more the client's own than that of
// the session which has it, of another user. That session ends then.
func (w *Worker) claims(s *Subscriber, c *Connect) bool {
	access := w.r.access.Load()
	return access.Claim(c.Principal) > access.Claim(s.principal)
}

// join connects s. Where the access rules changed since the
// client was authenticated, and it is not valid any more, it is kicked at once.
func (w *Worker) join(s *Subscriber, c *Connect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.r.timers.cancel(s)
	s.link, s.principal, s.version, s.maxPacket = c.Link, c.Principal, c.Version, uint32(c.MaxPacket)
	s.aliases = newAliases(c.TopicAliases)
	s.overflow = c.Overflow
	if s.will = nil; c.Will != nil {
		c.Will.Owner = c.Principal.Username
		s.will = &store.Will{Message: c.Will, Delay: c.WillDelay}
	}
	s.session.Window = int32(min(max(c.Window, 1), session.MaxWindow))
	s.session.Limits = c.Limits
	s.session.Expiry = c.Expiry // at 0 it ends with this connection, however that ends
	s.disconnected = time.Time{}
	w.r.sessions.connected.Add(1)
	access := w.r.access.Load()
	if !access.Valid(s.principal) {
		s.link.Kick(packet.ReasonNotAuthorized, "the user or the credential is no longer valid")
	}
	w.r.authorize(s, access)
	w.r.disown(s, access)
	w.r.setOnline(s, true)
	if s.session.Durable {
		w.batch.Sessions = append(w.batch.Sessions, s.record())
	}
}

// forget takes s, which is locked, out of the store.
func (w *Worker) forget(s *Subscriber) {
	w.Settle() // a batch begins with what ends, and s may be in this one
	w.batch.Ended = append(w.batch.Ended, s.ID)
}

// Resume sends again what was in flight when an earlier connection of the
// session ended, and then what waits [MQTT-4.4.0-1].
func (w *Worker) Resume(s *Subscriber, link Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link != link {
		return
	}
	s.session.Resume()
	w.pump(s)
}

// Disconnect tells that the connection link of s has ended. With clean the will
// is deleted [MQTT-3.14.4-3]; expiry replaces the session expiry interval
// unless it is nil.
func (w *Worker) Disconnect(s *Subscriber, link Link, clean bool, expiry *time.Duration) {
	sh := w.r.sessions.shard(s.ClientID)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	defer w.Settle() // before another worker changes the session's record
	w.followUp(w.part(sh, s, link, clean, expiry))
}

// followUp publishes the wills that are due when connections and sessions have
// ended, and hands over what these have left, in the batch in which they end. No
// Subscriber is locked.
func (w *Worker) followUp(wills []*session.Message) {
	for _, m := range wills {
		w.PublishMessage(m)
	}
	left := w.left
	w.left = nil
	for _, d := range left {
		w.handOver(d)
	}
}

// part ends the connection of s, whose shard is locked, and returns the wills
// that are due.
func (w *Worker) part(sh *shard, s *Subscriber, link Link, clean bool, expiry *time.Duration) []*session.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link != link {
		return nil // taken over
	}
	if clean {
		s.will = nil
	}
	if expiry != nil && s.session.Expiry > 0 { // at 0 it ends now, whatever the client asks for
		s.session.Expiry = *expiry
	}
	wills := w.detach(s)
	if s.session.Expiry == 0 {
		return append(wills, w.end(sh, s)...)
	}
	w.park(s)
	w.r.setOnline(s, false)
	w.batch.Sessions = append(w.batch.Sessions, s.record())
	w.r.schedule(s)
	return wills
}

// detach parts s, which is locked, from its connection and returns the will if
// it is due at once.
func (w *Worker) detach(s *Subscriber) []*session.Message {
	s.link = nil
	w.r.sessions.connected.Add(-1)
	w.r.sessions.users.leave(s.principal.Username)
	s.disconnected = w.Now
	will := s.will
	s.will = nil
	if will == nil || !w.mayPublishWill(s, will.Message) {
		return nil
	}
	will = delayed(will, s.disconnected, s.session.Expiry)
	if !w.Now.Before(will.At) {
		return []*session.Message{will.Message}
	}
	s.will = will
	return nil
}

// Unpublished is the time at which wills of standing connections are published
// as far as their Expires is concerned, which begins to count when they really
// are.
var Unpublished = time.Unix(1<<30, 0)

// delayed lets a will wait for its delay from the end of its connection on
// [MQTT-3.1.3-9]. It is published no later than its session ends.
func delayed(will *store.Will, end time.Time, expiry time.Duration) *store.Will {
	at := end.Add(max(min(will.Delay, expiry), 0))
	m := will.Message
	if !m.Expires.IsZero() {
		published := *m
		published.Expires = at.Add(m.Expires.Sub(Unpublished))
		m = &published
	}
	return &store.Will{Message: m, At: at, Delay: will.Delay}
}

// takeWill takes the will that waits out of s, which is locked, and returns it if
// it may be published by now.
func (w *Worker) takeWill(s *Subscriber) []*session.Message {
	will := s.will
	s.will = nil
	if will == nil || !w.mayPublishWill(s, will.Message) {
		return nil
	}
	return []*session.Message{will.Message}
}

func (w *Worker) mayPublishWill(s *Subscriber, m *session.Message) bool {
	if s.acl().Publish([]byte(m.Topic)).Permits(byte(m.QoS), m.Retain) {
		return true
	}
	w.r.metrics.Denied(w.Now, s.principal.Username, "will", m.Topic)
	return false
}

// end removes a session, whose shard and which itself are locked, and returns
// its will if one was waiting. Where the store has what others may have to take
// over, the session leaves by and by.
func (w *Worker) end(sh *shard, s *Subscriber) (wills []*session.Message) {
	wills = w.takeWill(s)
	for sub := range s.session.EachSubscription {
		w.r.unindex(s, sub)
	}
	w.r.timers.cancel(s)
	s.ended, s.reading, s.replays = true, nil, nil
	s.setRights(none)
	w.r.sessions.count.Add(-1)
	w.r.sessions.users.end(s.principal.Username)
	if s.session.Shares() && w.r.sessions.shared.Load() > 0 {
		w.leave(s, len(wills) > 0)
		return wills
	}
	if s.session.Durable {
		w.forget(s)
	} else {
		sent, waiting := s.session.Abandoned()
		w.left = append(append(w.left, sent...), waiting...)
	}
	s.session = session.Session{}
	delete(sh.byID, s.ClientID)
	return wills
}
