package server

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"time"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/listener"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// tlsStream is the TLS side of a connection: crypto/tls over buffers that the
// event loop fills and empties. The handshake runs on a goroutine of its own,
// whose reads wait for the loop to feed them. After it, everything runs on
// loops under the connection's mu, and a read of an empty buffer returns
// errNoRecord, which crypto/tls takes as temporary.
type tlsStream struct {
	*tls.Conn
	conn   *conn
	config *listener.TLS // that the handshake was begun with
	out    outbound      // records to be written; guarded by conn.mu
	record int           // most bytes of plaintext in a record; 0 is what TLS allows
	hello  []byte        // the records that the client began with, until the handshake is over

	mu          sync.Mutex
	arrived     sync.Cond
	in          []byte // records that were not read yet
	end         error  // what a read finds behind them
	full        bool   // the loop reads no more until they are read
	handshaking bool
	asked       bool // the handshake has or waits for its turn
	begun       bool // the handshake has its goroutine

	turn chan struct{} // closed when the handshake may compute again; guarded by handshakes

	// expires is the Unix time, in seconds, from which on the client's certificate
	// is no longer good. The loop's own, once the handshake is over.
	expires uint32
}

// errNoRecord says that the next record has not arrived.
var errNoRecord net.Error = noRecord{}

type noRecord struct{}

func (noRecord) Error() string   { return "no complete TLS record has arrived" }
func (noRecord) Timeout() bool   { return true }
func (noRecord) Temporary() bool { return true }

func newTLSStream(c *conn, cfg *listener.TLS) *tlsStream {
	t := &tlsStream{conn: c, config: cfg, handshaking: true}
	t.arrived.L = &t.mu
	t.Conn = tls.Server(records{t}, cfg.Config)
	return t
}

// records is the net.Conn that crypto/tls reads from and writes to.
type records struct{ *tlsStream }

func (r records) Read(b []byte) (int, error) {
	t := r.tlsStream
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.handshaking && len(t.in) == 0 && t.end == nil {
		t.awaitClient()
	}
	if len(t.in) > 0 {
		n := copy(b, t.in)
		t.in = t.in[n:]
		t.makeRoom()
		return n, nil
	}
	if t.end != nil {
		return 0, t.end
	}
	t.in = nil
	return 0, errNoRecord
}

// awaitClient waits until the client of a handshake has sent something or is gone,
// and lets others compute meanwhile. mu is held, though not all the time.
func (t *tlsStream) awaitClient() {
	others := t.conn.server.handshakes
	t.mu.Unlock()
	others.rest()
	t.mu.Lock()
	for len(t.in) == 0 && t.end == nil {
		t.arrived.Wait()
	}
	t.mu.Unlock()
	others.goOn(t)
	t.mu.Lock()
}

// Write takes a record. Only the handshake's goroutine comes without conn.mu.
func (r records) Write(b []byte) (int, error) {
	t, c := r.tlsStream, r.conn
	if !t.inHandshake() {
		t.out.append(b)
		return len(b), nil
	}
	c.mu.Lock()
	t.out.append(b)
	c.mu.Unlock()
	c.post(func() { c.Flush(c.loop.worker) })
	return len(b), nil
}

func (r records) Close() error                     { return nil }
func (r records) LocalAddr() net.Addr              { return nil }
func (r records) RemoteAddr() net.Addr             { return nil }
func (r records) SetDeadline(time.Time) error      { return nil }
func (r records) SetReadDeadline(time.Time) error  { return nil }
func (r records) SetWriteDeadline(time.Time) error { return nil }

func (t *tlsStream) inHandshake() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.handshaking
}

// feed adds what was read from the socket.
func (t *tlsStream) feed(b []byte) {
	t.mu.Lock()
	t.in = append(t.in, b...)
	t.full = t.handshaking && len(t.in) >= maxFed
	t.mu.Unlock()
	t.arrived.Signal()
}

// maxFed is how much of a client is read that a handshake has not asked for, in
// bytes. The last read may go beyond it.
const maxFed = 64 << 10

// buffered is how many bytes wait to be read.
func (t *tlsStream) buffered() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.in)
}

// makeRoom has a handshake's connection read again whose records were all read. mu
// is held.
func (t *tlsStream) makeRoom() {
	if t.full && len(t.in) == 0 {
		t.full = false
		t.conn.post(t.conn.settle)
	}
}

// hasRoom reports whether more records are taken.
func (t *tlsStream) hasRoom() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.full && t.end == nil
}

// finish says that no record follows. A handshake that needs none succeeds. It
// reports false where none has begun.
func (t *tlsStream) finish() (begun bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = io.ErrUnexpectedEOF
	t.arrived.Signal()
	return t.begun
}

// begin has the handshake begin, in its turn, once the client's first message is
// there: a client that sends less costs no more than its socket.
func (t *tlsStream) begin() {
	t.mu.Lock()
	begin := !t.asked && wholeRecord(t.in)
	t.asked = t.asked || begin
	t.mu.Unlock()
	if begin {
		t.conn.server.handshakes.begin(t)
	}
}

// start runs the handshake, on a goroutine of its own, unless the connection has
// ended.
func (t *tlsStream) start() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.end != nil {
		return false
	}
	t.begun, t.hello = true, t.in
	go t.handshake()
	return true
}

// wholeRecord reports whether a record is complete, or what has arrived is none.
func wholeRecord(b []byte) bool {
	const header, handshake = 5, 22
	if len(b) == 0 || b[0] != handshake {
		return len(b) > 0
	}
	return len(b) >= header && len(b) >= header+int(binary.BigEndian.Uint16(b[3:]))
}

// abort lets a handshake fail. It reports whether one is under way; its goroutine
// then calls back.
func (t *tlsStream) abort() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.handshaking && t.end == nil {
		t.end = io.ErrUnexpectedEOF
	}
	t.arrived.Signal()
	return t.begun && t.handshaking
}

// handshake is the handshake's goroutine.
func (t *tlsStream) handshake() {
	err := t.HandshakeContext(context.Background())
	t.mu.Lock()
	t.handshaking = false
	t.mu.Unlock()
	t.conn.server.handshakes.rest()
	t.conn.post(func() { t.conn.handshaken(err) })
}

// handshaken goes on with CONNECT after a handshake.
func (c *conn) handshaken(err error) {
	if err == nil && (c.state != stateHandshake || c.gone.Load()) {
		c.close() // it was ended meanwhile
		return
	}
	if err != nil {
		c.handshakeFailed(err)
		c.Flush(c.loop.worker) // the alert
		c.close()
		return
	}
	c.state = stateConnect
	c.server.newcomers.step(c)
	state := c.tls.ConnectionState()
	c.tls.greeted(state.Version)
	c.tls.goodUntil(listener.GoodUntil(state.VerifiedChains))
	if c.tls.config != c.listener.tls.Load() {
		c.reviewCertificate()
	}
	c.decrypt()
	c.settle()
}

// readTLS reads records and handles what is in them.
func (c *conn) readTLS() {
	if c.loop.cipher == nil {
		c.loop.cipher = make([]byte, readSize)
	}
	c.rested = 0
	n, err := readSocket(c.fd, c.loop.cipher)
	switch c.loop.worker.Counts[metrics.BytesReceived] += uint64(n); {
	case n == 0 && err != nil && wouldBlock(err):
	case n == 0:
		c.recordsEnd()
	case c.state == stateHandshake:
		c.tls.feed(c.loop.cipher[:n])
		c.tls.begin()
		c.settle()
	case len(c.tls.in) > 0:
		c.tls.feed(c.loop.cipher[:n])
		c.decrypt()
	default:
		c.tls.in = c.loop.cipher[:n]
		c.decrypt()
		c.tls.own()
	}
}

// recordsEnd notes that the client sends no more records. What it has sent is
// decrypted first, and a handshake under way comes to its end.
func (c *conn) recordsEnd() {
	switch begun := c.tls.finish(); {
	case !begun:
		c.close()
	case c.state == stateHandshake:
		c.settle()
	default:
		c.decrypt()
	}
}

// own copies what was not read, out of the loop's buffer.
func (t *tlsStream) own() {
	if len(t.in) > 0 {
		t.in = append([]byte(nil), t.in...)
	} else {
		t.in = nil
	}
}

// decrypt handles the plaintext of the records that have arrived.
func (c *conn) decrypt() {
	for c.end == goesOn && (c.handles() || c.waitsForConnect()) {
		buf, have := c.gather()
		n, err := c.tls.open(buf[have:])
		if err != nil && !errors.Is(err, errNoRecord) {
			c.end = endOfConnection
		} else if n == 0 {
			return
		}
		c.arrived(buf[:have+n], have)
	}
}

// open reads plaintext until b is full or the records are used up.
func (t *tlsStream) open(b []byte) (n int, err error) {
	t.conn.mu.Lock()
	defer t.conn.mu.Unlock()
	for n < len(b) && err == nil {
		var k int
		k, err = t.Read(b[n:])
		n += k
	}
	if t.out.size > 0 { // an answer below MQTT, to a key update
		t.conn.touch(t.conn.loop.worker)
	}
	if n > 0 && errors.Is(err, errNoRecord) {
		err = nil
	}
	return n, err
}

// seal encrypts what waits, in records that the client has room for. conn.mu is
// held.
func (t *tlsStream) seal(plain *outbound) {
	for plain.size > 0 {
		b := plain.first()
		if t.record > 0 {
			b = b[:min(len(b), t.record)]
		}
		n, err := t.Write(b)
		if err != nil {
			plain.drop()
			return
		}
		plain.consume(n)
	}
}

// closeNotify tells the client that nothing follows. conn.mu is held.
func (t *tlsStream) closeNotify(plain *outbound) {
	if t.inHandshake() {
		return
	}
	t.seal(plain)
	_ = t.CloseWrite()
}

// commonName is that of the client's certificate, which may be empty; ok is false
// where the client showed none that is valid.
func (t *tlsStream) commonName() (name string, ok bool) {
	if chains := t.ConnectionState().VerifiedChains; len(chains) > 0 {
		return chains[0][0].Subject.CommonName, true
	}
	return "", false
}

// errNotCertified: the client is who it says, but not by its certificate.
var errNotCertified = errors.New("the listener goes by client certificates alone")

// never is what expires is for a certificate that outlives everybody, and where
// there is none.
const never = math.MaxUint32

// goodUntil notes the last moment in which the client's certificate is good, zero
// for none.
func (t *tlsStream) goodUntil(end time.Time) {
	t.expires = never
	if !end.IsZero() {
		t.expires = uint32(min(max(end.Unix()+1, 0), never))
	}
}

// certified returns for how many seconds the client's certificate is yet good.
func (t *tlsStream) certified(now time.Time) uint32 {
	if t.expires == never {
		return never
	}
	return uint32(max(int64(t.expires)-now.Unix(), 0))
}

// asked is the TLS that the client has to satisfy: that of its listener, and where
// it has lost it, what it last was for the client. It is nil for none.
func (c *conn) asked() *listener.TLS {
	if t := c.listener.tls.Load(); t != nil || c.tls == nil {
		return t
	}
	return c.tls.config
}

// certificateOnly reports whether the listener takes clients by their certificates
// alone.
func (c *conn) certificateOnly() bool {
	t := c.asked()
	return t != nil && t.CertificateOnly
}

// takes reports whether the listener takes the principal by what it has proved.
func (c *conn) takes(who auth.Principal) bool {
	switch {
	case !c.certificateOnly():
		return true
	case c.tls == nil:
		return false
	}
	name, ok := c.tls.commonName()
	return ok && who.IsCertified(c.tls.config.ClientCA, name)
}

// reviewCertificate ends a connection that its listener would not accept any
// more: one without TLS, whose client certificate is not good now, whatever it
// has logged in with, or that has not logged in with it where nothing else counts.
// A handshake under way is judged by what it was begun with, and then again.
func (c *conn) reviewCertificate() {
	t := c.asked()
	if t == nil || c.state < stateConnect || c.state >= stateLingering {
		return
	}
	if c.tls == nil {
		c.disconnect(packet.ReasonNotAuthorized, "the listener asks for TLS now")
		return
	}
	shown := c.tls.ConnectionState().PeerCertificates
	until, err := t.Admits(shown, c.loop.worker.Now)
	if err == nil && len(shown) > 0 && t.ClientCA != c.tls.config.ClientCA {
		err = errors.New("the listener knows client certificates by another CA now")
	}
	if err != nil {
		c.server.log.Info("client certificate no longer valid", "client", c.clientID(), "remote", c.remote, "error", err)
		c.disconnect(packet.ReasonNotAuthorized, "the client certificate is no longer valid")
		return
	}
	c.tls.goodUntil(until)
	switch {
	case c.state != stateOpen:
	case c.takes(c.subscriber.Principal()):
		c.lookAgain()
	default:
		c.disconnect(packet.ReasonNotAuthorized, errNotCertified.Error())
	}
}
