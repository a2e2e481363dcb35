package listener

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"github.com/godwit-mqtt/godwit/broker/config"
)

const request = "GET /mqtt?x=1 HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqttv3.1, mqtt\r\n\r\n"

func TestUpgrade(t *testing.T) {
	replaced := func(old, by string) string { return strings.Replace(request, old, by, 1) }
	const offers = "mqttv3.1, mqtt"
	for name, tc := range map[string]struct {
		request, status, subprotocol string
		settings                     *config.WebSocket
	}{
		"the endpoint and its subprotocol are granted":          {request: request, status: "101", subprotocol: "mqtt"},
		"a slash at the end is not looked at":                   {request: replaced("/mqtt?", "/mqtt/?"), status: "101", subprotocol: "mqtt"},
		"slashes that are doubled are not looked at":            {request: replaced("/mqtt?", "//mqtt?"), status: "101", subprotocol: "mqtt"},
		"an absolute URL is taken for its path":                 {request: replaced("/mqtt?", "http://broker:80/mqtt?"), status: "101", subprotocol: "mqtt"},
		"another path is not found":                             {request: replaced("/mqtt?x=1", "/other"), status: "404"},
		"a longer path is not found":                            {request: replaced("/mqtt?", "/mqtt/x?"), status: "404"},
		"a path that is none is not found":                      {request: replaced("/mqtt?", "mqtt?"), status: "404"},
		"the path may be another one":                           {request: replaced("/mqtt?", "/a/b?"), status: "101", subprotocol: "mqtt", settings: &config.WebSocket{Path: "/a/b/"}},
		"the default path is not found beside another one":      {request: request, status: "404", settings: &config.WebSocket{Path: "/a/b/"}},
		"the path may be the root":                              {request: replaced("/mqtt?", "/?"), status: "101", subprotocol: "mqtt", settings: &config.WebSocket{Path: "/"}},
		"mqtt is preferred":                                     {request: replaced(offers, "mqtt, mqttv3.1"), status: "101", subprotocol: "mqtt"},
		"mqtt is preferred in a header of its own":              {request: replaced(offers, "mqttv3.1\r\nSec-WebSocket-Protocol: mqtt"), status: "101", subprotocol: "mqtt"},
		"mqttv3.1 is taken where it is all that is offered":     {request: replaced(offers, "chat,mqttv3.1"), status: "101", subprotocol: "mqttv3.1"},
		"a client that does not offer MQTT is refused":          {request: replaced(offers, "chat"), status: "400"},
		"a client that offers nothing is refused":               {request: replaced("Sec-WebSocket-Protocol: "+offers+"\r\n", ""), status: "400"},
		"any origin is admitted where none is listed":           {request: replaced("Host", "Origin: https://evil.example\r\nHost"), status: "101", subprotocol: "mqtt"},
		"an origin that is listed is admitted":                  {request: replaced("Host", "Origin: https://App.example\r\nHost"), status: "101", subprotocol: "mqtt", settings: listed},
		"the opaque origin is admitted where it is listed":      {request: replaced("Host", "Origin: null\r\nHost"), status: "101", subprotocol: "mqtt", settings: listed},
		"an origin that is not listed is refused":               {request: replaced("Host", "Origin: https://evil.example\r\nHost"), status: "403", settings: listed},
		"an origin that begins like one is refused":             {request: replaced("Host", "Origin: https://app.example.evil\r\nHost"), status: "403", settings: listed},
		"the other scheme is refused":                           {request: replaced("Host", "origin: http://app.example\r\nHost"), status: "403", settings: listed},
		"an origin behind one that is listed is refused":        {request: replaced("Host", "Origin: https://app.example\r\nOrigin: https://evil.example\r\nHost"), status: "403", settings: listed},
		"a client without an origin is no browser":              {request: request, status: "101", subprotocol: "mqtt", settings: listed},
		"a plain HTTP request is refused":                       {request: "GET /mqtt HTTP/1.1\r\nHost: broker\r\n\r\n", status: "400"},
		"a request that is not HTTP gets an error, and no more": {request: "\x10\x0c\x00\x04MQTT\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var w WebSocket
			response, rest, err := w.Open([]byte(tc.request), tc.settings)
			open := tc.status == "101"
			if w.IsOpen() != open || (err == nil) != open || len(rest) != 0 {
				t.Fatalf("open %v, rest %q, error %v", w.IsOpen(), rest, err)
			}
			if tc.status != "" && !bytes.HasPrefix(response, []byte("HTTP/1.1 "+tc.status+" ")) {
				t.Errorf("response %q, want status %s", response, tc.status)
			}
			if chosen := "Sec-WebSocket-Protocol: " + tc.subprotocol + "\r\n"; open && strings.Count(string(response), chosen) != 1 {
				t.Errorf("response %q, want %q", response, chosen)
			}
		})
	}
}

var listed = &config.WebSocket{AllowedOrigins: []string{"https://other.example", "https://app.example", "null"}}

func TestUpgradeRequestMayArriveInPieces(t *testing.T) {
	var w WebSocket
	all := request + "frames"
	for i := range len(request) - 1 {
		if response, _, err := w.Open([]byte{all[i]}, nil); response != nil || err != nil {
			t.Fatalf("after %d bytes: response %q, error %v", i+1, response, err)
		}
	}
	_, rest, err := w.Open([]byte(all[len(request)-1:]), nil)
	if err != nil || string(rest) != "frames" {
		t.Fatalf("rest %q, error %v", rest, err)
	}
}

// TestUpgradeRequestIsBounded: one of just the limit is taken and one that is larger
// is not, in however many pieces it comes.
func TestUpgradeRequestIsBounded(t *testing.T) {
	padded := func(size int) []byte {
		return []byte(strings.Replace(request, "Host", "X: "+strings.Repeat("x", size-len(request)-len("X: \r\n"))+"\r\nHost", 1))
	}
	for _, size := range []int{maxRequest - 1, maxRequest, maxRequest + 1, 3 * maxRequest} {
		for _, piece := range []int{1, 1000, maxRequest, 4 * maxRequest} {
			var w WebSocket
			var response []byte
			var err error
			for rest := padded(size); len(rest) > 0 && response == nil; {
				n := min(piece, len(rest))
				response, _, err = w.Open(rest[:n], nil)
				rest = rest[n:]
			}
			if fits := size <= maxRequest; w.IsOpen() != fits || (err == nil) != fits || bytes.Contains(response, []byte(" 431 ")) == fits {
				t.Errorf("%d bytes in pieces of %d: open %v, response %.40q, error %v", size, piece, w.IsOpen(), response, err)
			}
		}
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

// TestDecodeEnds: what comes before the end is good, and the client is told of the
// end in one close frame, with its own status or with what was wrong.
func TestDecodeEnds(t *testing.T) {
	const none = ws.StatusNoStatusRcvd
	closed := func(status ws.StatusCode, reason string) []byte {
		return frame(ws.OpClose, true, string(ws.NewCloseFrameBody(status, reason)))
	}
	for name, tc := range map[string]struct {
		data   []byte
		good   bool
		status ws.StatusCode
	}{
		"a close frame":                                {closed(1000, ""), true, 1000},
		"a close frame with a reason":                  {closed(1001, "the page was left"), true, 1001},
		"a close frame of an application":              {closed(4999, ""), true, 4999},
		"a close frame without a status":               {frame(ws.OpClose, true, ""), true, none},
		"a close frame with half a status":             {frame(ws.OpClose, true, "\x03"), false, 1002},
		"a close frame with a status that is not sent": {closed(1005, ""), false, 1002},
		"a close frame with a status of nobody's":      {closed(2000, ""), false, 1002},
		"a close frame whose reason is not UTF-8":      {closed(1000, "\xff"), false, 1007},
		"text":                            {frame(ws.OpText, true, "x"), false, 1003},
		"a frame without a mask":          {ws.MustCompileFrame(ws.NewBinaryFrame([]byte("x"))), false, 1002},
		"a continuation of nothing":       {frame(ws.OpContinuation, true, "x"), false, 1002},
		"a fragmented control frame":      {frame(ws.OpPing, false, "x"), false, 1002},
		"a control frame that is long":    {frame(ws.OpPing, true, strings.Repeat("x", 126)), false, 1002},
		"an operation that is none":       {frame(3, true, "x"), false, 1002},
		"reserved bits without extension": {append([]byte{0xf2}, frame(ws.OpBinary, true, "x")[1:]...), false, 1002},
	} {
		t.Run(name, func(t *testing.T) {
			var w WebSocket
			data := append(frame(ws.OpBinary, true, "last"), tc.data...)
			data = append(data, frame(ws.OpBinary, true, "too late")...)
			payload, reply, err := w.Decode(data)
			if string(payload) != "last" || len(reply) > 0 || err == nil || errors.Is(err, io.EOF) != tc.good || !errors.Is(w.Err(), err) {
				t.Errorf("payload %q, reply %q, error %v", payload, reply, err)
			}
			if payload, _, again := w.Decode(frame(ws.OpBinary, true, "later")); len(payload) > 0 || !errors.Is(again, err) {
				t.Errorf("then payload %q, error %v", payload, again)
			}
			want := ws.NewCloseFrame(nil)
			if tc.status != none {
				want = ws.NewCloseFrame(ws.NewCloseFrameBody(tc.status, ""))
			}
			w.CloseWith(ws.StatusGoingAway) // comes too late
			if got := w.CloseFrame(); !bytes.Equal(got, ws.MustCompileFrame(want)) {
				t.Errorf("close frame %q", got)
			}
		})
	}
}

func TestDecodeRefusesAMessageWithinAnother(t *testing.T) {
	var w WebSocket
	payload, _, err := w.Decode(append(frame(ws.OpBinary, false, "x"), frame(ws.OpBinary, true, "y")...))
	if string(payload) != "x" || err == nil || errors.Is(err, io.EOF) {
		t.Fatalf("payload %q, error %v", payload, err)
	}
}

func TestCloseFrameTellsTheFirstReason(t *testing.T) {
	var good, gone WebSocket
	gone.CloseWith(ws.StatusGoingAway)
	gone.CloseWith(ws.StatusPolicyViolation)
	for w, want := range map[*WebSocket]string{&good: "\x88\x02\x03\xe8", &gone: "\x88\x02\x03\xe9"} {
		if got := w.CloseFrame(); string(got) != want {
			t.Errorf("close frame %q, want %q", got, want)
		}
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
