package bench

import "math/bits"

// Histogram counts durations in buckets that are at most 1/128 of their value
// wide, from a nanosecond to centuries. Its zero value is empty.
type Histogram struct {
	counts [(64 - subBits) << subBits]uint64
	total  uint64
	max    int64
}

// subBits is the binary logarithm of the number of buckets for each power of
// two.
const subBits = 7

// Record adds a duration in nanoseconds; a negative one counts as zero.
func (h *Histogram) Record(ns int64) {
	ns = max(ns, 0)
	h.counts[bucketOf(ns)]++
	h.total++
	h.max = max(h.max, ns)
}

// Total is the number of durations recorded.
func (h *Histogram) Total() uint64 { return h.total }

// Max is the longest duration, in nanoseconds.
func (h *Histogram) Max() int64 { return h.max }

// Quantile returns the duration, in nanoseconds, that the fraction q of all
// durations does not exceed. It errs upwards, by less than 1/128.
func (h *Histogram) Quantile(q float64) int64 {
	rank := uint64(q * float64(h.total))
	var seen uint64
	for i, n := range &h.counts {
		if seen += n; n > 0 && seen > rank {
			return min(bucketEnd(i), h.max)
		}
	}
	return h.max
}

// Since returns the durations that were recorded after earlier, a copy of h, was
// made. The longest among them is known to the bucket only.
func (h *Histogram) Since(earlier *Histogram) *Histogram {
	d := &Histogram{total: h.total - earlier.total}
	for i := range h.counts {
		if d.counts[i] = h.counts[i] - earlier.counts[i]; d.counts[i] > 0 {
			d.max = min(bucketEnd(i), h.max)
		}
	}
	return d
}

// bucketOf numbers the buckets by rising value. Below 1<<subBits each value has
// its own.
func bucketOf(ns int64) int {
	if ns < 1<<subBits {
		return int(ns)
	}
	shift := bits.Len64(uint64(ns)) - 1 - subBits
	return (shift+1)<<subBits + int(ns>>shift)&(1<<subBits-1)
}

// bucketEnd is the largest value in bucket i.
func bucketEnd(i int) int64 {
	if i < 1<<subBits {
		return int64(i)
	}
	shift := i>>subBits - 1
	first := int64(1<<subBits+i&(1<<subBits-1)) << shift
	return first + (1<<shift - 1)
}
