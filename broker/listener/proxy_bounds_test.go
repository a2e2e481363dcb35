package listener

import (
	"strings"
	"testing"
)

// A header that is not complete is waited for as long as it can still become one, and not longer.
func TestProxyHeaderIsWaitedForUpToItsLimit(t *testing.T) {
	const fixed = "\r\n\r\n\x00\r\nQUIT\n\x21\x11"
	v1Of := func(n int) string { return "PROXY TCP4 " + strings.Repeat("1", n-len("PROXY TCP4 ")) }
	for name, tc := range map[string]struct {
		data  string
		waits bool
	}{
		"nothing yet":                           {"", true},
		"version 1 that may still end":          {v1Of(106), true},
		"version 1 of the greatest length":      {v1Of(107), false},
		"version 2 without its length":          {fixed + "\x10", true},
		"version 2 of the greatest length":      {fixed + "\x10\x00", true},
		"version 2 that is one byte too long":   {fixed + "\x10\x01", false},
		"version 2 with all but its last byte":  {v2[:len(v2)-1], true},
		"another beginning":                     {"PROXZ", false},
		"a version 2 signature that goes wrong": {"\r\n\r\n\x00\r\nQUIX", false},
	} {
		client, n, err := ProxyHeader([]byte(tc.data))
		if n != 0 || client.IsValid() || (err == nil) != tc.waits {
			t.Errorf("%s: took %d for %v, error %v", name, n, client, err)
		}
	}
}

// An IPv4 address that comes as IPv6 is the same client.
func TestProxyHeaderUnmapsAddresses(t *testing.T) {
	client, _, err := ProxyHeader([]byte("PROXY TCP6 ::ffff:192.0.2.7 ::ffff:10.0.0.1 5555 1883\r\n"))
	if err != nil || client.String() != "192.0.2.7:5555" {
		t.Errorf("client %v, error %v", client, err)
	}
}

// A header of version 2 may carry as much besides the addresses as fits.
func TestProxyHeaderWithOptionsIsTakenWhole(t *testing.T) {
	options := strings.Repeat("\xee\x00\x01x", 1021) // of a type of our own, up to 4096 bytes in all
	header := v2[:14] + "\x10\x00" + v2[16:] + options
	if len(header) != maxProxyV2 {
		t.Fatalf("%d bytes, want %d", len(header), maxProxyV2)
	}
	client, n, err := ProxyHeader([]byte(header + "MQTT"))
	if err != nil || n != len(header) || client.String() != "192.0.2.7:5555" {
		t.Errorf("client %v, took %d of %d, error %v", client, n, len(header), err)
	}
}
