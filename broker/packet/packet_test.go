package packet

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// controlPacket is what all packet types have in common.
type controlPacket interface {
	Append(dst []byte, v Version) []byte
	Size(v Version) int
}

// packets holds one packet of each type, to be decoded into again and again.
type packets struct {
	connect     Connect
	connack     Connack
	publish     Publish
	ack         Ack
	subscribe   Subscribe
	suback      Suback
	unsubscribe Unsubscribe
	unsuback    Unsuback
	pingreq     Pingreq
	pingresp    Pingresp
	disconnect  Disconnect
	auth        Auth
}

func (s *packets) decode(v Version, h Header, body []byte) (controlPacket, error) {
	switch h.Type {
	case TypeConnect:
		return &s.connect, s.connect.Decode(body)
	case TypeConnack:
		return &s.connack, s.connack.Decode(v, body)
	case TypePublish:
		return &s.publish, s.publish.Decode(v, h.Flags, body)
	case TypePuback, TypePubrec, TypePubrel, TypePubcomp:
		return &s.ack, s.ack.Decode(v, h.Type, body)
	case TypeSubscribe:
		return &s.subscribe, s.subscribe.Decode(v, body)
	case TypeSuback:
		return &s.suback, s.suback.Decode(v, body)
	case TypeUnsubscribe:
		return &s.unsubscribe, s.unsubscribe.Decode(v, body)
	case TypeUnsuback:
		return &s.unsuback, s.unsuback.Decode(v, body)
	case TypePingreq:
		return &s.pingreq, s.pingreq.Decode(v, body)
	case TypePingresp:
		return &s.pingresp, s.pingresp.Decode(v, body)
	case TypeDisconnect:
		return &s.disconnect, s.disconnect.Decode(v, body)
	case TypeAuth:
		return &s.auth, s.auth.Decode(v, body)
	default:
		return nil, fmt.Errorf("no packet of type %d", h.Type)
	}
}

// unhex reads bytes written as hexadecimal digits; 'quoted' parts are text.
func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	var out []byte
	for i, part := range strings.Split(s, "'") {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(part), ""))
		if err != nil {
			tb.Fatalf("%q: %v", part, err)
		}
		out = append(out, b...)
	}
	return out
}

// split parses the header of a frame that must hold exactly one packet.
func split(tb testing.TB, frame []byte) (Header, []byte) {
	tb.Helper()
	h, n, err := ParseHeader(frame)
	if err != nil || n == 0 || n+h.Length != len(frame) {
		tb.Fatalf("ParseHeader(% x) = %+v, %d, %v; not one whole packet", frame, h, n, err)
	}
	return h, frame[n:]
}

// show prints a packet so that two of them are equal when their texts are. An
// empty and a nil slice look the same.
func show(p controlPacket) string { return fmt.Sprintf("%T%+v", p, p) }

func props(set func(p *Properties)) Properties {
	var p Properties
	set(&p)
	return p
}

func TestGoldenPackets(t *testing.T) {
	for _, g := range goldens {
		t.Run(g.name, func(t *testing.T) {
			frame := unhex(t, g.hex)
			h, body := split(t, frame)
			got, err := new(packets).decode(g.version, h, body)
			if err != nil {
				t.Fatal("decode:", err)
			}
			if show(got) != show(g.packet) {
				t.Errorf("decoded\n%s, want\n%s", show(got), show(g.packet))
			}
			if got := g.packet.Append(nil, g.version); !bytes.Equal(got, frame) {
				t.Errorf("encoded\n% x, want\n% x", got, frame)
			}
			if got := g.packet.Size(g.version); got != len(frame) {
				t.Errorf("size %d, want %d", got, len(frame))
			}
		})
	}
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	for _, g := range goldens {
		want := append([]byte("before"), unhex(t, g.hex)...)
		if got := g.packet.Append([]byte("before"), g.version); !bytes.Equal(got, want) {
			t.Errorf("%s: encoded\n% x, want\n% x", g.name, got, want)
		}
	}
}

func TestEveryTruncatedPacketIsRefused(t *testing.T) {
	for _, g := range goldens {
		t.Run(g.name, func(t *testing.T) {
			frame := unhex(t, g.hex)
			h, body := split(t, frame)
			for i := range frame[:len(frame)-len(body)] {
				if _, n, err := ParseHeader(frame[:i]); n != 0 || err != nil {
					t.Errorf("header of %d bytes: n = %d, error %v, want more bytes asked for", i, n, err)
				}
			}
			whole := map[int]bool{}
			for _, n := range g.whole {
				whole[n] = true
			}
			for i := range body {
				_, err := new(packets).decode(g.version, h, body[:i:i])
				if (err == nil) != whole[i] {
					t.Errorf("body of %d bytes: error %v", i, err)
				}
			}
		})
	}
}

func TestTrailingBytesAreRefused(t *testing.T) {
	for _, g := range goldens {
		h, body := split(t, unhex(t, g.hex))
		if h.Type == TypePublish || h.Type == TypeSuback || h.Type == TypeUnsuback && g.version >= V5 {
			continue // the rest is payload, or more reason codes
		}
		// Enough to be more than a reason code, properties or another filter.
		if _, err := new(packets).decode(g.version, h, append(bytes.Clone(body), 0, 0, 0xff)); err == nil {
			t.Errorf("%s: bytes after the end are accepted", g.name)
		}
	}
}

func TestDecodeLeavesNothingOfTheOneBefore(t *testing.T) {
	for _, before := range goldens {
		for _, g := range goldens {
			var fresh, reused packets
			h, body := split(t, unhex(t, before.hex))
			if _, err := reused.decode(before.version, h, body); err != nil {
				t.Fatal(err)
			}
			h, body = split(t, unhex(t, g.hex))
			got, err := reused.decode(g.version, h, body)
			if err != nil {
				t.Fatal(err)
			}
			want, _ := fresh.decode(g.version, h, body)
			if show(got) != show(want) {
				t.Errorf("%s after %s:\n%s, want\n%s", g.name, before.name, show(got), show(want))
			}
		}
	}
}

func TestDecodedSlicesHaveNoSpareCapacity(t *testing.T) {
	frame := unhex(t, "32 0e 0003'a/b' 0001 03 03 0000 'body'")
	frame[1] = byte(len(frame) - 2)
	h, body := split(t, frame)
	var p Publish
	if err := p.Decode(V5, h.Flags, body); err != nil {
		t.Fatal(err)
	}
	_ = append(p.Topic, "XXXX"...)
	_ = append(p.Properties.ContentType, "XXXX"...)
	if string(p.Payload) != "body" || p.ID != 1 {
		t.Errorf("appending to a slice overwrote the buffer: % x", frame)
	}
	body[2] = 'z'
	if string(p.Topic) != "z/b" {
		t.Errorf("topic %q does not alias the body", p.Topic)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	for _, g := range goldens {
		h, body := split(t, unhex(t, g.hex))
		var s packets
		if n := testing.AllocsPerRun(100, func() {
			if _, err := s.decode(g.version, h, body); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: decoding allocates %v times", g.name, n)
		}
		dst := make([]byte, 0, 1024)
		if n := testing.AllocsPerRun(100, func() { sinkBytes = g.packet.Append(dst, g.version) }); n != 0 {
			t.Errorf("%s: encoding allocates %v times", g.name, n)
		}
	}
}
