package router

import (
	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
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
	acl := access.ACL(s.principal)
	if old := s.acl.Load(); old != nil && old.Fingerprint() == acl.Fingerprint() {
		return
	}
	s.acl.Store(acl)
	r.reauthorize(s)
}

// reauthorize judges the subscriptions of s, which is locked, by its ACL.
func (r *Router) reauthorize(s *Subscriber) {
	acl := s.acl.Load()
	for sub := range s.session.EachSubscription {
		granted, maxQoS := acl.Subscribe(sub.Filter)
		r.regrant(s, sub, granted, packet.QoS(maxQoS))
	}
}

func (r *Router) regrant(s *Subscriber, sub *session.Subscription, granted bool, maxQoS packet.QoS) {
	switch {
	case !granted && !sub.Suspended:
		sub.Suspended = true
		r.index.Unsubscribe(sub.Filter, s)
	case granted && (sub.Suspended || maxQoS < sub.QoS):
		sub.Suspended, sub.QoS = false, min(sub.QoS, maxQoS)
		r.enter(s, sub)
	}
}
