package listener

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

const request = "GET /mqtt?x=1 HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqttv3.1, mqtt\r\n\r\n"

func TestUpgrade(t *testing.T) {
	for name, tc := range map[string]struct {
		request, status string
		open            bool
	}{
		"the endpoint and its subprotocol are granted":       {request, "101", true},
		"another path is not found":                          {strings.Replace(request, "/mqtt?x=1", "/other", 1), "404", false},
		"a client that does not offer mqtt is refused":       {strings.Replace(request, "mqttv3.1, mqtt", "chat", 1), "400", false},
		"a plain HTTP request is refused":                    {"GET /mqtt HTTP/1.1\r\nHost: broker\r\n\r\n", "400", false},
		"a request that is not HTTP gets an error, no crash": {"\x10\x0c\x00\x04MQTT\r\n\r\n", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			var w WebSocket
			response, rest, err := w.Open([]byte(tc.request))
			if w.IsOpen() != tc.open || (err == nil) != tc.open || len(rest) != 0 {
				t.Fatalf("open %v, rest %q, error %v", w.IsOpen(), rest, err)
			}
			if tc.status != "" && !bytes.HasPrefix(response, []byte("HTTP/1.1 "+tc.status+" ")) {
				t.Errorf("response %q, want status %s", response, tc.status)
			}
			if tc.open && !bytes.Contains(response, []byte("Sec-WebSocket-Protocol: mqtt\r\n")) {
				t.Errorf("response %q does not choose the subprotocol", response)
			}
		})
	}
}

func TestUpgradeRequestMayArriveInPieces(t *testing.T) {
	var w WebSocket
	all := request + "frames"
	for i := range len(request) - 1 {
		if response, _, err := w.Open([]byte{all[i]}); response != nil || err != nil {
			t.Fatalf("after %d bytes: response %q, error %v", i+1, response, err)
		}
	}
	_, rest, err := w.Open([]byte(all[len(request)-1:]))
	if err != nil || string(rest) != "frames" {
		t.Fatalf("rest %q, error %v", rest, err)
	}
}

func TestUpgradeRequestIsBounded(t *testing.T) {
	var w WebSocket
	if _, _, err := w.Open(bytes.Repeat([]byte("x"), maxRequest+1)); err == nil {
		t.Fatal("a request without an end was taken")
	}
}

func frame(op ws.OpCode, fin bool, payload string) []byte {
	return ws.MustCompileFrame(ws.MaskFrameWith(ws.NewFrame(op, fin, []byte(payload)), [4]byte{1, 2, 3, 4}))
}

func TestDecodeJoinsWhatFramesCarry(t *testing.T) {
	long := strings.Repeat("0123456789", 7000)
	var stream []byte
	for _, f := range [][]byte{
		frame(ws.OpBinary, true, "one"),
		frame(ws.OpBinary, false, "two-"),
		frame(ws.OpPing, true, "are you there"),
		frame(ws.OpContinuation, true, "three"),
		frame(ws.OpBinary, true, ""),
		frame(ws.OpBinary, true, long),
	} {
		stream = append(stream, f...)
	}
	for _, size := range []int{1, 2, 3, 5, 13, 14, 127, 4096, len(stream)} {
		var w WebSocket
		var payload, reply []byte
		for rest := bytes.Clone(stream); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			p, r, err := w.Decode(rest[:min(size, len(rest))])
			if err != nil {
				t.Fatalf("in pieces of %d: %v", size, err)
			}
			payload, reply = append(payload, p...), append(reply, r...)
		}
		if want := "onetwo-three" + long; string(payload) != want {
			t.Errorf("in pieces of %d: %d bytes of payload, want %d", size, len(payload), len(want))
		}
		if want := ws.MustCompileFrame(ws.NewPongFrame([]byte("are you there"))); !bytes.Equal(reply, want) {
			t.Errorf("in pieces of %d: reply %q, want %q", size, reply, want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	unmasked := ws.MustCompileFrame(ws.NewBinaryFrame([]byte("x")))
	for name, data := range map[string][]byte{
		"text":                            frame(ws.OpText, true, "x"),
		"a frame without a mask":          unmasked,
		"a continuation of nothing":       frame(ws.OpContinuation, true, "x"),
		"a second message in the first":   append(frame(ws.OpBinary, false, "x"), frame(ws.OpBinary, true, "y")...),
		"a fragmented control frame":      frame(ws.OpPing, false, "x"),
		"reserved bits without extension": append([]byte{0xf2}, frame(ws.OpBinary, true, "x")[1:]...),
	} {
		t.Run(name, func(t *testing.T) {
			var w WebSocket
			if _, _, err := w.Decode(data); err == nil || errors.Is(err, io.EOF) {
				t.Fatalf("error %v", err)
			}
		})
	}
}

func TestDecodeTellsTheEnd(t *testing.T) {
	var w WebSocket
	data := append(frame(ws.OpBinary, true, "last"), frame(ws.OpClose, true, "\x03\xe8")...)
	payload, reply, err := w.Decode(data)
	if string(payload) != "last" || !errors.Is(err, io.EOF) || !bytes.Equal(reply, CloseFrame()) {
		t.Fatalf("payload %q, reply %q, error %v", payload, reply, err)
	}
}

func TestAppendHeaderIsReadBack(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 1 << 24} {
		h, err := ws.ReadHeader(bytes.NewReader(AppendHeader(nil, n)))
		if err != nil || h.Length != int64(n) || h.OpCode != ws.OpBinary || !h.Fin || h.Masked {
			t.Errorf("%d bytes: header %+v, error %v", n, h, err)
		}
	}
}
