package bench

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestHistogramQuantilesAreWithinABucket(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	var all []int64
	for range 20000 {
		ns := random.Int64N(int64(1) << (1 + random.IntN(40)))
		h.Record(ns)
		all = append(all, ns)
	}
	slices.Sort(all)
	for _, q := range []float64{0, .1, .5, .9, .99, .999} {
		exact := all[int(q*float64(len(all)))]
		if got := h.Quantile(q); got < exact || float64(got) > float64(exact)*(1+1.0/128)+1 {
			t.Errorf("quantile %v is %d, and exactly %d", q, got, exact)
		}
	}
	if h.Quantile(1) != all[len(all)-1] || h.Max() != all[len(all)-1] || h.Total() != 20000 {
		t.Errorf("max %d, total %d", h.Max(), h.Total())
	}
}

func TestHistogramBucketsFollowEachOther(t *testing.T) {
	var h Histogram
	for i := range len(h.counts) - 1 {
		if end := bucketEnd(i); bucketOf(end) != i || bucketOf(end+1) != i+1 {
			t.Fatalf("bucket %d ends at %d, which is in %d, and the next value in %d", i, end, bucketOf(end), bucketOf(end+1))
		}
	}
	if last := len(h.counts) - 1; bucketOf(1<<63-1) != last {
		t.Errorf("the largest value is in bucket %d, not %d", bucketOf(1<<63-1), last)
	}
}

func TestHistogramOfNothingAndOfNegatives(t *testing.T) {
	var h Histogram
	if h.Quantile(.5) != 0 || h.Quantile(1) != 0 {
		t.Error("an empty histogram has quantiles")
	}
	h.Record(-5)
	if h.Total() != 1 || h.Max() != 0 {
		t.Errorf("total %d, max %d", h.Total(), h.Max())
	}
}

func TestHistogramSinceHoldsWhatCameLater(t *testing.T) {
	var h Histogram
	h.Record(1e9)
	earlier := h
	h.Record(1000)
	h.Record(2000)
	if d := h.Since(&earlier); d.Total() != 2 || d.Max() < 2000 || d.Max() > 2020 {
		t.Errorf("total %d, max %d", d.Total(), d.Max())
	}
}
