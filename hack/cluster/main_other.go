//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "cluster: the local cluster needs Linux; elsewhere use kind and CLUSTER=existing")
	os.Exit(1)
}
