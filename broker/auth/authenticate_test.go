package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Hashes by mosquitto_passwd with few iterations, so that tests are quick.
const (
	quickPassword = "correct horse"
	quickHash     = "$7$101$nmU2V8AOZ2UUEZU2$O5qZVMsanhb57D5OHC0BGCaIplxWGVikULZcwp8Da6cYBnF6cE4c1OoViPnohqlvC9tb2bKAVUgOkrKyaZigGQ=="
	otherPassword = "pässwörd"
	otherHash     = "$7$101$urOneMRoiJXnU7TX$f9pppHzFyAAZWtGPSPewNSQ+bkjXmEIt6JdBi4ecjXBYaxOP52Ob5oRXOcjMr8cUsdvWqgXfWUVXH9QrSGloFA=="
)

var (
	home      = netip.MustParseAddr("192.0.2.1")
	elsewhere = netip.MustParseAddr("198.51.100.7")
)

func login(username, pass string) Credentials {
	return Credentials{
		ClientID: "dev-1", Username: username, HasUsername: true,
		Password: []byte(pass), HasPassword: true, RemoteAddr: home,
	}
}

func usersConfig(anonymous bool) config.Config {
	return config.Config{
		Settings: config.Settings{Anonymous: anonymous},
		Access: config.Access{Users: []config.User{
			{Username: "plain", PasswordHashes: []string{quickHash}},
			{Username: "rotating", PasswordHashes: []string{otherHash, quickHash}},
			{Username: "bound", PasswordHashes: []string{quickHash}, ClientIDs: []string{"dev-2", "gw-*"}},
			{Username: "cert", CommonName: "device one"},
			{Username: "either", PasswordHashes: []string{quickHash}, CommonName: "device two"},
		}},
	}
}

func TestAuthenticate(t *testing.T) {
	withCert := func(c Credentials, cn string) Credentials { c.CommonName = cn; return c }
	withID := func(c Credentials, id string) Credentials { c.ClientID = id; return c }
	nothing := Credentials{ClientID: "dev-1"}
	for _, tc := range []struct {
		name      string
		anonymous bool
		c         Credentials
		want      string // username, "" if anonymous
		err       error
	}{
		{"right password", false, login("plain", quickPassword), "plain", nil},
		{"wrong password", false, login("plain", "wrong"), "", ErrBadCredentials},
		{"empty password", false, login("plain", ""), "", ErrBadCredentials},
		{"too long a password", false, login("plain", string(make([]byte, 65535))), "", ErrBadCredentials},
		{"unknown user", false, login("nobody", quickPassword), "", ErrBadCredentials},
		{"first of two passwords", false, login("rotating", otherPassword), "rotating", nil},
		{"second of two passwords", false, login("rotating", quickPassword), "rotating", nil},
		{"user without a password", false, login("cert", quickPassword), "", ErrBadCredentials},
		{"username alone", true, Credentials{Username: "plain", HasUsername: true}, "", ErrBadCredentials},
		{"password alone", true, Credentials{Password: []byte(quickPassword), HasPassword: true}, "", ErrBadCredentials},
		{"empty username", true, login("", quickPassword), "", ErrBadCredentials},
		{"wrong password is not anonymous", true, login("plain", "wrong"), "", ErrBadCredentials},
		{"client ID of the user", false, withID(login("bound", quickPassword), "dev-2"), "bound", nil},
		{"client ID by prefix", false, withID(login("bound", quickPassword), "gw-17"), "bound", nil},
		{"client ID of another", false, login("bound", quickPassword), "", ErrClientID},
		{"longer than the client ID", false, withID(login("bound", quickPassword), "dev-22"), "", ErrClientID},
		{"wrong password before client ID", false, login("bound", "wrong"), "", ErrBadCredentials},
		{"certificate", false, withCert(nothing, "device one"), "cert", nil},
		{"certificate and its username", false, withCert(Credentials{Username: "cert", HasUsername: true}, "device one"), "cert", nil},
		{"certificate in place of the password", false, withCert(login("either", "wrong"), "device two"), "either", nil},
		{"certificate and another's username", false, withCert(Credentials{Username: "plain", HasUsername: true}, "device one"), "", ErrBadCredentials},
		{"certificate and another's password", false, withCert(login("plain", quickPassword), "device one"), "plain", nil},
		{"certificate of nobody", false, withCert(nothing, "stranger"), "", ErrAnonymous},
		{"certificate of nobody and a password", false, withCert(login("plain", quickPassword), "stranger"), "plain", nil},
		{"nothing", false, nothing, "", ErrAnonymous},
		{"anonymous", true, nothing, "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := compile(t, usersConfig(tc.anonymous))
			a := NewAuthenticator(Options{})
			p, err := a.Authenticate(s, tc.c)
			if !errors.Is(err, tc.err) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if err != nil {
				if p != (Principal{}) {
					t.Errorf("principal %+v with an error", p)
				}
				return
			}
			if p.Username != tc.want || p.Anonymous != (tc.want == "") || p.ClientID != tc.c.ClientID {
				t.Errorf("principal %+v, want %q", p, tc.want)
			}
			if again, ok := a.Cached(s, tc.c); !ok || again != p {
				t.Errorf("Cached = %+v, %t after success, want %+v", again, ok, p)
			}
			if !s.Valid(p) {
				t.Error("the principal is not valid")
			}
		})
	}
}

func TestErrorsCarryReasonCodes(t *testing.T) {
	for err, want := range map[*Error]packet.ReasonCode{
		ErrBadCredentials: 0x86, ErrThrottled: 0x86, ErrAnonymous: 0x87, ErrClientID: 0x85,
	} {
		if err.Code != want {
			t.Errorf("%v: %v, want %v", err, err.Code, want)
		}
	}
}

func TestCachedNeedsAProvenCredential(t *testing.T) {
	s := compile(t, usersConfig(false))
	a := NewAuthenticator(Options{})
	c := login("plain", quickPassword)
	if _, ok := a.Cached(s, c); ok {
		t.Fatal("cached before any login")
	}
	if _, err := a.Authenticate(s, c); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Credentials{
		"another password":               login("plain", quickPassword+"x"),
		"another user of the same hash":  login("rotating", quickPassword),
		"a user that does not exist":     login("nobody", quickPassword),
		"a client ID that is not theirs": login("bound", quickPassword),
	} {
		if p, ok := a.Cached(s, c); ok {
			t.Errorf("%s: cached as %+v", name, p)
		}
	}
	other := NewAuthenticator(Options{})
	if a.memoryKey(s.users["plain"], 0, c.Password) == other.memoryKey(s.users["plain"], 0, c.Password) {
		t.Error("two processes remember under the same key")
	}
}

// A username that does not exist must not become its decoy.
func TestDecoyIsNeverAdmitted(t *testing.T) {
	s := compile(t, config.Config{Access: config.Access{Users: []config.User{{Username: "plain", PasswordHashes: []string{quickHash}}}}})
	a := NewAuthenticator(Options{})
	if _, err := a.Authenticate(s, login("plain", quickPassword)); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		c := login(fmt.Sprint("nobody", i), quickPassword)
		if _, ok := a.Cached(s, c); ok {
			t.Error("cached")
		}
		if _, err := a.Authenticate(s, c); !errors.Is(err, ErrBadCredentials) {
			t.Errorf("error %v", err)
		}
	}
}

func TestUnknownUsersCostWhatOthersDo(t *testing.T) {
	s := compile(t, usersConfig(false))
	a := NewAuthenticator(Options{})
	decoys := map[*user]bool{}
	for i := range 100 {
		name := fmt.Sprint("nobody", i)
		u, exists := a.candidate(s, name)
		again, _ := a.candidate(s, name)
		if exists || u != again || len(u.PasswordHashes) == 0 {
			t.Fatalf("%s is tried on %+v, then on %+v", name, u, again)
		}
		decoys[u] = true
	}
	if len(decoys) != len(s.passwordUsers) {
		t.Errorf("%d of %d users serve as decoys", len(decoys), len(s.passwordUsers))
	}
	if u, exists := a.candidate(s, "cert"); exists || len(u.PasswordHashes) == 0 {
		t.Error("a user without a password is told apart")
	}
	if u, exists := a.candidate(compile(t, config.Config{}), "nobody"); exists || len(u.PasswordHashes) == 0 {
		t.Error("no work is done where there are no users")
	}
}

func TestStats(t *testing.T) {
	s := compile(t, usersConfig(false))
	a := NewAuthenticator(Options{})
	for _, c := range []Credentials{login("plain", quickPassword), login("plain", quickPassword), login("plain", "x"), login("nobody", "x")} {
		_, _ = a.Authenticate(s, c)
	}
	a.Cached(s, login("plain", quickPassword))
	if got, want := a.Stats(), (Stats{Succeeded: 1, Remembered: 2, Failed: 2}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestValidAfterReload(t *testing.T) {
	a := NewAuthenticator(Options{})
	before := compile(t, usersConfig(true))
	admit := func(c Credentials) Principal {
		p, err := a.Authenticate(before, c)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	plain, rotating := admit(login("plain", quickPassword)), admit(login("rotating", otherPassword))
	cert, anonymous := admit(Credentials{CommonName: "device one"}), admit(Credentials{})
	bound := admit(Credentials{ClientID: "gw-1", Username: "bound", HasUsername: true, Password: []byte(quickPassword), HasPassword: true})

	for _, tc := range []struct {
		name   string
		change func(c *config.Config)
		p      Principal
		want   bool
	}{
		{"unchanged", func(*config.Config) {}, plain, true},
		{"user removed", func(c *config.Config) { c.Access.Users = c.Access.Users[1:] }, plain, false},
		{"another user removed", func(c *config.Config) { c.Access.Users = c.Access.Users[1:] }, rotating, true},
		{"hash replaced", func(c *config.Config) { c.Access.Users[0].PasswordHashes = []string{otherHash} }, plain, false},
		{"hash added", func(c *config.Config) { c.Access.Users[0].PasswordHashes = []string{otherHash, quickHash} }, plain, true},
		{"overlap over", func(c *config.Config) { c.Access.Users[1].PasswordHashes = []string{quickHash} }, rotating, false},
		{"common name replaced", func(c *config.Config) { c.Access.Users[3].CommonName = "device 1" }, cert, false},
		{"common name removed", func(c *config.Config) { c.Access.Users[3].CommonName = "" }, cert, false},
		{"client ID still allowed", func(c *config.Config) { c.Access.Users[2].ClientIDs = []string{"gw-1"} }, bound, true},
		{"client ID not allowed", func(c *config.Config) { c.Access.Users[2].ClientIDs = []string{"dev-2"} }, bound, false},
		{"anonymous still allowed", func(*config.Config) {}, anonymous, true},
		{"anonymous not allowed", func(c *config.Config) { c.Settings.Anonymous = false }, anonymous, false},
		{"without a credential", func(c *config.Config) { c.Access.Users[0].PasswordHashes = nil }, Principal{Username: "plain"}, true},
		{"nobody", func(*config.Config) {}, Principal{}, false},
	} {
		c := usersConfig(true)
		tc.change(&c)
		if got := compile(t, c).Valid(tc.p); got != tc.want {
			t.Errorf("%s: valid is %t", tc.name, got)
		}
	}
}

func TestRotationForgetsTheOldPassword(t *testing.T) {
	a := NewAuthenticator(Options{})
	c := login("plain", quickPassword)
	if _, err := a.Authenticate(compile(t, usersConfig(false)), c); err != nil {
		t.Fatal(err)
	}
	rotated := usersConfig(false)
	rotated.Access.Users[0].PasswordHashes = []string{otherHash}
	s := compile(t, rotated)
	if _, ok := a.Cached(s, c); ok {
		t.Error("the old password is still known")
	}
	if _, err := a.Authenticate(s, c); !errors.Is(err, ErrBadCredentials) {
		t.Errorf("the old password still works: %v", err)
	}
}

func TestConcurrentLogins(t *testing.T) {
	s := compile(t, usersConfig(true))
	a := NewAuthenticator(Options{Remember: 4})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				c := login("plain", quickPassword)
				c.ClientID = fmt.Sprint(i, j)
				p, ok := a.Cached(s, c)
				if !ok {
					p, _ = a.Authenticate(s, c)
				}
				if p.Username != "plain" {
					t.Errorf("not admitted: %+v", p)
				}
				_, _ = a.Authenticate(s, login(fmt.Sprint("nobody", j), "x"))
				s.ACL(p).Publish([]byte("a"))
			}
		})
	}
	wg.Wait()
}

// clock is a time that moves when told.
type clock struct{ at time.Time }

func (c *clock) now() time.Time       { return c.at }
func (c *clock) pass(d time.Duration) { c.at = c.at.Add(d) }

func from(addr netip.Addr, c Credentials) Credentials { c.RemoteAddr = addr; return c }

func TestFailuresOfAUserAreSlowed(t *testing.T) {
	for _, username := range []string{"plain", "nobody"} {
		t.Run(username, func(t *testing.T) {
			s := compile(t, usersConfig(false))
			clk := &clock{time.Now()}
			a := NewAuthenticator(Options{Now: clk.now})
			bad := func(addr netip.Addr) error {
				_, err := a.Authenticate(s, from(addr, login(username, "wrong")))
				return err
			}
			for i := range perUser.burst {
				if err := bad(home); !errors.Is(err, ErrBadCredentials) {
					t.Fatalf("attempt %d: %v", i, err)
				}
			}
			if err := bad(home); !errors.Is(err, ErrThrottled) {
				t.Fatalf("after the burst: %v", err)
			}
			clk.pass(perUser.interval)
			if err := bad(home); !errors.Is(err, ErrBadCredentials) {
				t.Fatalf("after an interval: %v", err)
			}
			if err := bad(home); !errors.Is(err, ErrThrottled) {
				t.Fatalf("second after an interval: %v", err)
			}
		})
	}
}

func TestAnAttackLocksNobodyOutElsewhere(t *testing.T) {
	s := compile(t, usersConfig(false))
	clk := &clock{time.Now()}
	a := NewAuthenticator(Options{Now: clk.now})
	for range 50 {
		_, _ = a.Authenticate(s, from(elsewhere, login("plain", "guess")))
	}
	if _, err := a.Authenticate(s, from(elsewhere, login("plain", quickPassword))); !errors.Is(err, ErrThrottled) {
		t.Fatalf("from the attacker's address: %v", err)
	}
	if _, err := a.Authenticate(s, login("plain", quickPassword)); err != nil {
		t.Fatalf("from another address: %v", err)
	}
	if _, ok := a.Cached(s, from(elsewhere, login("plain", quickPassword))); !ok {
		t.Fatal("a credential that has verified is refused")
	}
	if _, err := a.Authenticate(s, from(elsewhere, login("rotating", quickPassword))); err != nil {
		t.Fatalf("another user from the same address: %v", err)
	}
}

func TestAnAddressIsSlowedWhateverTheUser(t *testing.T) {
	s := compile(t, usersConfig(false))
	clk := &clock{time.Now()}
	a := NewAuthenticator(Options{Now: clk.now})
	for i := range perAddress.burst {
		_, _ = a.Authenticate(s, login(fmt.Sprint("guess", i), "x"))
	}
	if _, err := a.Authenticate(s, login("plain", quickPassword)); !errors.Is(err, ErrThrottled) {
		t.Fatalf("from the address: %v", err)
	}
	if _, err := a.Authenticate(s, from(elsewhere, login("plain", quickPassword))); err != nil {
		t.Fatalf("from another: %v", err)
	}
	clk.pass(perAddress.interval)
	if _, err := a.Authenticate(s, login("rotating", quickPassword)); err != nil {
		t.Fatalf("after an interval: %v", err)
	}
	if got := a.Stats().Throttled; got != 1 {
		t.Errorf("%d throttled", got)
	}
}

func TestSuccessCostsNothing(t *testing.T) {
	s := compile(t, usersConfig(false))
	clk := &clock{time.Now()}
	a := NewAuthenticator(Options{Now: clk.now})
	for range 3 * perAddress.burst {
		a.verified = newMemory(1)
		if _, err := a.Authenticate(s, login("plain", quickPassword)); err != nil {
			t.Fatal(err)
		}
	}
	for name, f := range map[string]*failures{"addresses": a.throttle.addresses, "users": a.throttle.users, "pairs": a.throttle.pairs} {
		if n := len(f.young) + len(f.old); n != 0 {
			t.Errorf("%d %s are kept", n, name)
		}
	}
}

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1",
		"2001:db8::1:2:3:4": "2001:db8::", "fe80::1%eth0": "fe80::",
	} {
		if got := network(netip.MustParseAddr(in)); got != netip.MustParseAddr(want) {
			t.Errorf("network(%s) = %s", in, got)
		}
	}
	if network(netip.Addr{}).IsValid() {
		t.Error("no address became one")
	}
}

func TestTablesAreBounded(t *testing.T) {
	f := newFailures(perUser)
	for i := range uint64(3 * throttleGeneration) {
		f.add(i, time.Second)
	}
	if n := len(f.young) + len(f.old); n > 2*throttleGeneration {
		t.Errorf("%d failures are kept", n)
	}
	m := newMemory(8)
	for i := range 100 {
		m.add([32]byte{byte(i)})
		m.has([32]byte{1}) // stays known while it is used
	}
	if n := len(m.young) + len(m.old); n > 16 || !m.has([32]byte{1}) || m.has([32]byte{2}) {
		t.Errorf("%d credentials are kept, or the wrong ones", n)
	}
}
