package router

import (
	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// Publisher is the publishing side of a connection: who it is, and what was
// decided for the topic that it used last, with all that the decision was made from.
type Publisher struct {
	*Subscriber

	route    *route // of that topic; nil while no decision may be used again
	use      uint64 // of the route
	rights   *rights
	decision auth.PublishDecision
	Version  packet.Version
}

// decided reports whether the decision is one on the topic name by these rights.
func (from *Publisher) decided(name []byte, by *rights) bool {
	return from.route != nil && from.use == from.route.use && from.rights == by && string(from.route.topic) == string(name)
}

// remember keeps a decision. rt is nil for one that may not be used again.
func (from *Publisher) remember(rt *route, by *rights, decision auth.PublishDecision) {
	from.route, from.rights, from.decision = rt, by, decision
	if rt != nil {
		from.use = rt.use
	}
}

// Publish authorizes p, which came from a client, and delivers it. raw is the
// whole packet as received, or nil; p and raw are not kept. It returns the
// reason code for the client: below 0x80 the message was taken, with
// ReasonTopicNameInvalid the client broke the protocol, and with
// ReasonQuotaExceeded it was delivered, but not retained.
func (w *Worker) Publish(from *Publisher, p *packet.Publish, raw []byte) packet.ReasonCode {
	route, ok := w.routeOf(from, p.Topic)
	if !ok {
		return packet.ReasonTopicNameInvalid
	}
	if !from.permits(p) {
		w.r.metrics.Denied(w.Now, from.Principal().Username, "publish", string(p.Topic))
		return packet.ReasonNotAuthorized
	}
	var owner string
	if p.Retain {
		owner = from.Principal().Username
	}
	reason := w.deliver(from.Subscriber, route, p, from.Version, raw, owner)
	w.Behind = len(w.slow) > 0 && w.holdsUp(from.Subscriber)
	return reason
}

// PublishMessage delivers a message that no connection stands behind: a will
// or one of the broker's own. It is dropped where it would have to be stored and
// the store takes nothing new.
func (w *Worker) PublishMessage(m *session.Message) packet.ReasonCode {
	var p packet.Publish
	m.Fill(&p, w.Now)
	p.QoS, p.Retain = m.QoS, m.Retain
	route, ok := w.lookup(p.Topic)
	if !ok {
		return packet.ReasonTopicNameInvalid
	}
	if w.r.refusing.Load() && (p.QoS > packet.QoS0 && route.durable(nil) || p.Retain && len(p.Payload) > 0 && !ofBroker(m.Topic)) {
		w.Counts[metrics.PublishRefused]++
		return packet.ReasonQuotaExceeded
	}
	return w.deliver(nil, route, &p, packet.V5, nil, m.Owner)
}

// permits judges p by the decision that routeOf has brought up to its topic.
func (from *Publisher) permits(p *packet.Publish) bool {
	return from.decision.Permits(byte(p.QoS), p.Retain)
}

// routeOf finds the route of a topic, and brings the publisher's decision up to
// it. There is none, and ok is true, for a topic that the publisher may not
// publish to at all.
func (w *Worker) routeOf(from *Publisher, name []byte) (rt *route, ok bool) {
	has := from.Subscriber.rights.Load()
	if from.decided(name, has) {
		w.refresh(from.route)
		return from.route, true
	}
	if rt = w.routes.find(name); rt != nil && rt.rights == has {
		w.refresh(rt)
		from.remember(rt, has, rt.decision)
		return rt, true
	}
	if rt == nil && topic.ValidateName(name) != nil {
		return nil, false
	}
	has, acl := from.currentRights()
	from.remember(nil, has, acl.Publish(name))
	if !from.decision.Allowed {
		return nil, true
	}
	if rt != nil {
		w.refresh(rt)
	} else {
		rt = w.newRoute(name)
	}
	rt.rights, rt.decision = has, from.decision
	from.remember(rt, has, from.decision)
	return rt, true
}

// route is what is known of a topic name: where its messages go, and what was
// decided for the client that published to it last.
type route struct {
	topic      []byte
	use        uint64 // another one each time that the route is taken for a topic
	generation uint64 // of the index
	epoch      uint64 // of the router
	result     topic.Result[*Subscriber]

	rights   *rights // that decision was made by; nil if none was
	decision auth.PublishDecision
}

// lookup returns the route of a valid topic name.
func (w *Worker) lookup(name []byte) (*route, bool) {
	if rt := w.routes.find(name); rt != nil {
		w.refresh(rt)
		return rt, true
	}
	if topic.ValidateName(name) != nil {
		return nil, false
	}
	return w.newRoute(name), true
}

// newRoute makes a route for a name that has none.
func (w *Worker) newRoute(name []byte) *route {
	rt := w.routes.take(name)
	rt.use++
	rt.topic, rt.rights = append(rt.topic[:0], name...), nil
	w.match(rt)
	return rt
}

// refresh matches again if subscriptions or rights have changed.
func (w *Worker) refresh(rt *route) {
	if rt.generation != w.r.index.Generation() || rt.epoch != w.r.epoch.Load() {
		w.match(rt)
	}
}

func (w *Worker) match(rt *route) {
	// Read before matching: a change in between makes the route stale again.
	rt.generation, rt.epoch = w.r.index.Generation(), w.r.epoch.Load()
	w.r.index.Match(rt.topic, &w.matches)
	before := len(rt.result.Entries)
	rt.take(&w.matches.Result)
	w.routes.grew(len(rt.result.Entries) - before)
	rt.result.Entries = receivers(rt.result.Entries, rt.topic, rt.result.Extra)
}

// take copies a match result into the memory of the route.
func (rt *route) take(r *topic.Result[*Subscriber]) {
	if cap(rt.result.Entries) > keptEntries && len(r.Entries) <= keptEntries {
		rt.result.Entries = nil
	}
	rt.result.Entries = append(rt.result.Entries[:0], r.Entries...)
	rt.result.Shared = append(rt.result.Shared[:0], r.Shared...)
	rt.result.Extra = append(rt.result.Extra[:0], r.Extra...)
}

// keptEntries is the room for subscribers that a route keeps for the topic that
// takes its place.
const keptEntries = 64

// receivers takes out those who may not receive on this topic, because a rule
// denies a part of what they subscribed to.
func receivers(entries []topic.Entry[*Subscriber], name []byte, extra []topic.ExtraID) []topic.Entry[*Subscriber] {
	for i := range entries {
		if !mayReceive(entries[i].Subscriber, name) {
			// Extra refers to positions, so the place stays, empty.
			entries[i].Subscriber = nil
		}
	}
	if len(extra) > 0 {
		return entries
	}
	kept := entries[:0]
	for _, e := range entries {
		if e.Subscriber != nil {
			kept = append(kept, e)
		}
	}
	return kept
}

func mayReceive(s *Subscriber, name []byte) bool {
	acl := s.acl()
	return acl == nil || !acl.FiltersReceive() || acl.Receive(name)
}

func mayReceiveShared(s *Subscriber, group string, name []byte) bool {
	acl := s.acl()
	return acl == nil || !acl.FiltersReceiveShared() || acl.ReceiveShared(group, name)
}

// deliver hands p to everybody on the route, and keeps it if it is retained, for
// its owner. One that cannot be retained is delivered all the same, and the reason
// is packet.ReasonQuotaExceeded.
func (w *Worker) deliver(from *Subscriber, rt *route, p *packet.Publish, v packet.Version, raw []byte, owner string) packet.ReasonCode {
	reason := packet.ReasonSuccess
	w.frames.reset(p, v, raw)
	w.slow = w.slow[:0]
	if p.Retain {
		reason = w.retain(p, owner)
		w.refresh(rt) // for who has subscribed since, and does not get p as a retained message
	}
	for i := range rt.result.Entries {
		e := &rt.result.Entries[i]
		if e.Subscriber == nil || e.NoLocal && e.Subscriber == from {
			continue // [MQTT-3.8.3-3]
		}
		w.deliverTo(e, p, w.entryIDs(rt, i), "")
	}
	for _, g := range rt.result.Shared {
		w.deliverShared(g, p)
	}
	if !reason.IsError() && len(rt.result.Entries)+len(rt.result.Shared) == 0 {
		return packet.ReasonNoMatchingSubscribers
	}
	return reason
}

// entryIDs returns the subscription identifiers of one entry, nil in the common
// case that there are none.
func (w *Worker) entryIDs(rt *route, i int) []uint32 {
	if rt.result.Entries[i].ID == 0 && len(rt.result.Extra) == 0 {
		return nil
	}
	w.ids = rt.result.AppendIDs(w.ids[:0], i)
	return w.ids
}

// message returns p as one that may be kept, made once for all who keep it.
func (w *Worker) message(p *packet.Publish) *session.Message {
	if w.frames.message == nil {
		w.frames.message = session.NewMessage(p, w.Now)
		w.frames.message.ID = w.r.store.NextID()
	}
	return w.frames.message
}

// copied returns m as another message to the store, which has each once.
func (r *Router) copied(m *session.Message) *session.Message {
	other := *m
	other.ID = r.store.NextID()
	return &other
}

// dropped counts a message that was not delivered.
func (w *Worker) dropped(c metrics.Counter) { w.Counts[c]++ }
