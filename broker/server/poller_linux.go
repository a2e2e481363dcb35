//go:build linux && !portable

package server

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller tells which descriptors are ready, by epoll. Its descriptor is itself
// registered with the Go runtime, so that a loop with nothing to do parks as a
// goroutine and blocks no thread.
type poller struct {
	epfd   int
	file   *os.File
	raw    syscall.RawConn
	wakefd int
	events [256]unix.EpollEvent
	ready  int                // of events, by the last poll
	failed error              // of the last poll
	look   func(uintptr) bool // polls, and reports whether a wait is over
}

// event is a descriptor that is ready.
type event struct {
	fd              int
	readable, write bool
}

func newPoller() (*poller, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(epfd, true); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	p := &poller{epfd: epfd, file: os.NewFile(uintptr(epfd), "epoll")}
	p.look = func(uintptr) bool {
		p.ready, p.failed = p.poll()
		return p.ready > 0 || p.failed != nil
	}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return nil, err
	}
	if p.wakefd, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	return p, p.add(p.wakefd)
}

// add begins to watch fd for reading. It may be called from any goroutine, as
// may watch.
func (p *poller) add(fd int) error { return p.ctl(unix.EPOLL_CTL_ADD, fd, true, false) }

// watch changes what fd is watched for.
func (p *poller) watch(fd int, read, write bool) error {
	return p.ctl(unix.EPOLL_CTL_MOD, fd, read, write)
}

// groupSize is how many pollers may attend to each other, in a loopGroup.
const groupSize = 8

// attend has p report o.fd() while o has something to report.
func (p *poller) attend(o *poller) error { return p.add(o.epfd) }

// leave takes back attend.
func (p *poller) leave(o *poller) error { return p.ctl(unix.EPOLL_CTL_DEL, o.epfd, false, false) }

func (p *poller) fd() int { return p.epfd }

func (p *poller) ctl(op, fd int, read, write bool) error {
	ev := unix.EpollEvent{Fd: int32(fd)}
	if read {
		ev.Events |= unix.EPOLLIN | unix.EPOLLRDHUP
	} else { // the end of the connection is told of in any case: once, and not again and again
		ev.Events |= unix.EPOLLET
	}
	if write {
		ev.Events |= unix.EPOLLOUT
	}
	_, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(p.epfd),
		uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno)
	}
	return nil
}

// wait appends the descriptors that are ready to events. If there are none it
// waits for one, or for wake.
func (p *poller) wait(events []event) ([]event, error) {
	if err := p.raw.Read(p.look); err != nil {
		return events, err
	}
	return p.appendTo(events), p.failed
}

// peek is wait without waiting.
func (p *poller) peek(events []event) ([]event, error) {
	p.look(0)
	return p.appendTo(events), p.failed
}

// appendTo appends what the last poll found.
func (p *poller) appendTo(events []event) []event {
	for i := range p.events[:p.ready] {
		e := &p.events[i]
		if int(e.Fd) == p.wakefd {
			p.clearWake()
			continue
		}
		events = append(events, event{
			fd:       int(e.Fd),
			readable: e.Events&(unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0,
			write:    e.Events&unix.EPOLLOUT != 0,
		})
	}
	return events
}

// poll asks without waiting. The call cannot block, so the scheduler need not
// know of it.
func (p *poller) poll() (int, error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.epfd),
		uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), 0, 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case syscall.EINTR:
		return 0, nil
	default:
		return 0, os.NewSyscallError("epoll_pwait", errno)
	}
}

// wake ends a wait, from any goroutine.
func (p *poller) wake() {
	one := [8]byte{1}
	_, _, _ = syscall.RawSyscall(unix.SYS_WRITE, uintptr(p.wakefd), uintptr(unsafe.Pointer(&one)), 8) // fails only where it is pending already
}

func (p *poller) clearWake() {
	var count [8]byte
	_, _, _ = syscall.RawSyscall(unix.SYS_READ, uintptr(p.wakefd), uintptr(unsafe.Pointer(&count)), 8)
}

func (p *poller) close() error {
	_ = unix.Close(p.wakefd)
	return p.file.Close()
}
