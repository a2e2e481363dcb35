//go:build linux && !portable

package server

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPeersThatAcknowledgeNothingAreFoundOut: by the kernel, and in the time of
// the keep alive where that is shorter.
func TestPeersThatAcknowledgeNothingAreFoundOut(t *testing.T) {
	ln, addr, err := listenSocket(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer closeSocket(ln)
	client, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	fd, _, err := acceptSocket(ln)
	for ; wouldBlock(err); fd, _, err = acceptSocket(ln) {
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer closeSocket(fd)
	timeout := func() int {
		ms, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		if err != nil {
			t.Fatal(err)
		}
		return ms
	}
	c := &conn{fd: fd}
	for _, tc := range []struct {
		keepAlive uint16
		want      int
	}{{60, 91_000}, {1, 3000}, {3600, 240_000}, {0, 240_000}} {
		if c.setPatience(tc.keepAlive); timeout() != tc.want {
			t.Errorf("%d ms with a keep alive of %d s, want %d", timeout(), tc.keepAlive, tc.want)
		}
	}
}
