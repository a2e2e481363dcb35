package packet

import (
	"bytes"
	"errors"
	"testing"
)

//mqtt:3.1.1 2.2.2-1 2.2.2-2
//mqtt:5.0 1.5.5-1 2.1.3-1
func TestParseHeader(t *testing.T) {
	tests := []struct {
		name string
		hex  string
		want Header
		n    int
		ok   bool
	}{
		{"nothing", ``, Header{}, 0, true},
		{"first byte", `30`, Header{}, 0, true},
		{"PINGREQ", `c0 00`, Header{Type: TypePingreq}, 2, true},
		{"AUTH", `f0 00`, Header{Type: TypeAuth}, 2, true},
		{"PUBREL", `62 02 0001`, Header{TypePubrel, 2, 2}, 2, true},
		{"PUBLISH with all flags", `3d 7f`, Header{TypePublish, 0x0d, 127}, 2, true},
		{"half of a length of two bytes", `30 80`, Header{}, 0, true},
		{"least length of two bytes", `30 8001`, Header{TypePublish, 0, 128}, 3, true},
		{"greatest length of two bytes", `30 ff7f`, Header{TypePublish, 0, 16383}, 3, true},
		{"least length of three bytes", `30 808001`, Header{TypePublish, 0, 16384}, 4, true},
		{"greatest length of three bytes", `30 ffff7f`, Header{TypePublish, 0, 2097151}, 4, true},
		{"least length of four bytes", `30 80808001`, Header{TypePublish, 0, 2097152}, 5, true},
		{"greatest length of four bytes", `30 ffffff7f`, Header{TypePublish, 0, MaxLength}, 5, true},
		{"three of four bytes", `30 ffffff`, Header{}, 0, true},
		{"length of five bytes", `30 ffffff80`, Header{}, 0, false},
		{"zero in two bytes", `30 8000`, Header{}, 0, false},
		{"127 in three bytes", `30 ff8000`, Header{}, 0, false},
		{"reserved type", `00`, Header{}, 0, false},
		{"PUBLISH with QoS 3", `36`, Header{}, 0, false},
		{"PUBLISH with DUP and QoS 0", `38`, Header{}, 0, false},
		{"CONNECT with flags", `11 00`, Header{}, 0, false},
		{"SUBSCRIBE without its flag", `80 00`, Header{}, 0, false},
		{"PUBREL with DUP", `6a 02`, Header{}, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, n, err := ParseHeader(unhex(t, tt.hex))
			if h != tt.want || n != tt.n || (err == nil) != tt.ok {
				t.Errorf("ParseHeader = %+v, %d, %v, want %+v, %d", h, n, err, tt.want, tt.n)
			}
			var e *Error
			if err != nil && (!errors.As(err, &e) || e.Reason != ReasonMalformedPacket) {
				t.Errorf("error %v is not a malformed packet", err)
			}
		})
	}
}

func TestParseHeaderOfMQTT31(t *testing.T) {
	tests := []struct {
		name string
		hex  string
		want Header
		n    int
		ok   bool
	}{
		{"nothing", ``, Header{}, 0, true},
		{"PUBREL again", `6a 02`, Header{TypePubrel, 0x0a, 2}, 2, true},
		{"SUBSCRIBE again", `8a 8001`, Header{TypeSubscribe, 0x0a, 128}, 3, true},
		{"PINGREQ with a flag", `c1 00`, Header{TypePingreq, 1, 0}, 2, true},
		{"PUBLISH with QoS 3", `36 00`, Header{}, 0, false},
		{"reserved type", `00`, Header{}, 0, false},
		{"length of five bytes", `62 ffffff80`, Header{}, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, n, err := ParseHeaderV31(unhex(t, tt.hex))
			if h != tt.want || n != tt.n || (err == nil) != tt.ok {
				t.Errorf("ParseHeaderV31 = %+v, %d, %v, want %+v, %d", h, n, err, tt.want, tt.n)
			}
		})
	}
}

//mqtt:5.0 1.5.5-1
func TestHeaderRoundTrip(t *testing.T) {
	for _, length := range []int{0, 1, 127, 128, 16383, 16384, 2097151, 2097152, MaxLength} {
		b := appendHeader(nil, TypePubrel, 2, length)
		h, n, err := ParseHeader(b)
		if want := (Header{TypePubrel, 2, length}); h != want || n != len(b) || err != nil {
			t.Errorf("% x: %+v, %d, %v, want %+v", b, h, n, err, want)
		}
		if got := packetSize(length); got != len(b)+length {
			t.Errorf("packetSize(%d) = %d, want %d", length, got, len(b)+length)
		}
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{TypePublish.String(), "PUBLISH"},
		{TypeAuth.String(), "AUTH"},
		{Type(0).String(), "packet type 0"},
		{Type(16).String(), "packet type 16"},
		{V31.String(), "3.1"},
		{V311.String(), "3.1.1"},
		{V5.String(), "5.0"},
		{Version(6).String(), "protocol level 6"},
		{ReasonNotAuthorized.String(), "not authorized"},
		{ReasonCode(0x7f).String(), "reason code 0x7f"},
		{PropTopicAlias.String(), "topic alias"},
		{PropertyID(0x04).String(), "property 0x04"},
		{PropertyID(0xff).String(), "property 0xff"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

//mqtt:3.1.1 1.5.3-1 1.5.3-2 1.5.3-3
//mqtt:5.0 1.5.4-1 1.5.4-2 1.5.4-3
func TestValidString(t *testing.T) {
	for s, want := range map[string]bool{
		"":                     true,
		"a":                    true,
		"sport/tennis/player1": true,
		"A\U0002A6D4":          true, // the example of section 1.5.4
		"grün/straße/日本":       true,
		"\uFEFFmark":           true, // [MQTT-1.5.4-3]
		"\u0001\u007f\u0085":   true,
		"\uFFFF":               true,
		"\x00":                 false,
		"1234567\x00":          false,
		"12345678\x00":         false,
		"\x001234567890":       false,
		"ü12345678\x00":        false,
		"\xff":                 false,
		"12345678\x80":         false,
		"\xed\xa0\x80":         false, // the surrogate U+D800
		"\xc0\x80":             false, // U+0000 in two bytes
		"\xf4\x90\x80\x80":     false, // beyond U+10FFFF
		"abcdefgh\xe6\x97":     false, // cut short
	} {
		if got := validString([]byte(s)); got != want {
			t.Errorf("validString(%q) = %v", s, got)
		}
	}
}

func TestValidStringFindsAByteAnywhere(t *testing.T) {
	for n := range 40 {
		for i := range n {
			for _, c := range []byte{0x00, 0x80, 0xff} {
				s := bytes.Repeat([]byte{'a'}, n)
				s[i] = c
				if validString(s) {
					t.Errorf("%d bytes with %#02x at %d are accepted", n, c, i)
				}
			}
		}
	}
}
