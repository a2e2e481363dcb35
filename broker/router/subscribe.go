package router

import (
	"strings"

	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// Subscribed is the result of one topic filter of a SUBSCRIBE.
type Subscribed struct {
	Reason packet.ReasonCode // the granted QoS, or why it was refused
	// Replay says that retained messages follow the SUBACK.
	Replay bool
	// Since is the last change of retained messages before the subscription was in
	// force.
	Since uint64
}

// SubscriptionLimits bound the subscriptions of a client. Zero is no limit.
type SubscriptionLimits struct {
	Count int
	Bytes int // of all filters
}

// admits reports whether a session may have one more subscription.
func (l SubscriptionLimits) admits(s *session.Session, filter string) bool {
	return (l.Count == 0 || s.Subscriptions() < l.Count) &&
		(l.Bytes == 0 || s.FilterBytes()+len(filter) <= l.Bytes)
}

// Subscribe adds the subscriptions of p, whose filters are valid, and appends a
// result for each to results. The store hears of what is new or another than
// before.
func (w *Worker) Subscribe(s *Subscriber, link Link, p *packet.Subscribe, limits SubscriptionLimits, results []Subscribed) []Subscribed {
	s.mu.Lock()
	defer s.mu.Unlock()
	var id uint32
	if ids := p.Properties.SubscriptionIDs; len(ids) > 0 {
		id = ids[0]
	}
	for i := range p.Subscriptions {
		if s.link != link { // taken over
			results = append(results, Subscribed{Reason: packet.ReasonUnspecifiedError})
			continue
		}
		results = append(results, w.subscribeOne(s, &p.Subscriptions[i], id, limits))
	}
	return results
}

// maxLevels of a topic filter: each one costs memory, and no use needs more.
const maxLevels = 200

func (w *Worker) subscribeOne(s *Subscriber, req *packet.Subscription, id uint32, limits SubscriptionLimits) Subscribed {
	filter := string(req.Filter)
	if strings.Count(filter, "/") >= maxLevels {
		return Subscribed{Reason: packet.ReasonTopicFilterInvalid}
	}
	granted, maxQoS := s.acl().Subscribe(filter)
	if !granted {
		w.r.metrics.Denied(w.Now, s.principal.Username, "subscribe", filter)
		return Subscribed{Reason: packet.ReasonNotAuthorized}
	}
	isNew := s.session.Subscription(filter) == nil
	full := s.session.Durable && w.r.refusing.Load()
	if isNew && (full || !limits.admits(&s.session, filter)) {
		return Subscribed{Reason: packet.ReasonQuotaExceeded}
	}
	_, _, shared, _ := topic.ParseShared(filter)
	if most := w.r.limits.Load().SharedSubscriptions; isNew && shared && most > 0 && s.session.SharedSubscriptions() >= most {
		return Subscribed{Reason: packet.ReasonQuotaExceeded}
	}
	q := min(req.QoS, packet.QoS(maxQoS), packet.QoS(w.r.limits.Load().MaxQoS))
	w.put(s, session.Subscription{
		Filter: filter, Requested: req.QoS, QoS: q, ID: id,
		NoLocal: req.NoLocal, RetainAsPublished: req.RetainAsPublished,
	})
	return Subscribed{
		Reason: packet.ReasonCode(q),
		// [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]; a shared
		// subscription gets no retained messages.
		Replay: !shared && (req.RetainHandling == 0 || req.RetainHandling == 1 && isNew),
		Since:  w.r.retained.changes.Load(),
	}
}

// put gives s, which is locked, a subscription, unless it has the very same.
func (w *Worker) put(s *Subscriber, sub session.Subscription) {
	if old := s.session.Subscription(sub.Filter); old != nil && *old == sub {
		return
	}
	w.r.subscribe(s, sub)
	if s.session.Durable {
		w.batch.Subscriptions = append(w.batch.Subscriptions, store.Subscription{Session: s.ID, Subscription: sub})
	}
}

// subscribe puts sub in force. s is locked, or not known to anybody yet.
func (r *Router) subscribe(s *Subscriber, sub session.Subscription) {
	if old := s.session.Subscription(sub.Filter); old == nil {
		r.sessions.counts(sub.Filter, 1)
	}
	s.session.Subscribe(sub)
	if !sub.Suspended {
		r.enter(s, &sub)
	}
}

// enter adds a subscription to the index.
func (r *Router) enter(s *Subscriber, sub *session.Subscription) {
	r.index.Subscribe(sub.Filter, s, topic.Options{
		QoS: byte(sub.QoS), NoLocal: sub.NoLocal, RetainAsPublished: sub.RetainAsPublished, ID: sub.ID,
	})
	if _, _, shared, _ := topic.ParseShared(sub.Filter); shared && s.link == nil {
		r.index.SetOnline(sub.Filter, s, false)
	}
}

// setOnline tells whether s, which is locked, is connected, where that matters.
func (r *Router) setOnline(s *Subscriber, online bool) {
	if s.session.SharedSubscriptions() == 0 {
		return
	}
	for sub := range s.session.EachSubscription {
		if _, _, shared, _ := topic.ParseShared(sub.Filter); shared && !sub.Suspended {
			r.index.SetOnline(sub.Filter, s, online)
		}
	}
}

// unindex takes a subscription out of force, of a session that loses it.
func (r *Router) unindex(s *Subscriber, sub *session.Subscription) {
	r.sessions.counts(sub.Filter, -1)
	if !sub.Suspended {
		r.index.Unsubscribe(sub.Filter, s)
	}
}

// Unsubscribe removes subscriptions and appends a result for each filter.
func (w *Worker) Unsubscribe(s *Subscriber, link Link, filters [][]byte, results []packet.ReasonCode) []packet.ReasonCode {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, filter := range filters {
		sub := s.session.Subscription(string(filter))
		if sub == nil || s.link != link {
			results = append(results, packet.ReasonNoSubscriptionExisted)
			continue
		}
		w.r.unindex(s, sub)
		s.endReplay(sub.Filter)
		s.session.Unsubscribe(sub.Filter)
		if s.session.Durable {
			removed := session.Subscription{Filter: sub.Filter}
			w.batch.Subscriptions = append(w.batch.Subscriptions, store.Subscription{Session: s.ID, Removed: true, Subscription: removed})
		}
		results = append(results, packet.ReasonSuccess)
	}
	return results
}

// Tick publishes wills whose delay has passed, ends sessions that expired and
// removes what else did. It is called by one worker, about once a second. Of very
// many it takes some at a time, and comes back for the others, so that nobody
// waits for all of them.
func (w *Worker) Tick() {
	w.sweep()
	if !w.waking {
		w.wakeSome()
	}
}

// wakeMost is what wakeSome does at a time, in sessions and their subscriptions.
const wakeMost = 512

// wakeSome wakes some of the sessions whose time has come.
func (w *Worker) wakeSome() {
	w.waking = false
	for done := 0; done < wakeMost; {
		s := w.r.timers.next(w.Now)
		if s == nil {
			return
		}
		done += 1 + w.wake(s)
	}
	w.waking = true
	w.post(w.wakeSome)
}

// wake does what the timer of s was for, and returns the number of subscriptions
// that it had.
func (w *Worker) wake(s *Subscriber) (subscriptions int) {
	sh := w.r.sessions.shard(s.ClientID)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	defer w.Settle() // before another worker changes the session's record
	s.mu.Lock()
	subscriptions = s.session.Subscriptions()
	s.mu.Unlock()
	w.followUp(w.expire(sh, s))
	return subscriptions
}

// expire returns the wills of s, whose shard is locked, that are due, and ends
// the session if it has expired.
func (w *Worker) expire(sh *shard, s *Subscriber) []*session.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.leaving != nil:
		w.wakeLeaving(s.leaving)
		return nil
	case s.link != nil || s.ended:
		return nil
	case !w.Now.Before(s.ends()):
		return w.endExpired(sh, s)
	}
	if s.willIsDue(w.Now) {
		due := w.takeWill(s)
		w.batch.Sessions = append(w.batch.Sessions, s.record())
		w.r.schedule(s)
		return due
	}
	w.r.schedule(s)
	return nil
}

// endExpired ends a session, with what waits for it.
func (w *Worker) endExpired(sh *shard, s *Subscriber) []*session.Message {
	waiting, _ := s.session.Queue()
	wills := w.end(sh, s)
	if s.leaving != nil {
		s.leaving.expired = true
	} else {
		w.Counts[metrics.DroppedExpired] += uint64(waiting)
	}
	return wills
}
