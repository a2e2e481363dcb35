//go:build !linux || portable

package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// socket stands for a non-blocking socket of the kernel, for development on
// systems other than Linux. A goroutine reads ahead by one buffer, or accepts
// ahead by one connection, and goes on when that was taken, so that TCP holds
// back a peer that is not read. Each write has a goroutine of its own, and there
// is no room for the next one until it is done.
type socket struct {
	fd       int
	conn     *net.TCPConn     // nil where it listens
	listener *net.TCPListener // nil where it is a connection
	queued   bool             // the poller is going to look at it; guarded by the poller

	mu          sync.Mutex
	taken       sync.Cond // what its goroutine brought was taken, or it is closed
	poller      *poller   // nil before it is watched
	read, write bool      // what it is watched for
	arrived     []byte
	accepted    *net.TCPConn
	readErr     error // comes behind what has arrived
	writing     bool
	writeErr    error
	fin         bool // the sending side is shut down once nothing is written
	closed      bool
}

// sockets are those of the process, by numbers that are given as a kernel gives
// file descriptors. A number that is free holds nil.
var sockets struct {
	mu   sync.Mutex
	byFD []*socket
}

const maxSockets = 1 << 16

var (
	errWouldBlock     = errors.New("the socket is not ready")
	errTooManySockets = errors.New("too many connections")
)

// register gives s a number.
func register(s *socket) (fd int, err error) {
	s.taken.L = &s.mu
	sockets.mu.Lock()
	defer sockets.mu.Unlock()
	for fd = range sockets.byFD {
		if sockets.byFD[fd] == nil {
			s.fd, sockets.byFD[fd] = fd, s
			return fd, nil
		}
	}
	if len(sockets.byFD) == maxSockets {
		return -1, errTooManySockets
	}
	s.fd = len(sockets.byFD)
	sockets.byFD = append(sockets.byFD, s)
	return s.fd, nil
}

// withSocket calls f with the socket of a number, which is locked.
func withSocket(fd int, f func(*socket)) error {
	sockets.mu.Lock()
	var s *socket
	if fd >= 0 && fd < len(sockets.byFD) {
		s = sockets.byFD[fd]
	}
	sockets.mu.Unlock()
	if s == nil {
		return net.ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
	return nil
}

// open begins to read or to accept. mu is held, as it is for watch.
func (s *socket) open(p *poller) {
	s.poller, s.read = p, true
	if s.listener != nil {
		go s.accept()
	} else {
		go s.receive()
	}
}

func (s *socket) watch(read, write bool) {
	if s.poller != nil {
		s.read, s.write = read, write
		s.poller.look(s)
	}
}

// event tells what is ready of what s is watched for.
func (s *socket) event() (e event, ready bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return e, false
	}
	e = event{
		fd:       s.fd,
		write:    s.write && !s.writing,
		readable: s.read && (len(s.arrived) > 0 || s.accepted != nil || s.readErr != nil),
	}
	return e, e.readable || e.write
}

// readAhead is how much of a connection is read before it is asked for.
const readAhead = 16 << 10

// receive is the goroutine of a connection.
func (s *socket) receive() {
	buf := make([]byte, readAhead)
	for {
		n, err := s.conn.Read(buf)
		if !s.bring(buf[:n], err) {
			return
		}
	}
}

// bring hands over what was read, and waits until it is taken. It reports
// whether more may follow.
func (s *socket) bring(b []byte, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived, s.readErr = b, err
	s.poller.look(s)
	for len(s.arrived) > 0 && !s.closed {
		s.taken.Wait()
	}
	return err == nil && !s.closed
}

// readSocket returns n == 0 with no error at the end of the stream.
func readSocket(fd int, b []byte) (n int, err error) {
	gone := withSocket(fd, func(s *socket) {
		switch {
		case len(s.arrived) > 0:
			n = copy(b, s.arrived)
			if s.arrived = s.arrived[n:]; len(s.arrived) == 0 {
				s.taken.Signal()
			}
		case errors.Is(s.readErr, io.EOF):
		case s.readErr != nil:
			err = s.readErr
		default:
			err = errWouldBlock
		}
	})
	return n, errors.Join(err, gone)
}

// vector is a part of what is to be written.
type vector = []byte

func vectorOf(b []byte) vector { return b }

// writeAtOnce bounds what is written at a time.
const writeAtOnce = 64 << 10

// writeSocket takes a copy of the buffers, one behind the other, and may take
// less.
func writeSocket(fd int, buffers []vector) (n int, err error) {
	gone := withSocket(fd, func(s *socket) {
		switch {
		case s.writeErr != nil:
			err = s.writeErr
		case s.writing:
			err = errWouldBlock
		default:
			var out []byte
			for _, b := range buffers {
				out = append(out, b[:min(len(b), writeAtOnce-len(out))]...)
			}
			n, s.writing = len(out), true
			go s.send(out)
		}
	})
	return n, errors.Join(err, gone)
}

// send is the goroutine of one write.
func (s *socket) send(b []byte) {
	_, err := s.conn.Write(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing, s.writeErr = false, err
	switch {
	case s.closed:
		_ = s.conn.Close()
		return
	case s.fin:
		_ = s.conn.CloseWrite()
	}
	if s.poller != nil {
		s.poller.look(s)
	}
}

// endUnacknowledged does nothing: each system has its own way to ask for it, and
// clients that take nothing are found out all the same.
func endUnacknowledged(int, uint32) {}

// unacknowledged says that nobody knows.
func unacknowledged(int) int { return 0 }

// shutdownSocket ends the sending side behind what was written.
func shutdownSocket(fd int) {
	_ = withSocket(fd, func(s *socket) {
		if s.fin = true; !s.writing {
			_ = s.conn.CloseWrite()
		}
	})
}

// closeSocket lets what is being written end, for some seconds.
func closeSocket(fd int) {
	_ = withSocket(fd, func(s *socket) {
		s.closed = true
		s.taken.Signal()
		switch {
		case s.listener != nil:
			_ = s.listener.Close()
		case s.writing:
			_ = s.conn.SetReadDeadline(time.Now())
			_ = s.conn.SetWriteDeadline(time.Now().Add(lingerTimeout * time.Second))
		default:
			_ = s.conn.Close()
		}
	})
	sockets.mu.Lock()
	sockets.byFD[fd] = nil
	sockets.mu.Unlock()
}

// listenSocket binds an address. A peer that is gone without a word is found out
// in some minutes, although it may have no keep alive.
func listenSocket(ctx context.Context, address string) (fd int, bound net.Addr, err error) {
	lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 2 * time.Minute, Interval: 30 * time.Second, Count: 4,
	}}
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return -1, nil, err
	}
	if fd, err = register(&socket{listener: ln.(*net.TCPListener)}); err != nil {
		_ = ln.Close()
	}
	return fd, ln.Addr(), err
}

// accept is the goroutine of a listening socket.
func (s *socket) accept() {
	for {
		conn, err := s.listener.AcceptTCP()
		s.mu.Lock()
		s.accepted, s.readErr = conn, err
		s.poller.look(s)
		for (s.accepted != nil || s.readErr != nil) && !s.closed {
			s.taken.Wait()
		}
		unwanted, closed := s.accepted, s.closed
		s.mu.Unlock()
		if closed {
			if unwanted != nil {
				_ = unwanted.Close()
			}
			return
		}
	}
}

// acceptSocket takes the next connection of a listening socket.
func acceptSocket(fd int) (conn int, remote netip.AddrPort, err error) {
	var accepted *net.TCPConn
	gone := withSocket(fd, func(s *socket) {
		if accepted, err = s.accepted, s.readErr; accepted == nil && err == nil {
			err = errWouldBlock
			return
		}
		s.accepted, s.readErr = nil, nil
		s.taken.Signal()
	})
	if err = errors.Join(err, gone); err != nil {
		return -1, remote, err
	}
	if conn, err = register(&socket{conn: accepted}); err != nil {
		_ = accepted.Close()
		return -1, remote, err
	}
	remote = accepted.RemoteAddr().(*net.TCPAddr).AddrPort()
	return conn, netip.AddrPortFrom(remote.Addr().Unmap(), remote.Port()), nil
}

// outOfDescriptors reports whether a listening socket had better rest. What
// error says that there is no room for another connection, each system has its
// own way to tell.
func outOfDescriptors(err error) bool { return err != nil && !wouldBlock(err) }

func wouldBlock(err error) bool { return errors.Is(err, errWouldBlock) }

// openFiles returns how many sockets there may be.
func openFiles() int { return maxSockets }
