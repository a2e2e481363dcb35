package router

import (
	"fmt"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// decodeAs returns the PUBLISH that a frame is to a client of the version.
func decodeAs(t *testing.T, v packet.Version, frame []byte) *packet.Publish {
	t.Helper()
	h, n, err := packet.ParseHeader(frame)
	if err != nil || n == 0 || n+h.Length != len(frame) || h.Type != packet.TypePublish {
		t.Fatalf("% x is no PUBLISH: %v", frame, err)
	}
	var p packet.Publish
	if err := p.Decode(v, h.Flags, frame[n:]); err != nil {
		t.Fatal(err)
	}
	return &p
}

// received is a PUBLISH as it comes from a client of the version, and its bytes.
func received(t *testing.T, v packet.Version, p packet.Publish) (*packet.Publish, []byte) {
	t.Helper()
	if p.QoS > 0 {
		p.ID = 0x1234
	}
	raw := p.Append(nil, v)
	return decodeAs(t, v, raw), raw
}

var everyVersion = []packet.Version{packet.V31, packet.V311, packet.V5}

// Whatever came in, each subscriber gets a packet of its own version, at its quality of service
// and with its retain flag, and the identifier goes where the packet has it.
func TestFramesFitEachSubscriber(t *testing.T) {
	var f frames // one for all messages, as a Worker has it
	try := func(t *testing.T, v packet.Version, m packet.Publish, keepRaw bool) {
		t.Helper()
		p, raw := received(t, v, m)
		if !keepRaw {
			raw = nil
		}
		f.reset(p, v, raw)
		for range 2 { // made, and made before
			for _, to := range everyVersion {
				for _, q := range []packet.QoS{packet.QoS0, packet.QoS1, packet.QoS2} {
					for _, retain := range []bool{false, true} {
						frame, idAt := f.get(to, q, retain)
						expectFrame(t, frame, idAt, to, m, q, retain)
					}
				}
			}
		}
	}
	for _, v := range everyVersion {
		for _, q := range []packet.QoS{packet.QoS0, packet.QoS1, packet.QoS2} {
			for _, size := range []int{3, 200, 20_000} {
				for _, keepRaw := range []bool{true, false} {
					m := packet.Publish{QoS: q, Topic: []byte("a/b"), Payload: make([]byte, size)}
					t.Run(fmt.Sprintf("%v, QoS %d, %d bytes, raw %t", v, q, size, keepRaw), func(t *testing.T) {
						try(t, v, m, keepRaw)
						m.Retain = true
						try(t, v, m, keepRaw)
						if m.Retain = false; q > 0 {
							m.Dup = true
							try(t, v, m, keepRaw)
						}
					})
				}
			}
		}
	}
}

func expectFrame(t *testing.T, frame []byte, idAt int, to packet.Version, m packet.Publish, q packet.QoS, retain bool) {
	t.Helper()
	if q > 0 {
		frame = append([]byte(nil), frame...)
		packet.PutID(frame, idAt, 0xbeef)
	}
	got := decodeAs(t, to, frame)
	if got.QoS != q || got.Retain != retain || got.Dup { // [MQTT-3.3.1-3]
		t.Errorf("to %v at QoS %d, retain %t: QoS %d, retain %t, DUP %t", to, q, retain, got.QoS, got.Retain, got.Dup)
	}
	if string(got.Topic) != string(m.Topic) || string(got.Payload) != string(m.Payload) {
		t.Errorf("to %v at QoS %d: topic %q and %d bytes", to, q, got.Topic, len(got.Payload))
	}
	if q > 0 && got.ID != 0xbeef {
		t.Errorf("to %v at QoS %d: identifier %#x", to, q, got.ID)
	}
}

// Properties are those of the message: of the one before nothing is left, and a topic alias is
// between the publisher and the broker alone.
func TestFramesCarryThePropertiesOfTheirMessage(t *testing.T) {
	var f frames
	with := packet.Publish{Topic: []byte("t")}
	with.Properties.AddUserProperty([]byte("k"), []byte("v"))
	with.Properties.TopicAlias = 7
	with.Properties.Set(packet.PropTopicAlias)
	alias := packet.Publish{Topic: []byte("t")}
	alias.Properties.TopicAlias = 7
	alias.Properties.Set(packet.PropTopicAlias)
	for i, tc := range []struct {
		m    packet.Publish
		user int
	}{
		{with, 1}, {packet.Publish{Topic: []byte("t")}, 0}, {alias, 0}, {with, 1}, {alias, 0},
	} {
		p, raw := received(t, packet.V5, tc.m)
		f.reset(p, packet.V5, raw)
		frame, _ := f.get(packet.V5, packet.QoS0, false)
		got := decodeAs(t, packet.V5, frame)
		if got.Properties.Has(packet.PropTopicAlias) || len(got.Properties.UserProperties) != tc.user {
			t.Errorf("message %d: properties %+v", i, got.Properties)
		}
		frame, _ = f.get(packet.V311, packet.QoS0, false)
		if got := decodeAs(t, packet.V311, frame); len(got.Payload) > 0 {
			t.Errorf("message %d: MQTT 3.1.1 gets %q", i, got.Payload)
		}
	}
}

// A frame for one subscriber alone has the identifiers of its subscriptions and its alias, and
// leaves those of the others as they were.
func TestFramesOfOneSubscriber(t *testing.T) {
	var f frames
	p, raw := received(t, packet.V5, packet.Publish{QoS: packet.QoS1, Topic: []byte("t"), Payload: []byte("m")})
	f.reset(p, packet.V5, raw)
	common, _ := f.get(packet.V5, packet.QoS0, true)
	before := string(common)
	a := newAliases(1)
	for i, wantTopic := range []string{"t", ""} {
		frame, idAt, assign := f.own(a, packet.QoS2, true, []uint32{3, 5})
		packet.PutID(frame, idAt, 9)
		got := decodeAs(t, packet.V5, frame)
		if string(got.Topic) != wantTopic || assign != (i == 0) || got.Properties.TopicAlias != 1 {
			t.Errorf("time %d: topic %q with alias %d, assigned %t", i, got.Topic, got.Properties.TopicAlias, assign)
		}
		if got.QoS != packet.QoS2 || !got.Retain || got.ID != 9 || fmt.Sprint(got.Properties.SubscriptionIDs) != "[3 5]" {
			t.Errorf("time %d: %+v", i, got)
		}
		if assign {
			a.confirm([]byte("t"))
		}
	}
	frame, _, assign := f.own(nil, packet.QoS0, false, []uint32{4})
	if got := decodeAs(t, packet.V5, frame); assign || string(got.Topic) != "t" || fmt.Sprint(got.Properties.SubscriptionIDs) != "[4]" {
		t.Errorf("without aliases: %+v, assigned %t", got, assign)
	}
	common, _ = f.get(packet.V5, packet.QoS0, true)
	if string(common) != before {
		t.Errorf("the frame for all is % x, and was % x", common, before)
	}
}

// Aliases go to the topics that come first, as many as the client allows [MQTT-3.1.2-26].
func TestAliasesAreAsManyAsTheClientAllows(t *testing.T) {
	a := newAliases(2)
	if newAliases(0) != nil {
		t.Error("aliases for a client that allows none")
	}
	send := func(name string) (got packet.Publish, assign bool) {
		got.Topic = []byte(name)
		if assign = a.apply(&got); assign {
			a.confirm([]byte(name))
		}
		return got, assign
	}
	for i, tc := range []struct {
		name, topic string
		alias       uint16
		assign      bool
	}{
		{"a", "a", 1, true}, {"b", "b", 2, true}, {"c", "c", 0, false}, {"b", "", 2, false}, {"a", "", 1, false}, {"c", "c", 0, false},
	} {
		got, assign := send(tc.name)
		if string(got.Topic) != tc.topic || got.Properties.TopicAlias != tc.alias || assign != tc.assign ||
			got.Properties.Has(packet.PropTopicAlias) != (tc.alias != 0) {
			t.Errorf("message %d to %s: topic %q, alias %d, assigned %t", i, tc.name, got.Topic, got.Properties.TopicAlias, assign)
		}
	}
	unsent := newAliases(1)
	for range 2 { // a packet that was not sent assigns nothing
		if p := (packet.Publish{Topic: []byte("x")}); !unsent.apply(&p) || string(p.Topic) != "x" {
			t.Errorf("%+v", p)
		}
	}
}
