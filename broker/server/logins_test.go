package server

import (
	"fmt"
	"slices"
	"testing"
)

// Usernames take turns, whoever came first.
func TestLoginsOfOneUserDoNotKeepOthersWaiting(t *testing.T) {
	l := newLogins(1)
	began, held, order := make(chan struct{}), make(chan struct{}), make(chan string, 10)
	l.add("first", func() {
		close(began)
		<-held
	})
	<-began
	for _, username := range []string{"a", "a", "a", "b", "c", "b"} {
		l.add(username, func() { order <- username })
	}
	close(held)
	var got []string
	for range 6 {
		got = append(got, <-order)
	}
	if want := []string{"a", "b", "c", "a", "b", "a"}; !slices.Equal(got, want) {
		t.Errorf("in the order %v, want %v", got, want)
	}
}

func TestLoginsAreBounded(t *testing.T) {
	l := newLogins(0) // none runs
	took := func(username string) (n int) {
		for l.add(username, func() {}) {
			n++
		}
		return n
	}
	for i := range maxVerifications / maxVerificationsOfAUser {
		if n := took(fmt.Sprint(i)); n != maxVerificationsOfAUser {
			t.Errorf("%d logins of one user wait, want %d", n, maxVerificationsOfAUser)
		}
	}
	if n := took("another"); n != 0 {
		t.Errorf("%d more wait", n)
	}
	for range maxVerifications {
		l.next()
	}
	if l.waiting+len(l.byUser)+len(l.turns) != 0 {
		t.Errorf("%d wait, of %d users with %d turns", l.waiting, len(l.byUser), len(l.turns))
	}
}
