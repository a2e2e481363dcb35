package server

import (
	"iter"
	"sync/atomic"
)

// table holds the connections by file descriptor. It takes memory for
// descriptors that have been in use, not for all that the process may open. Any
// goroutine may read it; an entry is set by the loop of its connection.
type table struct {
	chunks []atomic.Pointer[tableChunk]
}

type tableChunk [tableChunkSize]atomic.Pointer[conn]

const tableChunkSize = 4096

// newTable returns an empty table for descriptors below size.
func newTable(size int) *table {
	return &table{chunks: make([]atomic.Pointer[tableChunk], (size+tableChunkSize-1)/tableChunkSize)}
}

// size is the bound of the descriptors that have room.
func (t *table) size() int { return len(t.chunks) * tableChunkSize }

// at returns the connection of a descriptor, nil if it has none.
func (t *table) at(fd int) *conn {
	if fd >= t.size() {
		return nil
	}
	if chunk := t.chunks[fd/tableChunkSize].Load(); chunk != nil {
		return chunk[fd%tableChunkSize].Load()
	}
	return nil
}

// set gives a descriptor below size to c, which may be nil.
func (t *table) set(fd int, c *conn) {
	place := &t.chunks[fd/tableChunkSize]
	chunk := place.Load()
	if chunk == nil {
		place.CompareAndSwap(nil, new(tableChunk))
		chunk = place.Load()
	}
	chunk[fd%tableChunkSize].Store(c)
}

// from returns the connections whose descriptor is fd or above, in that order.
func (t *table) from(fd int) iter.Seq2[int, *conn] {
	return func(yield func(int, *conn) bool) {
		for ; fd < t.size(); fd++ {
			chunk := t.chunks[fd/tableChunkSize].Load()
			if chunk == nil {
				fd += tableChunkSize - 1 - fd%tableChunkSize
				continue
			}
			if c := chunk[fd%tableChunkSize].Load(); c != nil && !yield(fd, c) {
				return
			}
		}
	}
}

// all returns every connection.
func (t *table) all() iter.Seq[*conn] {
	return func(yield func(*conn) bool) {
		for _, c := range t.from(0) {
			if !yield(c) {
				return
			}
		}
	}
}
