package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newNetwork returns the cheapest network that reaches the target. The loop has
// to be the calling goroutine.
func newNetwork(ctx context.Context, o *Options, t target) (network, error) {
	if t.tls || t.webSocket {
		return newStreams(ctx, t, o.TLS), nil
	}
	return newSockets(ctx, t.address)
}

// sockets is the network of plain TCP: non-blocking sockets and epoll, all on
// the thread of the loop.
type sockets struct {
	epoll   int
	family  int
	address unix.Sockaddr
	links   []*socket // by descriptor
	events  [512]unix.EpollEvent
	read    []byte
	noPwait bool // the kernel has no epoll_pwait2
}

const readSize = 512 << 10

func newSockets(ctx context.Context, address string) (*sockets, error) {
	at, err := resolve(ctx, address)
	if err != nil {
		return nil, err
	}
	s := &sockets{read: make([]byte, readSize)}
	if at.Addr().Is4() {
		s.family, s.address = unix.AF_INET, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	} else {
		s.family, s.address = unix.AF_INET6, &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
	}
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// The thread is the loop's alone: its CPU time is that of the loop, and its
	// timers are to be exact.
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(time.Microsecond), 0, 0, 0)
	return s, nil
}

// resolve finds the address that answers where a name has several.
func resolve(ctx context.Context, address string) (netip.AddrPort, error) {
	if at, err := netip.ParseAddrPort(address); err == nil {
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), nil
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer conn.Close() //nolint:errcheck // nothing was sent
	at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), err
}

func (s *sockets) open(c *client) (link, error) {
	l := &socket{network: s, client: c}
	fd, err := unix.Socket(s.family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		l.closed = true
		return l, explainSocket(err)
	}
	l.fd = fd
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err := unix.Connect(fd, s.address); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return l, os.NewSyscallError("connect", err)
	}
	for len(s.links) <= fd {
		s.links = append(s.links, nil)
	}
	s.links[fd] = l
	l.connecting, l.blocked = true, true
	return l, s.control(unix.EPOLL_CTL_ADD, fd, unix.EPOLLIN|unix.EPOLLOUT)
}

func explainSocket(err error) error {
	if errors.Is(err, unix.EMFILE) {
		return fmt.Errorf("socket: %w: raise the limit with ulimit -n", err)
	}
	return os.NewSyscallError("socket", err)
}

func (s *sockets) control(op, fd int, events uint32) error {
	e := unix.EpollEvent{Fd: int32(fd), Events: events}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(s.epoll, op, fd, &e))
}

func (s *sockets) poll(wait time.Duration) error {
	n, err := s.wait(wait)
	if err != nil {
		return err
	}
	for i := range s.events[:n] {
		e := &s.events[i]
		if l := s.links[e.Fd]; l != nil {
			l.event(e.Events)
		}
	}
	return nil
}

// wait is epoll_pwait2, whose timeout is in nanoseconds. In kernels that lack it
// the rest of a millisecond is spent in asking again.
func (s *sockets) wait(d time.Duration) (n int, err error) {
	if s.noPwait {
		n, err = unix.EpollWait(s.epoll, s.events[:], int(d/time.Millisecond))
	} else {
		n, err = s.pwait(unix.NsecToTimespec(int64(d)))
	}
	switch {
	case errors.Is(err, unix.ENOSYS):
		s.noPwait = true
		return 0, nil
	case errors.Is(err, unix.EINTR):
		return 0, nil
	default:
		return n, os.NewSyscallError("epoll_pwait", err)
	}
}

func (s *sockets) pwait(timeout unix.Timespec) (int, error) {
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(s.epoll),
		uintptr(unsafe.Pointer(&s.events[0])), uintptr(len(s.events)),
		uintptr(unsafe.Pointer(&timeout)), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (s *sockets) close() {
	for _, l := range s.links {
		if l != nil {
			l.close()
		}
	}
	_ = unix.Close(s.epoll)
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // back to the default
	runtime.UnlockOSThread()
}

// socket is a link of sockets.
type socket struct {
	network    *sockets
	client     *client
	fd         int
	connecting bool
	blocked    bool // it waits to be writable
	closed     bool
}

func (l *socket) event(events uint32) {
	if l.connecting {
		l.finishConnect()
		return
	}
	if events&unix.EPOLLOUT != 0 {
		l.unblock()
	}
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0 && !l.closed {
		l.receive()
	}
}

func (l *socket) finishConnect() {
	errno, err := unix.GetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = syscall.Errno(errno)
	}
	if err == nil {
		l.connecting, l.blocked = false, false
		err = l.network.control(unix.EPOLL_CTL_MOD, l.fd, unix.EPOLLIN)
	}
	if err != nil {
		l.client.lost(os.NewSyscallError("connect", err))
		return
	}
	l.client.connected()
}

func (l *socket) receive() {
	c, s := l.client, l.network
	if c.want > len(s.read) {
		s.read = make([]byte, c.want)
	}
	have := copy(s.read, c.part)
	switch n, err := unix.Read(l.fd, s.read[have:]); {
	case again(err):
	case err != nil:
		c.lost(os.NewSyscallError("read", err))
	case n == 0:
		c.lost(errors.New("the broker closed the connection"))
	default:
		c.received(s.read[:have+n])
	}
}

func (l *socket) flush(c *client) {
	if l.blocked || l.closed {
		return
	}
	sent := 0
	for sent < len(c.out) {
		n, err := unix.Write(l.fd, c.out[sent:])
		switch {
		case err == nil:
			sent += n
		case again(err):
			l.block(sent)
			return
		default:
			c.lost(os.NewSyscallError("write", err))
			return
		}
	}
	c.out = c.out[:0]
}

func again(err error) bool { return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) }

// block waits until the rest can be written.
func (l *socket) block(sent int) {
	c := l.client
	c.out = c.out[:copy(c.out, c.out[sent:])]
	l.blocked = true
	if err := l.network.control(unix.EPOLL_CTL_MOD, l.fd, unix.EPOLLIN|unix.EPOLLOUT); err != nil {
		c.lost(err)
	}
}

func (l *socket) unblock() {
	if !l.blocked {
		return
	}
	l.blocked = false
	l.flush(l.client)
	if l.blocked || l.closed {
		return
	}
	if err := l.network.control(unix.EPOLL_CTL_MOD, l.fd, unix.EPOLLIN); err != nil {
		l.client.lost(err)
		return
	}
	l.client.drained()
}

func (l *socket) close() {
	if l.closed {
		return
	}
	l.closed = true
	if l.fd < len(l.network.links) {
		l.network.links[l.fd] = nil
	}
	_ = unix.Close(l.fd)
}
