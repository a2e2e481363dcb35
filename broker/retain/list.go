package retain

import "slices"

// item is a retained message under its topic name.
type item[M any] struct {
	name string
	m    M
}

// chunkMost is the number of items that a chunk holds at most. One with less
// than a quarter of it is joined with its neighbour if both fit into half a
// chunk and more.
const (
	chunkMost = 256
	chunkJoin = chunkMost * 3 / 4
)

// list is a list of items in the order of their names' bytes. It is cut into
// chunks, none of them empty, so that a change moves few items.
type list[M any] struct {
	chunks [][]item[M]
	length int
}

// position is a place in a list, good until the next insertion or removal. At
// the end chunk is the number of chunks.
type position struct{ chunk, item int }

// seek returns the position of the first item whose name is not below name,
// and whether it has that very name.
func seek[M any, N string | []byte](l *list[M], name N) (p position, found bool) {
	p.chunk = chunkOf(l, name)
	if p.chunk == len(l.chunks) {
		return p, false
	}
	p.item, found = searchChunk(l.chunks[p.chunk], name)
	return p, found
}

// chunkOf returns the first chunk whose last name is not below name.
func chunkOf[M any, N string | []byte](l *list[M], name N) int {
	low, high := 0, len(l.chunks)
	for low < high {
		middle := (low + high) / 2
		if c := l.chunks[middle]; c[len(c)-1].name < string(name) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low
}

func searchChunk[M any, N string | []byte](chunk []item[M], name N) (at int, found bool) {
	low, high := 0, len(chunk)
	for low < high {
		middle := (low + high) / 2
		if chunk[middle].name < string(name) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, low < len(chunk) && chunk[low].name == string(name)
}

// at returns the item at p, nil at the end.
func (l *list[M]) at(p position) *item[M] {
	if p.chunk == len(l.chunks) {
		return nil
	}
	return &l.chunks[p.chunk][p.item]
}

// next returns the position behind p, which is not the end.
func (l *list[M]) next(p position) position {
	if p.item++; p.item == len(l.chunks[p.chunk]) {
		return position{chunk: p.chunk + 1}
	}
	return p
}

// insert puts an item to p, where seek did not find its name.
func (l *list[M]) insert(p position, it item[M]) {
	l.length++
	if p.chunk == len(l.chunks) { // behind the last one
		if p.chunk == 0 || len(l.chunks[p.chunk-1]) == chunkMost {
			l.chunks = append(l.chunks, []item[M]{it})
			return
		}
		p.chunk--
		p.item = len(l.chunks[p.chunk])
	}
	if len(l.chunks[p.chunk]) == chunkMost {
		p = l.split(p)
	}
	l.chunks[p.chunk] = slices.Insert(l.chunks[p.chunk], p.item, it)
}

// split cuts the full chunk of p in halves and returns the new place of p.
func (l *list[M]) split(p position) position {
	const half = chunkMost / 2
	full := l.chunks[p.chunk]
	l.chunks = slices.Insert(l.chunks, p.chunk+1, slices.Clone(full[half:]))
	l.chunks[p.chunk] = slices.Clone(full[:half])
	if p.item > half {
		return position{p.chunk + 1, p.item - half}
	}
	return p
}

// remove takes the item at p out.
func (l *list[M]) remove(p position) {
	l.length--
	chunk := slices.Delete(l.chunks[p.chunk], p.item, p.item+1)
	l.chunks[p.chunk] = chunk
	switch {
	case len(chunk) == 0:
		l.chunks = slices.Delete(l.chunks, p.chunk, p.chunk+1)
	case len(chunk) < chunkMost/4:
		l.join(p.chunk)
	}
	if cap(l.chunks) > 64 && len(l.chunks) < cap(l.chunks)/4 {
		l.chunks = slices.Clone(l.chunks)
	}
}

// join unites a chunk with a neighbour if the two are short enough together.
func (l *list[M]) join(chunk int) {
	for _, left := range []int{chunk, chunk - 1} {
		if left < 0 || left+1 == len(l.chunks) {
			continue
		}
		if len(l.chunks[left])+len(l.chunks[left+1]) <= chunkJoin {
			l.chunks[left] = slices.Concat(l.chunks[left], l.chunks[left+1])
			l.chunks = slices.Delete(l.chunks, left+1, left+2)
			return
		}
	}
}

// advance returns the position of the first item behind p whose name is not
// below name. Mostly that is the next one.
func (l *list[M]) advance(p position, name []byte) position {
	p = l.next(p)
	if it := l.at(p); it != nil && it.name < string(name) {
		p, _ = seek(l, name)
	}
	return p
}
