package server_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// heap is what is in use, in MiB.
func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc >> 20)
}

func TestSilentConnectionsDoNotKeepOthersFromTLS(t *testing.T) {
	b := brokertest.Start(t)
	for range 1500 {
		b.DialAt(t, brokertest.TLS, packet.V5) // and not a byte
	}
	c := b.DialTLS(t, packet.V5)
	c.Connect("late")
	c.ExpectSilence()
}

func TestFewBytesReserveLittle(t *testing.T) {
	b := brokertest.Start(t, func(c *config.Config) { c.Settings.MQTT.MaxPacketSize = 64 << 20 })
	before := heap()
	for i := range 200 {
		c := b.Connect(t, packet.V5, string(rune('a'+i%26))+string(rune('a'+i/26)))
		c.SendBytes([]byte{0x30, 0xff, 0xff, 0xff, 0x0f}) // a PUBLISH of 33 MB begins
		c.SendBytes([]byte{0})
	}
	if grown := heap() - before; grown > 40 {
		t.Errorf("200 connections of a few bytes hold %d MiB", grown)
	}
}

// TestAClientThatDoesNotReadIsNotReadEither: answers that nobody takes do not
// pile up, and when they are taken all goes on.
func TestAClientThatDoesNotReadIsNotReadEither(t *testing.T) {
	b := brokertest.Start(t)
	c := b.Connect(t, packet.V5, "deaf")
	before := heap()
	pings := bytes.Repeat([]byte{0xc0, 0}, 32<<10)
	sent := 0
	for range 1000 {
		_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := c.Write(pings)
		sent += n
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if sent == 1000*len(pings) {
		t.Error("everything was read")
	}
	if grown := heap() - before; grown > 16 {
		t.Errorf("%d bytes of PINGREQ hold %d MiB", sent, grown)
	}
	answers := make([]byte, 64<<10)
	for left := sent &^ 1; left > 0; { // a PINGRESP is as long as a PINGREQ
		_ = c.SetReadDeadline(time.Now().Add(brokertest.Patience))
		n, err := c.Read(answers[:min(left, len(answers))])
		if left -= n; err != nil {
			t.Fatalf("%d bytes of answers are missing to %d: %v", left, sent, err)
		}
	}
}

func TestPingsOfAWebSocketBeforeCONNECTAreBounded(t *testing.T) {
	b := brokertest.Start(t, func(c *config.Config) {
		c.Settings.Listeners = append(c.Settings.Listeners, config.Listener{Name: "ws", Address: "127.0.0.1", Protocol: config.ProtocolWebSocket})
	})
	c := b.DialAt(t, "ws", packet.V5)
	c.SendBytes([]byte("GET /mqtt HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"))
	ping := append([]byte{0x89, 0x80 | 125, 0, 0, 0, 0}, make([]byte, 125)...)
	pings, before := bytes.Repeat(ping, 1000), heap()
	for range 500 {
		_ = c.SetWriteDeadline(time.Now().Add(brokertest.Patience))
		if _, err := c.Write(pings); err != nil {
			break // the broker has ended it
		}
	}
	if grown := heap() - before; grown > 16 {
		t.Errorf("65 MB of pings hold %d MiB", grown)
	}
	_ = c.SetReadDeadline(time.Now().Add(brokertest.Patience))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the broker does not end the connection")
	}
}

// TestRightsAreInForceThoughACertificateIsBroken: a reload that fails for a
// listener takes rights away all the same.
//
//api:semantics 6
func TestRightsAreInForceThoughACertificateIsBroken(t *testing.T) {
	b := brokertest.Start(t, users)
	ann := b.Connect(t, packet.V5, "ann", brokertest.Login("ann", secret))
	err := b.Reload(func(c *config.Config) {
		c.Access.Users = c.Access.Users[1:]
		c.Settings.Listeners[1].TLS = &config.TLS{CertFile: "missing.crt", KeyFile: "missing.key"}
	})
	if err == nil {
		t.Fatal("a certificate that is not there was taken")
	}
	ann.ExpectDisconnect(packet.ReasonNotAuthorized)
}
