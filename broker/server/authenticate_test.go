package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/auth/password"
	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Another password and its hash, as cheap as that of secret.
const (
	otherSecret = "pässwörd"
	otherHash   = "$7$101$urOneMRoiJXnU7TX$f9pppHzFyAAZWtGPSPewNSQ+bkjXmEIt6JdBi4ecjXBYaxOP52Ob5oRXOcjMr8cUsdvWqgXfWUVXH9QrSGloFA=="
)

// hashes of ann's passwords.
func hashes(all ...string) func(*config.Config) {
	return func(c *config.Config) { c.Access.Users[0].PasswordHashes = all }
}

// refused tries to connect, and returns why that is refused.
func refused(t *testing.T, b *brokertest.Broker, login func(*packet.Connect)) packet.ReasonCode {
	t.Helper()
	c := b.Dial(t, v5)
	c.Send(brokertest.NewConnect("c", login))
	ack := brokertest.Expect[*packet.Connack](c)
	if !ack.Reason.IsError() {
		t.Fatal("the client is admitted")
	}
	return ack.Reason
}

// TestReconnectStormCostsNoHash: clients that were connected are known when they
// all come again.
func TestReconnectStormCostsNoHash(t *testing.T) {
	t.Parallel()
	const clients, people = 60, 6
	b := brokertest.Start(t, users, func(c *config.Config) {
		for i := range people {
			c.Access.Users = append(c.Access.Users, config.User{Username: fmt.Sprint("user", i), PasswordHashes: []string{hash}})
		}
	})
	storm := func() (all []*brokertest.Client) {
		for range clients {
			all = append(all, b.Dial(t, v5))
		}
		for i, c := range all {
			c.Send(brokertest.NewConnect(fmt.Sprint("c", i), brokertest.Login(fmt.Sprint("user", i%people), secret)))
		}
		for i, c := range all {
			if ack := brokertest.Expect[*packet.Connack](c); ack.Reason.IsError() {
				t.Fatalf("client %d: CONNACK with %v", i, ack.Reason)
			}
		}
		return all
	}
	for _, c := range storm() {
		_ = c.Close()
	}
	brokertest.WaitFor(t, "all to be gone", func() bool { return b.Status().Clients == 0 })
	before := b.Logins()
	storm()
	want := before
	want.Remembered += clients
	if got := b.Logins(); got != want {
		t.Errorf("%+v after the storm, want %+v", got, want)
	}
}

// TestRefusalsDoNotWaitForOthers: what can be told without a hash is told while
// others wait for theirs.
func TestRefusalsDoNotWaitForOthers(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, users)
	stale := brokertest.Login("ann", "stale")
	refused(t, b, stale)
	release := b.HoldLogins()
	defer release()
	waits := b.Dial(t, v5)
	waits.Send(brokertest.NewConnect("waits", ann))
	brokertest.WaitFor(t, "a login to wait", func() bool { return b.WaitingLogins() == 1 })
	for name, tc := range map[string]struct {
		login  func(*packet.Connect)
		reason packet.ReasonCode
	}{
		"nobody":                            {func(*packet.Connect) {}, packet.ReasonNotAuthorized},
		"a username alone":                  {func(p *packet.Connect) { p.HasUsername, p.Username = true, []byte("ann") }, packet.ReasonBadUserNameOrPassword},
		"too long a password":               {brokertest.Login("ann", string(make([]byte, password.MaxLength+1))), packet.ReasonBadUserNameOrPassword},
		"a password that is known as wrong": {stale, packet.ReasonBadUserNameOrPassword},
	} {
		if reason := refused(t, b, tc.login); reason != tc.reason {
			t.Errorf("%s: CONNACK with %v, want %v", name, reason, tc.reason)
		}
	}
}

// TestAFleetWithAStalePassword: those who repeat it cost nothing, and keep nobody
// out who comes from their address with a right one.
func TestAFleetWithAStalePassword(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, users)
	const repeats = 200
	for range repeats {
		refused(t, b, brokertest.Login("ann", "stale"))
	}
	b.Connect(t, v5, "a", ann)
	b.Connect(t, v5, "bob-1", brokertest.Login("bob", secret))
	if got, want := b.Logins(), (auth.Stats{Succeeded: 2, Failed: repeats}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestACredentialThatIsRevokedMeanwhileTakesNothingOver: what counts are the rules
// of the moment in which the client is admitted.
func TestACredentialThatIsRevokedMeanwhileTakesNothingOver(t *testing.T) {
	t.Parallel()
	t.Run("while its password waits to be checked", func(t *testing.T) {
		t.Parallel()
		b := brokertest.Start(t, users, hashes(hash, otherHash))
		stays := b.Connect(t, v5, "c", ann)
		release := b.HoldLogins()
		late := b.Dial(t, v5)
		late.Send(brokertest.NewConnect("c", brokertest.Login("ann", otherSecret)))
		brokertest.WaitFor(t, "the login to wait", func() bool { return b.WaitingLogins() == 1 })
		b.MustReload(t, hashes(hash))
		release()
		late.ExpectRefused(packet.ReasonBadUserNameOrPassword)
		stays.Send(&packet.Pingreq{})
		stays.Expect(&packet.Pingresp{})
	})
	t.Run("while it proves itself by SCRAM", func(t *testing.T) {
		t.Parallel()
		b := scramBroker(t, func(u *config.User) { u.PasswordHashes = append(u.PasswordHashes, hash) })
		stays := b.Connect(t, v5, "dev-1", brokertest.Login("dev", secret))
		late := b.Dial(t, v5)
		last := begin(t, late, scramClient(t, "pencil"))
		b.MustReload(t, hashes(hash))
		late.Send(authPacket(packet.ReasonContinueAuthentication, last))
		late.ExpectRefused(packet.ReasonNotAuthorized)
		stays.Send(&packet.Pingreq{})
		stays.Expect(&packet.Pingresp{})
	})
}

// TestWhatIsRefusedIsSampledInTheLog: whoever has no right to anything fills no
// disk.
func TestWhatIsRefusedIsSampledInTheLog(t *testing.T) {
	t.Parallel()
	const long = 50_000
	for what, provoke := range map[string]func(*testing.T, *brokertest.Broker){
		"connection refused": func(t *testing.T, b *brokertest.Broker) {
			t.Helper()
			refused(t, b, brokertest.Login(strings.Repeat("ä", long/2), "x"))
		},
		"protocol error": func(t *testing.T, b *brokertest.Broker) {
			t.Helper()
			c := b.Dial(t, v5)
			c.SendBytes([]byte{0x30, 0}) // a PUBLISH before CONNECT
			c.ExpectClosed()
		},
		"TLS handshake failed": func(t *testing.T, b *brokertest.Broker) {
			t.Helper()
			c := b.DialAt(t, brokertest.TLS, v5)
			c.SendBytes([]byte("no TLS"))
			c.ExpectClosed()
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t, users)
			tries := 0
			brokertest.WaitFor(t, "one that is not logged", func() bool {
				provoke(t, b)
				tries++
				return strings.Count(b.Log(), what) < tries
			})
			if !strings.Contains(b.Log(), what) {
				t.Error("none is logged")
			}
			if n := len(b.Log()); n > tries*long/10 {
				t.Errorf("%d of them take %d bytes of the log", tries, n)
			}
		})
	}
}
