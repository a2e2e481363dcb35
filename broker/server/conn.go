package server

import (
	"errors"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-mqtt/godwit/broker/listener"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/router"
)

// connState is how far a connection has come.
type connState uint8

const (
	stateProxy     connState = iota // a PROXY protocol header comes first
	stateHandshake                  // TLS
	stateConnect                    // the next packet has to be CONNECT
	stateExchange                   // CONNECT is answered after an exchange of AUTH
	stateAuth                       // CONNECT is being judged
	stateOpen
	stateLingering // ended by the server, which waits for the client to see it
	stateClosed
)

// conn is a network connection of a client. Its loop owns all fields but the
// atomic ones and those that mu guards, and alone opens, reads and closes it. Any
// loop may write to it.
type conn struct {
	server   *Server
	loop     *loop
	listener *port
	tls      *tlsStream          // nil on a plain connection
	ws       *listener.WebSocket // nil where MQTT is spoken directly
	fd       int

	state    connState
	version  packet.Version
	held     held   // why no packet is handled for the moment
	assigned bool   // the server chose the client identifier
	seen     uint32 // wheel time of the last bytes
	opened   uint32 // wheel time
	patience uint32 // seconds of silence before it ends; 0 is no bound

	limits     connLimits
	subscriber *router.Subscriber // nil before it has a session
	publisher  router.Publisher
	quota      *quota
	rested     time.Duration // for its quota, since the socket was read
	waiting    int32         // answers that wait for a commit
	unanswered int32         // messages of QoS 1 and 2 from the client that are not acknowledged to their end

	part    []byte // the beginning of a packet that is not complete
	want    int32  // its whole size if known, else 0
	brought int32  // bytes that came with the last read

	pending   atomic.Int64 // bytes that wait to be written
	congested atomic.Bool  // messages wait for pending to shrink
	choked    atomic.Bool  // reading waits for pending to shrink
	welcomed  atomic.Bool  // CONNACK was written: messages may follow
	gone      atomic.Bool  // nobody waits for what is computed for it

	mu      sync.Mutex // guards what follows, to fin
	out     outbound
	dirty   bool   // a loop is going to flush it
	blocked bool   // the kernel takes no more: the poller watches for room
	paused  bool   // not read; the loop alone changes it
	ended   bool   // nothing more is written, and fd may be closed
	fin     bool   // the sending side is shut down once out is empty
	blocks  uint32 // how often it was blocked

	end      streamEnd // of what the client sends
	stuck    stuck
	spoke    spoke
	remote   netip.AddrPort
	newcomer *newcomer // nil where it is none
	aliases  []string  // by topic alias, from 1
	enhanced *enhanced
}

// connLimits of a connection, fixed at CONNECT. There is one for each idle
// connection, so they are no larger than they have to be.
type connLimits struct {
	full             int64 // bytes waiting from which on QoS 0 is dropped
	maxPacket        int32 // bytes that it may send in one packet
	maxPacketSent    int32 // bytes that it takes in one packet; 0 is no limit
	maxSubscriptions int32 // 0 is no limit
	maxFilterBytes   int32 // of all subscriptions; 0 is no limit
	receiveMax       int32
	topicAliasMax    uint16
	maxQoS           packet.QoS
	problemInfo      bool // reason strings are welcome [MQTT-3.1.2-29]
}

// limit32 is a limit in the size that connLimits keep it.
func limit32[N int | int64 | uint32](limit N) int32 { return int32(min(int64(limit), math.MaxInt32)) }

// Bytes waiting to be written from which on messages of QoS 1 and 2 wait in the
// session, and below which they go on.
const (
	congestedAbove = 256 << 10
	drainedBelow   = 64 << 10
)

// Congested implements router.Link.
func (c *conn) Congested() bool {
	if !c.welcomed.Load() {
		return true // Resume follows CONNACK
	}
	if c.pending.Load() < congestedAbove {
		return false
	}
	c.congested.Store(true)
	// A flush that ended just before has not seen that, and nobody would call
	// Drained.
	return c.pending.Load() >= drainedBelow
}

// Full implements router.Link.
func (c *conn) Full() bool {
	pending := c.pending.Load()
	return !c.welcomed.Load() || pending > c.limits.full || pending > c.server.queueRoom.Load()
}

// Pending implements router.Link.
func (c *conn) Pending() int64 { return c.pending.Load() }

// Behind implements router.Link.
func (c *conn) Behind() bool { return c.pending.Load() > c.limits.full/4 }

// Write implements router.Link.
func (c *conn) Write(w *router.Worker, frame []byte) {
	c.mu.Lock()
	if !c.ended && !c.fin {
		if c.ws != nil {
			var space [10]byte
			c.out.append(listener.AppendHeader(space[:0], len(frame)))
		}
		c.out.append(frame)
		w.Counts[metrics.PacketsSent]++
		c.touch(w)
	}
	c.mu.Unlock()
}

// touch has c flushed at the end of the round. mu is held.
func (c *conn) touch(w *router.Worker) {
	c.measure()
	if !c.dirty {
		c.dirty = true
		w.Touched = append(w.Touched, c)
	}
}

// measure brings pending up to date. mu is held.
func (c *conn) measure() {
	n := c.out.size
	if c.tls != nil {
		n += c.tls.out.size
	}
	c.pending.Store(int64(n))
}

// Flush implements router.Link.
func (c *conn) Flush(w *router.Worker) {
	c.flush(w)
	if c.choked.Load() && c.pending.Load() < drainedBelow && c.choked.CompareAndSwap(true, false) {
		c.post(func() { c.resume(heldReplies) })
	}
	if c.congested.Load() && c.pending.Load() < drainedBelow && c.congested.CompareAndSwap(true, false) {
		w.Drained(c.subscriber, c)
	}
}

func (c *conn) flush(w *router.Worker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty = false
	if !c.blocked {
		c.writeOut(w)
	}
}

// writeOut writes what waits, as much as the kernel takes. mu is held.
func (c *conn) writeOut(w *router.Worker) {
	if c.ended {
		return
	}
	if c.tls != nil {
		c.tls.seal(&c.out)
		c.writeSocket(w, &c.tls.out)
	} else {
		c.writeSocket(w, &c.out)
	}
	c.measure()
	if c.fin && !c.blocked {
		shutdownSocket(c.fd)
	}
}

func (c *conn) writeSocket(w *router.Worker, o *outbound) {
	var space [32]vector
	for o.size > 0 {
		n, err := writeSocket(c.fd, o.vectors(space[:0]))
		if err != nil {
			c.cannotWrite(err)
			return
		}
		w.Counts[metrics.BytesSent] += uint64(n)
		o.consume(n)
	}
}

// cannotWrite waits for room, or gives up writing; reading then finds the end of
// the connection.
func (c *conn) cannotWrite(err error) {
	if wouldBlock(err) {
		c.blocked = true
		c.blocks++
		c.rewatch()
		return
	}
	c.ended = true
	c.dropOut()
}

func (c *conn) dropOut() {
	c.out.drop()
	if c.tls != nil {
		c.tls.out.drop()
	}
	c.measure()
}

// rewatch tells the poller what c waits for. mu is held.
func (c *conn) rewatch() { _ = c.loop.poller.watch(c.fd, !c.paused, c.blocked) }

// writable goes on after the kernel took no more.
func (c *conn) writable() {
	c.mu.Lock()
	if c.blocked {
		c.blocked = false
		c.rewatch()
	}
	c.mu.Unlock()
	c.Flush(c.loop.worker)
}

// pause stops reading, or goes on with it.
func (c *conn) pause(paused bool) {
	if c.paused == paused || c.state == stateClosed {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = paused
	c.rewatch()
}

// held is a set of reasons for which no packet of a connection is handled.
type held uint8

const (
	heldConnect held = 1 << iota // CONNECT is not answered yet
	heldRest                     // the client has published too much
	heldReplies                  // the client does not read what it is answered
	heldCommits                  // many of its packets wait for a commit
	heldStore                    // its next packet would add to what waits for the store, which is too much
)

// hold stops the handling of packets until every reason is resumed.
func (c *conn) hold(why held) {
	c.held |= why
	c.pause(!c.reads())
}

// resume takes back a reason. With the last one, it handles what has arrived
// since, and goes on reading.
func (c *conn) resume(why held) {
	if c.held&why == 0 {
		return
	}
	if c.held &^= why; c.held != 0 || c.state >= stateLingering {
		c.pause(!c.reads())
		return
	}
	rest := c.part
	c.part = nil
	c.received(rest)
	if c.tls != nil && c.state < stateLingering {
		c.decrypt()
	}
}

// errLater says that a packet was not handled: it is once the connection, which
// is held, goes on.
var errLater = errors.New("the packet is handled later")

// awaitStore holds the connection until the store has what was handed to it. The
// packet that would add to that is handled then.
func (c *conn) awaitStore() error {
	c.loop.worker.Counts[metrics.StoreDelayed]++
	c.hold(heldStore)
	c.loop.worker.CatchUp(func() {
		defer c.recoverPanic()
		c.resume(heldStore)
	})
	return errLater
}

// Kick implements router.Link.
func (c *conn) Kick(reason packet.ReasonCode, why string) {
	c.post(func() { c.disconnect(reason, why) })
}

// post runs f on c's loop, soon.
func (c *conn) post(f func()) {
	c.loop.post(func() {
		defer c.recoverPanic()
		f()
	})
}

// send writes a packet of the server's to the client. One that is larger than
// the client takes ends the connection, for a client that waits for an answer
// that never comes is served worse [MQTT-3.1.2-24].
func (c *conn) send(frame []byte) {
	c.loop.reply = frame
	switch {
	case c.fits(len(frame)):
		c.Write(c.loop.worker, frame)
		c.choke()
	case c.welcomed.Load():
		c.disconnect(packet.ReasonPacketTooLarge, "the answer is larger than the client takes")
	default: // no DISCONNECT before CONNACK [MQTT-3.14.0-1]
		c.linger()
	}
}

func (c *conn) fits(size int) bool {
	return c.limits.maxPacketSent == 0 || size <= int(c.limits.maxPacketSent)
}

// fail ends the connection of a client that broke the protocol: with the reason
// code where its version has one [MQTT-4.13.1-1].
func (c *conn) fail(err error) {
	var broken *packet.Error
	if !errors.As(err, &broken) {
		broken = &packet.Error{Reason: packet.ReasonUnspecifiedError, Detail: err.Error()}
	}
	c.loop.worker.Counts[metrics.ProtocolErrors]++
	c.tellFault("protocol error", err)
	c.disconnect(broken.Reason, broken.Detail)
}

// clientID is the client identifier for the log, empty before there is a session.
func (c *conn) clientID() string {
	if c.subscriber == nil {
		return ""
	}
	return clip(c.subscriber.ClientID, longestName)
}

// disconnect ends the connection, with a DISCONNECT where the client can take
// one.
func (c *conn) disconnect(reason packet.ReasonCode, why string) {
	if c.state >= stateLingering {
		return
	}
	if c.ws != nil {
		c.ws.CloseWith(closeStatus(reason))
	}
	if c.state == stateOpen {
		c.server.metrics.Disconnected(reason.String())
		c.sayGoodBye(reason, why)
	}
	c.linger()
}

// sayGoodBye writes a DISCONNECT, as far as the client takes it.
func (c *conn) sayGoodBye(reason packet.ReasonCode, why string) {
	if c.version != packet.V5 {
		return
	}
	p := packet.Disconnect{Reason: reason}
	if why != "" && c.limits.problemInfo {
		p.Properties.ReasonString = []byte(why)
		p.Properties.Set(packet.PropReasonString)
	}
	c.server.refer(&p.Properties, reason)
	for _, dispensable := range [...]packet.PropertyID{packet.PropReasonString, packet.PropServerReference} {
		if !c.fits(p.Size(c.version)) { // [MQTT-3.14.2-3]
			p.Properties.Unset(dispensable)
		}
	}
	if c.fits(p.Size(c.version)) {
		c.loop.reply = p.Append(c.loop.reply[:0], c.version)
		c.Write(c.loop.worker, c.loop.reply)
	}
}

// linger ends the connection gently: what was written arrives, although the
// client may have sent more than was read.
func (c *conn) linger() {
	c.gone.Store(true)
	if c.state >= stateLingering {
		return
	}
	c.part = nil
	c.leave()
	c.pause(false)
	c.state = stateLingering
	c.loop.wheel.add(c, lingerTimeout)
	if !c.welcomed.Load() && c.newcomer == nil {
		c.server.newcomers.enter(c)
	}
	c.mu.Lock()
	if c.ws != nil && c.ws.IsOpen() {
		c.out.append(c.ws.CloseFrame())
	}
	c.fin = true
	if c.tls != nil {
		c.tls.closeNotify(&c.out)
	}
	if !c.blocked {
		c.writeOut(c.loop.worker)
	}
	c.mu.Unlock()
}

// close ends the connection at once.
func (c *conn) close() {
	c.gone.Store(true)
	if c.state == stateClosed {
		return
	}
	if c.tls != nil && c.tls.abort() {
		return // the handshake's goroutine lets go of it first, and calls back
	}
	defer c.release() // whatever becomes of the session
	c.leave()
}

// release gives back what the connection holds. Nothing uses it any more.
func (c *conn) release() {
	c.state = stateClosed
	c.loop.wheel.remove(c)
	c.part, c.aliases = nil, nil
	c.mu.Lock()
	c.ended = true
	c.dropOut()
	c.mu.Unlock()
	c.server.table.set(c.fd, nil)
	closeSocket(c.fd)
	c.server.newcomers.leave(c)
	c.listener.gone()
	c.loop.worker.Counts[metrics.ConnectionsClosed]++
}

// leave parts the connection from its session, and gives up an exchange that is
// under way. The will of a client that was never told that it is connected is
// deleted (3.1.1: [MQTT-3.1.2-8]).
func (c *conn) leave() {
	c.enhanced.abandon()
	if c.subscriber != nil {
		c.loop.worker.Disconnect(c.subscriber, c, !c.welcomed.Load(), nil)
	}
}
