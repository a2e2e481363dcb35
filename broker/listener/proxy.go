package listener

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/pires/go-proxyproto"
)

// Trusted reports whether addr is within one of the CIDRs.
func Trusted(cidrs []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(cidrs, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// errNoProxyHeader says that a proxy did not send what it was trusted to.
var errNoProxyHeader = errors.New("a trusted proxy sent no PROXY protocol header")

// The forms of the header, and how large they get.
const (
	proxyV1      = "PROXY "
	proxyV2      = "\r\n\r\n\x00\r\nQUIT\n"
	maxProxyV1   = 107
	proxyV2Fixed = 16
	maxProxyV2   = proxyV2Fixed + 4096
)

// ProxyHeader reads a PROXY protocol header, version 1 or 2, from the front of
// data. n is its size; 0 without an error means that more bytes are needed.
// client is whom the proxy speaks for; it is not valid where the proxy speaks
// for itself.
func ProxyHeader(data []byte) (client netip.AddrPort, n int, err error) {
	if n, err = proxyHeaderSize(data); n == 0 || err != nil {
		return client, 0, err
	}
	h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(data[:n])))
	if err != nil {
		return client, 0, fmt.Errorf("read PROXY protocol header: %w", err)
	}
	if source, _, ok := h.TCPAddrs(); ok && !h.Command.IsLocal() {
		client = source.AddrPort()
		client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
	}
	return client, n, nil
}

// proxyHeaderSize returns the size of a complete header, 0 while it is not.
func proxyHeaderSize(data []byte) (int, error) {
	switch {
	case hasPrefix(data, proxyV1):
		if end := bytes.Index(data, []byte("\r\n")); end >= 0 {
			return end + 2, nil
		}
		if len(data) >= maxProxyV1 {
			return 0, errNoProxyHeader
		}
		return 0, nil
	case hasPrefix(data, proxyV2):
		if len(data) < proxyV2Fixed {
			return 0, nil
		}
		size := proxyV2Fixed + int(binary.BigEndian.Uint16(data[14:]))
		if size > maxProxyV2 {
			return 0, errors.New("the PROXY protocol header is too large")
		}
		if len(data) < size {
			return 0, nil
		}
		return size, nil
	default:
		return 0, errNoProxyHeader
	}
}

// hasPrefix reports whether data begins with prefix, as far as data goes.
func hasPrefix(data []byte, prefix string) bool {
	n := min(len(data), len(prefix))
	return string(data[:n]) == prefix[:n]
}
