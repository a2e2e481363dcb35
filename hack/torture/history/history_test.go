package history

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// scene is a run with a publisher of each quality of service, and a receiver of
// each kind, which are subscribed to all of their messages at QoS 2. A second
// passes with everything that is told.
type scene struct {
	*History
	clock   time.Duration
	stream  [3]*Stream
	durable *Receiver
	low     *Receiver // durable, at QoS 1
	group   *Receiver
	passing *Receiver
}

const filter = "t/#"

func newScene(window time.Duration) *scene {
	s := &scene{}
	s.History = New(func() time.Duration { s.clock += time.Second; return s.clock }, window)
	for q, name := range []string{"t/0", "t/1", "t/2"} {
		s.stream[q] = s.Stream("p", name, packet.QoS(q))
	}
	for _, r := range []struct {
		to   **Receiver
		kind ReceiverKind
		qos  packet.QoS
	}{{&s.durable, Durable, packet.QoS2}, {&s.low, Durable, packet.QoS1}, {&s.group, Group, packet.QoS2}, {&s.passing, Passing, packet.QoS2}} {
		*r.to = s.Receiver("r", r.kind, r.qos)
		s.subscribe(*r.to)
	}
	return s
}

func (s *scene) subscribe(r *Receiver) {
	r.Subscribing(filter)
	r.Subscribed(filter)
}

func (s *scene) unsubscribe(r *Receiver) {
	r.Unsubscribing(filter)
	r.Unsubscribed(filter)
}

// publish has n messages sent and acknowledged.
func (s *scene) publish(q packet.QoS, n int) {
	for range n {
		seq := s.stream[q].Publish(false)
		if q > packet.QoS0 {
			s.stream[q].Acknowledged(seq)
		}
	}
}

func (s *scene) kill() {
	s.Killed("SIGKILL")
	s.Restarted()
}

// deliver gives messages of a quality of service to a receiver.
func (s *scene) deliver(r *Receiver, q packet.QoS, seqs ...int) {
	for _, seq := range seqs {
		r.Received("p", s.stream[q].Topic, seq, min(q, r.qos))
	}
}

// deliverAll gives all messages to the durable receivers and the group but one.
func (s *scene) deliverAll(but *Receiver) {
	for _, r := range []*Receiver{s.durable, s.low, s.group} {
		for q := packet.QoS1; r != but && q <= packet.QoS2; q++ {
			for seq := 1; seq <= len(s.stream[q].messages); seq++ {
				if r.got[s.stream[q]].times(seq) == 0 {
					s.deliver(r, q, seq)
				}
			}
		}
	}
}

func TestWhatIsFoundInAHistory(t *testing.T) {
	for name, tc := range map[string]struct {
		run  func(s *scene)
		want []Kind
	}{
		"all is well": {func(s *scene) {
			s.publish(2, 3)
			s.deliverAll(nil)
		}, nil},
		"a loss at QoS 1": {func(s *scene) {
			s.publish(1, 3)
			s.kill()
			s.deliverAll(s.durable)
			s.deliver(s.durable, 1, 1, 3)
		}, []Kind{Lost}},
		"a loss at QoS 2": {func(s *scene) {
			s.publish(2, 3)
			s.deliverAll(s.low)
			s.deliver(s.low, 2, 1, 2)
		}, []Kind{Lost}},
		"a loss of a group": {func(s *scene) {
			s.publish(1, 2)
			s.deliverAll(s.group)
			s.deliver(s.group, 1, 2)
		}, []Kind{Lost}},
		"a loss in front of the subscription": {func(s *scene) {
			s.publish(1, 2)
			late := s.Receiver("late", Durable, packet.QoS1)
			s.subscribe(late)
			s.deliverAll(nil)
		}, nil},
		"a message that crossed the SUBSCRIBE": {func(s *scene) {
			late := s.Receiver("late", Durable, packet.QoS1)
			late.Subscribing(filter)
			s.publish(1, 1)
			late.Subscribed(filter)
			s.deliverAll(nil)
		}, nil},
		"what waited when the subscription ended, and was dropped": {func(s *scene) {
			s.publish(1, 1)
			s.unsubscribe(s.durable)
			s.subscribe(s.durable)
			s.deliverAll(s.durable)
		}, nil},
		"a loss after the subscription was made again": {func(s *scene) {
			s.unsubscribe(s.durable)
			s.subscribe(s.durable)
			s.publish(1, 1)
			s.deliverAll(s.durable)
		}, []Kind{Lost}},
		"what was not acknowledged": {func(s *scene) {
			s.stream[2].Publish(false)
		}, nil},
		"what was refused": {func(s *scene) {
			s.stream[2].Refused(s.stream[2].Publish(false))
		}, nil},
		"QoS 0": {func(s *scene) {
			s.publish(0, 3)
			s.deliver(s.durable, 0, 1, 3)
		}, nil},
		"what nobody durable waits for": {func(s *scene) {
			s.publish(1, 3)
			s.deliverAll(nil)
			s.deliver(s.passing, 1, 2)
		}, nil},
		"what a session waited for that was discarded": {func(s *scene) {
			s.publish(1, 3)
			s.durable.Renewed()
			s.subscribe(s.durable)
			s.deliverAll(s.durable)
		}, nil},
		"a repeat at QoS 1": {func(s *scene) {
			s.publish(1, 3)
			s.deliver(s.durable, 1, 1, 2, 3, 2, 3)
			s.deliverAll(nil)
		}, nil},
		"a repeat at QoS 2": {func(s *scene) {
			s.publish(2, 3)
			s.deliver(s.durable, 2, 1, 2, 3)
			s.kill()
			s.deliver(s.durable, 2, 2)
			s.deliverAll(nil)
		}, []Kind{Repeated}},
		"a repeat at QoS 2 to another member": {func(s *scene) {
			s.publish(2, 1)
			s.deliver(s.group, 2, 1, 1)
			s.deliverAll(nil)
		}, []Kind{Repeated}},
		"a repeat at QoS 0": {func(s *scene) {
			s.publish(0, 1)
			s.deliver(s.durable, 0, 1, 1)
		}, []Kind{Repeated}},
		"a repeat of QoS 2 to a subscription of QoS 1": {func(s *scene) {
			s.publish(2, 1)
			s.deliver(s.low, 2, 1, 1)
			s.deliverAll(nil)
		}, nil},
		"disorder at QoS 1": {func(s *scene) {
			s.publish(1, 3)
			s.deliver(s.durable, 1, 1, 3, 2)
			s.deliverAll(nil)
		}, []Kind{Disorder}},
		"disorder at QoS 2": {func(s *scene) {
			s.publish(2, 3)
			s.deliver(s.passing, 2, 2, 1)
			s.deliverAll(nil)
		}, []Kind{Disorder}},
		"disorder in a group": {func(s *scene) {
			s.publish(2, 3)
			s.deliver(s.group, 2, 3, 2, 1)
			s.deliverAll(nil)
		}, nil},
		"a message that was sent again after the subscription began": {func(s *scene) {
			first := s.stream[1].Publish(false)
			late := s.Receiver("late", Durable, packet.QoS1)
			s.subscribe(late)
			second := s.stream[1].Publish(false)
			s.deliver(late, 1, second)
			s.kill()
			s.deliver(late, 1, first, second)
			s.deliverAll(nil)
		}, nil},
		"what nobody has sent": {func(s *scene) {
			s.deliver(s.durable, 1, 1)
		}, []Kind{Foreign}},
		"what nobody has published to": {func(s *scene) {
			s.durable.Received("p", "t/9", 1, packet.QoS1)
		}, []Kind{Foreign}},
		"what was published before the subscription": {func(s *scene) {
			s.publish(1, 1)
			late := s.Receiver("late", Passing, packet.QoS1)
			s.subscribe(late)
			s.deliver(late, 1, 1)
			s.deliverAll(nil)
		}, []Kind{Foreign}},
		"what was published after the UNSUBACK": {func(s *scene) {
			s.unsubscribe(s.durable)
			s.publish(1, 1)
			s.deliver(s.durable, 1, 1)
			s.deliverAll(nil)
		}, []Kind{Foreign}},
		"what waited when the subscription ended, and came": {func(s *scene) {
			s.publish(1, 1)
			s.unsubscribe(s.durable)
			s.subscribe(s.durable)
			s.deliverAll(nil)
		}, nil},
		"another quality of service": {func(s *scene) {
			s.publish(2, 1)
			s.durable.Received("p", "t/2", 1, packet.QoS1)
			s.deliverAll(nil)
		}, []Kind{Protocol}},
		"a fault": {func(s *scene) { s.Fault(errors.New("PUBACK of nothing")) }, []Kind{Protocol}},

		"a will that came": {func(s *scene) {
			s.stream[2].Due(s.stream[2].Will())
			s.deliverAll(nil)
		}, nil},
		"a will that did not come": {func(s *scene) {
			s.stream[2].Due(s.stream[2].Will())
			s.deliverAll(s.durable)
		}, []Kind{Lost}},
		"a will that comes late": {func(s *scene) {
			seq := s.stream[2].Will()
			s.stream[2].Due(seq)
			late := s.Receiver("late", Durable, packet.QoS2)
			s.subscribe(late)
			s.deliver(late, 2, seq)
			s.deliverAll(nil)
		}, nil},
		"a will that may come after the UNSUBSCRIBE": {func(s *scene) {
			s.stream[2].Due(s.stream[2].Will())
			s.unsubscribe(s.durable)
			s.deliverAll(s.durable)
		}, nil},
		"a will that was taken back": {func(s *scene) {
			s.stream[2].Withdrawn(s.stream[2].Will())
		}, nil},
		"a will that came though it was taken back": {func(s *scene) {
			seq := s.stream[2].Will()
			s.deliver(s.durable, 2, seq)
			s.stream[2].Withdrawn(seq)
			s.deliver(s.low, 2, seq)
		}, []Kind{Will, Will}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(0)
			tc.run(s)
			check(t, s.Violations(), tc.want)
			if lost := slices.Contains(tc.want, Lost); s.Complete() == lost {
				t.Errorf("complete is %t", !lost)
			}
		})
	}
}

// check expects violations of kinds, none of them excused.
func check(t *testing.T, got []Violation, want []Kind) {
	t.Helper()
	var kinds []Kind
	for _, v := range got {
		kinds = append(kinds, v.Kind)
		if v.Excused {
			t.Errorf("excused: %v", v)
		}
	}
	if !slices.Equal(kinds, want) {
		t.Errorf("found %v, want %q", got, want)
	}
}

func TestALossNamesTheMessageAndTheKill(t *testing.T) {
	s := newScene(0)
	s.publish(1, 1)
	s.kill()
	s.deliverAll(s.durable)
	found := s.Violations()
	const want = "lost: r did not get message 1 of p on t/1 at QoS 1, sent at 9s and acknowledged at 10s, 1s before kill 1 (SIGKILL, at 11s)"
	if len(found) != 1 || found[0].String() != want {
		t.Errorf("found %v, want %s", found, want)
	}
}

// With a window, what was acknowledged in it before a kill may be gone, and
// nothing else.
func TestTheWindowBeforeAKill(t *testing.T) {
	for name, tc := range map[string]struct {
		run     func(s *scene)
		excused []bool
	}{
		"a loss within it": {func(s *scene) {
			s.publish(1, 1)
			s.kill()
		}, []bool{true, true, true}},
		"a loss in front of it": {func(s *scene) {
			s.publish(1, 1)
			s.clock += time.Minute
			s.kill()
		}, []bool{false, false, false}},
		"a loss behind it": {func(s *scene) {
			s.kill()
			s.clock += time.Minute
			s.publish(1, 1)
		}, []bool{false, false, false}},
		"a repeat after a kill": {func(s *scene) {
			s.publish(2, 1)
			s.deliverAll(nil)
			s.kill()
			s.deliver(s.durable, 2, 1)
		}, []bool{true}},
		"a repeat without a kill": {func(s *scene) {
			s.kill()
			s.publish(2, 1)
			s.deliverAll(nil)
			s.deliver(s.durable, 2, 1)
		}, []bool{false}},
		"a session that was young": {func(s *scene) {
			session := s.Sessions("c", true)
			session.Connecting(false)
			session.Connected(false)
			s.kill()
			session.Connecting(false)
			session.Connected(false)
		}, []bool{true}},
		"a session that was old": {func(s *scene) {
			session := s.Sessions("c", true)
			session.Connecting(false)
			session.Connected(false)
			s.clock += time.Minute
			s.kill()
			session.Connecting(false)
			session.Connected(false)
		}, []bool{false}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(10 * time.Second)
			tc.run(s)
			var excused []bool
			for _, v := range s.Violations() {
				excused = append(excused, v.Excused)
			}
			if !slices.Equal(excused, tc.excused) {
				t.Errorf("found %v, want excused to be %v", s.Violations(), tc.excused)
			}
		})
	}
}

func TestSessionPresent(t *testing.T) {
	type connect struct {
		clean   bool
		answers bool // with CONNACK
		present bool
	}
	for name, tc := range map[string]struct {
		durable  bool
		connects []connect
		want     []Kind
	}{
		"new, and there again": {true, []connect{{false, true, false}, {false, true, true}, {false, true, true}}, nil},
		"lost":                 {true, []connect{{false, true, false}, {false, true, false}}, []Kind{Session}},
		"lost once":            {true, []connect{{false, true, false}, {false, true, false}, {false, true, true}}, []Kind{Session}},
		"invented":             {true, []connect{{false, true, false}, {true, true, true}}, []Kind{Session}},
		"clean":                {true, []connect{{false, true, false}, {true, true, false}, {false, true, true}}, nil},
		"no answer":            {true, []connect{{false, false, false}, {false, true, true}}, nil},
		"no answer, not there": {true, []connect{{false, false, false}, {false, true, false}}, nil},
		"clean, no answer":     {true, []connect{{false, true, false}, {true, false, false}, {false, true, false}}, nil},
		"not durable":          {false, []connect{{true, true, false}, {true, true, false}}, nil},
		"not durable, kept":    {false, []connect{{true, true, false}, {true, true, true}}, []Kind{Session}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newScene(0).History
			s := h.Sessions("c", tc.durable)
			for _, c := range tc.connects {
				s.Connecting(c.clean)
				if c.answers {
					s.Connected(c.present)
				}
			}
			check(t, h.Violations(), tc.want)
		})
	}
}

func TestRetainedValues(t *testing.T) {
	const set, clear = false, true
	for name, tc := range map[string]struct {
		changes []bool // that were sent
		acked   int    // how many of them were acknowledged
		found   int
		want    []Kind
	}{
		"nothing yet":                    {nil, 0, 0, nil},
		"the last acknowledged":          {[]bool{set, set, set}, 2, 2, nil},
		"a later one":                    {[]bool{set, set, set}, 2, 3, nil},
		"an earlier one":                 {[]bool{set, set, set}, 2, 1, []Kind{Retained}},
		"none though there is one":       {[]bool{set, set}, 1, 0, []Kind{Retained}},
		"none before an acknowledgement": {[]bool{set}, 0, 0, nil},
		"cleared":                        {[]bool{set, clear}, 2, 0, nil},
		"cleared, and still there":       {[]bool{set, clear}, 2, 1, []Kind{Retained}},
		"cleared, not acknowledged":      {[]bool{set, clear}, 1, 0, nil},
		"cleared, and set again":         {[]bool{set, clear, set}, 3, 0, []Kind{Retained}},
		"never sent":                     {[]bool{set}, 1, 2, []Kind{Foreign}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newScene(0).History
			s := h.Stream("p", "r", packet.QoS1)
			for i, empty := range tc.changes {
				if seq := s.Publish(empty); i < tc.acked {
					s.Acknowledged(seq)
				}
			}
			s.Looked(tc.found, s.Lowest())
			check(t, h.Violations(), tc.want)
		})
	}
}
