package packet

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzDecode holds that no bytes make the decoder panic, and that what it
// accepts is encoded as a packet that means the same.
func FuzzDecode(f *testing.F) {
	for _, g := range goldens {
		for _, v := range []Version{V31, V311, V5} {
			f.Add(byte(v), unhex(f, g.hex))
		}
	}
	var reused packets
	f.Fuzz(func(t *testing.T, version byte, frame []byte) {
		v := V31 + Version(version%3)
		h, n, err := ParseHeader(frame)
		if err != nil || n == 0 {
			wantTyped(t, err)
			return
		}
		body := frame[n:]
		if h.Length < len(body) {
			body = body[:h.Length]
		}
		p, err := reused.decode(v, h, body)
		if err != nil {
			wantTyped(t, err)
			return
		}
		if c, ok := p.(*Connect); ok {
			v = c.Version
		}
		checkStable(t, p, v)
	})
}

// checkStable encodes p, decodes that and encodes it again.
func checkStable(t *testing.T, p controlPacket, v Version) {
	t.Helper()
	first := p.Append(nil, v)
	if got := p.Size(v); got != len(first) {
		t.Fatalf("size %d, encoded %d bytes", got, len(first))
	}
	h, body := split(t, first)
	again, err := new(packets).decode(v, h, body)
	if err != nil {
		t.Fatalf("% x of %s is refused: %v", first, show(p), err)
	}
	if second := again.Append(nil, v); !bytes.Equal(second, first) {
		t.Fatalf("encoded\n% x, then\n% x", first, second)
	}
	if show(again) != show(p) {
		t.Fatalf("decoded\n%s, then\n%s", show(p), show(again))
	}
}

func wantTyped(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if err != nil && (!errors.As(err, &e) || e.Detail == "" || !e.Reason.IsError()) {
		t.Fatalf("error %#v is not an *Error with a reason", err)
	}
}
