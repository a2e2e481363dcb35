package server

import (
	"testing"
	"unsafe"
)

// Each idle connection costs the memory of a conn, in steps of the allocator: 384
// bytes are one.
func TestAnIdleConnectionIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(conn{}); size > 384 {
		t.Errorf("a connection takes %d bytes", size)
	}
}

func TestLimitsThatAreTooLargeAreBounded(t *testing.T) {
	for limit, want := range map[int64]int32{0: 0, 5: 5, 1<<31 - 1: 1<<31 - 1, 1 << 31: 1<<31 - 1, 1 << 40: 1<<31 - 1} {
		if got := limit32(limit); got != want {
			t.Errorf("%d becomes %d, want %d", limit, got, want)
		}
	}
}
