package server

import "sync"

// outbound holds the bytes that wait to be written to one connection, in pooled
// chunks. It holds none while nothing waits.
type outbound struct {
	head, tail *chunk
	size       int
}

type chunk struct {
	next       *chunk
	start, end int // what of buf is still to be written
	class      int
	buf        []byte
}

// chunkSizes grow within one outbound: a reply needs little, a burst much.
var chunkSizes = [...]int{2 << 10, 16 << 10, 64 << 10}

var chunks = [len(chunkSizes)]sync.Pool{}

func newChunk(class int) *chunk {
	if c, _ := chunks[class].Get().(*chunk); c != nil {
		return c
	}
	return &chunk{class: class, buf: make([]byte, chunkSizes[class])}
}

func (c *chunk) release() {
	c.next, c.start, c.end = nil, 0, 0
	chunks[c.class].Put(c)
}

// append copies b behind what waits.
func (o *outbound) append(b []byte) {
	o.size += len(b)
	for len(b) > 0 {
		if o.tail == nil || o.tail.end == len(o.tail.buf) {
			o.extend(len(b))
		}
		n := copy(o.tail.buf[o.tail.end:], b)
		o.tail.end += n
		b = b[n:]
	}
}

func (o *outbound) extend(need int) {
	class := 0
	if o.tail != nil {
		class = min(o.tail.class+1, len(chunkSizes)-1)
	}
	for class < len(chunkSizes)-1 && chunkSizes[class] < need {
		class++
	}
	c := newChunk(class)
	if o.tail == nil {
		o.head = c
	} else {
		o.tail.next = c
	}
	o.tail = c
}

// vectors describes the first chunks for one write.
func (o *outbound) vectors(v []vector) []vector {
	for c := o.head; c != nil && len(v) < cap(v); c = c.next {
		v = append(v, vectorOf(c.buf[c.start:c.end]))
	}
	return v
}

// first is the front of what waits, empty if nothing does.
func (o *outbound) first() []byte {
	if o.head == nil {
		return nil
	}
	return o.head.buf[o.head.start:o.head.end]
}

// consume forgets the first n bytes.
func (o *outbound) consume(n int) {
	o.size -= n
	for n > 0 || o.head != nil && o.head.start == o.head.end {
		c := o.head
		k := min(n, c.end-c.start)
		c.start += k
		n -= k
		if c.start < c.end {
			return
		}
		if o.head = c.next; o.head == nil {
			o.tail = nil
		}
		c.release()
	}
}

// drop forgets everything.
func (o *outbound) drop() { o.consume(o.size) }
