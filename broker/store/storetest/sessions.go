package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

var sessions = map[string]func(*testing.T, *place){
	"a session comes back as it was":                        sessionRoundTrip,
	"a replaced session keeps its messages":                 replacedSession,
	"a session that ended leaves nothing":                   endedSession,
	"a session that ended with much leaves nothing":         endedBigSession,
	"a session that begins anew inherits nothing":           sessionAnew,
	"received identifiers are a set":                        receivedIdentifiers,
	"changes of a session that is not stored go by":         unknownSession,
	"sessions that end together in one batch leave nothing": endedTogether,
}

func wantSessions(t testing.TB, c *Content, want ...uint64) {
	t.Helper()
	for _, id := range want {
		if _, ok := c.Sessions[id]; !ok {
			t.Errorf("session %d is gone", id)
		}
	}
	if len(c.Sessions) != len(want) {
		t.Errorf("%d sessions, want %d", len(c.Sessions), len(want))
	}
}

func sessionRoundTrip(t *testing.T, p *place) {
	zero := time.Unix(1700000000, 123000000)
	will := &session.Message{Topic: "w", Payload: []byte("gone"), QoS: 1, Retain: true}
	b := &store.Batch{Sessions: []store.Session{
		{
			ID: 7, ClientID: "c", Username: "u", Expiry: 90 * time.Minute, Disconnected: zero,
			Will: &store.Will{Message: will, At: zero.Add(time.Minute), Delay: time.Minute},
		},
		{ID: 1 << 63, Anonymous: true, Expiry: time.Second},
		{ID: 8, ClientID: "connected", Will: &store.Will{Message: will, Delay: time.Second}},
	}}
	c := p.after(t, b)
	want := &Content{Sessions: map[uint64]store.Session{}}
	for _, s := range b.Sessions {
		want.Sessions[s.ID] = s
	}
	if c.String() != want.String() {
		t.Errorf("got  %s\nwant %s", c, want)
	}
}

func replacedSession(t *testing.T, p *place) {
	changed := begin(1)
	changed.Sessions[0].Expiry = time.Minute
	received := &store.Batch{Received: []store.Identifier{{Session: 1, ID: 9}}}
	sent := &store.Batch{Sent: []store.Sent{{Session: 1, Seq: 1, Message: 1<<48 | 1, ID: 5}}}
	c := p.after(t, begin(1), waits(1, 1, 2), received, sent, changed)
	if c.Sessions[1].Expiry != time.Minute {
		t.Errorf("got %+v", c.Sessions[1])
	}
	wantSeqs(t, c, 1, 1, 2)
	if len(c.Received[1]) != 1 || len(c.Sent[1]) != 1 {
		t.Errorf("received %v, sent %v", c.Received[1], c.Sent[1])
	}
}

// full fills a session with all that can be kept of one.
func full(id uint64, messages uint64) *store.Batch {
	b := &store.Batch{Received: []store.Identifier{{Session: id, ID: 1}, {Session: id, ID: 2}}}
	for seq := range messages {
		b.Deliveries = append(b.Deliveries, waits(id, seq+1).Deliveries...)
		if seq%3 == 0 {
			b.Sent = append(b.Sent, store.Sent{Session: id, Seq: seq + 1, Message: id<<48 | seq + 1, ID: uint16(seq + 1), Released: seq%2 == 0})
		}
	}
	return b
}

func endedSession(t *testing.T, p *place) { ended(t, p, 10) }

func endedBigSession(t *testing.T, p *place) { ended(t, p, 500) }

func ended(t *testing.T, p *place, messages uint64) {
	c := p.after(t, begin(1, 2, 3), full(1, 2), full(2, messages), full(3, 2), &store.Batch{Ended: []uint64{2}})
	wantSessions(t, c, 1, 3)
	wantSeqs(t, c, 1, 2)
	wantSeqs(t, c, 3, 2)
	c = p.after(t, begin(2))
	wantSeqs(t, c, 2)
	if len(c.Received[2])+len(c.Sent[2])+len(c.Waiting[2]) != 0 {
		t.Errorf("the session has %v", c)
	}
}

func endedTogether(t *testing.T, p *place) {
	both := message(100, "both")
	share := &store.Batch{Deliveries: []store.Delivery{wait(1, 9, both), wait(2, 9, both), wait(3, 9, both)}}
	end := &store.Batch{Ended: []uint64{1, 2}, Done: []store.Done{{Session: 1, Seq: 9, Message: 100}}}
	c := p.after(t, begin(1, 2, 3), full(1, 4), full(2, 100), share, end)
	wantSessions(t, c, 3)
	wantSeqs(t, c, 3, 9)
}

func sessionAnew(t *testing.T, p *place) {
	anew := begin(2)
	anew.Sessions[0].ClientID = clientID(1)
	anew.Ended = []uint64{1}
	anew.Deliveries = waits(2, 7).Deliveries
	c := p.after(t, begin(1), full(1, 5), anew)
	wantSessions(t, c, 2)
	wantSeqs(t, c, 2, 7)
	if len(c.Received[2])+len(c.Sent[2]) != 0 {
		t.Errorf("the session has %v", c)
	}
}

func receivedIdentifiers(t *testing.T, p *place) {
	ids := func(ids ...uint16) (all []store.Identifier) {
		for _, id := range ids {
			all = append(all, store.Identifier{Session: 1, ID: id})
		}
		return all
	}
	c := p.after(t, begin(1), &store.Batch{Received: ids(65535, 2, 1)},
		&store.Batch{Released: ids(2)}, &store.Batch{Received: ids(1)})
	if got := slices.Sorted(slices.Values(c.Received[1])); !slices.Equal(got, []uint16{1, 65535}) {
		t.Errorf("received %v", got)
	}
}

func unknownSession(t *testing.T, p *place) {
	c := p.after(t, begin(1), &store.Batch{
		Done:     []store.Done{{Session: 1, Seq: 1, Message: 1}, {Session: 9, Seq: 1, Message: 1}},
		Released: []store.Identifier{{Session: 1, ID: 1}, {Session: 9, ID: 1}},
		Received: []store.Identifier{{Session: 9, ID: 2}},
		Sent:     []store.Sent{{Session: 9, Seq: 1, Message: 1, ID: 1, Released: true}},
		Ended:    []uint64{9},
	}, waits(9, 1), retain("never there", ""))
	wantSessions(t, c, 1)
	if fmt.Sprint(c) != fmt.Sprint(&Content{Sessions: c.Sessions}) {
		t.Errorf("loaded %v", c)
	}
	wantSeqs(t, p.after(t, begin(9)), 9)
}
