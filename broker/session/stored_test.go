package session

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// fill lets n messages wait, with payloads of a size.
func (x *shelf) fill(n, size int) {
	for i := range n {
		d := named(fmt.Sprint(i), packet.QoS1)
		d.Payload = make([]byte, size)
		x.Enqueue(d, nil)
	}
}

func TestMemoryHoldsAFewOfManyMessages(t *testing.T) {
	for _, tc := range []struct {
		name    string
		n, size int
		parked  bool
		whole   int // messages in memory
	}{
		{"few", 100, 10, false, 100},
		{"many", 5000, 10, false, wholeMessages},
		{"large ones", 100, 100 << 10, false, 10},
		{"one that is larger than all that fits", 3, 2 << 20, false, 1},
		{"many for a client that is gone", 5000, 10, true, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := durable(MaxWindow)
			if tc.parked {
				s.Park()
			}
			s.fill(tc.n, tc.size)
			if got := s.queue.len(); got != tc.whole || s.Listed() != tc.n-tc.whole {
				t.Errorf("%d in memory and %d listed, want %d of %d", got, s.Listed(), tc.whole, tc.n)
			}
			if n, bytes := s.Queue(); n != tc.n || bytes < tc.n*tc.size {
				t.Errorf("%d messages of %d bytes wait, want %d", n, bytes, tc.n)
			}
			if s.Ready() {
				t.Error("ready while messages wait")
			}
			s.Resume()
			for i := range tc.n {
				if o := next(t, s); o.Delivery.Topic != fmt.Sprint(i) {
					t.Fatalf("message %s, want %d", o.Delivery.Topic, i)
				}
				if got := s.queue.len(); got > wholeMessages {
					t.Fatalf("%d messages are in memory", got)
				}
			}
			if n, bytes := s.Queue(); n != 0 || bytes != 0 || !s.Ready() {
				t.Errorf("%d messages of %d bytes are left, ready %t", n, bytes, s.Ready())
			}
		})
	}
}

func TestMoreIsReadBeforeMemoryIsEmpty(t *testing.T) {
	s := durable(MaxWindow)
	s.fill(2*wholeMessages, 10)
	for range wholeMessages * 3 / 4 {
		if _, ok := s.Missing(); ok {
			t.Fatalf("more is to be read with %d in memory", s.queue.len())
		}
		s.Next()
	}
	if from, ok := s.Missing(); !ok || from != wholeMessages+1 {
		t.Errorf("read from %d %t, want from %d", from, ok, wholeMessages+1)
	}
	if messages, _ := s.Room(); messages != wholeMessages*3/4 {
		t.Errorf("room for %d", messages)
	}
}

func TestOldestIsDroppedWithoutItsBody(t *testing.T) {
	s := durable(10)
	s.Limits = Limits{QueuedMessages: 3, DropOldest: true}
	s.Park()
	s.fill(3, 10)
	for want := uint64(1); want < 10; want++ {
		var dropped []uint64
		got := s.Enqueue(named("new", packet.QoS1), func(w Waiting) { dropped = append(dropped, w.Seq) })
		if got != DroppedOldest || fmt.Sprint(dropped) != fmt.Sprint([]uint64{want}) {
			t.Fatalf("result %v, dropped %v, want %d", got, dropped, want)
		}
	}
}

func TestHeldMessageIsSentOnceItsIdentifierIsDurable(t *testing.T) {
	s := durable(10)
	first, second := s.number(named("first", packet.QoS2)), s.number(named("second", packet.QoS2))
	ids := []uint16{s.Hold(first), s.Hold(second)}
	s.Confirm(ids[1], second.Seq)
	if o, ok := s.Next(); ok {
		t.Fatalf("%+v overtakes", o)
	}
	if _, known := s.Acknowledge(packet.TypePubrec, ids[0], 0); known {
		t.Error("a message is acknowledged that was not sent")
	}
	s.Confirm(ids[0], second.Seq) // of another delivery
	if o, ok := s.Next(); ok {
		t.Fatalf("%+v is sent", o)
	}
	s.Confirm(ids[0], first.Seq)
	wantSent(t, drain(s), "first:1", "second:2")
	if _, known := s.Acknowledge(packet.TypePubrec, ids[0], 0); !known {
		t.Error("the acknowledgement is not known")
	}
}

func TestHeldMessageIsSentToTheNextConnection(t *testing.T) {
	s := durable(10)
	sent := named("sent", packet.QoS2)
	s.Send(packet.QoS2, sent)
	d := s.number(named("held", packet.QoS2))
	id := s.Hold(d)
	s.again()
	wantSent(t, drain(s), "sent:1 dup")
	s.Confirm(id, d.Seq)
	wantSent(t, drain(s), "held:2") // it was not sent before
	s.again()
	wantSent(t, drain(s), "sent:1 dup", "held:2 dup")
}

func TestRestoredSessionGoesOn(t *testing.T) {
	s := durable(10)
	s.Park()
	for i, q := range []packet.QoS{2, 2, 1, 2, 1} {
		s.number(named(string('a'+rune(i)), q))
	}
	restored := durable(10)
	restored.Park()
	restored.bodies = s.bodies
	restored.RestoreSent(700, Waiting{Seq: 1, Message: 1}, true)
	restored.RestoreSent(1, Waiting{Seq: 2, Message: 2}, false)
	restored.RestoreSent(1, Waiting{Seq: 4, Message: 4}, false) // which cannot be
	for _, seq := range []uint64{3, 5} {
		restored.Restore(s.bodies[seq].Waiting())
	}
	if got := restored.NextSeq(); got != 6 {
		t.Errorf("the next number is %d, want 6", got)
	}
	restored.Resume()
	wantSent(t, drain(restored), "pubrel:700", "b:1 dup", "c:2", "e:3")
	if at, known := restored.Acknowledge(packet.TypePubrec, 1, 0); !known || at.Message != 2 {
		t.Errorf("acknowledged %+v %t", at, known)
	}
}

func TestIdentifiersOfARestoredSessionAreFarApart(t *testing.T) {
	s := durable(MaxWindow)
	ids := []uint16{1, 17, 33, 32769, 65535}
	for i, id := range ids {
		s.RestoreSent(id, Waiting{Seq: uint64(i) + 1}, true)
	}
	for _, id := range ids {
		if !s.Released(id) {
			t.Errorf("%d is not in flight", id)
		}
	}
}

func TestWhatIsLostIsPassedOver(t *testing.T) {
	s := durable(10)
	for i, q := range []packet.QoS{1, 2, 1, 1, 1} {
		s.Enqueue(named(string('a'+rune(i)), q), nil)
	}
	drain(s)
	s.Window = 20
	s.fill(3, 10)
	s.Park()
	for _, seq := range []uint64{1, 2, 4, 7, 8} {
		delete(s.bodies, seq)
	}
	s.Resume()
	wantSent(t, drain(s), "c:3 dup", "e:5 dup", "0:6")
	if fmt.Sprint(s.lost) != "[1 2 4 7 8]" {
		t.Errorf("lost %v", s.lost)
	}
	if n, bytes := s.Queue(); n != 0 || bytes != 0 || s.Inflight() != 3 {
		t.Errorf("%d wait (%d bytes), %d in flight", n, bytes, s.Inflight())
	}
}

// What is not in a page was perhaps not stored yet when it was read.
func TestTakeEndsWhereItIsNotSure(t *testing.T) {
	s := durable(10)
	s.Park()
	s.fill(4, 10)
	s.Resume()
	page := s.page(1, 4, 4)
	page.Deliveries = slices.Delete(page.Deliveries, 1, 2)
	if s.Take(page, nil) || s.Listed() != 3 {
		t.Errorf("%d are listed, want 3, and the page not to be complete", s.Listed())
	}
	lost := 0
	if !s.Take(&Page{From: 2, To: 2}, func(Waiting) { lost++ }) || lost != 1 || s.Listed() != 2 {
		t.Errorf("%d are lost and %d listed, want 1 and 2: the others came after the page was asked for", lost, s.Listed())
	}
}

func TestParkReturnsTheFirstOfQoS0(t *testing.T) {
	s := durable(10)
	for i, q := range []packet.QoS{1, 0, 1, 0} {
		s.Enqueue(named(string('a'+rune(i)), q), nil)
	}
	if d := s.Park(); d == nil || d.Topic != "b" || s.Overtakes() {
		t.Errorf("dropped %v", d)
	}
	s.Resume()
	wantSent(t, drain(s), "a:1", "c:2")
	if d := s.Park(); d != nil {
		t.Errorf("dropped %v of nothing", d)
	}
}

func TestExpiredMessagesAreTakenOut(t *testing.T) {
	s := durable(10)
	s.Park()
	for i := range 6 {
		d := named(string('a'+rune(i)), packet.QoS1)
		if i%2 == 0 {
			d.Expires = now.Add(time.Duration(i) * time.Hour)
		}
		s.Enqueue(d, nil)
	}
	var gone []uint64
	for range 2 {
		s.Expire(now.Add(2*time.Hour), func(w Waiting) { gone = append(gone, w.Seq) })
	}
	if fmt.Sprint(gone) != "[1 3]" {
		t.Errorf("%v are gone", gone)
	}
	s.Resume()
	wantSent(t, drain(s), "b:1", "d:2", "e:3", "f:4")
}

func TestWaitingTellsWhenItExpires(t *testing.T) {
	for _, tc := range []struct {
		name    string
		expires time.Time
		before  time.Time
	}{
		{"a whole second", time.Unix(1000, 0), time.Unix(999, 999)},
		{"a part of a second counts as a whole one", time.Unix(1000, 1), time.Unix(1000, 999)},
		{"a time before 1970 is in the past", time.Unix(-5, 0), time.Unix(0, 0)},
	} {
		d := named("a", packet.QoS1)
		d.Expires = tc.expires
		if w := d.Waiting(); w.Expired(tc.before) || !w.Expired(tc.before.Add(time.Second)) {
			t.Errorf("%s: %d", tc.name, w.Expires)
		}
	}
	if named("a", packet.QoS1).Waiting().Expired(now.Add(1000 * time.Hour)) {
		t.Error("a message without an expiry expires")
	}
}
