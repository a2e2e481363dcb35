//go:build linux && !portable

package server

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sockets are non-blocking, so that these calls return at once and can be made
// without telling the scheduler, which saves as much as they cost: told of one, it
// wakes its monitor.

// readSocket returns n == 0 with no error at the end of the stream.
func readSocket(fd int, b []byte) (n int, err error) {
	r, _, errno := syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// vector is a part of what is to be written.
type vector = syscall.Iovec

func vectorOf(b []byte) vector {
	v := vector{Base: &b[0]}
	v.SetLen(len(b))
	return v
}

// writeSocket writes the buffers one behind the other, and may write less.
func writeSocket(fd int, buffers []vector) (n int, err error) {
	var r uintptr
	var errno syscall.Errno
	if len(buffers) == 1 {
		r, _, errno = syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(buffers[0].Base)), uintptr(buffers[0].Len))
	} else {
		r, _, errno = syscall.RawSyscall(unix.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&buffers[0])), uintptr(len(buffers)))
	}
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}

// outOfDescriptors reports whether there is no room for another connection.
func outOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

func wouldBlock(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR)
}

// listenSocket binds an address.
func listenSocket(ctx context.Context, address string) (fd int, bound net.Addr, err error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return -1, nil, err
	}
	defer func() { _ = ln.Close() }()
	fd, err = duplicate(ln.(*net.TCPListener))
	return fd, ln.Addr(), err
}

// acceptSocket takes the next connection of a listening socket.
func acceptSocket(fd int) (conn int, remote netip.AddrPort, err error) {
	var sa unix.RawSockaddrAny
	size := uint32(unsafe.Sizeof(sa))
	r, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd),
		uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	if errno != 0 {
		return -1, remote, errno
	}
	return int(r), addrPort(&sa), nil
}

// addrPort reads an address of the kernel's.
func addrPort(sa *unix.RawSockaddrAny) (a netip.AddrPort) {
	switch sa.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		a = netip.AddrPortFrom(netip.AddrFrom4(in.Addr), networkOrder(in.Port))
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(sa))
		a = netip.AddrPortFrom(netip.AddrFrom16(in.Addr).Unmap(), networkOrder(in.Port))
	}
	return a
}

// networkOrder reads a port that lies in memory as on the network.
func networkOrder(port uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&port))[:])
}

// duplicate returns a descriptor of the listening socket that is the caller's.
func duplicate(ln *net.TCPListener) (fd int, err error) {
	raw, err := ln.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd = -1
	if cerr := raw.Control(func(own uintptr) {
		if fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0); err == nil {
			err = setOptions(fd)
		}
	}); err == nil {
		err = cerr
	}
	return fd, os.NewSyscallError("fcntl", err)
}

// setOptions of a listening socket, which its connections take over: small
// messages leave at once, and a peer that is gone without a word is found out in
// some minutes, although it may have no keep alive.
func setOptions(fd int) error {
	for _, o := range [...]struct{ level, name, value int }{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 120},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 30},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 4},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return err
		}
	}
	return nil
}

// endUnacknowledged has the kernel end a connection whose peer acknowledges nothing,
// or takes nothing, for so many seconds while something waits for it. MPTCP knows no
// such option.
func endUnacknowledged(fd int, after uint32) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(after)*1000)
}

// unacknowledged is how many bytes the kernel has taken that the peer has not
// acknowledged.
func unacknowledged(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

// shutdownSocket ends the sending side behind what was written.
func shutdownSocket(fd int) { _ = unix.Shutdown(fd, unix.SHUT_WR) }

func closeSocket(fd int) { _, _, _ = syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// openFiles raises the limit of open files to what is allowed, and returns it.
func openFiles() int {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 1024
	}
	l.Cur = l.Max
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &l)
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil {
		return 1024
	}
	return int(min(l.Cur, 1<<24))
}
