package bench

import "slices"

// sequence follows the numbers of one stream of messages from one publisher to
// one subscriber. They count up from zero and wrap around.
type sequence struct {
	next    uint32 // the number that comes next if nothing is lost
	missing []span // numbers below next that have not come, in order
	// come has a bit for each number that has come, where they have no order. The
	// other fields mean nothing then.
	come []uint64
}

// newUnordered follows n numbers that come in any order.
func newUnordered(n int) sequence { return sequence{come: make([]uint64, n/64+1)} }

// span is the numbers from first to last.
type span struct{ first, last uint32 }

// maxSpans bounds the memory of what is missing. Beyond it the oldest are
// given up: should they come after all, they count as duplicates.
const maxSpans = 4096

// arrival is what a message is to its sequence.
type arrival int

const (
	inOrder   arrival = iota
	afterGap          // messages before it have not come
	late              // it was missing
	duplicate         // it has come before
)

// accept takes the number of a message that has arrived. gap is how many
// messages before it turn out to be missing.
func (s *sequence) accept(number uint32) (a arrival, gap uint32) {
	if s.come != nil {
		return s.mark(number), 0
	}
	switch ahead := int32(number - s.next); {
	case ahead == 0:
		s.next++
		return inOrder, 0
	case ahead > 0:
		s.miss(span{s.next, number - 1})
		s.next = number + 1
		return afterGap, uint32(ahead)
	case s.fill(number):
		return late, 0
	default:
		return duplicate, 0
	}
}

// mark takes a number that has no place in an order.
func (s *sequence) mark(number uint32) arrival {
	word, bit := int(number/64), uint64(1)<<(number%64)
	if word >= len(s.come) || s.come[word]&bit != 0 {
		return duplicate
	}
	s.come[word] |= bit
	return inOrder
}

func (s *sequence) miss(m span) {
	if len(s.missing) == maxSpans {
		s.missing = slices.Delete(s.missing, 0, 1)
	}
	s.missing = append(s.missing, m)
}

// fill takes a number out of what is missing, and reports whether it was there.
func (s *sequence) fill(number uint32) bool {
	for i, m := range slices.Backward(s.missing) {
		if number-m.first > m.last-m.first {
			continue
		}
		var rest []span
		if m.first != number {
			rest = append(rest, span{m.first, number - 1})
		}
		if m.last != number {
			rest = append(rest, span{number + 1, m.last})
		}
		s.missing = slices.Replace(s.missing, i, i+1, rest...)
		return true
	}
	return false
}
