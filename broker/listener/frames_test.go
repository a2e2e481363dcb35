package listener

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// The statuses that RFC 6455, 7.4 and the registry let a close frame have are echoed; all others
// break the protocol.
func TestCloseFramesHaveStatusesThatMayBeSent(t *testing.T) {
	for status := range 5100 {
		may := status >= 1000 && status <= 1003 || status >= 1007 && status <= 1014 || status >= 3000 && status <= 4999
		var w WebSocket
		_, _, err := w.Decode(frame(ws.OpClose, true, string([]byte{byte(status >> 8), byte(status)})))
		if errors.Is(err, io.EOF) != may || err == nil {
			t.Errorf("status %d: error %v", status, err)
		}
	}
}

func TestAppendHeaderHasEachByteOfTheSize(t *testing.T) {
	for _, n := range []int{0x7f, 0x80, 0x0102, 0x7fff, 0x8001, 0xfffe, 0x010203, 0x01020304, 0x7f8081ff} {
		h, err := ws.ReadHeader(bytes.NewReader(AppendHeader(nil, n)))
		if err != nil || h.Length != int64(n) {
			t.Errorf("%#x bytes: header of %#x, error %v", n, h.Length, err)
		}
		if size, want := len(AppendHeader(nil, n)), len(ws.MustCompileFrame(ws.NewBinaryFrame(make([]byte, min(n, 0x10000)))))-min(n, 0x10000); size != want {
			t.Errorf("%#x bytes: a header of %d bytes, want the shortest: %d", n, size, want)
		}
	}
}

// A length beyond what 63 bits say is none.
func TestDecodeRefusesALengthThatIsNegative(t *testing.T) {
	var w WebSocket
	payload, _, err := w.Decode(append([]byte{0x82, 0x80 | 127, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, "payload"...))
	if len(payload) > 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("payload %q, error %v", payload, err)
	}
}

// Messages pass through: nothing of them is kept.
func TestDecodeKeepsNothingOfAMessage(t *testing.T) {
	var w WebSocket
	if _, _, err := w.Decode(frame(ws.OpBinary, true, strings.Repeat("x", 10_000))); err != nil {
		t.Fatal(err)
	}
	if n := cap(w.control) + cap(w.header) + cap(w.request); n > 0 {
		t.Errorf("%d bytes are kept", n)
	}
}

// A proxy that speaks for itself, as for a health check, may say between which addresses.
func TestProxyHeaderOfTheProxyItselfNamesNoClient(t *testing.T) {
	header := v2[:12] + "\x20" + v2[13:]
	client, n, err := ProxyHeader([]byte(header))
	if client.IsValid() || n != len(header) || err != nil {
		t.Errorf("client %v, took %d of %d, error %v", client, n, len(header), err)
	}
}

func TestRefusedUpgradesSayWhatTheyWere(t *testing.T) {
	var w WebSocket
	_, _, err := w.Open([]byte("GET /mqtt HTTP/1.1\r\nHost: broker\r\n\r\n"), nil)
	if err == nil || !strings.HasPrefix(err.Error(), "upgrade to WebSocket: ") {
		t.Errorf("error %v", err)
	}
}
