package router

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
	"github.com/godwit-mqtt/godwit/broker/store/memory"
)

// fillRetained gives n topics, t/000 and on, a message each.
func fillRetained(w *Worker, n int) {
	for i := range n {
		retainOn(w, fmt.Sprintf("t/%03d", i), fmt.Sprint(i))
	}
}

func retainOn(w *Worker, name, payload string) {
	w.PublishMessage(&session.Message{Topic: name, Payload: []byte(payload), QoS: packet.QoS1, Retain: true})
}

// subscribeTo subscribes and begins the replay.
func subscribeTo(t testing.TB, w *Worker, s *Subscriber, filter string, q packet.QoS) {
	t.Helper()
	p := &packet.Subscribe{Subscriptions: []packet.Subscription{{Filter: []byte(filter), QoS: q}}}
	got := w.Subscribe(s, s.link, p, SubscriptionLimits{}, nil)[0]
	if got.Reason != packet.ReasonCode(q) || !got.Replay {
		t.Fatalf("subscribe to %q: %+v", filter, got)
	}
	w.Replay(s, s.link, filter, got.Since)
}

func TestReplayGoesOnAsItsClientTakesIt(t *testing.T) {
	const n = 3*replayMessages + 7
	r, w := open(t)
	fillRetained(w, n)
	s, l := connect(t, w, "c")
	l.congested = true
	subscribeTo(t, w, s, "t/+", packet.QoS0)
	for settle(r); l.written < n; settle(r) {
		if waiting, _ := s.session.Queue(); waiting > replayMessages {
			t.Fatalf("%d wait, want a page at the most", waiting)
		}
		before := l.written
		l.most, l.congested = 50, false
		if w.Drained(s, l); l.written == before {
			t.Fatalf("nothing comes after %d", before)
		}
	}
	l.most, l.congested = 0, false
	w.Drained(s, l)
	settle(r)
	if l.written != n || s.replays != nil {
		t.Errorf("%d messages come, want %d", l.written, n)
	}
}

func TestReplayEndsWithItsSubscription(t *testing.T) {
	r, w := open(t)
	fillRetained(w, 3*replayMessages)
	s, l := connect(t, w, "c")
	l.congested = true
	subscribeTo(t, w, s, "t/+", packet.QoS0)
	settle(r)
	w.Unsubscribe(s, l, [][]byte{[]byte("t/+")}, nil)
	l.congested = false
	w.Drained(s, l)
	settle(r)
	if l.written != replayMessages || s.replays != nil {
		t.Errorf("%d messages come, want those that waited", l.written)
	}
}

func TestReplayGoesOnOverTheNextConnection(t *testing.T) {
	for _, q := range []packet.QoS{packet.QoS0, packet.QoS1, packet.QoS2} {
		t.Run(fmt.Sprint("QoS ", q), func(t *testing.T) {
			const n = 3*replayMessages + 7
			r, w := open(t)
			for i := range n {
				m := &session.Message{Topic: fmt.Sprintf("t/%03d", i), Payload: []byte("m"), QoS: q, Retain: true}
				w.PublishMessage(m)
			}
			window := func(c *Connect) { c.Window = session.MaxWindow }
			s, l := connect(t, w, "c", lasting, window)
			l.most = 10
			subscribeTo(t, w, s, "t/+", q)
			settle(r)
			got := l.topics(t)
			for range 100 {
				w.Disconnect(s, l, true, nil)
				s, l = connect(t, w, "c", lasting, window)
				l.most = 30
				settle(r)
				maps.Copy(got, l.topics(t))
				l.acknowledge(t, w, s)
			}
			if len(got) != n {
				t.Errorf("%d topics come, want %d", len(got), n)
			}
		})
	}
}

// hooked is a store that has something happen between the reading of retained
// messages and what is done with them.
type hooked struct {
	store.Store
	w    *Worker
	then func(*Worker)
}

// Retained implements store.Store.
func (s *hooked) Retained(topics []string) ([]*session.Message, error) {
	found, err := s.Store.Retained(topics)
	if then := s.then; then != nil {
		s.then = nil
		s.w.post(func() { then(s.w) })
	}
	return found, err
}

// What is retained changes after it was read, and before it is delivered.
func TestReplayOfWhatChangesMeanwhile(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Worker)
		want   []string
	}{
		"another message": {func(w *Worker) { retainOn(w, "t/1", "new") }, []string{"t/1 new false", "t/0 old true", "t/1 new true"}},
		"none any more":   {func(w *Worker) { retainOn(w, "t/1", "") }, []string{"t/1  false", "t/0 old true"}},
		"a topic that had none comes once": {func(w *Worker) { retainOn(w, "t/2", "new") },
			[]string{"t/2 new false", "t/0 old true", "t/1 old true"}},
	} {
		t.Run(name, func(t *testing.T) {
			st := &hooked{Store: memory.New()}
			r, w := openOver(t, st, access(t, 0))
			st.w = newWorker(r)
			retainOn(w, "t/0", "old")
			retainOn(w, "t/1", "old")
			s, l := connect(t, w, "c")
			st.then = tc.change
			subscribeTo(t, w, s, "t/+", packet.QoS0)
			settle(r)
			if got := fmt.Sprint(l.published(t)); got != fmt.Sprint(tc.want) {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// A topic that changes faster than it can be read does not hold up the others.
func TestReplayOfWhatChangesAllTheTime(t *testing.T) {
	st := &hooked{Store: memory.New()}
	r, w := openOver(t, st, access(t, 0))
	st.w = newWorker(r)
	fillRetained(w, 3)
	s, l := connect(t, w, "c")
	var change func(*Worker)
	change = func(other *Worker) {
		retainOn(other, "t/000", "new")
		st.then = change
	}
	st.then = change
	subscribeTo(t, w, s, "t/+", packet.QoS0)
	settle(r)
	topics := l.topics(t)
	if len(topics) != 3 || s.replays != nil {
		t.Errorf("messages of %v come", topics)
	}
}

func TestReplayMakesUpForWhatWasMissed(t *testing.T) {
	r, w := open(t)
	fillRetained(w, replayMessages+1)
	s, l := connect(t, w, "c")
	l.most = replayMessages // and it takes nothing more
	subscribeTo(t, w, s, "t/#", packet.QoS0)
	settle(r)
	retainOn(w, "t/x", "missed")
	l.most, l.congested = 0, false
	w.Drained(s, l)
	settle(r)
	if got := l.topics(t); len(got) != replayMessages+2 || !got["t/x"] {
		t.Errorf("%d topics come, the one that was missed %t", len(got), got["t/x"])
	}
}

// What is first retained after the subscription comes as it is published.
func TestReplayDoesNotRepeatWhatCameAfterTheSubscription(t *testing.T) {
	r, w := open(t)
	fillRetained(w, 1)
	s, l := connect(t, w, "c")
	p := &packet.Subscribe{Subscriptions: []packet.Subscription{{Filter: []byte("t/#")}}}
	got := w.Subscribe(s, l, p, SubscriptionLimits{}, nil)[0]
	retainOn(w, "t/000", "newer")
	retainOn(w, "t/x", "new")
	w.Replay(s, l, "t/#", got.Since)
	settle(r)
	if got, want := fmt.Sprint(l.published(t)), "[t/000 newer false t/x new false t/000 newer true]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestReplayOfAnEarlierConnectionIsDropped(t *testing.T) {
	const n = 2 * replayMessages
	r, w := open(t)
	fillRetained(w, n)
	s, l := connect(t, w, "c", lasting)
	subscribeTo(t, w, s, "t/+", packet.QoS0)
	w.Disconnect(s, l, true, nil)
	_, l = connect(t, w, "c", lasting) // while the page is on its way
	settle(r)
	if l.written != n {
		t.Errorf("%d messages come, want %d", l.written, n)
	}
}

func TestExpiredRetainedMessageIsNotReplayed(t *testing.T) {
	r, w := open(t)
	w.PublishMessage(&session.Message{Topic: "t", Payload: []byte("m"), Retain: true, Expires: w.Now.Add(time.Second)})
	w.Now = w.Now.Add(2 * time.Second)
	s, l := connect(t, w, "c")
	subscribeTo(t, w, s, "t", packet.QoS0)
	settle(r)
	if l.written != 0 {
		t.Error("it comes")
	}
}

// Messages that the store cannot read end the connection instead of being passed
// over.
func TestReplayThatCannotBeRead(t *testing.T) {
	st := &unreadable{Store: memory.New()}
	r, w := openOver(t, st, access(t, 0))
	fillRetained(w, 2)
	s, l := connect(t, w, "c")
	subscribeTo(t, w, s, "t/+", packet.QoS0)
	settle(r)
	if l.kicked != packet.ReasonUnspecifiedError || l.written != 0 {
		t.Errorf("the client is told %v", l.kicked)
	}
}
