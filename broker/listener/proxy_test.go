package listener

import (
	"net/netip"
	"strings"
	"testing"
)

const (
	v1     = "PROXY TCP4 192.0.2.7 10.0.0.1 5555 1883\r\n"
	v1Six  = "PROXY TCP6 2001:db8::7 2001:db8::1 5555 1883\r\n"
	v2     = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\x15\xb3\x07\x5b"
	local  = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
	hugeV2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff"
)

func TestProxyHeader(t *testing.T) {
	for name, tc := range map[string]struct {
		data, client string
	}{
		"version 1":                    {v1, "192.0.2.7:5555"},
		"version 1 over IPv6":          {v1Six, "[2001:db8::7]:5555"},
		"version 2":                    {v2, "192.0.2.7:5555"},
		"version 2 for itself":         {local, "invalid AddrPort"},
		"version 1 of an unknown peer": {"PROXY UNKNOWN\r\n", "invalid AddrPort"},
	} {
		t.Run(name, func(t *testing.T) {
			for cut := range len(tc.data) {
				if _, n, err := ProxyHeader([]byte(tc.data[:cut])); n != 0 || err != nil {
					t.Fatalf("%d of %d bytes: took %d, error %v", cut, len(tc.data), n, err)
				}
			}
			client, n, err := ProxyHeader([]byte(tc.data + "MQTT"))
			if err != nil || n != len(tc.data) || client.String() != tc.client {
				t.Fatalf("client %v, took %d of %d, error %v", client, n, len(tc.data), err)
			}
		})
	}
}

func TestProxyHeaderRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"a client's first packet":   "\x10\x0c\x00\x04MQTT",
		"version 1 without an end":  "PROXY TCP4 " + strings.Repeat("1", 120),
		"version 1 that is garbage": "PROXY TCP4 a b c d\r\n",
		"version 2 that is huge":    hugeV2,
	} {
		t.Run(name, func(t *testing.T) {
			if _, n, err := ProxyHeader([]byte(data)); err == nil || n != 0 {
				t.Fatalf("took %d, error %v", n, err)
			}
		})
	}
}

func TestTrusted(t *testing.T) {
	cidrs := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for addr, want := range map[string]bool{"10.1.2.3": true, "fd00::1": true, "192.0.2.1": false, "::1": false} {
		if got := Trusted(cidrs, netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is trusted: %v, want %v", addr, got, want)
		}
	}
}
