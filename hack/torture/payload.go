package main

import (
	"bytes"
	"fmt"
	"strconv"
)

// payload makes the payload of a message: who published it, its number, the size
// of what follows, and filler that can be checked.
func payload(publisher string, seq, size int) []byte {
	b := fmt.Appendf(nil, "%s %d %d ", publisher, seq, size)
	for ; size > len(pattern); size -= len(pattern) {
		b = append(b, pattern...)
	}
	return append(b, pattern[:size]...)
}

var pattern = bytes.Repeat([]byte("abcdefghijklmnopqrstuvwxyz"), 100)

// parsePayload reads what payload has made, and returns false for anything else.
func parsePayload(b []byte) (publisher string, seq int, ok bool) {
	name, b, _ := bytes.Cut(b, []byte(" "))
	number, b, _ := bytes.Cut(b, []byte(" "))
	length, b, _ := bytes.Cut(b, []byte(" "))
	seq, err := strconv.Atoi(string(number))
	size, errSize := strconv.Atoi(string(length))
	if err != nil || errSize != nil || size != len(b) {
		return "", 0, false
	}
	for ; len(b) > len(pattern); b = b[len(pattern):] {
		if !bytes.HasPrefix(b, pattern) {
			return "", 0, false
		}
	}
	return string(name), seq, bytes.HasPrefix(pattern, b)
}
