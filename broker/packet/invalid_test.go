package packet

import (
	"errors"
	"strings"
	"testing"
)

const (
	malformedPacket = ReasonMalformedPacket
	protocolFault   = ReasonProtocolError
)

func TestInvalidPacketsAreRefused(t *testing.T) {
	tests := []struct {
		version Version
		typ     Type
		flags   byte
		body    string
		reason  ReasonCode
		detail  string
	}{
		{V5, TypeConnect, 0, `0003'MQT' 05 02 0000 00 0000`, ReasonUnsupportedProtocolVersion, "protocol name"},
		{V5, TypeConnect, 0, `0004'mqtt' 05 02 0000 00 0000`, ReasonUnsupportedProtocolVersion, "protocol name"},
		{V311, TypeConnect, 0, `0004'MQTT' 04 03 0000 0000`, malformedPacket, "reserved connect flag"},
		{V5, TypeConnect, 0, `0004'MQTT' 05 03 0000 00 0000`, malformedPacket, "reserved connect flag"},
		{V311, TypeConnect, 0, `0004'MQTT' 04 0a 0000 0000`, malformedPacket, "without a will"},
		{V5, TypeConnect, 0, `0004'MQTT' 05 20 0000 00 0000`, malformedPacket, "without a will"},
		{V311, TypeConnect, 0, `0004'MQTT' 04 1c 0000 0000 0001'w' 0000`, malformedPacket, "will QoS is 3"},
		{V5, TypeConnect, 0, `0004'MQTT' 05 1c 0000 00 0000 00 0001'w' 0000`, malformedPacket, "will QoS is 3"},
		{V31, TypeConnect, 0, `0006'MQIsdp' 03 1c 0000 0001'i' 0001'w' 0000`, malformedPacket, "will QoS is 3"},
		{V311, TypeConnect, 0, `0004'MQTT' 04 42 0000 0000 0001'p'`, malformedPacket, "password without user name"},
		{V31, TypeConnect, 0, `0006'MQIsdp' 03 42 0000 0001'i' 0001'p'`, malformedPacket, "password without user name"},
		{V311, TypeConnect, 0, `0004'MQTT' 04 82 0000 0000`, malformedPacket, "user name is cut short"},
		{V311, TypeConnect, 0, `0004'MQTT' 04 02 0000 0002 c0af`, malformedPacket, "client identifier is not valid UTF-8"},
		{V311, TypeConnect, 0, `0004'MQTT' 04 82 0000 0000 0001 00`, malformedPacket, "user name is not valid UTF-8"},
		{V311, TypeConnect, 0, `0004'MQTT' 04 06 0000 0000 0003 eda080 0000`, malformedPacket, "will topic is not valid UTF-8"},
		{V5, TypeConnect, 0, `0004'MQTT' 05 02 0000 04 16 0001'd' 0000`, protocolFault, "without authentication method"},
		{V5, TypeConnect, 0, `0004'MQTT' 05 02 0000 03 21 0000 0000`, protocolFault, "receive maximum is zero"},
		{V5, TypeConnect, 0, `0004'MQTT' 05 02 0000 05 27 00000000 0000`, protocolFault, "maximum packet size is zero"},
		{V5, TypeConnect, 0, `0004'MQTT' 05 02 0000 02 17 02 0000`, protocolFault, "request problem information is neither 0 nor 1"},
		{V5, TypeConnect, 0, `0004'MQTT' 05 02 0000 02 19 ff 0000`, protocolFault, "request response information is neither 0 nor 1"},
		{V5, TypeConnect, 0, `0004'MQTT' 05 02 0000 0a 11 00000001 11 00000001 0000`, protocolFault, "session expiry interval is given twice"},
		{V5, TypeConnect, 0, `0004'MQTT' 05 02 0000 05 18 00000001 0000`, malformedPacket, "will delay interval is not allowed here"},
		{V5, TypeConnect, 0, `0004'MQTT' 05 06 0000 00 0000 05 11 00000001 0001'w' 0000`, malformedPacket, "session expiry interval is not allowed here"},
		{V5, TypeConnect, 0, `0004'MQTT' 05 06 0000 00 0000 02 01 02 0001'w' 0000`, protocolFault, "payload format indicator is neither 0 nor 1"},

		{V311, TypeConnack, 0, `02 00`, malformedPacket, "reserved acknowledge flags"},
		{V311, TypeConnack, 0, `00 06`, protocolFault, "return code 0x06 is reserved"},
		{V311, TypeConnack, 0, `01 05`, protocolFault, "session present with a failure"},
		{V5, TypeConnack, 0, `01 87 00`, protocolFault, "session present with a failure"},
		{V5, TypeConnack, 0, `00 8e 00`, protocolFault, "reason code 0x8e does not belong"},
		{V5, TypeConnack, 0, `00 00 02 24 02`, protocolFault, "maximum QoS is neither 0 nor 1"},

		{V311, TypePublish, 6, `0001't' 0001`, malformedPacket, "QoS is 3"},
		{V311, TypePublish, 8, `0001't'`, malformedPacket, "DUP is set with QoS 0"},
		{V311, TypePublish, 2, `0001't' 0000`, protocolFault, "packet identifier is zero"},
		{V311, TypePublish, 0, `0002 ff'/'`, malformedPacket, "topic name is not valid UTF-8"},
		{V311, TypePublish, 0, `0009'12345678' 00`, malformedPacket, "topic name is not valid UTF-8"},
		{V311, TypePublish, 0, `0005't'`, malformedPacket, "topic name is cut short"},
		{V5, TypePublish, 0, `0001't' 03 23 0000`, ReasonTopicAliasInvalid, "topic alias is zero"},
		{V5, TypePublish, 0, `0001't' 02 0b 00`, protocolFault, "subscription identifier is zero"},
		{V5, TypePublish, 0, `0001't' 05 0b ffffffff`, malformedPacket, "subscription identifier is too long"},
		{V5, TypePublish, 0, `0001't' 03 0b 8000`, malformedPacket, "subscription identifier is too long or not in its shortest form"},
		{V5, TypePublish, 0, `0001't' 04 01 00 01 00`, protocolFault, "payload format indicator is given twice"},
		{V5, TypePublish, 0, `0001't' 02 7f 00`, malformedPacket, "property 0x7f is not allowed here"},
		{V5, TypePublish, 0, `0001't' 02 00 00`, malformedPacket, "property 0x00 is not allowed here"},
		{V5, TypePublish, 0, `0001't' 03 8100 01`, malformedPacket, "property 0x81 is not allowed here"},
		{V5, TypePublish, 0, `0001't' 8000`, malformedPacket, "property length is too long or not in its shortest form"},
		{V5, TypePublish, 0, `0001't' 05 01`, malformedPacket, "property section is cut short"},
		{V5, TypePublish, 0, `0001't' 04 03 0002'x'`, malformedPacket, "content type is cut short"},
		{V5, TypePublish, 0, `0001't' 05 26 0001'k' 00`, malformedPacket, "user property is cut short"},
		{V5, TypePublish, 0, `0001't' 07 26 0001 00 0001'v'`, malformedPacket, "user property is not valid UTF-8"},
		{V5, TypePublish, 0, `0001't' 04 08 0001 80`, malformedPacket, "response topic is not valid UTF-8"},

		{V311, TypePuback, 0, `0000`, protocolFault, "packet identifier is zero"},
		{V311, TypePuback, 0, `0001 00`, malformedPacket, "bytes are left over"},
		{V5, TypePuback, 0, `0001 92`, protocolFault, "reason code 0x92 does not belong"},
		{V5, TypePubrel, 0, `0001 10`, protocolFault, "reason code 0x10 does not belong"},
		{V5, TypePubcomp, 0, `0001 00 02 01 00`, malformedPacket, "payload format indicator is not allowed here"},

		{V311, TypeSubscribe, 0, `0001`, protocolFault, "there is no topic filter"},
		{V5, TypeSubscribe, 0, `0001 00`, protocolFault, "there is no topic filter"},
		{V311, TypeSubscribe, 0, `0000 0001'a' 00`, protocolFault, "packet identifier is zero"},
		{V311, TypeSubscribe, 0, `0001 0001'a' 03`, protocolFault, "requested QoS is 3"},
		{V31, TypeSubscribe, 0, `0001 0001'a' 03`, protocolFault, "requested QoS is 3"},
		{V311, TypeSubscribe, 0, `0001 0001'a' 04`, malformedPacket, "reserved bits"},
		{V5, TypeSubscribe, 0, `0001 00 0001'a' 40`, malformedPacket, "reserved bits"},
		{V5, TypeSubscribe, 0, `0001 00 0001'a' 30`, protocolFault, "retain handling is 3"},
		{V5, TypeSubscribe, 0, `0001 04 0b01 0b02 0001'a' 00`, protocolFault, "subscription identifier is given twice"},
		{V311, TypeSubscribe, 0, `0001 0001 00 00`, malformedPacket, "topic filter is not valid UTF-8"},

		{V311, TypeSuback, 0, `0001`, protocolFault, "there is no reason code"},
		{V311, TypeSuback, 0, `0001 03`, protocolFault, "reason code 0x03 does not belong"},
		{V311, TypeSuback, 0, `0001 87`, protocolFault, "return code 0x87 is reserved"},
		{V5, TypeSuback, 0, `0001 00 11`, protocolFault, "reason code 0x11 does not belong"},
		{V311, TypeUnsubscribe, 0, `0001`, protocolFault, "there is no topic filter"},
		{V5, TypeUnsuback, 0, `0001 00`, protocolFault, "there is no reason code"},
		{V311, TypeUnsuback, 0, `0001 00`, malformedPacket, "bytes are left over"},

		{V311, TypePingreq, 0, `00`, malformedPacket, "bytes are left over"},
		{V311, TypePingresp, 0, `00`, malformedPacket, "bytes are left over"},
		{V311, TypeDisconnect, 0, `00`, malformedPacket, "bytes are left over"},
		{V5, TypeDisconnect, 0, `01`, protocolFault, "reason code 0x01 does not belong"},
		{V311, TypeAuth, 0, ``, protocolFault, "no such packet before MQTT 5"},
		{V5, TypeAuth, 0, `18`, protocolFault, "there is no authentication method"},
		{V5, TypeAuth, 0, `87 00`, protocolFault, "reason code 0x87 does not belong"},
	}
	for _, tt := range tests {
		t.Run(tt.version.String()+" "+tt.typ.String()+" "+tt.body, func(t *testing.T) {
			_, err := new(packets).decode(tt.version, Header{Type: tt.typ, Flags: tt.flags}, unhex(t, tt.body))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want an *Error", err)
			}
			if e.Type != tt.typ || e.Reason != tt.reason || !strings.Contains(e.Detail, tt.detail) {
				t.Errorf("%v with reason %v, want %q with %v", err, e.Reason, tt.detail, tt.reason)
			}
		})
	}
}

func TestMQTT31LeavesUndefinedBitsAlone(t *testing.T) {
	var c Connect
	if err := c.Decode(unhex(t, `0006'MQIsdp' 03 3b 0000 0001'i'`)); err != nil || !c.CleanStart || c.HasWill {
		t.Errorf("CONNECT with reserved flags: %+v, error %v", c, err)
	}
	var s Subscribe
	if err := s.Decode(V31, unhex(t, `0001 0001'a' fd`)); err != nil || s.Subscriptions[0].QoS != 1 || s.Subscriptions[0].NoLocal {
		t.Errorf("SUBSCRIBE with reserved bits: %+v, error %v", s, err)
	}
	var a Connack
	if err := a.Decode(V31, []byte{0xff, 0}); err != nil || a.SessionPresent {
		t.Errorf("CONNACK with reserved flags: %+v, error %v", a, err)
	}
}

func TestConnectTellsTheVersionToAnswerIn(t *testing.T) {
	tests := []struct {
		name, body string
		version    Version
		reason     ReasonCode
	}{
		{"nothing", ``, 0, malformedPacket},
		{"only the name", `0004'MQTT'`, 0, malformedPacket},
		{"another protocol", `0004'HTTP' 05`, 0, ReasonUnsupportedProtocolVersion},
		{"no flags", `0004'MQTT' 05`, V5, malformedPacket},
		{"bad client identifier", `0004'MQTT' 04 02 0000 0001 ff`, V311, malformedPacket},
		{"newer level", `0004'MQTT' 06 02 0000 00 0000`, V5, ReasonUnsupportedProtocolVersion},
		{"older level", `0004'MQTT' 02 02 0000 0000`, V311, ReasonUnsupportedProtocolVersion},
		{"bridge of another broker", `0004'MQTT' 84 02 0000 0000`, V311, ReasonUnsupportedProtocolVersion},
		{"new name with the old level", `0004'MQTT' 03 02 0000 0000`, V31, ReasonUnsupportedProtocolVersion},
		{"old name with a new level", `0006'MQIsdp' 04 02 0000 0000`, V311, ReasonUnsupportedProtocolVersion},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Connect{Version: 9}
			err := c.Decode(unhex(t, tt.body))
			var e *Error
			if !errors.As(err, &e) || e.Reason != tt.reason || c.Version != tt.version {
				t.Errorf("version %d, error %v, want version %d, reason %v", c.Version, err, tt.version, tt.reason)
			}
		})
	}
}

func TestErrorTextNamesThePacket(t *testing.T) {
	_, err := new(packets).decode(V311, Header{Type: TypePuback}, []byte{1})
	if got, want := err.Error(), "invalid PUBACK: packet identifier is cut short"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
	_, _, err = ParseHeader([]byte{0})
	if got, want := err.Error(), "invalid packet: packet type 0 is reserved"; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}
