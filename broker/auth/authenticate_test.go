package auth

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
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
	withCert := func(c Credentials, cn string) Credentials { c.HasCertificate, c.CommonName = true, cn; return c }
	only := func(c Credentials) Credentials { c.CertificateOnly = true; return c }
	sdk := Credentials{ClientID: "dev-1", Username: "?SDK=Python&Version=1.4.8", HasUsername: true}
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
		{"certificate and a username that is nobody's", false, withCert(sdk, "device one"), "", ErrBadCredentials},
		{"certificate alone and a username that is nobody's", false, only(withCert(sdk, "device one")), "cert", nil},
		{"certificate alone and another's password", false, only(withCert(login("plain", quickPassword), "device one")), "cert", nil},
		{"certificate of nobody alone and a password", true, only(withCert(login("plain", quickPassword), "stranger")), "", ErrCertificate},
		{"certificate of nobody alone", true, only(withCert(nothing, "stranger")), "", ErrCertificate},
		{"no certificate where it counts alone", true, only(login("plain", quickPassword)), "", ErrCertificate},
		{"certificate of nobody", false, withCert(nothing, "stranger"), "", ErrCertificate},
		{"certificate of nobody is not anonymous", true, withCert(nothing, "stranger"), "", ErrCertificate},
		{"certificate without a common name is not anonymous", true, withCert(nothing, ""), "", ErrCertificate},
		{"certificate of nobody and a username alone", true, withCert(sdk, "stranger"), "", ErrBadCredentials},
		{"certificate of nobody and a wrong password", true, withCert(login("plain", "wrong"), "stranger"), "", ErrBadCredentials},
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
			if again, decided, err := a.Cached(s, tc.c); !decided || again != p || err != nil {
				t.Errorf("Cached = %+v, %t, %v after success, want %+v", again, decided, err, p)
			}
			if !s.Valid(p) {
				t.Error("the principal is not valid")
			}
		})
	}
}

func TestErrorsCarryReasonCodes(t *testing.T) {
	for err, want := range map[*Error]packet.ReasonCode{
		ErrBadCredentials: 0x86, ErrThrottled: 0x86, ErrBusy: 0x89, ErrAnonymous: 0x87, ErrClientID: 0x85,
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
	if _, decided, _ := a.Cached(s, c); decided {
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
		if p, decided, _ := a.Cached(s, c); decided {
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
		if _, decided, _ := a.Cached(s, c); decided {
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
		u, exists := s.candidate(a.key, name)
		again, _ := s.candidate(a.key, name)
		if exists || u != again || len(u.PasswordHashes) == 0 {
			t.Fatalf("%s is tried on %+v, then on %+v", name, u, again)
		}
		decoys[u] = true
	}
	if len(decoys) != len(s.passwordUsers) {
		t.Errorf("%d of %d users serve as decoys", len(decoys), len(s.passwordUsers))
	}
	if u, exists := s.candidate(a.key, "cert"); exists || len(u.PasswordHashes) == 0 {
		t.Error("a user without a password is told apart")
	}
	if u, exists := compile(t, config.Config{}).candidate(a.key, "nobody"); exists || len(u.PasswordHashes) == 0 {
		t.Error("no work is done where there are no users")
	}
}

// firmwareNames are usernames that firmware dictates.
var firmwareNames = []string{
	"48:e1:e9:12:34:56", "vhost:user", "hub/dev/?api-version=1", "with spaces", " ", "größe", "日本", "a+b", "a#b", "$SYS",
	"%u", "%c", "(other)", strings.Repeat("x", 200),
}

// TestUsernamesThatFirmwareDictates are users like others. %u never stands for one
// that holds a separator or a wildcard, nor for one that begins with '$' where it
// begins a topic.
//
//api:semantics 2
func TestUsernamesThatFirmwareDictates(t *testing.T) {
	access := config.Access{Policies: []config.Policy{{Source: "iot/all", Authenticated: true, Rules: []config.Rule{
		{Effect: config.Allow, Actions: []config.Action{config.ActionAll}, Topics: []string{"%u/x", "t/%u/#"}},
	}}}}
	for _, name := range firmwareNames {
		access.Users = append(access.Users, config.User{Username: name, PasswordHashes: []string{quickHash}})
	}
	s, a := compile(t, config.Config{Access: access}), NewAuthenticator(Options{})
	for _, name := range firmwareNames {
		p, err := a.Authenticate(s, login(name, quickPassword))
		if err != nil || p.Username != name {
			t.Errorf("%q: %+v, %v", name, p, err)
			continue
		}
		acl, plain := s.ACL(p), !strings.ContainsAny(name, "/+#")
		for topic, want := range map[string]bool{
			name + "/x":        plain && name[0] != '$',
			"t/" + name + "/y": plain,
			"t/other/y":        false,
		} {
			if got := acl.Publish([]byte(topic)).Allowed; got != want {
				t.Errorf("%q may publish %q: %t, want %t", name, topic, got, want)
			}
			if got, _ := acl.Subscribe(topic); got != want && !strings.ContainsAny(topic, "+#") {
				t.Errorf("%q may subscribe to %q: %t, want %t", name, topic, got, want)
			}
		}
	}
}

func TestStats(t *testing.T) {
	s := compile(t, usersConfig(false))
	a := NewAuthenticator(Options{})
	for _, c := range []Credentials{login("plain", quickPassword), login("plain", quickPassword), login("plain", "x"), login("nobody", "x")} {
		_, _ = a.Authenticate(s, c)
	}
	_, _, _ = a.Cached(s, login("plain", quickPassword))
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
	cert, anonymous := admit(Credentials{HasCertificate: true, CommonName: "device one"}), admit(Credentials{})
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
	if _, decided, _ := a.Cached(s, c); decided {
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
				p, decided, _ := a.Cached(s, c)
				if !decided {
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
			guesses := 0
			bad := func(addr netip.Addr) error {
				guesses++
				_, err := a.Authenticate(s, from(addr, login(username, fmt.Sprint("guess", guesses))))
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
	for i := range 50 {
		_, _ = a.Authenticate(s, from(elsewhere, login("plain", fmt.Sprint("guess", i))))
	}
	if _, err := a.Authenticate(s, from(elsewhere, login("plain", quickPassword))); !errors.Is(err, ErrThrottled) {
		t.Fatalf("from the attacker's address: %v", err)
	}
	if _, err := a.Authenticate(s, login("plain", quickPassword)); err != nil {
		t.Fatalf("from another address: %v", err)
	}
	if _, _, err := a.Cached(s, from(elsewhere, login("plain", quickPassword))); err != nil {
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
		if n := len(f.young) + len(f.old) + len(f.began); n != 0 {
			t.Errorf("%d %s are kept", n, name)
		}
	}
}

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1",
		"2001:db8::1:2:3:4": "2001:db8::", "fe80::1%eth0": "fe80::",
	} {
		if got := Network(netip.MustParseAddr(in)); got != netip.MustParseAddr(want) {
			t.Errorf("Network(%s) = %s", in, got)
		}
	}
	if Network(netip.Addr{}).IsValid() {
		t.Error("no address became one")
	}
}

// What is under way together is looked at, and paid for: over time nobody has more
// guesses than one after the other.
func TestGuessesAtOnceGainLittle(t *testing.T) {
	for name, tc := range map[string]struct {
		allowance
		username func(i int) string
	}{
		"at a user":        {perUser, func(int) string { return "plain" }},
		"from one address": {perAddress, func(i int) string { return fmt.Sprint("user", i) }},
	} {
		t.Run(name, func(t *testing.T) {
			clk := &clock{time.Now()}
			th := newThrottle(clk.now)
			looked := 0
			const rounds = 1000
			for range rounds {
				var underWay []attempt
				for {
					at, err := th.admit(home, tc.username(looked))
					if err != nil {
						break
					}
					underWay = append(underWay, at)
					looked++
				}
				for _, at := range underWay {
					th.end(at, true)
				}
				clk.pass(tc.interval)
			}
			if most := tc.burst + tc.underWay + rounds; looked > most || looked < rounds {
				t.Errorf("%d guesses are looked at, want %d at most", looked, most)
			}
			if n := len(th.users.began) + len(th.pairs.began) + len(th.addresses.began); n > 0 {
				t.Errorf("%d are under way for ever", n)
			}
		})
	}
}

func TestAttemptsUnderWayAreNoFailures(t *testing.T) {
	th := newThrottle((&clock{time.Now()}).now)
	var underWay []attempt
	begin := func(addr netip.Addr) error {
		at, err := th.admit(addr, "plain")
		if err == nil {
			underWay = append(underWay, at)
		}
		return err
	}
	for i := range perUser.underWay {
		if err := begin(home); err != nil {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	if err := begin(home); !errors.Is(err, ErrBusy) {
		t.Errorf("one more from the address: %v", err)
	}
	if err := begin(elsewhere); err != nil {
		t.Errorf("one from another address: %v", err)
	}
	if err := begin(elsewhere); !errors.Is(err, ErrBusy) {
		t.Errorf("a second one from there: %v", err)
	}
	for _, at := range underWay {
		th.end(at, false)
	}
	if err := begin(home); err != nil {
		t.Errorf("once they have succeeded: %v", err)
	}
}

// A repeat of what was wrong guesses nothing, whoever repeats it, and whether or
// not there is such a user.
func TestAWrongCredentialIsHashedOnce(t *testing.T) {
	for _, username := range []string{"plain", "rotating", "cert", "nobody"} {
		t.Run(username, func(t *testing.T) {
			s := compile(t, usersConfig(false))
			a := NewAuthenticator(Options{Now: (&clock{time.Now()}).now})
			stale := login(username, "stale")
			if _, err := a.Authenticate(s, stale); !errors.Is(err, ErrBadCredentials) {
				t.Fatal(err)
			}
			const repeats = 500
			for i := range repeats {
				addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
				if _, decided, err := a.Cached(s, from(addr, stale)); !decided || !errors.Is(err, ErrBadCredentials) {
					t.Fatalf("repeat %d: %t, %v", i, decided, err)
				}
			}
			for i := range perUser.burst - 1 {
				if _, err := a.Authenticate(s, login(username, fmt.Sprint("guess", i))); !errors.Is(err, ErrBadCredentials) {
					t.Fatalf("guess %d: %v", i, err)
				}
			}
			if _, decided, err := a.Cached(s, login(username, "another")); !decided || !errors.Is(err, ErrThrottled) {
				t.Errorf("after too many failures: %t, %v", decided, err)
			}
			if got, want := a.Stats(), (Stats{Failed: repeats + uint64(perUser.burst), Throttled: 1}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

func TestAWrongCredentialIsLookedAtAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		c      Credentials
		change func(*config.Config)
		want   error
	}{
		"when the hash is replaced": {
			login("plain", otherPassword),
			func(c *config.Config) { c.Access.Users[0].PasswordHashes = []string{otherHash} }, nil,
		},
		"when a hash is added": {
			login("plain", otherPassword),
			func(c *config.Config) { c.Access.Users[0].PasswordHashes = []string{quickHash, otherHash} }, nil,
		},
		"when the user comes, with a hash that others have": {
			login("nobody", quickPassword),
			func(c *config.Config) {
				c.Access.Users = append(c.Access.Users, config.User{Username: "nobody", PasswordHashes: []string{quickHash}})
			}, nil,
		},
		"when the user has a password at last": {
			login("cert", quickPassword),
			func(c *config.Config) { c.Access.Users[3].PasswordHashes = []string{quickHash} }, nil,
		},
		"with another user": {
			login("rotating", "stale"), func(*config.Config) {}, ErrBadCredentials,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := config.Config{Access: config.Access{Users: []config.User{
				{Username: "plain", PasswordHashes: []string{quickHash}},
				{Username: "rotating", PasswordHashes: []string{quickHash}},
				{Username: "bound", PasswordHashes: []string{quickHash}},
				{Username: "cert", CommonName: "device one"},
			}}}
			a := NewAuthenticator(Options{})
			for _, wrong := range []Credentials{tc.c, login("plain", "stale")} {
				if wrong.Username == "rotating" {
					continue
				}
				if _, err := a.Authenticate(compile(t, c), wrong); !errors.Is(err, ErrBadCredentials) {
					t.Fatal(err)
				}
			}
			tc.change(&c)
			s := compile(t, c)
			if _, decided, err := a.Cached(s, tc.c); decided {
				t.Fatalf("decided: %v", err)
			}
			if _, err := a.Authenticate(s, tc.c); !errors.Is(err, tc.want) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
		})
	}
}

// That others come and go tells nobody which users there are.
func TestAWrongCredentialOfNobodyOutlivesReloads(t *testing.T) {
	var c config.Config
	for i := range 50 {
		c.Access.Users = append(c.Access.Users, config.User{Username: fmt.Sprint("dev", i), PasswordHashes: []string{quickHash, otherHash}[i%2 : i%2+1]})
	}
	before := compile(t, c)
	c.Access.Users = append(c.Access.Users, config.User{Username: "one more", PasswordHashes: []string{quickHash}})
	after := compile(t, c)
	a := NewAuthenticator(Options{})
	const names = 100
	same := 0
	for i := range names {
		u, _ := before.candidate(a.key, fmt.Sprint("nobody", i))
		again, _ := after.candidate(a.key, fmt.Sprint("nobody", i))
		if u.Username == again.Username {
			same++
		}
	}
	if same < names*3/4 {
		t.Errorf("%d of %d names have the decoy that they had", same, names)
	}
}

// Nothing is computed, and nobody waits, for what can be told at once.
func TestCachedRefuses(t *testing.T) {
	s := compile(t, usersConfig(false))
	a := NewAuthenticator(Options{})
	bound := login("bound", quickPassword)
	bound.ClientID = "dev-2"
	if _, err := a.Authenticate(s, bound); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		c    Credentials
		want error
	}{
		"nothing":                         {Credentials{}, ErrAnonymous},
		"a username alone":                {Credentials{Username: "plain", HasUsername: true}, ErrBadCredentials},
		"too long a password":             {login("plain", string(make([]byte, 1025))), ErrBadCredentials},
		"another's client ID, once right": {login("bound", quickPassword), ErrClientID},
	} {
		if _, decided, err := a.Cached(s, tc.c); !decided || !errors.Is(err, tc.want) {
			t.Errorf("%s: %t, %v, want %v", name, decided, err, tc.want)
		}
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

// TestKnows: a username is known from the address that it has logged in from, with
// whatever password it comes.
func TestKnows(t *testing.T) {
	a, s := NewAuthenticator(Options{}), compile(t, usersConfig(false))
	from := func(c Credentials, addr netip.Addr) Credentials { c.RemoteAddr = addr; return c }
	right := login("plain", quickPassword)
	wrong := login("rotating", "wrong")
	if a.Knows(right) {
		t.Error("known before it has logged in")
	}
	_, _ = a.Authenticate(s, right)
	_, _ = a.Authenticate(s, wrong)
	if _, decided, err := a.Cached(s, from(right, elsewhere)); !decided || err != nil {
		t.Fatalf("a password that is right: %v", err)
	}
	for _, tc := range []struct {
		name string
		c    Credentials
		want bool
	}{
		{"who has logged in", right, true},
		{"with another password", login("plain", "another"), true},
		{"from where its password was remembered", from(login("plain", "another"), elsewhere), true},
		{"from another address", from(right, netip.MustParseAddr("203.0.113.9")), false},
		{"another user from there", login("either", quickPassword), false},
		{"who has failed", wrong, false},
	} {
		if got := a.Knows(tc.c); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
