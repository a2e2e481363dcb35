package server

import (
	"crypto/tls"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/listener"
)

// askingFor is the record of a ClientHello with one extension of one byte.
func askingFor(number, value byte) []byte {
	body := append([]byte{3, 3}, make([]byte, 32)...)                            // version and random
	body = append(body, 0, 0, 2, 0xc0, 0x2f, 1, 0, 0, 5, 0, number, 0, 1, value) // session, cipher suites, compression, extensions
	message := append([]byte{1, 0, 0, byte(len(body))}, body...)                 // ClientHello
	return append([]byte{22, 3, 1, 0, byte(len(message))}, message...)
}

func TestRecordsFitWhatTheClientAsksFor(t *testing.T) {
	for name, tc := range map[string]struct {
		listener int
		hello    []byte
		want     int
	}{
		"nobody asks":                 {0, askingFor(23, 0), 0},
		"the client asks":             {0, askingFor(1, 3), 2048},
		"the listener asks for less":  {1024, askingFor(1, 3), 1024},
		"the client asks for less":    {4096, askingFor(1, 3), 2048},
		"the listener asks":           {4096, askingFor(23, 0), 4096},
		"the listener asks, no hello": {4096, []byte{22, 3, 1}, 4096},
	} {
		t.Run(name, func(t *testing.T) {
			s := &tlsStream{config: &listener.TLS{MaxRecord: tc.listener}}
			s.feed(tc.hello)
			s.hello = s.in
			if s.greeted(tls.VersionTLS12); s.record != tc.want || s.hello != nil {
				t.Errorf("records of %d bytes, want %d", s.record, tc.want)
			}
		})
	}
}
