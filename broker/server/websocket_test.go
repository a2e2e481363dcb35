package server_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// A WebSocket carries MQTT: packets in frames, in both directions, also where the first frame
// comes in one segment with the request.
func TestAWebSocketCarriesMQTT(t *testing.T) {
	b := brokertest.Start(t, func(c *config.Config) {
		c.Settings.Listeners = append(c.Settings.Listeners, config.Listener{Name: "ws", Address: "127.0.0.1", Protocol: config.ProtocolWebSocket})
	})
	request := []byte("GET /mqtt HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n")
	frame := func(p interface {
		Append([]byte, packet.Version) []byte
	}) []byte {
		payload := p.Append(nil, v5)
		return append([]byte{0x82, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
	}
	expect := func(c *brokertest.Client, want []byte) {
		t.Helper()
		got := make([]byte, len(want))
		_ = c.SetReadDeadline(time.Now().Add(brokertest.Patience))
		if _, err := io.ReadFull(c.Conn, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got % x (%v), want % x", got, err, want)
		}
	}
	for name, together := range map[string]bool{"request first": false, "in one segment": true} {
		t.Run(name, func(t *testing.T) {
			c := b.DialAt(t, "ws", v5)
			first := frame(brokertest.NewConnect(name))
			if !together {
				c.SendBytes(request)
			} else {
				first = append(bytes.Clone(request), first...)
			}
			c.SendBytes(first)
			response := []byte{}
			for !bytes.HasSuffix(response, []byte("\r\n\r\n")) {
				var one [1]byte
				_ = c.SetReadDeadline(time.Now().Add(brokertest.Patience))
				if _, err := c.Read(one[:]); err != nil {
					t.Fatal(err)
				}
				response = append(response, one[0])
			}
			var head [2]byte
			if _, err := io.ReadFull(c.Conn, head[:]); err != nil || head[0] != 0x82 {
				t.Fatalf("a frame that begins % x (%v), want a binary one", head, err)
			}
			body := make([]byte, head[1])
			if _, err := io.ReadFull(c.Conn, body); err != nil || body[0] != 0x20 || body[3] != 0 {
				t.Fatalf("% x (%v), want a CONNACK that accepts", body, err)
			}
			c.SendBytes(frame(&packet.Pingreq{}))
			expect(c, []byte{0x82, 2, 0xd0, 0})
		})
	}
}
