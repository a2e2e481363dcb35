package router

import (
	"sync/atomic"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// SetAccess puts new users and rules in force, on standing connections too:
// those whose user or credential is no longer valid are disconnected, and
// subscriptions that are no longer granted stop to deliver until they are
// again. It returns when all that is done but for the disconnects, which are
// under way. One goroutine at a time may call it.
func (r *Router) SetAccess(access *auth.Snapshot) {
	r.access.Store(access)
	for _, s := range r.sessions.all() {
		r.review(s, access)
	}
	r.epoch.Add(1)
}

func (r *Router) review(s *Subscriber, access *auth.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	if s.link != nil && !access.Valid(s.principal) {
		s.link.Kick(packet.ReasonNotAuthorized, "the user or the credential is no longer valid")
	}
	r.authorize(s, access)
	r.disown(s, access)
}

// disown has the session of s, which is locked, end with its user: as soon as it has
// no connection, and also where the user is back by then.
func (r *Router) disown(s *Subscriber, access *auth.Snapshot) {
	if access.Knows(s.principal) {
		return
	}
	if s.session.Expiry = 0; s.link == nil {
		r.schedule(s)
	}
}

// rights are what a session may do, for as long as its rules answer alike. What
// was decided by them is remembered together with them, and counts as long as the
// session has them. Their ACL is that of the newest snapshot, so that an older one
// is kept by nobody.
type rights struct {
	acl atomic.Pointer[auth.ACL] // nil once the session has others
}

// none are the rights of sessions that have ended.
var none = new(auth.Snapshot).ACL(auth.Principal{})

// currentRights returns the rights of s and their ACL, both nil before s is known
// to anybody.
func (s *Subscriber) currentRights() (*rights, *auth.ACL) {
	for {
		r := s.rights.Load()
		if r == nil {
			return nil, nil
		}
		if acl := r.acl.Load(); acl != nil {
			return r, acl
		}
	}
}

// acl returns the rules for s, nil before it is known to anybody.
func (s *Subscriber) acl() *auth.ACL {
	_, acl := s.currentRights()
	return acl
}

// setRights gives s, which is locked, other rights. Those that it had go on to be
// compared with, and hold nothing.
func (s *Subscriber) setRights(acl *auth.ACL) {
	r := &rights{}
	r.acl.Store(acl)
	if old := s.rights.Swap(r); old != nil {
		old.acl.Store(nil)
	}
}

// authorize puts the rules in force for s, which is locked. If they are others
// than before, its subscriptions are judged now, and what waits when it is sent.
func (r *Router) authorize(s *Subscriber, access *auth.Snapshot) {
	acl := access.ACL(s.principal)
	if has, old := s.currentRights(); old != nil && old.Fingerprint() == acl.Fingerprint() {
		has.acl.Store(acl)
		return
	}
	s.setRights(acl)
	s.reviewed = true
	for sub := range s.session.EachSubscription {
		r.regrant(s, sub, acl)
	}
}

func (r *Router) regrant(s *Subscriber, sub *session.Subscription, acl *auth.ACL) {
	q, suspended := r.grant(acl, sub)
	switch {
	case suspended && !sub.Suspended:
		sub.Suspended = true
		r.index.Unsubscribe(sub.Filter, s)
	case !suspended && (sub.Suspended || q != sub.QoS):
		sub.Suspended, sub.QoS = false, q
		r.enter(s, sub)
	}
}

// grant returns what rules grant of a subscription that a session has.
func (r *Router) grant(acl *auth.ACL, sub *session.Subscription) (q packet.QoS, suspended bool) {
	granted, maxQoS := acl.Subscribe(sub.Filter)
	return min(sub.Requested, packet.QoS(maxQoS), packet.QoS(r.limits.Load().MaxQoS)), !granted
}

// mayStillReceive reports whether the rules of now let s, which is locked, have
// a delivery that waited.
func (s *Subscriber) mayStillReceive(d *session.Delivery) bool {
	if d.Shared != "" {
		group, _, _, _ := topic.ParseShared(d.Shared)
		return mayReceiveShared(s, group, []byte(d.Topic)) && (!s.reviewed || s.holds(d.Shared))
	}
	return mayReceive(s, []byte(d.Topic)) && (!s.reviewed || s.subscribedTo(d.Topic))
}

// mayReceiveAgain reports whether the rules of now let s, which is locked, have a
// delivery that it was sent before. It has a claim to that whether it is subscribed
// still or not [MQTT-3.10.4-3].
func (s *Subscriber) mayReceiveAgain(d *session.Delivery) bool {
	group, _, _, _ := topic.ParseShared(d.Shared)
	return s.acl().Grants(group, []byte(d.Topic))
}

// holds reports whether a subscription of s is in force.
func (s *Subscriber) holds(filter string) bool {
	sub := s.session.Subscription(filter)
	return sub != nil && !sub.Suspended
}

// subscribedTo reports whether a subscription of s that is in force, and not
// shared, matches a topic.
func (s *Subscriber) subscribedTo(name string) bool {
	for sub := range s.session.EachSubscription {
		if _, filter, shared, _ := topic.ParseShared(sub.Filter); !shared && !sub.Suspended && topic.Match(filter, name) {
			return true
		}
	}
	return false
}

// allReviewed notes that nothing waits any more that was queued under other
// rules, if that is so.
func (s *Subscriber) allReviewed() {
	if waiting, _ := s.session.Queue(); waiting == 0 && !s.session.Unsent() {
		s.reviewed = false
	}
}

// Reprove replaces the principal of s by the same one with a newer credential,
// and reports whether the rules in force still admit it.
func (w *Worker) Reprove(s *Subscriber, p auth.Principal) (valid bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.principal = p
	return w.r.access.Load().Valid(p)
}
