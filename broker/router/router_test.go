package router

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

// link is a client that takes everything.
type link struct {
	written   int
	last      []byte
	keeps     bool   // all frames, and not the last one alone
	frames    []byte // one after the other
	most      int    // packets that it takes until it is congested; 0 is no bound
	congested bool
	behind    bool
	pending   int64
	kicked    packet.ReasonCode
}

// Write implements Link.
func (l *link) Write(_ *Worker, frame []byte) {
	l.written++
	l.last = append(l.last[:0], frame...)
	if l.keeps {
		l.frames = append(l.frames, frame...)
	}
	if l.most > 0 {
		l.most--
		l.congested = l.most == 0
	}
}

// each calls yield with all packets of MQTT 5 that were written.
func (l *link) each(t testing.TB, yield func(h packet.Header, body []byte)) {
	t.Helper()
	for rest := l.frames; len(rest) > 0; {
		h, n, err := packet.ParseHeader(rest)
		if err != nil || n == 0 {
			t.Fatalf("a packet that is none: %v", err)
		}
		yield(h, rest[n:n+h.Length])
		rest = rest[n+h.Length:]
	}
}

// published returns all messages as "topic payload retain".
func (l *link) published(t testing.TB) (all []string) {
	t.Helper()
	l.each(t, func(h packet.Header, body []byte) {
		if h.Type == packet.TypePublish {
			p := decoded(t, h, body)
			all = append(all, fmt.Sprintf("%s %s %t", p.Topic, p.Payload, p.Retain))
		}
	})
	return all
}

func decoded(t testing.TB, h packet.Header, body []byte) *packet.Publish {
	t.Helper()
	var p packet.Publish
	if err := p.Decode(packet.V5, h.Flags, body); err != nil {
		t.Fatal(err)
	}
	return &p
}

// topics returns those of all messages.
func (l *link) topics(t testing.TB) map[string]bool {
	t.Helper()
	topics := map[string]bool{}
	for _, m := range l.published(t) {
		name, _, _ := strings.Cut(m, " ")
		topics[name] = true
	}
	return topics
}

// acknowledge ends the exchanges of all that was written.
func (l *link) acknowledge(t testing.TB, w *Worker, s *Subscriber) {
	t.Helper()
	l.congested = true // and nothing follows
	l.each(t, func(h packet.Header, body []byte) {
		if h.Type != packet.TypePublish {
			return
		}
		p := decoded(t, h, body)
		for _, typ := range []packet.Type{packet.TypePuback, packet.TypePubrec, packet.TypePubcomp} {
			w.Acknowledge(s, l, typ, p.ID, 0)
		}
	})
}

// packets returns PUBLISH and PUBREL packets with their identifiers.
func (l *link) packets(t testing.TB) (all []string) {
	t.Helper()
	l.each(t, func(h packet.Header, body []byte) {
		if h.Type == packet.TypePublish {
			p := decoded(t, h, body)
			all = append(all, fmt.Sprintf("PUBLISH %d dup %t", p.ID, p.Dup))
			return
		}
		var p packet.Ack
		if err := p.Decode(packet.V5, h.Type, body); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%v %d", h.Type, p.ID))
	})
	return all
}

// Congested implements Link.
func (l *link) Congested() bool { return l.congested }

// Full implements Link.
func (l *link) Full() bool { return l.congested }

// Pending implements Link.
func (l *link) Pending() int64 { return l.pending }

func (l *link) Behind() bool { return l.behind }

// Kick implements Link.
func (l *link) Kick(reason packet.ReasonCode, _ string) { l.kicked = reason }

// Yield implements Link.
func (l *link) Yield(done func()) { done() }

// Flush implements Link.
func (l *link) Flush(*Worker) {}

// access compiles a configuration with rules that concern none of the topics of
// the tests, as many as a large installation has.
func access(t testing.TB, rules int) *auth.Snapshot {
	t.Helper()
	policy := config.Policy{Source: "test", Anonymous: true}
	for i := range rules {
		policy.Rules = append(policy.Rules, config.Rule{
			Effect: config.Allow, Actions: []config.Action{config.ActionAll}, Topics: []string{fmt.Sprintf("room/%d/+/#", i)},
		})
	}
	c := &config.Config{Settings: config.Settings{Anonymous: true, DefaultEffect: config.Allow}}
	c.Access.Policies = []config.Policy{policy}
	snapshot, err := auth.Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

func open(t testing.TB) (*Router, *Worker) {
	t.Helper()
	return openOver(t, memory.New(), access(t, 100))
}

// openOver returns a router with what st has, and a worker of it.
func openOver(t testing.TB, st store.Store, access *auth.Snapshot) (*Router, *Worker) {
	t.Helper()
	r := New(st, metrics.New(), access, Limits{MaxQoS: 2})
	if err := r.Load(time.Now()); err != nil {
		t.Fatal(err)
	}
	return r, newWorker(r)
}

// tasks are what is posted to the workers of a router: the test runs them all.
type tasks struct {
	mu  sync.Mutex
	all []func()
}

func (x *tasks) post(f func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.all = append(x.all, f)
}

func (x *tasks) take() (all []func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	all, x.all = x.all, nil
	return all
}

var tasksOf sync.Map // by *Router

// newWorker returns a worker whose loop is settle.
func newWorker(r *Router) *Worker {
	x, _ := tasksOf.LoadOrStore(r, &tasks{})
	return r.NewWorker(x.(*tasks).post)
}

// settle ends the round of all workers of r, and goes on until nothing is read or
// posted any more.
func settle(r *Router) {
	x, _ := tasksOf.Load(r)
	for again := true; again; {
		for _, w := range r.workers.all {
			w.EndRound()
		}
		r.readers.mu.Lock()
		r.readers.wait()
		r.readers.mu.Unlock()
		all := x.(*tasks).take()
		for _, f := range all {
			f()
		}
		again = len(all) > 0
	}
}

// connect gives a client a session over a new link.
func connect(t testing.TB, w *Worker, id string, changes ...func(*Connect)) (*Subscriber, *link) {
	t.Helper()
	l := &link{keeps: true}
	c := &Connect{
		Principal: auth.Principal{Anonymous: true, ClientID: id}, Link: l, Version: packet.V5,
		CleanStart: true, Window: 100,
	}
	for _, change := range changes {
		change(c)
	}
	s, _, wait, reason := w.Connect(c)
	if wait != nil {
		wait(func() {})
		settle(w.r)
		s, _, wait, reason = w.Connect(c)
	}
	if wait != nil || reason.IsError() {
		t.Fatalf("connect %q: %v, has to wait %t", id, reason, wait != nil)
	}
	w.Resume(s, l)
	return s, l
}

func lasting(c *Connect) { c.CleanStart, c.Expiry = false, time.Hour }

func subscribe(t testing.TB, w *Worker, s *Subscriber, filter string, q packet.QoS) {
	t.Helper()
	p := &packet.Subscribe{Subscriptions: []packet.Subscription{{Filter: []byte(filter), QoS: q}}}
	if got := w.Subscribe(s, s.link, p, SubscriptionLimits{}, nil); got[0].Reason != packet.ReasonCode(q) {
		t.Fatalf("subscribe to %q: %v", filter, got[0].Reason)
	}
}

// publish is what a connection does with one message, and its subscriber with
// the delivery.
type publish struct {
	w        *Worker
	from     Publisher
	to       *Subscriber
	toLink   *link
	packet   packet.Publish
	raw      []byte
	received uint16
}

func newPublish(t testing.TB, w *Worker, q packet.QoS, v packet.Version) *publish {
	t.Helper()
	from, _ := connect(t, w, "from", func(c *Connect) { c.Version = v })
	to, l := connect(t, w, "to")
	l.keeps = false
	subscribe(t, w, to, "a/+/c", q)
	x := &publish{w: w, from: Publisher{Subscriber: from, Version: v}, to: to, toLink: l}
	source := packet.Publish{QoS: q, ID: 1, Topic: []byte("a/b/c"), Payload: make([]byte, 64)}
	x.raw = source.Append(nil, v)
	h, n, err := packet.ParseHeader(x.raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.packet.Decode(v, h.Flags, x.raw[n:]); err != nil {
		t.Fatal(err)
	}
	return x
}

// once publishes the message, and acknowledges it in both directions.
func (x *publish) once() {
	w := x.w
	if x.packet.QoS == packet.QoS2 {
		w.Receive(x.from.Subscriber, 1)
	}
	w.Publish(&x.from, &x.packet, x.raw)
	x.received++
	if x.received == 0 {
		x.received = 1
	}
	switch x.packet.QoS {
	case packet.QoS0:
	case packet.QoS1:
		w.Acknowledge(x.to, x.toLink, packet.TypePuback, x.received, 0)
	case packet.QoS2:
		w.Release(x.from.Subscriber, 1)
		w.Acknowledge(x.to, x.toLink, packet.TypePubrec, x.received, 0)
		w.Acknowledge(x.to, x.toLink, packet.TypePubcomp, x.received, 0)
	}
	w.EndRound()
}

func TestPublishDoesNotAllocate(t *testing.T) {
	for _, v := range []packet.Version{packet.V311, packet.V5} { // the subscriber's is 5
		for _, q := range []packet.QoS{packet.QoS0, packet.QoS1, packet.QoS2} {
			t.Run(fmt.Sprintf("from %v at QoS %d", v, q), func(t *testing.T) {
				_, w := open(t)
				x := newPublish(t, w, q, v)
				x.once()
				if n := testing.AllocsPerRun(1000, x.once); n != 0 {
					t.Errorf("%v allocations", n)
				}
				if got := x.toLink.written; got < 1000 || x.to.session.Inflight() != 0 {
					t.Errorf("%d messages came, %d are in flight", got, x.to.session.Inflight())
				}
			})
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, q := range []packet.QoS{packet.QoS0, packet.QoS1, packet.QoS2} {
		b.Run(fmt.Sprintf("QoS %d", q), func(b *testing.B) {
			_, w := open(b)
			x := newPublish(b, w, q, packet.V5)
			b.ReportAllocs()
			for b.Loop() {
				x.once()
			}
		})
	}
}

func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			_, w := open(b)
			x := newPublish(b, w, packet.QoS0, packet.V5)
			for i := range n {
				s, _ := connect(b, w, fmt.Sprint(i))
				subscribe(b, w, s, "a/#", packet.QoS0)
			}
			b.ReportAllocs()
			for b.Loop() {
				x.once()
			}
		})
	}
}

// Each message has another topic than the one before, so that its route is
// looked up.
func BenchmarkTopics(b *testing.B) {
	for _, n := range []int{1000, 100000} { // within the cache of routes, and beyond it
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			_, w := open(b)
			x := newPublish(b, w, packet.QoS0, packet.V5)
			topics := make([][]byte, n)
			for i := range topics {
				topics[i] = fmt.Appendf(nil, "a/%d/c", i)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				x.packet.Topic = topics[i%n]
				w.Publish(&x.from, &x.packet, nil)
			}
		})
	}
}

// Timers do not pile up while a client comes and goes.
func TestSessionHasOneTimer(t *testing.T) {
	r, w := open(t)
	for range 100 {
		s, l := connect(t, w, "c", lasting)
		w.Disconnect(s, l, true, nil)
		w.Disconnect(s, l, true, nil)
	}
	if n := len(r.timers.heap); n != 1 {
		t.Errorf("%d timers", n)
	}
	connect(t, w, "c", lasting)
	if n := len(r.timers.heap); n != 0 {
		t.Errorf("%d timers while the client is connected", n)
	}
}

func TestTickEndsSessionsInTime(t *testing.T) {
	r, w := open(t)
	start := w.Now
	for i := range 10 { // of different lengths, in a mixed order
		s, l := connect(t, w, fmt.Sprint(i), func(c *Connect) { c.Expiry = time.Duration(i*7%10+1) * time.Minute })
		w.Disconnect(s, l, true, nil)
	}
	for minute := range 11 {
		w.Now = start.Add(time.Duration(minute) * time.Minute)
		w.Tick()
		if got := r.Sessions(); got != 10-minute {
			t.Errorf("%d sessions after %d minutes", got, minute)
		}
	}
}

func TestExpiredSessionIsNotResumed(t *testing.T) {
	_, w := open(t)
	s, l := connect(t, w, "c", lasting)
	w.Disconnect(s, l, true, nil)
	w.Now = w.Now.Add(2 * time.Hour) // and no tick since
	if again, _ := connect(t, w, "c", lasting); again == s {
		t.Error("the client goes on with a session that has expired")
	}
}

// What waits in a session that is offline costs one copy of the message,
// whatever the number of sessions.
func TestMessagesAreShared(t *testing.T) {
	_, w := open(t)
	x := newPublish(t, w, packet.QoS1, packet.V5)
	var waiting []*Subscriber
	for i := range 3 {
		s, l := connect(t, w, fmt.Sprint(i), lasting)
		subscribe(t, w, s, "a/b/c", packet.QoS1)
		w.Disconnect(s, l, true, nil)
		waiting = append(waiting, s)
	}
	x.once()
	bodies := map[*session.Message]bool{}
	for _, s := range waiting {
		page, err := w.r.store.Deliveries(s.ID, 0, 10, 1<<20)
		if err != nil || len(page) != 1 || s.session.Listed() != 1 {
			t.Fatalf("%d messages wait: %v", len(page), err)
		}
		bodies[page[0].Message] = true
	}
	if len(bodies) != 1 {
		t.Errorf("%d bodies", len(bodies))
	}
}

// A store is left without what ended, whatever the order in which it came about
// within one round.
func TestStoreFollowsTheSessions(t *testing.T) {
	for name, script := range map[string]func(t *testing.T, w *Worker){
		"a session that ends in the round in which it was stored": func(t *testing.T, w *Worker) {
			s, l := connect(t, w, "c", lasting)
			w.Disconnect(s, l, true, nil)
			s, l = connect(t, w, "c")
			w.Disconnect(s, l, true, nil)
		},
		"a session whose next connection does not keep it": func(t *testing.T, w *Worker) {
			s, l := connect(t, w, "c", lasting)
			w.Disconnect(s, l, true, nil)
			w.EndRound()
			connect(t, w, "c", func(c *Connect) { c.CleanStart = false })
		},
		"a session whose client gives it up": func(t *testing.T, w *Worker) {
			s, l := connect(t, w, "c", lasting)
			var zero time.Duration
			w.Disconnect(s, l, true, &zero)
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := memory.New()
			r, w := openOver(t, st, access(t, 0))
			script(t, w)
			settle(r)
			next, w := openOver(t, st, access(t, 0))
			w.Tick()
			if n := next.Sessions(); n != 0 {
				t.Errorf("%d sessions are stored", n)
			}
		})
	}
}

// The record of a session is stored in the order in which workers change it,
// whenever their rounds end.
func TestRecordsAreStoredInOrder(t *testing.T) {
	for name, tc := range map[string]struct {
		connect func(*Connect)
		stored  int
		expiry  time.Duration
	}{
		"a client that is back on another loop":                {lasting, 1, time.Hour},
		"a client that begins anew on another loop":            {func(c *Connect) {}, 0, 0},
		"a client whose session ends with its next connection": {func(c *Connect) { c.CleanStart = false }, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			st := memory.New()
			r, first := openOver(t, st, access(t, 0))
			second := newWorker(r)
			s, l := connect(t, first, "c", lasting)
			first.EndRound()
			first.Disconnect(s, l, true, nil)
			connect(t, second, "c", tc.connect)
			second.EndRound()
			first.EndRound()
			var found records
			if err := st.Load(&found); err != nil {
				t.Fatal(err)
			}
			if len(found.all) != tc.stored {
				t.Fatalf("%d sessions are stored, want %d", len(found.all), tc.stored)
			}
			for _, rec := range found.all {
				if !rec.Disconnected.IsZero() || rec.Expiry != tc.expiry {
					t.Errorf("disconnected %v, expiry %v: the client is connected, want %v", rec.Disconnected, rec.Expiry, tc.expiry)
				}
			}
		})
	}
}

// nothing is a loader that takes no notice.
type nothing struct{}

func (nothing) LoadSession(store.Session) error                     { return nil }
func (nothing) LoadReceived(uint64, uint16) error                   { return nil }
func (nothing) LoadSent(store.Sent) error                           { return nil }
func (nothing) LoadWaiting(uint64, session.Waiting) error           { return nil }
func (nothing) LoadSubscription(uint64, session.Subscription) error { return nil }
func (nothing) LoadRetained(store.Retained) error                   { return nil }

// records are the sessions of a store.
type records struct {
	nothing
	all []store.Session
}

// LoadSession implements store.Loader.
func (r *records) LoadSession(s store.Session) error { r.all = append(r.all, s); return nil }

func TestMessagesOfAnEndedSessionAreNotInheritedFromTheStore(t *testing.T) {
	st := memory.New()
	_, w := openOver(t, st, access(t, 0))
	x := newPublish(t, w, packet.QoS1, packet.V5)
	s, l := connect(t, w, "c", lasting)
	subscribe(t, w, s, "a/b/c", packet.QoS1)
	w.Disconnect(s, l, true, nil)
	w.Publish(&x.from, &x.packet, nil) // in the same round
	connect(t, w, "c", lasting, func(c *Connect) { c.CleanStart = true })
	w.EndRound()
	next, _ := openOver(t, st, access(t, 0))
	loaded := next.sessions.shard("c").byID["c"]
	if loaded == nil {
		t.Fatal("the session is not stored")
	}
	if n, _ := loaded.session.Queue(); n != 0 {
		t.Errorf("%d messages wait in a new session", n)
	}
}

func TestCongestedLinkLetsMessagesWait(t *testing.T) {
	_, w := open(t)
	x := newPublish(t, w, packet.QoS1, packet.V5)
	x.toLink.congested = true
	for range 5 {
		w.Publish(&x.from, &x.packet, x.raw)
	}
	if x.toLink.written != 0 {
		t.Fatalf("%d messages are written", x.toLink.written)
	}
	x.toLink.congested = false
	w.Drained(x.to, x.toLink)
	if x.toLink.written != 5 {
		t.Errorf("%d messages come, want 5", x.toLink.written)
	}
}
