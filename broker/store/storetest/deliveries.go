package storetest

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

var deliveries = map[string]func(*testing.T, *place){
	"messages come back in the order of their numbers":             deliveriesInOrder,
	"a message keeps all that belongs to it":                       messageRoundTrip,
	"what is known of a waiting message is what its body says":     waitingStubs,
	"a message that is done does not come back":                    doneDelivery,
	"a message that is added and done in one batch is gone":        doneAtOnce,
	"a message of many stays until the last one has it":            sharedMessage,
	"a message of many goes on when one of them is told twice":     doneTwice,
	"a message that comes to others later is kept for each":        messageComesAgain,
	"messages without a number are kept apart":                     messagesWithoutNumber,
	"a large message is one as others are":                         largeMessage,
	"reading ends with the count, the bytes or the last":           boundedRead,
	"reading begins at the number that is named":                   readFrom,
	"what is committed is read at once":                            readOwnCommits,
	"reading a session that is not stored finds nothing":           readUnknown,
	"what is committed while others read is not half read":         readWhileCommitting,
	"a queue that is drained and filled again is read as it is":    refilledQueue,
	"numbers of sessions and messages are not given out again":     numbersAnew,
	"numbers that are given out to many at once are different":     numbersAtOnce,
	"a message that waits for nobody that is stored is not stored": nobodyWaits,
}

func seqs(ds []*session.Delivery) string {
	var all []uint64
	for _, d := range ds {
		all = append(all, d.Seq)
	}
	return fmt.Sprint(all)
}

// wantSeqs wants bodies of these numbers, no others.
func wantSeqs(t testing.TB, c *Content, id uint64, want ...uint64) {
	t.Helper()
	if got := seqs(c.Deliveries[id]); got != fmt.Sprint(want) {
		t.Errorf("messages %v wait for %d, want %v", got, id, want)
	}
}

func wantRead(t testing.TB, st store.Store, id, from uint64, count, bytes int, want ...uint64) {
	t.Helper()
	ds, err := st.Deliveries(id, from, count, bytes)
	if err != nil {
		t.Fatal(err)
	}
	if got := seqs(ds); got != fmt.Sprint(want) {
		t.Errorf("session %d from %d, %d messages or %d bytes: %v, want %v", id, from, count, bytes, got, want)
	}
}

func deliveriesInOrder(t *testing.T, p *place) {
	c := p.after(t, begin(1, 2), waits(1, 3, 1), waits(2, 70000, 2), waits(1, 2, 1<<40), waits(2, 256))
	wantSeqs(t, c, 1, 1, 2, 3, 1<<40)
	wantSeqs(t, c, 2, 2, 256, 70000)
}

// rich returns a message with all that a message can have.
func rich() *session.Message {
	var props packet.Properties
	props.PayloadFormat = 1
	props.Set(packet.PropPayloadFormat)
	props.ContentType, props.ResponseTopic, props.CorrelationData = []byte("ct"), []byte("rt"), []byte{0, 1, 2}
	props.Set(packet.PropContentType)
	props.Set(packet.PropResponseTopic)
	props.Set(packet.PropCorrelationData)
	props.AddUserProperty([]byte("k"), []byte("1"))
	props.AddUserProperty([]byte("k"), []byte("2"))
	return &session.Message{
		ID: 5, Topic: "t/ü", Payload: []byte{0, 255, 1}, Properties: &props, QoS: packet.QoS2, Retain: true,
		Expires: time.Unix(1800000000, 500),
	}
}

func messageRoundTrip(t *testing.T, p *place) {
	m := rich()
	d := &session.Delivery{
		Message: m, QoS: packet.QoS1, Retain: true, IDs: []uint32{1, 268435455}, Shared: "$share/g/t/+", Seq: 9,
	}
	both := *m
	both.ID = 6
	c := p.after(t, begin(1, 2), &store.Batch{
		Deliveries: []store.Delivery{
			{Session: 1, Delivery: d},
			wait(1, 10, &both), wait(2, 10, &both),
		},
		Retained: []*session.Message{m},
	})
	wantSeqs(t, c, 1, 9, 10)
	wantSeqs(t, c, 2, 10)
	if t.Failed() {
		return
	}
	got := c.Deliveries[1][0]
	if got.QoS != d.QoS || got.Retain != d.Retain || got.Shared != d.Shared || fmt.Sprint(got.IDs) != fmt.Sprint(d.IDs) {
		t.Errorf("got %+v", got)
	}
	for _, got := range []*session.Message{got.Message, c.Deliveries[1][1].Message, c.Deliveries[2][0].Message, c.Retained["t/ü"]} {
		if encoded(got) != encoded(m) {
			t.Errorf("got  %+v\nwant %+v", got, m)
		}
	}
	if got.ID != 5 || c.Deliveries[2][0].ID != 6 {
		t.Errorf("messages have the numbers %d and %d", got.ID, c.Deliveries[2][0].ID)
	}
	if stub := c.Stubs["t/ü"]; stub.Size != m.Size() || !stub.Expires.Equal(m.Expires) {
		t.Errorf("known of the retained message: %+v", stub)
	}
}

func waitingStubs(t *testing.T, p *place) {
	expires := message(11, "x")
	expires.Expires = time.Unix(1800000000, 500)
	large, both := message(12, strings.Repeat("x", 5000)), message(13, "both")
	ds := []store.Delivery{wait(1, 1, message(10, "x")), wait(1, 2, expires), wait(1, 3, large), wait(1, 4, both), wait(2, 1, both)}
	c := p.after(t, begin(1, 2), &store.Batch{Deliveries: ds})
	var want []session.Waiting
	for _, d := range ds[:4] {
		want = append(want, d.Waiting())
	}
	if fmt.Sprint(c.Waiting[1]) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", c.Waiting[1], want)
	}
}

func doneDelivery(t *testing.T, p *place) {
	c := p.after(t, begin(1), waits(1, 1, 2, 3), done(2))
	wantSeqs(t, c, 1, 1, 3)
	wantSeqs(t, p.after(t, done(1, 3)), 1)
}

func doneAtOnce(t *testing.T, p *place) {
	both, large := message(100, "both"), message(101, strings.Repeat("x", 5000))
	b := &store.Batch{
		Deliveries: append(waits(1, 4).Deliveries, wait(1, 5, both), wait(2, 5, both), wait(1, 6, large)),
		Done:       append(done(4, 1).Done, store.Done{Session: 1, Seq: 5, Message: 100}, store.Done{Session: 1, Seq: 6, Message: 101}),
	}
	c := p.after(t, begin(1, 2), waits(1, 1, 2), b)
	wantSeqs(t, c, 1, 2)
	wantSeqs(t, c, 2, 5)
}

func sharedMessage(t *testing.T, p *place) {
	both := message(100, "both")
	b := &store.Batch{Deliveries: waits(1, 1).Deliveries}
	for id := range uint64(5) {
		b.Deliveries = append(b.Deliveries, wait(id, 8, both))
	}
	end := &store.Batch{Ended: []uint64{4}}
	drop := func(id uint64) *store.Batch {
		return &store.Batch{Done: []store.Done{{Session: id, Seq: 8, Message: 100}}}
	}
	c := p.after(t, begin(0, 1, 2, 3, 4), b, drop(1), end, drop(0), drop(2))
	wantSeqs(t, c, 1, 1)
	wantSeqs(t, c, 2)
	wantSeqs(t, c, 3, 8)
	if len(c.Deliveries[3]) == 1 && string(c.Deliveries[3][0].Payload) != "both" {
		t.Errorf("got %+v", c.Deliveries[3][0])
	}
	wantSeqs(t, p.after(t, drop(3)), 3)
}

func doneTwice(t *testing.T, p *place) {
	both := message(100, "both")
	drop := store.Done{Session: 1, Seq: 1, Message: 100}
	b := &store.Batch{Deliveries: []store.Delivery{wait(1, 1, both), wait(2, 1, both)}}
	wantSeqs(t, p.after(t, begin(1, 2), b, &store.Batch{Done: []store.Done{drop, drop}}), 2, 1)
	wantSeqs(t, p.after(t, &store.Batch{Done: []store.Done{drop}}), 2, 1)
}

// A shared subscription has its message delivered to another member.
func messageComesAgain(t *testing.T, p *place) {
	m := message(100, "again")
	one := &store.Batch{Deliveries: []store.Delivery{wait(1, 1, m)}}
	two := &store.Batch{Deliveries: []store.Delivery{wait(2, 1, m), wait(3, 1, m)}}
	three := &store.Batch{Deliveries: []store.Delivery{wait(4, 1, m)}}
	drop := &store.Batch{}
	for id := range uint64(3) {
		drop.Done = append(drop.Done, store.Done{Session: id + 1, Seq: 1, Message: 100})
	}
	c := p.after(t, begin(1, 2, 3, 4), one, two, three, drop)
	for id, want := range map[uint64][]uint64{1: nil, 2: nil, 3: nil, 4: {1}} {
		wantSeqs(t, c, id, want...)
	}
}

func messagesWithoutNumber(t *testing.T, p *place) {
	a, b := message(0, "a"), message(0, "b")
	c := p.after(t, begin(1, 2), &store.Batch{Deliveries: []store.Delivery{wait(1, 1, a), wait(2, 1, a), wait(1, 2, b), wait(2, 2, b)}},
		&store.Batch{Done: []store.Done{{Session: 1, Seq: 1}}})
	wantSeqs(t, c, 1, 2)
	wantSeqs(t, c, 2, 1, 2)
	if !t.Failed() && string(c.Deliveries[1][0].Payload)+string(c.Deliveries[2][0].Payload) != "ba" {
		t.Errorf("got %v", c)
	}
}

func largeMessage(t *testing.T, p *place) {
	large := message(100, strings.Repeat("large", 300_000))
	c := p.after(t, begin(1), waits(1, 1), &store.Batch{Deliveries: []store.Delivery{wait(1, 2, large)}}, waits(1, 3))
	wantSeqs(t, c, 1, 1, 2, 3)
	if !t.Failed() && string(c.Deliveries[1][1].Payload) != string(large.Payload) {
		t.Error("the body has changed")
	}
	wantSeqs(t, p.after(t, &store.Batch{Done: []store.Done{{Session: 1, Seq: 2, Message: 100}}}), 1, 1, 3)
}

func boundedRead(t *testing.T, p *place) {
	p.after(t, begin(1, 2), waits(1, 1, 2, 3, 5), waits(2, 1))
	size := waits(1, 1).Deliveries[0].Size()
	for _, tc := range []struct {
		count, bytes int
		want         []uint64
	}{
		{0, 1000, nil}, {1, 1000, []uint64{1}}, {3, 1000, []uint64{1, 2, 3}}, {9, 1000, []uint64{1, 2, 3, 5}},
		{9, 1, []uint64{1}}, {9, size, []uint64{1}}, {9, size + 1, []uint64{1, 2}}, {9, 0, nil},
	} {
		wantRead(t, p.st, 1, 0, tc.count, tc.bytes, tc.want...)
	}
}

func readFrom(t *testing.T, p *place) {
	p.after(t, begin(1, 2), waits(1, 2, 3, 256, 1<<40), waits(2, 1))
	for from, want := range map[uint64][]uint64{
		0: {2, 3, 256, 1 << 40}, 3: {3, 256, 1 << 40}, 4: {256, 1 << 40}, 1<<40 + 1: nil, math.MaxUint64: nil,
	} {
		wantRead(t, p.st, 1, from, 10, 1000, want...)
	}
}

func readOwnCommits(t *testing.T, p *place) {
	p.after(t, begin(1))
	p.st.Commit(waits(1, 1), nil)
	for seq := uint64(1); seq < 200; seq++ {
		p.st.Commit(waits(1, seq+1), nil)
		wantRead(t, p.st, 1, seq, 10, 1000, seq, seq+1)
		p.st.Commit(done(seq), nil)
		wantRead(t, p.st, 1, 0, 10, 1000, seq+1)
		p.st.Commit(retain("t", fmt.Sprint(seq)), nil)
		if ms, err := p.st.Retained([]string{"t"}); err != nil || string(ms[0].Payload) != fmt.Sprint(seq) {
			t.Fatalf("retained message %d is %+v: %v", seq, ms[0], err)
		}
	}
	p.st.Commit(&store.Batch{Ended: []uint64{1}}, nil)
	wantRead(t, p.st, 1, 0, 10, 1000)
}

func readUnknown(t *testing.T, p *place) {
	p.after(t, begin(1, 3), waits(1, 1), waits(3, 1))
	wantRead(t, p.st, 2, 0, 10, 1000)
	wantRead(t, p.st, math.MaxUint64, 0, 10, 1000)
}

func readWhileCommitting(t *testing.T, p *place) {
	p.after(t, begin(1, 2))
	end := make(chan struct{})
	go func() {
		defer close(end)
		for seq := range uint64(300) {
			m := message(seq+1, "both")
			p.st.Commit(&store.Batch{Deliveries: []store.Delivery{wait(1, seq+1, m), wait(2, seq+1, m)}}, nil)
			p.st.Commit(&store.Batch{Done: []store.Done{{Session: 1, Seq: seq, Message: seq}, {Session: 2, Seq: seq, Message: seq}}}, nil)
		}
	}()
	for reading := true; reading; {
		select {
		case <-end:
			reading = false
		default:
		}
		ds, err := p.st.Deliveries(1, 0, 100, 100_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range ds {
			if string(d.Payload) != "both" || d.ID != d.Seq {
				t.Fatalf("got %+v", d)
			}
		}
	}
	wantRead(t, p.st, 1, 0, 10, 1000, 300)
}

func refilledQueue(t *testing.T, p *place) {
	p.after(t, begin(1))
	seq := uint64(0)
	for range 20 {
		first := seq + 1
		for range 50 {
			seq++
			p.st.Commit(waits(1, seq), nil)
		}
		wantRead(t, p.st, 1, first, 2, 1000, first, first+1)
		for s := first; s < seq; s++ {
			p.st.Commit(done(s), nil)
		}
		wantRead(t, p.st, 1, seq, 2, 1000, seq)
		Commit(t, p.st, done(seq))
	}
	wantSeqs(t, p.reopen(t), 1)
}

func numbersAnew(t *testing.T, p *place) {
	last := uint64(0)
	next := func() uint64 {
		id := p.st.NextID()
		if id <= last {
			t.Fatalf("number %d behind %d", id, last)
		}
		last = id
		return id
	}
	for range 4 {
		p.reopen(t)
		for range 3 {
			b := begin(next())
			b.Deliveries = []store.Delivery{wait(b.Sessions[0].ID, 1, message(next(), "x"))}
			Commit(t, p.st, b)
			Commit(t, p.st, &store.Batch{Ended: []uint64{b.Sessions[0].ID}})
		}
	}
}

func numbersAtOnce(t *testing.T, p *place) {
	p.reopen(t)
	const callers, each = 8, 1000
	got := make(chan []uint64)
	for range callers {
		go func() {
			var ids []uint64
			for range each {
				ids = append(ids, p.st.NextID())
			}
			got <- ids
		}()
	}
	all := map[uint64]bool{}
	for range callers {
		for _, id := range <-got {
			all[id] = true
		}
	}
	if len(all) != callers*each || all[0] {
		t.Errorf("%d numbers of %d are different, 0 among them: %t", len(all), callers*each, all[0])
	}
}

func nobodyWaits(t *testing.T, p *place) {
	both := message(100, "both")
	b := &store.Batch{Deliveries: []store.Delivery{wait(1, 1, both), wait(8, 1, both), wait(9, 1, both)}}
	c := p.after(t, begin(1), b, begin(8, 9))
	wantSeqs(t, c, 1, 1)
	wantSeqs(t, c, 8)
	wantSeqs(t, c, 9)
}
