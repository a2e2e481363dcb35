// Package storetest is the suite that every store.Store passes.
package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

// Open opens what an earlier call has left, or something empty the first time.
// The suite closes a store before it opens the next.
type Open func(t testing.TB) store.Store

// Run runs the suite. fresh returns an Open over a place of its own.
func Run(t *testing.T, fresh func(t testing.TB) Open) {
	for name, test := range map[string]func(*testing.T, *place){
		"nothing is loaded from an empty store":            emptyLoad,
		"a session comes back as it was":                   sessionRoundTrip,
		"a replaced session keeps its messages":            replacedSession,
		"messages come back in the order of their numbers": deliveriesInOrder,
		"a message keeps all that belongs to it":           messageRoundTrip,
		"a message that is done does not come back":        doneDelivery,
		"what is not known is passed over":                 unknownNames,
		"a session that ended leaves nothing":              endedSession,
		"a session that begins anew inherits nothing":      sessionAnew,
		"received identifiers are a set":                   receivedIdentifiers,
		"a retained message replaces the one before":       retainedReplaced,
		"an empty retained message removes":                retainedRemoved,
		"commits are reported once and in order":           commitsInOrder,
		"what nobody waits for is stored too":              unattended,
		"a batch may be used again at once":                batchReused,
		"sessions are committed from many goroutines":      manyCommitters,
		"loading ends at the first error":                  loadError,
	} {
		t.Run(name, func(t *testing.T) {
			p := &place{open: fresh(t)}
			defer p.close(t)
			test(t, p)
		})
	}
}

// place is a storage and the store that is open over it.
type place struct {
	open Open
	st   store.Store
}

// content is all that a store has loaded.
type content struct {
	sessions   map[string]store.Session
	deliveries map[string][]*session.Delivery
	retained   map[string]*session.Message
	last       string // the session loaded last
}

// LoadSession implements store.Loader.
func (c *content) LoadSession(s store.Session) error {
	if _, twice := c.sessions[s.ClientID]; twice {
		return fmt.Errorf("session %q is loaded twice", s.ClientID)
	}
	c.sessions[s.ClientID], c.last = s, s.ClientID
	return nil
}

// LoadDelivery implements store.Loader.
func (c *content) LoadDelivery(clientID string, d *session.Delivery) error {
	if clientID != c.last {
		return fmt.Errorf("a delivery of %q behind session %q", clientID, c.last)
	}
	if before := c.deliveries[clientID]; len(before) > 0 && before[len(before)-1].Seq >= d.Seq {
		return fmt.Errorf("delivery %d of %q behind %d", d.Seq, clientID, before[len(before)-1].Seq)
	}
	c.deliveries[clientID] = append(c.deliveries[clientID], d)
	return nil
}

// LoadRetained implements store.Loader.
func (c *content) LoadRetained(m *session.Message) error {
	if _, twice := c.retained[m.Topic]; twice {
		return fmt.Errorf("retained message of %q is loaded twice", m.Topic)
	}
	c.retained[m.Topic] = m
	return nil
}

func (p *place) close(t testing.TB) {
	t.Helper()
	if p.st == nil {
		return
	}
	if err := p.st.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	p.st = nil
}

// reopen closes the store, opens it again and returns what it loads.
func (p *place) reopen(t testing.TB) *content {
	t.Helper()
	p.close(t)
	p.st = p.open(t)
	c := &content{
		sessions:   map[string]store.Session{},
		deliveries: map[string][]*session.Delivery{},
		retained:   map[string]*session.Message{},
	}
	if err := p.st.Load(c); err != nil {
		t.Fatalf("load: %v", err)
	}
	return c
}

// after commits batches one by one to a store without content and returns what
// the next one loads.
func (p *place) after(t testing.TB, batches ...*store.Batch) *content {
	t.Helper()
	p.reopen(t)
	for _, b := range batches {
		commit(t, p.st, b)
	}
	return p.reopen(t)
}

// commit waits until b is durable.
func commit(t testing.TB, st store.Store, b *store.Batch) {
	t.Helper()
	done := make(chan error, 1)
	st.Commit(b, func(err error) { done <- err })
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("commit: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the commit is not reported")
	}
}

func ofSession(id string) store.Session { return store.Session{ClientID: id, Expiry: time.Hour} }

func begin(ids ...string) *store.Batch {
	b := &store.Batch{}
	for _, id := range ids {
		b.Sessions = append(b.Sessions, ofSession(id))
	}
	return b
}

func waits(id string, seqs ...uint64) *store.Batch {
	b := &store.Batch{}
	for _, seq := range seqs {
		m := &session.Message{Topic: "t", Payload: fmt.Append(nil, seq), QoS: packet.QoS1}
		b.Deliveries = append(b.Deliveries, store.Delivery{
			ClientID: id, Delivery: &session.Delivery{Message: m, QoS: packet.QoS1, Seq: seq},
		})
	}
	return b
}

func retain(topic, payload string) *store.Batch {
	return &store.Batch{Retained: []*session.Message{{Topic: topic, Payload: []byte(payload), Retain: true}}}
}

func wantSeqs(t testing.TB, c *content, id string, want ...uint64) {
	t.Helper()
	var got []uint64
	for _, d := range c.deliveries[id] {
		got = append(got, d.Seq)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("messages %v wait for %q, want %v", got, id, want)
	}
}

func wantSessions(t testing.TB, c *content, want ...string) {
	t.Helper()
	for _, id := range want {
		if _, ok := c.sessions[id]; !ok {
			t.Errorf("session %q is gone", id)
		}
	}
	if len(c.sessions) != len(want) {
		t.Errorf("%d sessions, want %d", len(c.sessions), len(want))
	}
}

func emptyLoad(t *testing.T, p *place) {
	c := p.after(t)
	if len(c.sessions)+len(c.deliveries)+len(c.retained) != 0 {
		t.Errorf("loaded %+v", c)
	}
}

func sessionRoundTrip(t *testing.T, p *place) {
	at := time.Unix(1700000000, 123000000)
	want := store.Session{
		ClientID: "c", Username: "u", Expiry: 90 * time.Minute, Disconnected: at,
		Subscriptions: []session.Subscription{
			{Filter: "a/#", Requested: 2, QoS: 1, NoLocal: true, RetainAsPublished: true, ID: 268435455},
			{Filter: "$share/g/+/b", QoS: 1, Suspended: true},
		},
		Received: []uint16{1, 300, 65535},
		Will:     &store.Will{Message: &session.Message{Topic: "w", Payload: []byte("gone"), QoS: 1, Retain: true}, At: at.Add(time.Minute)},
	}
	anonymous := store.Session{ClientID: "", Anonymous: true, Expiry: time.Second}
	c := p.after(t, &store.Batch{Sessions: []store.Session{want, anonymous}})
	got := c.sessions["c"]
	if !got.Disconnected.Equal(at) || got.Will == nil || !got.Will.At.Equal(want.Will.At) {
		t.Fatalf("got %+v", got)
	}
	got.Disconnected, got.Will.At = want.Disconnected, want.Will.At
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if a, ok := c.sessions[""]; !ok || !a.Anonymous || a.Username != "" || !a.Disconnected.IsZero() || a.Will != nil {
		t.Errorf("got %+v", a)
	}
}

func replacedSession(t *testing.T, p *place) {
	changed := ofSession("c")
	changed.Expiry = time.Minute
	c := p.after(t, begin("c"), waits("c", 1, 2), &store.Batch{Sessions: []store.Session{changed}})
	if c.sessions["c"].Expiry != time.Minute {
		t.Errorf("got %+v", c.sessions["c"])
	}
	wantSeqs(t, c, "c", 1, 2)
}

func deliveriesInOrder(t *testing.T, p *place) {
	c := p.after(t, begin("a", "b"), waits("a", 3, 1), waits("b", 70000, 2), waits("a", 2, 1<<40), waits("b", 256))
	wantSeqs(t, c, "a", 1, 2, 3, 1<<40)
	wantSeqs(t, c, "b", 2, 256, 70000)
}

func messageRoundTrip(t *testing.T, p *place) {
	var props packet.Properties
	props.PayloadFormat = 1
	props.Set(packet.PropPayloadFormat)
	props.ContentType, props.ResponseTopic, props.CorrelationData = []byte("ct"), []byte("rt"), []byte{0, 1, 2}
	props.Set(packet.PropContentType)
	props.Set(packet.PropResponseTopic)
	props.Set(packet.PropCorrelationData)
	props.AddUserProperty([]byte("k"), []byte("1"))
	props.AddUserProperty([]byte("k"), []byte("2"))
	m := &session.Message{
		Topic: "t/ü", Payload: []byte{0, 255, 1}, Properties: props, QoS: packet.QoS2, Retain: true,
		Expires: time.Unix(1800000000, 0),
	}
	d := &session.Delivery{
		Message: m, QoS: packet.QoS1, Retain: true, IDs: []uint32{1, 268435455}, Shared: "$share/g/t/+", Seq: 9,
	}
	c := p.after(t, begin("c"), &store.Batch{
		Deliveries: []store.Delivery{{ClientID: "c", Delivery: d}}, Retained: []*session.Message{m},
	})
	wantSeqs(t, c, "c", 9)
	if t.Failed() {
		return
	}
	got := c.deliveries["c"][0]
	if got.QoS != d.QoS || got.Retain != d.Retain || got.Shared != d.Shared || fmt.Sprint(got.IDs) != fmt.Sprint(d.IDs) {
		t.Errorf("got %+v", got)
	}
	for _, got := range []*session.Message{got.Message, c.retained["t/ü"]} {
		wantMessage(t, got, m)
	}
}

// wantMessage compares messages by what they would send.
func wantMessage(t testing.TB, got, want *session.Message) {
	t.Helper()
	if got == nil {
		t.Fatal("the message is gone")
	}
	encode := func(m *session.Message) []byte {
		var p packet.Publish
		m.Fill(&p, time.Unix(1700000000, 0))
		p.QoS, p.Retain, p.ID = m.QoS, m.Retain, 1
		return p.Append(nil, packet.V5)
	}
	if string(encode(got)) != string(encode(want)) || !got.Expires.Equal(want.Expires) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func doneDelivery(t *testing.T, p *place) {
	c := p.after(t, begin("c"), waits("c", 1, 2, 3), &store.Batch{Done: []store.Done{{ClientID: "c", Seq: 2}}})
	wantSeqs(t, c, "c", 1, 3)
	c = p.after(t, &store.Batch{
		Deliveries: waits("c", 4).Deliveries, Done: []store.Done{{ClientID: "c", Seq: 4}, {ClientID: "c", Seq: 1}},
	})
	wantSeqs(t, c, "c", 3)
}

func unknownNames(t *testing.T, p *place) {
	c := p.after(t, begin("c"), &store.Batch{
		Done:     []store.Done{{ClientID: "c", Seq: 1}, {ClientID: "nobody", Seq: 1}},
		Released: []store.Identifier{{ClientID: "c", ID: 1}, {ClientID: "nobody", ID: 1}},
		Received: []store.Identifier{{ClientID: "nobody", ID: 2}},
		Ended:    []string{"nobody"},
	}, waits("nobody", 1), retain("never there", ""))
	wantSessions(t, c, "c")
	if len(c.retained) != 0 || len(c.deliveries) != 0 {
		t.Errorf("loaded %+v", c)
	}
}

func endedSession(t *testing.T, p *place) {
	c := p.after(t, begin("c", "other"), waits("c", 1), waits("other", 1), &store.Batch{Ended: []string{"c"}})
	wantSessions(t, c, "other")
	wantSeqs(t, c, "c")
	wantSeqs(t, c, "other", 1)
	wantSeqs(t, p.after(t, begin("c")), "c")
}

func sessionAnew(t *testing.T, p *place) {
	received := &store.Batch{Received: []store.Identifier{{ClientID: "c", ID: 5}}}
	anew := begin("c")
	anew.Ended = []string{"c"}
	anew.Deliveries = waits("c", 7).Deliveries
	c := p.after(t, begin("c"), waits("c", 1), received, anew)
	wantSessions(t, c, "c")
	wantSeqs(t, c, "c", 7)
	if got := c.sessions["c"].Received; len(got) != 0 {
		t.Errorf("identifiers %v are left", got)
	}
}

func receivedIdentifiers(t *testing.T, p *place) {
	ids := func(ids ...uint16) (all []store.Identifier) {
		for _, id := range ids {
			all = append(all, store.Identifier{ClientID: "c", ID: id})
		}
		return all
	}
	c := p.after(t, begin("c"), &store.Batch{Received: ids(65535, 2, 1)},
		&store.Batch{Released: ids(2)}, &store.Batch{Received: ids(1)})
	if got := fmt.Sprint(c.sessions["c"].Received); got != "[1 65535]" {
		t.Errorf("received %s", got)
	}
}

func retainedReplaced(t *testing.T, p *place) {
	c := p.after(t, retain("a", "1"), retain("b", "1"), retain("a", "2"))
	if string(c.retained["a"].Payload) != "2" || string(c.retained["b"].Payload) != "1" || len(c.retained) != 2 {
		t.Errorf("retained %+v", c.retained)
	}
}

func retainedRemoved(t *testing.T, p *place) {
	both := retain("b", "1")
	both.Retained = append(both.Retained, retain("b", "").Retained...)
	c := p.after(t, retain("a", "1"), retain("a", ""), both, retain("c", ""), retain("c", "1"))
	if len(c.retained) != 1 || c.retained["c"] == nil {
		t.Errorf("retained %+v", c.retained)
	}
}

func commitsInOrder(t *testing.T, p *place) {
	p.reopen(t)
	const most = 500
	reported := make(chan int, 2*most)
	for i := range most {
		b := waits("c", uint64(i+1))
		if i == 0 {
			b = begin("c")
		}
		if i%7 == 3 {
			b = &store.Batch{} // somebody only waits for those before
		}
		p.st.Commit(b, func(err error) {
			if err != nil {
				t.Errorf("commit %d: %v", i, err)
			}
			reported <- i
		})
	}
	p.close(t)
	close(reported)
	want := 0
	for i := range reported {
		if i != want {
			t.Fatalf("commit %d is reported, want %d", i, want)
		}
		want++
	}
	if want != most {
		t.Errorf("%d commits are reported at Close, want %d", want, most)
	}
}

func batchReused(t *testing.T, p *place) {
	p.reopen(t)
	b := begin("a")
	b.Deliveries = waits("a", 1).Deliveries
	b.Retained = retain("r", "1").Retained
	b.Received = []store.Identifier{{ClientID: "a", ID: 1}}
	var wg sync.WaitGroup
	wg.Add(1)
	p.st.Commit(b, func(error) { wg.Done() })
	b.Reset()
	b.Sessions = append(b.Sessions, ofSession("b"))
	b.Deliveries = append(b.Deliveries, waits("b", 2).Deliveries...)
	b.Retained = append(b.Retained, retain("q", "2").Retained...)
	b.Received = append(b.Received, store.Identifier{ClientID: "b", ID: 2})
	wg.Wait()
	commit(t, p.st, b)
	c := p.reopen(t)
	wantSessions(t, c, "a", "b")
	wantSeqs(t, c, "a", 1)
	wantSeqs(t, c, "b", 2)
	if fmt.Sprint(c.sessions["a"].Received, c.sessions["b"].Received) != "[1] [2]" || len(c.retained) != 2 {
		t.Errorf("loaded %+v", c)
	}
}

func unattended(t *testing.T, p *place) {
	p.reopen(t)
	p.st.Commit(begin("c"), nil)
	p.st.Commit(waits("c", 1, 2), nil)
	p.st.Commit(&store.Batch{Done: []store.Done{{ClientID: "c", Seq: 1}}}, nil)
	wantSeqs(t, p.reopen(t), "c", 2)
}

func manyCommitters(t *testing.T, p *place) {
	p.reopen(t)
	const committers, each = 8, 50
	var wg sync.WaitGroup
	for i := range committers {
		wg.Go(func() {
			id := fmt.Sprint(i)
			commit(t, p.st, begin(id))
			for seq := range uint64(each) {
				commit(t, p.st, waits(id, seq+1))
			}
		})
	}
	wg.Wait()
	c := p.reopen(t)
	for i := range committers {
		if n := len(c.deliveries[fmt.Sprint(i)]); n != each {
			t.Errorf("%d messages wait for %d, want %d", n, i, each)
		}
	}
}

var errEnough = errors.New("enough")

// fussy is a loader that takes no session.
type fussy struct{ content }

// LoadSession implements store.Loader.
func (fussy) LoadSession(store.Session) error { return errEnough }

func loadError(t *testing.T, p *place) {
	p.after(t, begin("c"), retain("a", "1"))
	p.close(t)
	p.st = p.open(t)
	if err := p.st.Load(&fussy{}); !errors.Is(err, errEnough) {
		t.Errorf("load returns %v", err)
	}
}
