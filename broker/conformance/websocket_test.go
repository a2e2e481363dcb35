package conformance

import (
	"bufio"
	"encoding/binary"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// The first bytes of WebSocket frames that are not continued.
const (
	frameText   = 0x81
	frameBinary = 0x82
	frameClose  = 0x88
)

// socket is the client's end of a WebSocket, which the test drives frame by
// frame.
type socket struct {
	*brokertest.Client
	in       *bufio.Reader
	response *http.Response
}

func webSocketBroker(t *testing.T) *brokertest.Broker {
	t.Helper()
	return brokertest.Start(t, func(c *config.Config) {
		c.Settings.Listeners = []config.Listener{{Name: "ws", Address: "127.0.0.1", Protocol: config.ProtocolWebSocket}}
	})
}

// openSocket asks for a WebSocket with these subprotocols.
func openSocket(t *testing.T, b *brokertest.Broker, subprotocols string) *socket {
	t.Helper()
	c := b.DialAt(t, "ws", v311)
	c.SendBytes([]byte("GET /mqtt HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
		"Sec-WebSocket-Protocol: " + subprotocols + "\r\n\r\n"))
	s := &socket{Client: c, in: bufio.NewReader(c.Conn)}
	_ = c.SetReadDeadline(time.Now().Add(brokertest.Patience))
	response, err := http.ReadResponse(s.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	s.response = response
	return s
}

// sendFrame sends a frame, masked with zeros.
func (s *socket) sendFrame(first byte, payload []byte) {
	s.SendBytes(append([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...))
}

// read returns the next n bytes of MQTT, which come in binary frames.
func (s *socket) read(t *testing.T, n int) (b []byte) {
	t.Helper()
	for len(b) < n {
		first, payload := s.readFrame(t)
		if first != frameBinary {
			t.Fatalf("a frame that begins with %#x, want a binary one", first)
		}
		b = append(b, payload...)
	}
	return b
}

func (s *socket) readFrame(t *testing.T) (first byte, payload []byte) {
	t.Helper()
	var head [2]byte
	if _, err := io.ReadFull(s.in, head[:]); err != nil {
		t.Fatal(err)
	}
	size := int(head[1])
	if size == 126 {
		var long [2]byte
		_, _ = io.ReadFull(s.in, long[:])
		size = int(binary.BigEndian.Uint16(long[:]))
	}
	payload = make([]byte, size)
	if _, err := io.ReadFull(s.in, payload); err != nil {
		t.Fatal(err)
	}
	return head[0], payload
}

//mqtt:3.1.1 6.0.0-1 6.0.0-2 6.0.0-4
//mqtt:5.0 6.0.0-1 6.0.0-2 6.0.0-4
func TestPacketsNeedNotAlignWithFrames(t *testing.T) {
	t.Parallel()
	s := openSocket(t, webSocketBroker(t), "other, mqtt")
	if got := s.response.Header.Get("Sec-WebSocket-Protocol"); s.response.StatusCode != 101 || got != "mqtt" {
		t.Fatalf("%s with subprotocol %q", s.response.Status, got)
	}
	all := brokertest.NewConnect("c").Append(nil, v311)
	all = (&packet.Pingreq{}).Append(all, v311)
	all = subscribe(7, "t").Append(all, v311)
	for i := range all[:len(all)-5] { // one byte a frame, several packets in the last one
		s.sendFrame(frameBinary, all[i:i+1])
	}
	s.sendFrame(frameBinary, brokertest.NewPublish("t", "m").Append(all[len(all)-5:], v311))

	want := (&packet.Connack{}).Append(nil, v311)
	want = (&packet.Pingresp{}).Append(want, v311)
	want = (&packet.Suback{ID: 7, Reasons: []packet.ReasonCode{2}}).Append(want, v311)
	want = brokertest.NewPublish("t", "m").Append(want, v311)
	if got := s.read(t, len(want)); string(got) != string(want) {
		t.Errorf("got % x, want % x", got, want)
	}
}

//mqtt:3.1.1 6.0.0-1
//mqtt:5.0 6.0.0-1
func TestTextFrameEndsTheConnection(t *testing.T) {
	t.Parallel()
	s := openSocket(t, webSocketBroker(t), "mqtt")
	s.sendFrame(frameText, brokertest.NewConnect("c").Append(nil, v311))
	if first, _ := s.readFrame(t); first != frameClose {
		t.Errorf("a frame that begins with %#x, want the close frame", first)
	}
	if rest, err := io.ReadAll(s.in); len(rest) > 0 || err != nil {
		t.Errorf("% x (%v) behind the close frame", rest, err)
	}
}

//mqtt:3.1.1 6.0.0-3
//mqtt:5.0 6.0.0-3
func TestWithoutTheSubprotocolThereIsNoWebSocket(t *testing.T) {
	t.Parallel()
	for _, offered := range []string{"", "soap, mqttx"} {
		s := openSocket(t, webSocketBroker(t), offered)
		if s.response.StatusCode/100 != 4 || strings.Contains(s.response.Header.Get("Sec-WebSocket-Protocol"), "mqtt") {
			t.Errorf("subprotocols %q: %s", offered, s.response.Status)
		}
	}
}
