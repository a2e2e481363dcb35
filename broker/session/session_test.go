package session

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// named is a delivery whose topic is its name.
func named(name string, q packet.QoS) *Delivery {
	return &Delivery{Message: &Message{Topic: name, QoS: q}, QoS: q}
}

// shelf is a session with the store that it needs if it is durable.
type shelf struct {
	*Session
	bodies map[uint64]*Delivery
	lost   []uint64
}

func shelved(s *Session) *shelf { return &shelf{Session: s, bodies: map[uint64]*Delivery{}} }

func durable(window int) *shelf { return shelved(&Session{Durable: true, Window: int32(window)}) }

// number stores d, if the session does.
func (x *shelf) number(d *Delivery) *Delivery {
	if x.Durable && d.QoS > packet.QoS0 {
		d.Seq = x.NextSeq()
		x.bodies[d.Seq] = d
	}
	return d
}

// Enqueue is that of the session, with d stored.
func (x *shelf) Enqueue(d *Delivery, dropped func(Waiting)) Enqueued {
	return x.Session.Enqueue(x.number(d), dropped)
}

// Send is that of the session, with d stored, and confirmed where it is held.
func (x *shelf) Send(q packet.QoS, d *Delivery) (id uint16) {
	if d == nil || q < packet.QoS2 || !x.Durable {
		if d != nil {
			x.number(d)
		}
		return x.Session.Send(q, d)
	}
	id = x.Hold(x.number(d))
	x.Confirm(id, d.Seq)
	x.Next()
	return id
}

// read reads a page of at most some deliveries, if there is a reason to.
func (x *shelf) read(most int) bool {
	from, ok := x.Missing()
	if !ok {
		return false
	}
	p := x.page(from, x.LastSeq(), most)
	if !x.Take(p, nil) {
		x.Take(p, func(w Waiting) { x.lost = append(x.lost, w.Seq) })
	}
	return true
}

func (x *shelf) page(from, to uint64, most int) *Page {
	p := &Page{From: from, To: to}
	for _, seq := range slices.Sorted(maps.Keys(x.bodies)) {
		if seq >= from && len(p.Deliveries) < most {
			p.Deliveries = append(p.Deliveries, x.bodies[seq])
		}
	}
	return p
}

// advance is Next of a session whose store answers at once.
func (x *shelf) advance() (Outgoing, bool) {
	for {
		o, ok := x.Next()
		switch {
		case o.Held:
			x.Confirm(o.ID, o.Delivery.Seq)
		case ok:
			return o, true
		case !x.read(3):
			return o, false
		}
	}
}

// next takes one delivery off the queue, which has to be there.
func next(t *testing.T, s *shelf) Outgoing {
	t.Helper()
	o, ok := s.advance()
	if !ok {
		t.Fatal("nothing is to be sent")
	}
	return o
}

// drain takes all that may be sent, as "topic:id", with "dup" or "pubrel".
func drain(s *shelf) (sent []string) {
	for {
		o, ok := s.advance()
		switch {
		case !ok:
			return sent
		case o.Delivery == nil:
			sent = append(sent, fmt.Sprintf("pubrel:%d", o.ID))
		case o.Dup:
			sent = append(sent, fmt.Sprintf("%s:%d dup", o.Delivery.Topic, o.ID))
		default:
			sent = append(sent, fmt.Sprintf("%s:%d", o.Delivery.Topic, o.ID))
		}
	}
}

// again is what happens to a session whose client comes back.
func (x *shelf) again() {
	x.Park()
	x.Resume()
}

func wantSent(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("sent %q, want %q", got, want)
	}
}

func TestAcknowledge(t *testing.T) {
	type ack struct {
		typ    packet.Type
		reason packet.ReasonCode
		known  bool
		done   bool
	}
	for _, tc := range []struct {
		name string
		qos  packet.QoS
		acks []ack
		left int // in flight at the end
	}{
		{"PUBACK completes QoS 1", packet.QoS1, []ack{{packet.TypePuback, 0, true, true}}, 0},
		{"PUBACK with a failure completes QoS 1", packet.QoS1, []ack{{packet.TypePuback, packet.ReasonQuotaExceeded, true, true}}, 0},
		{"a second PUBACK is not known", packet.QoS1, []ack{{packet.TypePuback, 0, true, true}, {packet.TypePuback, 0, false, false}}, 0},
		{"PUBREC does not belong to QoS 1", packet.QoS1, []ack{{packet.TypePubrec, 0, false, false}}, 1},
		{"PUBCOMP does not belong to QoS 1", packet.QoS1, []ack{{packet.TypePubcomp, 0, false, false}}, 1},
		{"PUBREC and PUBCOMP complete QoS 2", packet.QoS2, []ack{{packet.TypePubrec, 0, true, false}, {packet.TypePubcomp, 0, true, true}}, 0},
		{"PUBREC with a failure completes QoS 2", packet.QoS2, []ack{{packet.TypePubrec, packet.ReasonNotAuthorized, true, true}}, 0},
		{"PUBCOMP before PUBREC is not known", packet.QoS2, []ack{{packet.TypePubcomp, 0, false, false}}, 1},
		{"PUBACK does not belong to QoS 2", packet.QoS2, []ack{{packet.TypePuback, 0, false, false}}, 1},
		{"a repeated PUBREC is not another step", packet.QoS2, []ack{{packet.TypePubrec, 0, true, false}, {packet.TypePubrec, 0, false, false}}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, d := durable(10), named("a", tc.qos)
			id := s.Send(tc.qos, d)
			for i, a := range tc.acks {
				before := s.Inflight()
				at, known := s.Acknowledge(a.typ, id, a.reason)
				if known != a.known || (at.Seq == d.Seq) != a.known || (s.Inflight() < before) != a.done {
					t.Fatalf("step %d: %+v, known %t, %d in flight", i, at, known, s.Inflight())
				}
			}
			if s.Inflight() != tc.left {
				t.Errorf("%d in flight, want %d", s.Inflight(), tc.left)
			}
		})
	}
}

func TestReleasedOnlyBetweenPubrecAndPubcomp(t *testing.T) {
	s := durable(10)
	id := s.Send(packet.QoS2, named("a", packet.QoS2))
	if s.Released(id) {
		t.Error("released before PUBREC")
	}
	s.Acknowledge(packet.TypePubrec, id, 0)
	if !s.Released(id) {
		t.Error("not released after PUBREC")
	}
	s.Acknowledge(packet.TypePubcomp, id, 0)
	if s.Released(id) {
		t.Error("released after PUBCOMP")
	}
}

func TestWindowBoundsWhatIsInFlight(t *testing.T) { // [MQTT-3.3.4-9]
	s := durable(2)
	for _, name := range []string{"a", "b", "c"} {
		s.Enqueue(named(name, packet.QoS1), nil)
	}
	wantSent(t, drain(s), "a:1", "b:2")
	if s.Ready() {
		t.Error("ready with a full window")
	}
	s.Acknowledge(packet.TypePuback, 2, 0)
	wantSent(t, drain(s), "c:3")
}

func TestPubrecKeepsItsPlaceInTheWindow(t *testing.T) {
	s := durable(1)
	id := s.Send(packet.QoS2, nil)
	s.Acknowledge(packet.TypePubrec, id, 0)
	if s.Ready() {
		t.Error("ready before PUBCOMP")
	}
	s.Acknowledge(packet.TypePubcomp, id, 0)
	if !s.Ready() {
		t.Error("not ready after PUBCOMP")
	}
}

func TestQueueKeepsOrderWithQoS0(t *testing.T) {
	s := durable(1)
	if s.Overtakes() {
		t.Error("there is nobody to overtake in an empty queue")
	}
	for i, q := range []packet.QoS{packet.QoS1, packet.QoS0, packet.QoS1} {
		s.Enqueue(named(string('a'+rune(i)), q), nil)
	}
	if !s.Overtakes() {
		t.Error("a message of QoS 0 would overtake another one")
	}
	wantSent(t, drain(s), "a:1")
	s.Acknowledge(packet.TypePuback, 1, 0)
	wantSent(t, drain(s), "b:0", "c:2")
	if s.Overtakes() {
		t.Error("nobody is left to overtake")
	}
}

func TestIdentifiersAreNotReusedWhileInFlight(t *testing.T) { // [MQTT-2.2.1-4]
	s := durable(MaxWindow)
	stuck := s.Send(packet.QoS1, nil)
	for range 3 * 65535 {
		id := s.Send(packet.QoS1, nil)
		if id == 0 || id == stuck {
			t.Fatalf("identifier %d was handed out, and %d is in flight", id, stuck)
		}
		s.Acknowledge(packet.TypePuback, id, 0)
	}
	if _, known := s.Acknowledge(packet.TypePuback, stuck, 0); !known {
		t.Error("the first message is no longer in flight")
	}
}

func TestLargestWindowHasDistinctIdentifiers(t *testing.T) {
	s := durable(MaxWindow)
	seen := make(map[uint16]bool, MaxWindow)
	for s.Ready() {
		id := s.Send(packet.QoS2, nil)
		if seen[id] {
			t.Fatalf("identifier %d twice", id)
		}
		seen[id] = true
	}
	if len(seen) != MaxWindow {
		t.Fatalf("%d messages fit, want %d", len(seen), MaxWindow)
	}
	for id := range seen {
		if _, known := s.Acknowledge(packet.TypePubrec, id, 0); !known {
			t.Fatalf("%d is not known", id)
		}
	}
}

func TestIdleSessionGivesItsWindowBack(t *testing.T) {
	s := durable(MaxWindow)
	for range 4000 {
		s.Send(packet.QoS1, nil)
	}
	for id := range uint16(4000) {
		s.Acknowledge(packet.TypePuback, id+1, 0)
	}
	if s.out.slots != nil {
		t.Errorf("%d slots are kept", len(s.out.slots))
	}
	if id := s.Send(packet.QoS1, nil); id != 4001 {
		t.Errorf("identifier %d, want to go on with 4001", id)
	}
}

func TestResumeRepeatsInOrder(t *testing.T) { // [MQTT-4.4.0-1], [MQTT-4.6.0-1]
	s := durable(10)
	for i, q := range []packet.QoS{1, 2, 2, 1, 1, 2} {
		s.Enqueue(named(string('a'+rune(i)), q), nil)
	}
	wantSent(t, drain(s), "a:1", "b:2", "c:3", "d:4", "e:5", "f:6")
	s.Acknowledge(packet.TypePubrec, 6, 0)
	s.Acknowledge(packet.TypePubrec, 2, 0)
	s.Acknowledge(packet.TypePuback, 4, 0)
	s.Enqueue(named("g", packet.QoS1), nil)
	s.again()
	if s.Ready() {
		t.Error("ready before everything was sent again")
	}
	wantSent(t, drain(s), "pubrel:6", "pubrel:2", "a:1 dup", "c:3 dup", "e:5 dup", "g:7")
}

func TestResumeAfterIdentifiersWrapped(t *testing.T) {
	s := durable(10)
	s.out.next = 65533
	for _, name := range []string{"a", "b", "c", "d"} {
		s.Enqueue(named(name, packet.QoS1), nil)
	}
	wantSent(t, drain(s), "a:65534", "b:65535", "c:1", "d:2")
	s.again()
	wantSent(t, drain(s), "a:65534 dup", "b:65535 dup", "c:1 dup", "d:2 dup")
}

func TestResumeKeepsToASmallerWindow(t *testing.T) { // [MQTT-3.3.4-9]
	s := durable(10)
	for i, q := range []packet.QoS{1, 2, 1, 1} {
		s.Enqueue(named(string('a'+rune(i)), q), nil)
	}
	drain(s)
	s.Acknowledge(packet.TypePubrec, 2, 0)
	s.Window = 1
	s.again()
	wantSent(t, drain(s), "pubrel:2") // which needs no room [MQTT-3.3.4-10], but takes it
	s.Acknowledge(packet.TypePubcomp, 2, 0)
	wantSent(t, drain(s), "a:1 dup")
	s.Acknowledge(packet.TypePuback, 3, 0) // was not sent again yet
	wantSent(t, drain(s))
	s.Acknowledge(packet.TypePuback, 1, 0)
	wantSent(t, drain(s), "d:4 dup")
	s.again() // the connection ended again
	wantSent(t, drain(s), "d:4 dup")
}

func TestResumePassesOverWhatWasAcknowledgedEarly(t *testing.T) {
	s := durable(2)
	s.Send(packet.QoS1, named("a", packet.QoS1))
	s.Send(packet.QoS1, named("b", packet.QoS1))
	s.again()
	s.Acknowledge(packet.TypePuback, 1, 0)
	wantSent(t, drain(s), "b:2 dup")
}

func TestAbandonedIsWhatOthersCanHave(t *testing.T) { // [MQTT-4.8.2-5]
	s := shelved(&Session{Window: 4})
	fillShared(s)
	wantSent(t, drain(s), "a:1", "b:2", "c:3", "d:4")
	s.Acknowledge(packet.TypePuback, 1, 0)
	sent, waiting := s.Abandoned()
	if got := topics(sent) + "," + topics(waiting); got != "d,eg" {
		t.Errorf("abandoned %s", got)
	}
}

// fillShared lets messages a to g wait, all but c and f of a shared subscription.
func fillShared(s *shelf) {
	for i, q := range []packet.QoS{1, 2, 1, 1, 2, 1, 1} {
		d := named(string('a'+rune(i)), q)
		if d.Topic != "c" && d.Topic != "f" {
			d.Shared = "$share/g/+"
		}
		s.Enqueue(d, nil)
	}
}

func TestDeliveredIsNobodyElses(t *testing.T) { // [MQTT-4.8.2-5]
	s := durable(5)
	if fillShared(s); !s.Shares() {
		t.Error("nothing is of a shared subscription")
	}
	wantSent(t, drain(s), "a:1", "b:2", "c:3", "d:4", "e:5")
	s.Acknowledge(packet.TypePubrec, 2, 0)
	if got := fmt.Sprint(s.Delivered()); got != "map[2:true 5:true]" {
		t.Errorf("delivered %s", got)
	}
}

func topics(all []*Delivery) (names string) {
	for _, d := range all {
		names += d.Topic
	}
	return names
}

func TestBodiesOfWhatIsInFlightAreNotKept(t *testing.T) {
	for _, durable := range []bool{false, true} {
		s := shelved(&Session{Durable: durable, Window: 10})
		for _, q := range []packet.QoS{packet.QoS1, packet.QoS2} {
			s.Enqueue(named("a", q), nil)
			o := next(t, s)
			if f := s.out.find(o.ID); f == nil || f.delivery != nil || (f.seq == o.Delivery.Seq && f.seq != 0) != durable {
				t.Errorf("durable %t, QoS %d: %+v", durable, q, f)
			}
		}
	}
}

func TestDiscardFreesTheIdentifier(t *testing.T) {
	s := durable(1)
	id := s.Send(packet.QoS1, nil)
	s.Discard(id)
	s.Discard(id)
	if !s.Ready() {
		t.Error("the window is still full")
	}
}

func TestEnqueue(t *testing.T) {
	size := named("x", packet.QoS1).Size()
	large := func(q packet.QoS) *Delivery {
		return &Delivery{Message: &Message{Topic: "large", Payload: make([]byte, 10*size)}, QoS: q}
	}
	for _, tc := range []struct {
		name    string
		limits  Limits
		d       *Delivery
		result  Enqueued
		waiting []string
	}{
		{"no limit", Limits{}, named("new", 1), Queued, []string{"a:1", "b:2", "new:3"}},
		{"room for one more", Limits{QueuedMessages: 3}, named("new", 1), Queued, []string{"a:1", "b:2", "new:3"}},
		{"full by number: the new one goes", Limits{QueuedMessages: 2}, named("new", 1), QueueFull, []string{"a:1", "b:2"}},
		{"full by number: the oldest goes", Limits{QueuedMessages: 2, DropOldest: true}, named("new", 1), DroppedOldest, []string{"b:1", "new:2"}},
		{"full by bytes: the new one goes", Limits{QueuedBytes: 2 * size}, named("x", 1), QueueFull, []string{"a:1", "b:2"}},
		{"full by bytes: the oldest goes", Limits{QueuedBytes: 2 * size, DropOldest: true}, named("x", 1), DroppedOldest, []string{"b:1", "x:2"}},
		{"too large for any queue: nothing goes for it", Limits{QueuedBytes: 2 * size, DropOldest: true}, large(1), QueueFull, []string{"a:1", "b:2"}},
		{"nothing goes for QoS 0", Limits{QueuedMessages: 2, DropOldest: true}, named("new", 0), QueueFull, []string{"a:1", "b:2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := durable(10)
			s.Enqueue(named("a", packet.QoS1), nil)
			s.Enqueue(named("b", packet.QoS1), nil)
			s.Limits = tc.limits
			dropped := 0
			result := s.Enqueue(tc.d, func(Waiting) { dropped++ })
			if result != tc.result || (dropped > 0) != (result == DroppedOldest) {
				t.Errorf("result %v with %d dropped, want %v", result, dropped, tc.result)
			}
			wantSent(t, drain(s), tc.waiting...)
			if n, bytes := s.Queue(); n != 0 || bytes != 0 {
				t.Errorf("an empty queue of %d messages, %d bytes", n, bytes)
			}
		})
	}
}

func TestReplayIsNotBoundByTheQueue(t *testing.T) {
	s := durable(10)
	s.Limits.QueuedMessages = 1
	s.Replay(named("a", packet.QoS0))
	s.Replay(named("b", packet.QoS0))
	wantSent(t, drain(s), "a:0", "b:0")
}

func TestLongQueueKeepsOrder(t *testing.T) {
	s := durable(10)
	sent := 0
	for i := range 1000 {
		s.Enqueue(named(fmt.Sprint(i), packet.QoS0), nil)
		if i%3 != 0 {
			if o := next(t, s); o.Delivery.Topic != fmt.Sprint(sent) {
				t.Fatalf("got %s, want %d", o.Delivery.Topic, sent)
			}
			sent++
		}
	}
	if n, _ := s.Queue(); n != 1000-sent {
		t.Errorf("%d wait, want %d", n, 1000-sent)
	}
}

func TestReceiveIsNewOnceUntilReleased(t *testing.T) { // [MQTT-4.3.3-10], [MQTT-4.3.3-12]
	var s Session
	if s.Release(7) {
		t.Error("released what was never received")
	}
	for round := range 3 {
		for _, id := range []uint16{1, 7, 1023, 1024, 65535} {
			if !s.Receive(id) || s.Receive(id) {
				t.Fatalf("round %d: %d is not new once", round, id)
			}
		}
		var all []uint16
		for id := range s.EachReceived {
			all = append(all, id)
		}
		if want := []uint16{1, 7, 1023, 1024, 65535}; !slices.Equal(all, want) || s.Received() != len(want) {
			t.Fatalf("received %v (%d), want %v", all, s.Received(), want)
		}
		for _, id := range all {
			if !s.Release(id) || s.Release(id) {
				t.Fatalf("round %d: %d is not released once", round, id)
			}
		}
	}
}

func TestSubscriptions(t *testing.T) {
	var s Session
	if s.Unsubscribe("a") {
		t.Error("unsubscribed from nothing")
	}
	if s.Subscribe(Subscription{Filter: "a", QoS: 1}) || !s.Subscribe(Subscription{Filter: "a", QoS: 2}) {
		t.Error("the second subscription has to replace the first [MQTT-3.8.4-3]")
	}
	if got := s.Subscription("a"); got.QoS != 2 || s.Subscriptions() != 1 {
		t.Errorf("%+v of %d", got, s.Subscriptions())
	}
	if !s.Unsubscribe("a") || s.Subscription("a") != nil {
		t.Error("the subscription stays")
	}
}
