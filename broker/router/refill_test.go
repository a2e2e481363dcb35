package router

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

// unreadable is a store that cannot be read.
type unreadable struct{ store.Store }

var errUnreadable = errors.New("the disk cannot be read")

// Deliveries implements store.Store.
func (unreadable) Deliveries(uint64, uint64, int, int) ([]*session.Delivery, error) {
	return nil, errUnreadable
}

// Retained implements store.Store.
func (unreadable) Retained([]string) ([]*session.Message, error) { return nil, errUnreadable }

// away gives a client a session with a subscription to t, and takes it away.
func away(t testing.TB, w *Worker, id string, filter string, changes ...func(*Connect)) *Subscriber {
	t.Helper()
	s, l := connect(t, w, id, append([]func(*Connect){lasting}, changes...)...)
	subscribe(t, w, s, filter, packet.QoS2)
	w.Disconnect(s, l, true, nil)
	return s
}

// send publishes n messages of a quality of service to t.
func send(w *Worker, n int, q packet.QoS) {
	for i := range n {
		w.PublishMessage(&session.Message{Topic: "t", Payload: fmt.Append(nil, i), QoS: q})
	}
}

func TestQueueOfAnAbsentClientIsReadInPages(t *testing.T) {
	const n = 5000
	r, w := open(t)
	away(t, w, "c", "t")
	send(w, n, packet.QoS1)
	if got := r.Listed(); got != n {
		t.Fatalf("%d messages are listed, want %d", got, n)
	}
	s, l := connect(t, w, "c", lasting)
	for id := uint16(0); l.written < n || s.session.Inflight() > 0; {
		settle(r)
		before := id
		for s.session.Inflight() > 0 {
			id++
			w.Acknowledge(s, l, packet.TypePuback, id, 0)
		}
		if id == before {
			t.Fatalf("nothing comes after %d messages", l.written)
		}
	}
	for i, got := range l.published(t) {
		if want := fmt.Sprintf("t %d false", i); got != want {
			t.Fatalf("message %d is %q, want %q", i, got, want)
		}
	}
	settle(r)
	page, err := r.store.Deliveries(s.ID, 0, 10, 1<<20)
	if err != nil || len(page) > 0 || r.Listed() > 0 {
		t.Errorf("%d are stored and %d listed: %v", len(page), r.Listed(), err)
	}
}

// A page that was on its way is of no use once its connection has ended.
func TestPageOfAnEarlierConnectionIsDropped(t *testing.T) {
	r, w := open(t)
	away(t, w, "c", "t")
	send(w, 3, packet.QoS1)
	w.EndRound()
	s, l := connect(t, w, "c", lasting)
	w.Disconnect(s, l, true, nil)
	s, again := connect(t, w, "c", lasting)
	settle(r)
	if l.written != 0 || again.written != 3 || s.session.Inflight() != 3 {
		t.Errorf("%d and %d messages come", l.written, again.written)
	}
}

// The batch of another worker is not there yet when a page is read.
func TestWhatIsOnItsWayToTheStoreIsNotLost(t *testing.T) {
	r, w := open(t)
	other := newWorker(r)
	away(t, w, "c", "t")
	w.EndRound()
	other.PublishMessage(&session.Message{Topic: "t", Payload: []byte("m"), QoS: packet.QoS1})
	_, l := connect(t, w, "c", lasting)
	r.readers.mu.Lock()
	r.readers.wait() // the page was read
	r.readers.mu.Unlock()
	settle(r)
	if l.written != 1 {
		t.Errorf("%d messages come, want 1", l.written)
	}
}

func TestWhatTheStoreHasLostIsCountedAndPassedOver(t *testing.T) {
	r, w := open(t)
	s := away(t, w, "c", "t")
	send(w, 3, packet.QoS1)
	w.EndRound()
	page, err := r.store.Deliveries(s.ID, 0, 10, 1<<20)
	if err != nil || len(page) != 3 {
		t.Fatalf("%d are stored: %v", len(page), err)
	}
	r.store.Commit(&store.Batch{Done: []store.Done{{Session: s.ID, Seq: page[1].Seq, Message: page[1].ID}}}, nil)
	_, l := connect(t, w, "c", lasting)
	settle(r)
	if got := fmt.Sprint(l.published(t)); got != "[t 0 false t 2 false]" {
		t.Errorf("got %s", got)
	}
	if got := r.metrics.Total(metrics.DroppedLost); got != 1 {
		t.Errorf("%d are counted as lost, want 1", got)
	}
}

func TestQueueThatCannotBeReadEndsTheConnection(t *testing.T) {
	st := &unreadable{Store: memory.New()}
	r, w := openOver(t, st, access(t, 0))
	away(t, w, "c", "t")
	send(w, 3, packet.QoS1)
	s, l := connect(t, w, "c", lasting)
	settle(r)
	if l.kicked != packet.ReasonUnspecifiedError || s.session.Listed() != 3 {
		t.Errorf("the client is told %v, and %d wait", l.kicked, s.session.Listed())
	}
}

// withholding is a store that does not tell of its commits for a while.
type withholding struct {
	*memory.Store
	withheld []func(error)
	withhold bool
}

// Commit implements store.Store.
func (s *withholding) Commit(b *store.Batch, done func(error)) {
	if s.withhold && done != nil {
		s.Store.Commit(b, nil)
		s.withheld = append(s.withheld, done)
		return
	}
	s.Store.Commit(b, done)
}

func (s *withholding) report() {
	s.withhold = false
	for _, done := range s.withheld {
		done(nil)
	}
	s.withheld = nil
}

func TestQoS2IsSentOnceItsIdentifierIsDurable(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, w *Worker) (*Subscriber, *link){
		"to a client that keeps up": func(t *testing.T, w *Worker) (*Subscriber, *link) {
			t.Helper()
			s, l := connect(t, w, "c", lasting)
			subscribe(t, w, s, "t", packet.QoS2)
			settle(w.r)
			return s, l
		},
		"to a client that comes back": func(t *testing.T, w *Worker) (*Subscriber, *link) {
			t.Helper()
			away(t, w, "c", "t")
			send(w, 1, packet.QoS2)
			settle(w.r)
			return connect(t, w, "c", lasting)
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := &withholding{Store: memory.New()}
			r, w := openOver(t, st, access(t, 0))
			s, l := begin(t, w)
			if st.withhold = true; s.session.Listed() == 0 {
				send(w, 1, packet.QoS2)
			}
			settle(r)
			if l.written != 0 || s.session.Inflight() != 1 {
				t.Errorf("%d are written and %d in flight before the commit is reported", l.written, s.session.Inflight())
			}
			st.report()
			settle(r)
			if l.written != 1 {
				t.Errorf("%d are written after it, want 1", l.written)
			}
		})
	}
}

// sentRecords are the exchanges of QoS 2 that a store has.
type sentRecords struct {
	nothing
	all []store.Sent
}

// LoadSent implements store.Loader.
func (r *sentRecords) LoadSent(s store.Sent) error { r.all = append(r.all, s); return nil }

func TestExchangeIsStoredStepByStep(t *testing.T) {
	st := memory.New()
	r, w := openOver(t, st, access(t, 0))
	s, l := connect(t, w, "c", lasting)
	subscribe(t, w, s, "t", packet.QoS2)
	send(w, 1, packet.QoS2)
	settle(r)
	check := func(step string, want string) {
		t.Helper()
		settle(r)
		var found sentRecords
		if err := st.Load(&found); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, x := range found.all {
			got += fmt.Sprintf("id %d released %t", x.ID, x.Released)
		}
		if got != want {
			t.Errorf("after %s: %q, want %q", step, got, want)
		}
	}
	check("PUBLISH", "id 1 released false")
	w.Acknowledge(s, l, packet.TypePubrec, 1, 0)
	if !w.Dirty() {
		t.Error("PUBREL does not wait for the store")
	}
	check("PUBREC", "id 1 released true")
	w.Acknowledge(s, l, packet.TypePubcomp, 1, 0)
	check("PUBCOMP", "")
}

// A process ends in the middle of exchanges, and the next one takes them up.
func TestExchangesGoOnAfterACrash(t *testing.T) {
	st := memory.New()
	r, w := openOver(t, st, access(t, 0))
	s, l := connect(t, w, "c", lasting)
	subscribe(t, w, s, "t", packet.QoS2)
	send(w, 3, packet.QoS2)
	settle(r)
	w.Acknowledge(s, l, packet.TypePubrec, 2, 0)
	settle(r)
	send(w, 1, packet.QoS1)
	settle(r)

	r, w = openOver(t, st, access(t, 0))
	_, l = connect(t, w, "c", lasting)
	settle(r)
	if got := fmt.Sprint(l.packets(t)); got != "[PUBREL 2 PUBLISH 1 dup true PUBLISH 3 dup true PUBLISH 4 dup false]" {
		t.Errorf("got %s", got)
	}
}

func TestExpiredMessagesOfAbsentClientsAreSweptOut(t *testing.T) {
	r, w := open(t)
	var sessions []*Subscriber
	for i := range 10 {
		sessions = append(sessions, away(t, w, fmt.Sprint(i), "t"))
	}
	send(w, 2, packet.QoS1)
	w.PublishMessage(&session.Message{Topic: "t", QoS: packet.QoS1, Expires: w.Now.Add(time.Minute)})
	w.Now = w.Now.Add(2 * time.Minute)
	w.Tick()
	settle(r)
	for _, s := range sessions {
		page, err := r.store.Deliveries(s.ID, 0, 10, 1<<20)
		if err != nil || len(page) != 2 || s.session.Listed() != 2 {
			t.Fatalf("%d are stored and %d listed, want 2: %v", len(page), s.session.Listed(), err)
		}
	}
	if got := r.metrics.Total(metrics.DroppedExpired); got != 10 {
		t.Errorf("%d are counted, want 10", got)
	}
}

func TestOldestIsDroppedFromTheStore(t *testing.T) {
	r, w := open(t)
	s := away(t, w, "c", "t", func(c *Connect) { c.Limits = session.Limits{QueuedMessages: 3, DropOldest: true} })
	send(w, 10, packet.QoS1)
	w.EndRound()
	page, err := r.store.Deliveries(s.ID, 0, 10, 1<<20)
	if err != nil || len(page) != 3 || string(page[0].Payload) != "7" {
		t.Errorf("%d are stored: %v", len(page), err)
	}
}

func TestSessionThatEndsWithItsNextConnectionGetsWhatWaits(t *testing.T) {
	st := memory.New()
	r, w := openOver(t, st, access(t, 0))
	away(t, w, "c", "t")
	send(w, 5, packet.QoS1)
	s, l := connect(t, w, "c", func(c *Connect) { c.CleanStart = false })
	settle(r)
	if l.written != 5 {
		t.Errorf("%d messages come, want 5", l.written)
	}
	w.Disconnect(s, l, true, nil)
	settle(r)
	var found records
	if err := st.Load(&found); err != nil || len(found.all) > 0 {
		t.Errorf("%d sessions are stored: %v", len(found.all), err)
	}
}

func TestNothingNewIsTakenWhileTheStoreIsFull(t *testing.T) {
	r, w := open(t)
	from, _ := connect(t, w, "from")
	durable, dl := connect(t, w, "durable", lasting)
	subscribe(t, w, durable, "durable/#", packet.QoS1)
	member, _ := connect(t, w, "member", lasting)
	subscribe(t, w, member, "$share/g/shared", packet.QoS1)
	low, _ := connect(t, w, "low", lasting)
	subscribe(t, w, low, "low", packet.QoS0)
	passing, _ := connect(t, w, "passing")
	subscribe(t, w, passing, "#", packet.QoS2)
	w.Receive(durable, 7)
	r.Refuse(true)
	for _, tc := range []struct {
		name    string
		from    *Subscriber
		p       packet.Publish
		refused bool
	}{
		{"for a durable session", from, packet.Publish{Topic: []byte("durable/a"), QoS: 1}, true},
		{"for a durable member of a shared subscription", from, packet.Publish{Topic: []byte("shared"), QoS: 1}, true},
		{"at QoS 0", from, packet.Publish{Topic: []byte("durable/a")}, false},
		{"for a durable session at QoS 0", from, packet.Publish{Topic: []byte("low"), QoS: 2}, false},
		{"for those who are there", from, packet.Publish{Topic: []byte("passing"), QoS: 2}, false},
		{"to be retained, which is delivered and not kept", from, packet.Publish{Topic: []byte("passing"), Retain: true, Payload: []byte("m")}, false},
		{"to clear what is retained", from, packet.Publish{Topic: []byte("passing"), Retain: true}, false},
		{"with an identifier that would be stored", durable, packet.Publish{Topic: []byte("passing"), QoS: 2, ID: 8}, true},
		{"that was received already", durable, packet.Publish{Topic: []byte("passing"), QoS: 2, ID: 7}, false},
	} {
		publisher := &Publisher{Subscriber: tc.from, Version: packet.V5}
		if got := w.Refuses(publisher, &tc.p); got != tc.refused {
			t.Errorf("a message %s is refused: %t", tc.name, got)
		}
	}
	kept := &packet.Publish{Topic: []byte("passing"), Retain: true, Payload: []byte("m")}
	if got := w.Publish(&Publisher{Subscriber: from, Version: packet.V5}, kept, nil); got != packet.ReasonQuotaExceeded {
		t.Errorf("a message to be retained: %v", got)
	}
	if n, _ := r.Retained(); n != 0 || passing.link.(*link).written != 1 {
		t.Errorf("%d messages are retained, and %d delivered", n, passing.link.(*link).written)
	}
	sub := &packet.Subscribe{Subscriptions: []packet.Subscription{{Filter: []byte("new")}}}
	if got := w.Subscribe(durable, dl, sub, SubscriptionLimits{}, nil); got[0].Reason != packet.ReasonQuotaExceeded || durable.session.Subscriptions() != 1 {
		t.Errorf("a subscription of a durable session: %v", got[0].Reason)
	}
	if got := w.Subscribe(passing, passing.link, sub, SubscriptionLimits{}, nil); got[0].Reason != packet.ReasonGrantedQoS0 {
		t.Errorf("a subscription of another one: %v", got[0].Reason)
	}
	c := &Connect{Principal: from.principal, Link: &link{}, Expiry: time.Hour, Window: 1}
	c.Principal.ClientID = "new"
	if _, _, _, reason := w.Connect(c); reason != packet.ReasonQuotaExceeded {
		t.Errorf("a durable session: %v", reason)
	}
	c.Expiry = 0
	if _, _, _, reason := w.Connect(c); reason != packet.ReasonSuccess {
		t.Errorf("a session that ends with its connection: %v", reason)
	}
}
