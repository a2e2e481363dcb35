package router

import (
	"testing"
	"unsafe"
)

// Each session costs the memory of a Subscriber, in steps of the allocator: 448
// bytes are one.
func TestASessionIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Subscriber{}); size > 448 {
		t.Errorf("a session takes %d bytes", size)
	}
}
