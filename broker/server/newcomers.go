package server

import (
	"container/heap"
	"container/list"
	"net/netip"
	"sync"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/metrics"
)

// newcomers are the connections that wait for their client to go on, and have not
// come past CONNECT: those that are before it, and those that were refused and
// that the client has not closed. Their number is bounded. Where one more comes,
// the one that has waited longest ends, of the address that has most of them: who
// fills the place displaces itself first. Any goroutine may use them.
type newcomers struct {
	most int

	mu        sync.Mutex // a leaf
	count     int
	held      int    // bytes, of all
	turn      uint64 // of the last step
	addresses map[netip.Addr]*neighbours
	crowds    crowds // the neighbours that make room first
}

// newcomer is the place of a connection among the newcomers. It is guarded by
// their mu.
type newcomer struct {
	conn  *conn
	since uint64 // turn of its last step
	held  int    // bytes of what has arrived
	near  *neighbours
	place *list.Element // in near; nil once it has left
}

// neighbours are the newcomers of one address, the longest waiting first.
type neighbours struct {
	addr    netip.Addr
	waiting list.List // of *newcomer
	index   int       // in crowds
}

func newNewcomers(most int) *newcomers {
	return &newcomers{most: most, addresses: map[netip.Addr]*neighbours{}}
}

// enter adds c, which was not among them or has left. Another makes room if need
// be.
func (n *newcomers) enter(c *conn) {
	n.mu.Lock()
	var leaving *newcomer
	if n.count >= n.most {
		leaving = n.first()
	}
	c.newcomer = &newcomer{conn: c}
	n.put(c.newcomer, auth.Network(c.remote.Addr()))
	n.mu.Unlock()
	if leaving != nil {
		leaving.conn.makeRoom()
	}
}

// makeRoom ends the connection whose turn it is, and reports whether there was
// one.
func (n *newcomers) makeRoom() bool {
	n.mu.Lock()
	leaving := n.first()
	n.mu.Unlock()
	if leaving == nil {
		return false
	}
	leaving.conn.makeRoom()
	return true
}

// step notes that the client of c has gone on, and its address as it is known
// now.
func (n *newcomers) step(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at := c.newcomer; at != nil && at.place != nil {
		n.remove(at)
		n.put(at, auth.Network(c.remote.Addr()))
	}
}

// leave forgets c, which may not be among them.
func (n *newcomers) leave(c *conn) {
	if c.newcomer == nil {
		return
	}
	n.mu.Lock()
	if c.newcomer.place != nil {
		n.remove(c.newcomer)
	}
	n.mu.Unlock()
	c.newcomer = nil
}

// maxHeld bounds the bytes of packets, and of TLS records, that newcomers have
// begun, beyond minGather of each.
const maxHeld = 32 << 20

// hold notes that a newcomer holds so many bytes of what has arrived. It reports
// false where that is too much, for all of them together.
func (n *newcomers) hold(at *newcomer, bytes int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at.place == nil {
		return true
	}
	n.held += bytes - at.held
	at.held = bytes
	return n.held <= maxHeld
}

// first removes the newcomer that makes room first; nil if there is none. mu is
// held, as it is for put and remove.
func (n *newcomers) first() *newcomer {
	if len(n.crowds) == 0 {
		return nil
	}
	at := n.crowds[0].waiting.Front().Value.(*newcomer)
	n.remove(at)
	return at
}

func (n *newcomers) put(at *newcomer, addr netip.Addr) {
	near := n.addresses[addr]
	if near == nil {
		near = &neighbours{addr: addr}
		n.addresses[addr] = near
	}
	n.count++
	n.held += at.held
	n.turn++
	at.since, at.near, at.place = n.turn, near, near.waiting.PushBack(at)
	if near.waiting.Len() == 1 {
		heap.Push(&n.crowds, near)
	} else {
		heap.Fix(&n.crowds, near.index)
	}
}

func (n *newcomers) remove(at *newcomer) {
	near := at.near
	n.count--
	n.held -= at.held
	near.waiting.Remove(at.place)
	at.place = nil
	if near.waiting.Len() > 0 {
		heap.Fix(&n.crowds, near.index)
		return
	}
	heap.Remove(&n.crowds, near.index)
	delete(n.addresses, near.addr)
}

// crowds is a heap of neighbours, as container/heap has it: the most numerous
// first, and of those the one whose first newcomer has waited longest.
type crowds []*neighbours

func (c crowds) Len() int { return len(c) }

func (c crowds) Less(i, j int) bool {
	a, b := &c[i].waiting, &c[j].waiting
	if a.Len() != b.Len() {
		return a.Len() > b.Len()
	}
	return a.Front().Value.(*newcomer).since < b.Front().Value.(*newcomer).since
}

func (c crowds) Swap(i, j int) {
	c[i], c[j] = c[j], c[i]
	c[i].index, c[j].index = i, j
}

func (c *crowds) Push(x any) {
	near := x.(*neighbours)
	near.index = len(*c)
	*c = append(*c, near)
}

func (c *crowds) Pop() any {
	last := len(*c) - 1
	near := (*c)[last]
	(*c)[last] = nil
	*c = (*c)[:last]
	return near
}

// makeRoom ends c for another newcomer, unless its client has gone on meanwhile.
// Any goroutine may call it.
func (c *conn) makeRoom() {
	c.post(func() {
		if c.state >= stateAuth && c.state != stateLingering {
			return
		}
		c.giveWay()
	})
}

// weigh ends c where newcomers hold too much of what has arrived.
func (c *conn) weigh() {
	if c.newcomer == nil {
		return
	}
	n := cap(c.part)
	if c.tls != nil {
		n += c.tls.buffered()
	}
	if (n > minGather || c.newcomer.held > 0) && !c.server.newcomers.hold(c.newcomer, n) {
		c.giveWay()
	}
}

// giveWay ends c for other newcomers.
func (c *conn) giveWay() {
	c.loop.worker.Counts[metrics.ConnectionsDisplaced]++
	c.tellDisplaced()
	c.close()
}
