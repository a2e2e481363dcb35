package server

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
)

func addr(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }

// TestLoginsTakeTurns: first what is known and the others, then addresses, then
// usernames, whoever came first.
func TestLoginsTakeTurns(t *testing.T) {
	for _, tc := range []struct {
		name     string
		in, want []string // address and username; in capitals what is known
	}{
		{"usernames of an address", []string{"1a", "1a", "1a", "1b", "1c", "1b"}, []string{"1a", "1b", "1c", "1a", "1b", "1a"}},
		{"addresses", []string{"1a", "1b", "1c", "1d", "2a", "3a"}, []string{"1a", "2a", "3a", "1b", "1c", "1d"}},
		{"addresses with the same username", []string{"1a", "1a", "1a", "2a"}, []string{"1a", "2a", "1a", "1a"}},
		{"what is known", []string{"1a", "1b", "2c", "1X", "1Y", "2Z"}, []string{"1X", "1a", "2Z", "2c", "1Y", "1b"}},
	} {
		l := newLogins(0) // none runs
		var got []string
		for _, in := range tc.in {
			l.add(login{address: addr(int(in[0])), username: in[1:], known: in[1] < 'a', check: func() { got = append(got, in) }})
		}
		for n, ok := l.next(); ok; n, ok = l.next() {
			n.check()
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: in the order %v, want %v", tc.name, got, tc.want)
		}
		if l.waiting()+len(l.known.byUser)+len(l.others.byUser)+len(l.others.byAddress.of) != 0 {
			t.Errorf("%s: something is left of %d addresses", tc.name, len(l.others.byUser))
		}
	}
}

// fill has as many logins wait as may, by addresses and usernames that make tells.
func fill(l *logins, made func(i int) login) (givenUp *int) {
	givenUp = new(int)
	for i := range maxVerifications {
		n := made(i)
		n.giveUp = func() { *givenUp++ }
		if !l.add(n) {
			panic(fmt.Sprintf("login %d is not taken", i))
		}
	}
	return givenUp
}

func TestLoginsAreBounded(t *testing.T) {
	l := newLogins(0)
	for i := range maxVerificationsOfAUser {
		if !l.add(login{address: addr(1), username: "ann"}) {
			t.Fatalf("login %d is not taken", i)
		}
	}
	if l.add(login{address: addr(1), username: "ann"}) {
		t.Error("one username of one address has no bound")
	}
	l = newLogins(0)
	fill(l, func(i int) login { return login{address: addr(1), username: fmt.Sprint(i)} })
	if l.add(login{address: addr(1), username: "one more"}) || l.waiting() != maxVerifications {
		t.Errorf("%d wait", l.waiting())
	}
}

// TestMadeUpUsernamesKeepNobodyOut: an address that fills the queue makes room for
// the others, and for what is known.
func TestMadeUpUsernamesKeepNobodyOut(t *testing.T) {
	l := newLogins(0)
	givenUp := fill(l, func(i int) login { return login{address: addr(1), username: fmt.Sprint(i)} })
	for i := range 100 {
		if !l.add(login{address: addr(2 + i), username: "real"}) {
			t.Fatalf("address %d is kept out by another", i)
		}
	}
	if !l.add(login{address: addr(1), username: "known", known: true}) {
		t.Error("who was here before is kept out by who was not")
	}
	if *givenUp != 101 || l.waiting() != maxVerifications {
		t.Errorf("%d were given up, and %d wait", *givenUp, l.waiting())
	}
	for i := range 202 {
		n, _ := l.next()
		if i == 0 && n.username != "known" {
			t.Errorf("the first is %q, not who was here before", n.username)
		}
	}
	if l.others.byUser[addr(101)] != nil {
		t.Error("an address with one login waits behind one with thousands")
	}
}

// TestEqualAddressesDisplaceNobody: there is nothing to be gained by going on.
func TestEqualAddressesDisplaceNobody(t *testing.T) {
	l := newLogins(0)
	givenUp := fill(l, func(i int) login { return login{address: addr(i), username: "u"} })
	if l.add(login{address: addr(5000), username: "u"}) || *givenUp != 0 {
		t.Errorf("%d were given up", *givenUp)
	}
	for range maxVerifications {
		l.next()
	}
	known := fill(l, func(i int) login { return login{address: addr(i), username: "u", known: true} })
	if l.add(login{address: addr(5000), username: "u"}) || *known != 0 {
		t.Errorf("%d that are known made room for one that is not", *known)
	}
}
