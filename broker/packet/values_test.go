package packet

import "testing"

// The values that the specification gives to types and qualities of service.
func TestTypesAndQualitiesOfServiceAreThoseOfTheSpecification(t *testing.T) {
	for want, got := range []Type{
		1: TypeConnect, TypeConnack, TypePublish, TypePuback, TypePubrec, TypePubrel, TypePubcomp, TypeSubscribe,
		TypeSuback, TypeUnsubscribe, TypeUnsuback, TypePingreq, TypePingresp, TypeDisconnect, TypeAuth,
	} {
		if want != 0 && int(got) != want {
			t.Errorf("%v is %d, want %d", got, got, want)
		}
	}
	for want, got := range []QoS{QoS0, QoS1, QoS2} {
		if int(got) != want {
			t.Errorf("quality of service %d is %d", want, got)
		}
	}
	if V31 != 3 || V311 != 4 || V5 != 5 {
		t.Errorf("the protocol levels are %d, %d and %d, want 3, 4 and 5", V31, V311, V5)
	}
}

// Properties with two values refuse a third one, those that are counted refuse none, and all
// others take any.
func TestPropertiesRefuseValuesThatTheyCannotHave(t *testing.T) {
	boolean := map[PropertyID]bool{
		PropPayloadFormat: true, PropRequestProblemInfo: true, PropRequestResponseInfo: true, PropMaximumQoS: true,
		PropRetainAvailable: true, PropWildcardAvailable: true, PropSubscriptionIDAvailable: true, PropSharedAvailable: true,
	}
	nonzero := map[PropertyID]bool{
		PropSubscriptionID: true, PropReceiveMaximum: true, PropTopicAlias: true, PropMaximumPacketSize: true,
	}
	for id := range propLast + 1 {
		size := map[kind]int{kindByte: 1, kindUint16: 2, kindUint32: 4, kindVarint: 1}[rules[id].kind]
		if size == 0 {
			continue
		}
		for in := range TypeAuth + 1 {
			if allowed[in]>>id&1 == 0 {
				continue
			}
			for v, ok := range []bool{!nonzero[id], true, !boolean[id]} {
				section := append([]byte{byte(1 + size), byte(id)}, make([]byte, size)...)
				section[len(section)-1] = byte(v)
				r := reader{b: section, typ: in}
				var p Properties
				p.decode(&r, in)
				if err := r.end(); (err == nil) != ok {
					t.Errorf("%v with %d in %v: %v", id, v, in, err)
				}
				if ok && !p.Has(id) {
					t.Errorf("%v with %d in %v is not there", id, v, in)
				}
			}
		}
	}
}

// The first failure sticks, and what is read after it is zero.
func TestReadsAfterAFailureAreZero(t *testing.T) {
	fresh := func() *reader {
		r := &reader{b: []byte{0xff, 0xff, 0xff, 0xff, 0xff}, typ: TypePublish}
		r.take(6, "first")
		return r
	}
	for name, read := range map[string]func(r *reader) bool{
		"byte":    func(r *reader) bool { return r.byte("later") == 0 },
		"uint16":  func(r *reader) bool { return r.uint16("later") == 0 },
		"uint32":  func(r *reader) bool { return r.uint32("later") == 0 },
		"varint":  func(r *reader) bool { return r.varint("later") == 0 },
		"binary":  func(r *reader) bool { return r.binary("later") == nil },
		"string":  func(r *reader) bool { return len(r.string("later")) == 0 },
		"id":      func(r *reader) bool { return r.packetID() == 0 },
		"reason":  func(r *reader) bool { return r.reason() == 0 },
		"reasons": func(r *reader) bool { return len(r.reasons(nil)) == 0 },
	} {
		r := fresh()
		if !read(r) {
			t.Errorf("%s is not zero", name)
		}
		if err := r.end(); err == nil || err.Error() != "invalid PUBLISH: first is cut short" {
			t.Errorf("%s: the failure is %v, want the first one", name, err)
		}
	}
}

// Whether a topic name may be empty is for the caller to judge.
func TestPublishWithAnEmptyTopicIsDecoded(t *testing.T) {
	for v, body := range map[Version]string{V31: `0000`, V311: `0000`, V5: `0000 00`} {
		var p Publish
		if err := p.Decode(v, 0, unhex(t, body)); err != nil || len(p.Topic) != 0 || len(p.Payload) != 0 {
			t.Errorf("version %v: %+v, error %v", v, p, err)
		}
	}
}

// Of the options of a subscription each combination is taken that the specification allows, and no
// other [MQTT-3.8.3-5].
func TestSubscriptionOptionsAreTakenAsTheyAre(t *testing.T) {
	for b := range 256 {
		var s Subscribe
		err := s.Decode(V5, append(unhex(t, `0001 00 0001'a'`), byte(b)))
		qos, handling := b&3, b>>4&3
		if ok := b < 0x40 && qos != 3 && handling != 3; (err == nil) != ok {
			t.Errorf("options %#02x: %v", b, err)
		}
		if err != nil {
			continue
		}
		want := Subscription{
			Filter: []byte("a"), QoS: QoS(qos), NoLocal: b&4 != 0, RetainAsPublished: b&8 != 0, RetainHandling: byte(handling),
		}
		if got := s.Subscriptions[0]; show(&Subscribe{Subscriptions: []Subscription{got}}) != show(&Subscribe{Subscriptions: []Subscription{want}}) {
			t.Errorf("options %#02x are %+v, want %+v", b, got, want)
		}
	}
}
