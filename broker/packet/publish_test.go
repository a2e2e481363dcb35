package packet

import "testing"

func TestAppendFrameTellsWhereTheIdentifierIs(t *testing.T) {
	p := Publish{QoS: 1, Topic: []byte("a/b"), Payload: make([]byte, 200)}
	for _, v := range []Version{V31, V311, V5} {
		prefix := []byte("already here")
		out, offset := p.AppendFrame(prefix, v)
		frame := out[len(prefix):]
		PutID(frame, offset, 0xbeef)
		h, body := split(t, frame)
		var got Publish
		if err := got.Decode(v, h.Flags, body); err != nil {
			t.Fatal(err)
		}
		if got.ID != 0xbeef || string(got.Topic) != "a/b" || len(got.Payload) != 200 {
			t.Errorf("version %v: decoded %+v", v, got)
		}
	}
	p.QoS = 0
	if _, offset := p.AppendFrame(nil, V5); offset != -1 {
		t.Errorf("offset %d for QoS 0, want -1", offset)
	}
}

func TestAppendHeadIsTheFrameWithoutThePayload(t *testing.T) {
	for _, c := range publishCases() {
		frame, frameOffset := c.packet.AppendFrame(nil, c.version)
		head, headOffset := c.packet.AppendHead(nil, c.version)
		if string(head)+string(c.packet.Payload) != string(frame) || headOffset != frameOffset {
			t.Errorf("%s: head % x, offset %d", c.name, head, headOffset)
		}
	}
}

func TestDupIsNeverSentWithQoS0(t *testing.T) {
	p := Publish{Dup: true, Topic: []byte("t")}
	if got := p.Append(nil, V311)[0]; got != 0x30 {
		t.Errorf("first byte %#x", got)
	}
}

func TestConnackNeverHasASessionWithAFailure(t *testing.T) {
	c := Connack{SessionPresent: true, Reason: ReasonServerBusy}
	if got, want := c.Append(nil, V5), "\x20\x03\x00\x89\x00"; string(got) != want {
		t.Errorf("% x, want % x", got, want)
	}
	c.Reason = ReasonSuccess
	if got, want := c.Append(nil, V31), "\x20\x02\x00\x00"; string(got) != want {
		t.Errorf("% x, want % x", got, want)
	}
}

func TestPasswordNeedsAUserNameBeforeMQTT5(t *testing.T) {
	c := Connect{HasPassword: true, Password: []byte("p")}
	var got Connect
	for _, v := range []Version{V31, V311, V5} {
		frame := c.Append(nil, v)
		_, body := split(t, frame)
		if err := got.Decode(body); err != nil || got.HasPassword != (v == V5) || c.Size(v) != len(frame) {
			t.Errorf("version %v: %+v, error %v", v, got, err)
		}
	}
}

func TestAcknowledgementsWithoutAStruct(t *testing.T) {
	for _, typ := range []Type{TypePuback, TypePubrec, TypePubrel, TypePubcomp} {
		for _, v := range []Version{V31, V311, V5} {
			for _, reason := range []ReasonCode{ReasonSuccess, ReasonPacketIdentifierNotFound} {
				a := Ack{Type: typ, ID: 0x1234, Reason: reason}
				want := string(a.Append(nil, v))
				if got := AppendAckReason(nil, v, typ, 0x1234, reason); string(got) != want {
					t.Errorf("%v %v: % x, want % x", v, typ, got, want)
				}
				if got := AppendAck(nil, typ, 0x1234); reason == ReasonSuccess && string(got) != want {
					t.Errorf("%v %v: % x, want % x", v, typ, got, want)
				}
			}
		}
	}
}
