package storetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

var exchanges = map[string]func(*testing.T, *place){
	"what was sent keeps its identifier and its body":      sentComesBack,
	"what was released keeps its identifier alone":         releasedComesBack,
	"an exchange that is done leaves nothing":              exchangeDone,
	"a message is sent in the batch that adds it":          sentAtOnce,
	"a message of many that was released stays for others": releasedShared,
	"an exchange goes on after the store was opened again": exchangeGoesOn,
}

// send is an exchange of session 1 that begins, or is released, of a message of
// waits.
func send(seq uint64, packetID uint16, released bool) *store.Batch {
	return &store.Batch{Sent: []store.Sent{{Session: 1, Seq: seq, Message: 1<<48 | seq, ID: packetID, Released: released}}}
}

// wantSent wants exchanges of session 1 and what waits besides, both by their
// numbers.
func wantSent(t testing.TB, c *Content, sent []store.Sent, waiting ...uint64) {
	t.Helper()
	if fmt.Sprint(c.Sent[1]) != fmt.Sprint(sent) {
		t.Errorf("sent %+v, want %+v", c.Sent[1], sent)
	}
	var got []uint64
	for _, w := range c.Waiting[1] {
		got = append(got, w.Seq)
	}
	if fmt.Sprint(got) != fmt.Sprint(waiting) {
		t.Errorf("%v wait, want %v", got, waiting)
	}
}

func sentComesBack(t *testing.T, p *place) {
	c := p.after(t, begin(1), waits(1, 1, 2, 3), send(3, 30, false), send(1, 10, false))
	wantSent(t, c, []store.Sent{
		{Session: 1, Seq: 1, Message: 1<<48 | 1, ID: 10}, {Session: 1, Seq: 3, Message: 1<<48 | 3, ID: 30},
	}, 2)
	wantSeqs(t, c, 1, 1, 2, 3)
}

func releasedComesBack(t *testing.T, p *place) {
	c := p.after(t, begin(1), waits(1, 1, 2), send(1, 10, false), send(1, 10, true))
	wantSent(t, c, []store.Sent{{Session: 1, Seq: 1, ID: 10, Released: true}}, 2)
	wantSeqs(t, c, 1, 2)
}

func exchangeDone(t *testing.T, p *place) {
	c := p.after(t, begin(1), waits(1, 1, 2, 3), send(1, 10, false), send(1, 10, true), send(2, 20, false), done(1, 2))
	wantSent(t, c, nil, 3)
	wantSeqs(t, c, 1, 3)
}

func sentAtOnce(t *testing.T, p *place) {
	b := &store.Batch{Deliveries: waits(1, 1, 2).Deliveries, Sent: send(1, 10, false).Sent}
	c := p.after(t, begin(1), b)
	wantSent(t, c, []store.Sent{{Session: 1, Seq: 1, Message: 1<<48 | 1, ID: 10}}, 2)
	wantSeqs(t, c, 1, 1, 2)
}

func releasedShared(t *testing.T, p *place) {
	for _, body := range []string{"small", strings.Repeat("large", 1000)} {
		m := message(100, body)
		add := &store.Batch{Deliveries: []store.Delivery{wait(1, 9, m), wait(2, 9, m), wait(3, 9, m)}}
		release := &store.Batch{Sent: []store.Sent{{Session: 1, Seq: 9, Message: 100, ID: 1, Released: true}}}
		drop := &store.Batch{Done: []store.Done{{Session: 1, Seq: 9, Message: 100}, {Session: 2, Seq: 9, Message: 100}}}
		c := p.after(t, begin(1, 2, 3), add, release, release, drop)
		wantSent(t, c, nil)
		wantSeqs(t, c, 2)
		wantSeqs(t, c, 3, 9)
		p.after(t, &store.Batch{Ended: []uint64{1, 2, 3}})
	}
}

func exchangeGoesOn(t *testing.T, p *place) {
	p.after(t, begin(1), waits(1, 1, 2), send(1, 10, false))
	c := p.after(t, send(1, 10, true))
	wantSent(t, c, []store.Sent{{Session: 1, Seq: 1, ID: 10, Released: true}}, 2)
	// What is known of it by now has no message.
	c = p.after(t, &store.Batch{Done: []store.Done{{Session: 1, Seq: 1}}})
	wantSent(t, c, nil, 2)
	wantSeqs(t, c, 1, 2)
	if w := c.Waiting[1]; len(w) != 1 || w[0] != (session.Waiting{Seq: 2, Message: 1<<48 | 2, Size: uint32(c.Deliveries[1][0].Size())}) {
		t.Errorf("waiting %+v", w)
	}
}
