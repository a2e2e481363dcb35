//go:build !linux

package server

// keepThread does nothing where threads have no priority of their own.
func keepThread() {}
