package server

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// arriving is a connection from an address that nobody serves.
func arriving(addr string) *conn {
	return &conn{remote: netip.MustParseAddrPort(addr)}
}

// displaced takes the connection that makes room first.
func (n *newcomers) displaced() *conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at := n.first(); at != nil {
		return at.conn
	}
	return nil
}

func TestTheCrowdMakesRoomFirst(t *testing.T) {
	n := newNewcomers(100)
	all := map[string]*conn{}
	enter := func(names ...string) {
		for _, name := range names {
			all[name] = arriving("10.0.0." + name[:1] + ":" + name[1:])
			n.enter(all[name])
		}
	}
	enter("11", "21", "12", "22", "13", "31", "14")
	n.step(all["12"]) // has waited least
	n.leave(all["22"])
	for _, want := range []string{"11", "13", "14", "21", "31", "12"} {
		if got := n.displaced(); got != all[want] {
			t.Errorf("%v makes room, want %s", got.remote, want)
		}
	}
	if n.displaced() != nil || n.count != 0 || len(n.addresses) != 0 || len(n.crowds) != 0 {
		t.Errorf("%d newcomers and %d addresses are left", n.count, len(n.addresses))
	}
}

func TestASubnetOfIPv6IsOneAddress(t *testing.T) {
	n := newNewcomers(100)
	alone := arriving("10.0.0.1:1")
	n.enter(alone)
	first := arriving("[2001:db8::1]:1")
	n.enter(first)
	n.enter(arriving("[2001:db8::2]:1"))
	if n.displaced() != first {
		t.Error("two addresses of one network have a share each")
	}
}

func TestTheAddressThatAProxyTellsCounts(t *testing.T) {
	n := newNewcomers(100)
	first, second, alone := arriving("10.0.0.1:1"), arriving("10.0.0.1:2"), arriving("10.0.0.2:1")
	for _, c := range []*conn{first, second, alone} {
		n.enter(c)
	}
	first.remote = netip.MustParseAddrPort("10.0.0.2:2")
	n.step(first)
	if n.displaced() != alone {
		t.Error("the address of the proxy counts")
	}
}

// TestNewcomersAreCounted holds the bookkeeping against a plain list.
func TestNewcomersAreCounted(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	n := newNewcomers(1 << 20)
	var in []*conn // in the order of their last step
	for i := range 20_000 {
		var k int
		if len(in) > 0 {
			k = r.IntN(len(in))
		}
		switch r.IntN(8) {
		case 0, 1, 2, 3:
			c := arriving(fmt.Sprintf("10.0.0.%d:1", r.IntN(20)))
			n.enter(c)
			in = append(in, c)
		case 4:
			if len(in) > 0 {
				n.step(in[k])
				in = append(append(in[:k:k], in[k+1:]...), in[k])
			}
		case 5:
			if len(in) > 0 {
				n.leave(in[k])
				in = append(in[:k:k], in[k+1:]...)
			}
		default:
			k, want := longest(in)
			if got := n.displaced(); got != want {
				t.Fatalf("step %d: another makes room than should", i)
			}
			if want != nil {
				in = append(in[:k:k], in[k+1:]...)
			}
		}
		if n.count != len(in) {
			t.Fatalf("step %d: %d newcomers, want %d", i, n.count, len(in))
		}
	}
}

// longest is the connection that makes room, and where it stands.
func longest(in []*conn) (at int, c *conn) {
	of := map[netip.Addr]int{}
	for _, c := range in {
		of[c.remote.Addr()]++
	}
	for i, other := range in {
		if c == nil || of[other.remote.Addr()] > of[c.remote.Addr()] {
			at, c = i, other
		}
	}
	return at, c
}
