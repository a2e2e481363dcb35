package packet

import (
	"fmt"
	"testing"
)

// TestPropertiesBelongToTheirPackets compares with table 2-4, column by column.
func TestPropertiesBelongToTheirPackets(t *testing.T) {
	lists := map[Type]string{
		typeWill:        "01 02 03 08 09 18 26",
		TypeConnect:     "11 15 16 17 19 21 22 26 27",
		TypeConnack:     "11 12 13 15 16 1a 1c 1f 21 22 24 25 26 27 28 29 2a",
		TypePublish:     "01 02 03 08 09 0b 23 26",
		TypePuback:      "1f 26",
		TypePubrec:      "1f 26",
		TypePubrel:      "1f 26",
		TypePubcomp:     "1f 26",
		TypeSubscribe:   "0b 26",
		TypeSuback:      "1f 26",
		TypeUnsubscribe: "26",
		TypeUnsuback:    "1f 26",
		TypePingreq:     "",
		TypePingresp:    "",
		TypeDisconnect:  "11 1c 1f 26",
		TypeAuth:        "15 16 1f 26",
	}
	for typ, list := range lists {
		var want uint64
		for _, id := range unhex(t, list) {
			want |= 1 << id
		}
		if allowed[typ] != want {
			t.Errorf("%v: %b, want %b", typ, allowed[typ], want)
		}
	}
}

func TestPropertyIsPresentOnlyWhenSet(t *testing.T) {
	var p Properties
	if p.Has(PropTopicAlias) || !p.Empty() {
		t.Error("a property is present from the start")
	}
	p.TopicAlias = 7
	p.Set(PropTopicAlias)
	if !p.Has(PropTopicAlias) || p.Has(PropUser) || p.Empty() {
		t.Error("not exactly the property that was set is present")
	}
	p.Unset(PropTopicAlias)
	if p.Has(PropTopicAlias) || !p.Empty() || p.size(TypePublish) != 0 {
		t.Error("a property is present after Unset")
	}
	p.Reset()
	if p.TopicAlias != 0 {
		t.Error("Reset leaves a value behind")
	}
}

func TestResetKeepsTheCapacityOfLists(t *testing.T) {
	var p Properties
	p.AddUserProperty([]byte("k"), []byte("v"))
	p.AddSubscriptionID(1)
	pairs := p.UserProperties
	p.Reset()
	if !p.Empty() || len(p.UserProperties) != 0 || len(p.SubscriptionIDs) != 0 {
		t.Errorf("after Reset: %+v", p)
	}
	if cap(p.UserProperties) == 0 || cap(p.SubscriptionIDs) == 0 {
		t.Error("Reset drops the capacity")
	}
	if pairs[0].Key != nil {
		t.Error("Reset keeps a buffer reachable")
	}
}

func TestPropertiesThatThePacketMayNotCarryAreLeftOut(t *testing.T) {
	p := Publish{Topic: []byte("t")}
	p.Properties.Set(PropSessionExpiry)
	p.Properties.Set(PropReasonString)
	if got, want := p.Append(nil, V5), "\x30\x04\x00\x01t\x00"; string(got) != want {
		t.Errorf("% x, want % x", got, want)
	}
	if got := p.Size(V5); got != 6 {
		t.Errorf("size %d, want 6", got)
	}
}

func TestCloneSharesNoMemory(t *testing.T) {
	for _, g := range goldens {
		frame := unhex(t, g.hex)
		h, body := split(t, frame)
		var s packets
		if _, err := s.decode(g.version, h, body); err != nil {
			t.Fatal(err)
		}
		for _, p := range []*Properties{
			&s.connect.Properties, &s.connect.Will.Properties, &s.connack.Properties, &s.publish.Properties,
			&s.ack.Properties, &s.subscribe.Properties, &s.suback.Properties, &s.unsubscribe.Properties,
			&s.unsuback.Properties, &s.disconnect.Properties, &s.auth.Properties,
		} {
			clone := p.Clone()
			before := fmt.Sprintf("%+v", clone)
			if want := fmt.Sprintf("%+v", *p); before != want {
				t.Errorf("%s: clone %s, want %s", g.name, before, want)
			}
			original := append([]byte(nil), body...)
			for i := range body {
				body[i] ^= 0xff
			}
			if after := fmt.Sprintf("%+v", clone); after != before {
				t.Errorf("%s: the clone aliases the body", g.name)
			}
			copy(body, original)
		}
	}
}
