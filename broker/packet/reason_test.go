package packet

import "testing"

func TestConnackReturnCodesOfMQTT3(t *testing.T) {
	tests := []struct {
		reason ReasonCode
		want   byte
	}{
		{ReasonSuccess, 0},
		{ReasonUnsupportedProtocolVersion, 1},
		{ReasonClientIdentifierNotValid, 2},
		{ReasonServerUnavailable, 3},
		{ReasonServerBusy, 3},
		{ReasonQuotaExceeded, 3},
		{ReasonUnspecifiedError, 3},
		{ReasonBadUserNameOrPassword, 4},
		{ReasonNotAuthorized, 5},
		{ReasonBanned, 5},
		{ReasonBadAuthenticationMethod, 5},
	}
	for _, tt := range tests {
		if got := tt.reason.ConnackV3(); got != tt.want {
			t.Errorf("%v: %d, want %d", tt.reason, got, tt.want)
		}
	}
	for code, reason := range connackReasons {
		if got := reason.ConnackV3(); int(got) != code {
			t.Errorf("%v: %d, want %d", reason, got, code)
		}
	}
}

//mqtt:3.1.1 3.9.3-2
func TestSubackReturnCodesOfMQTT3(t *testing.T) {
	s := Suback{ID: 1, Reasons: []ReasonCode{ReasonGrantedQoS0, ReasonGrantedQoS2, ReasonNotAuthorized}}
	want := string([]byte{0x90, 5, 0, 1, 0, 2, 0x80})
	if got := s.Append(nil, V311); string(got) != want {
		t.Errorf("% x, want % x", got, want)
	}
}

// TestReasonCodes compares with the packets that table 2-6 lists.
//
//mqtt:5.0 3.2.2-8 3.4.2-1 3.5.2-1 3.6.2-1 3.7.2-1 3.9.3-2 3.11.3-2 3.14.2-1 3.15.2-1
func TestReasonCodes(t *testing.T) {
	lists := map[Type]string{
		TypeConnack:    "\x00\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8c\x90\x95\x97\x99\x9a\x9b\x9c\x9d\x9f",
		TypePuback:     "\x00\x10\x80\x83\x87\x90\x91\x97\x99",
		TypePubrec:     "\x00\x10\x80\x83\x87\x90\x91\x97\x99",
		TypePubrel:     "\x00\x92",
		TypePubcomp:    "\x00\x92",
		TypeSuback:     "\x00\x01\x02\x80\x83\x87\x8f\x91\x97\x9e\xa1\xa2",
		TypeUnsuback:   "\x00\x11\x80\x83\x87\x8f\x91",
		TypeDisconnect: "\x00\x04\x80\x81\x82\x83\x87\x89\x8b\x8c\x8d\x8e\x8f\x90\x93\x94\x95\x96\x97\x98\x99\x9a\x9b\x9c\x9d\x9e\x9f\xa0\xa1\xa2",
		TypeAuth:       "\x00\x18\x19",
	}
	for typ, want := range lists {
		got := ""
		for c := range 256 {
			if ReasonCode(c).allowedIn(typ) {
				got += string([]byte{byte(c)})
			}
		}
		if got != want {
			t.Errorf("%v: % x, want % x", typ, got, want)
		}
	}
	if !ReasonUnspecifiedError.IsError() || ReasonReauthenticate.IsError() {
		t.Error("codes from 0x80 on are the failures")
	}
}

// TestNoPacketCarriesTheCodeOfAnother: whatever code a packet is given, it says one
// that the specification lists for it, and a failure stays one.
//
//mqtt:5.0 3.2.2-8 3.4.2-1 3.5.2-1 3.6.2-1 3.7.2-1 3.9.3-2 3.11.3-2 3.14.2-1
func TestNoPacketCarriesTheCodeOfAnother(t *testing.T) {
	said := map[Type]func(r ReasonCode) []byte{
		TypeConnack:    func(r ReasonCode) []byte { return (&Connack{Reason: r}).Append(nil, V5)[3:4] },
		TypeSuback:     func(r ReasonCode) []byte { return (&Suback{ID: 1, Reasons: []ReasonCode{r}}).Append(nil, V5)[5:] },
		TypeUnsuback:   func(r ReasonCode) []byte { return (&Unsuback{ID: 1, Reasons: []ReasonCode{r}}).Append(nil, V5)[5:] },
		TypeDisconnect: func(r ReasonCode) []byte { return (&Disconnect{Reason: r}).Append(nil, V5)[2:] },
	}
	for _, typ := range []Type{TypePuback, TypePubrec, TypePubrel, TypePubcomp} {
		said[typ] = func(r ReasonCode) []byte { return AppendAckReason(nil, V5, typ, 1, r)[4:] }
	}
	for typ, say := range said {
		for c := range 256 {
			reason, got := ReasonCode(c), ReasonSuccess
			if b := say(reason); len(b) > 0 {
				got = ReasonCode(b[0])
			}
			if !got.allowedIn(typ) || got.IsError() != reason.IsError() || reason.allowedIn(typ) && got != reason {
				t.Errorf("%v with %#x says %#x", typ, c, byte(got))
			}
		}
	}
}

func TestAnAuthSaysNothingButItsOwn(t *testing.T) {
	for c := range 256 {
		p := Auth{Reason: ReasonCode(c)}
		p.Properties.AuthMethod = []byte("m")
		p.Properties.Set(PropAuthMethod)
		if got := ReasonCode(p.Append(nil, V5)[2]); !got.allowedIn(TypeAuth) {
			t.Errorf("%#x says %#x", c, byte(got))
		}
	}
}
