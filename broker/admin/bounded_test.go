package admin

import (
	"errors"
	"net"
	"testing"
)

// The oldest of too many connections ends, and one that has ended counts no more.
func TestTheOldestConnectionMakesRoom(t *testing.T) {
	inner, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &bounded{Listener: inner, most: 2}
	t.Cleanup(func() { _ = l.Close() })
	open := func() net.Conn {
		t.Helper()
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return accepted
	}
	isOpen := func(name string, c net.Conn, want bool) {
		t.Helper()
		_, err := c.Write([]byte("x"))
		if got := !errors.Is(err, net.ErrClosed); got != want {
			t.Errorf("%s: open is %v, want %v (%v)", name, got, want, err)
		}
	}
	first, second := open(), open()
	isOpen("first of two", first, true)
	third := open()
	isOpen("first of three", first, false)
	isOpen("second of three", second, true)
	_ = first.Close() // as its server does
	_ = third.Close()
	fourth := open()
	isOpen("second, after the third has ended", second, true)
	_ = open()
	isOpen("second of three again", second, false)
	isOpen("fourth", fourth, true)
	_ = l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after the end: %v", err)
	}
}
