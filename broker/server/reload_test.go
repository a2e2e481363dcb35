package server_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/server"
)

// served returns the serial number of the certificate that new clients see.
func served(t *testing.T, b *brokertest.Broker) string {
	t.Helper()
	c := b.DialTLS(t, v5)
	defer func() { _ = c.Close() }()
	return c.Conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func TestCertificateIsSwapped(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	bystander := b.DialTLS(t, v5)
	bystander.Connect("bystander")
	before := served(t, b)
	b.MustReload(t, func(*config.Config) {})
	if served(t, b) != before {
		t.Error("another certificate is served although none was written")
	}
	b.RenewCertificate(t)
	b.MustReload(t, func(*config.Config) {})
	if served(t, b) == before {
		t.Error("the old certificate is served")
	}
	bystander.ExpectSilence()
}

func TestBadCertificateKeepsTheOldOne(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, users)
	before := served(t, b)
	if err := os.WriteFile(filepath.Join(b.Dir(), "tls.crt"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := b.Reload(func(c *config.Config) {
		c.Settings.MQTT.MaxPacketSize = 1 << 10
		c.Settings.Listeners = append(c.Settings.Listeners, config.Listener{Name: "more", Address: "127.0.0.1"})
	})
	if err == nil {
		t.Fatal("the reload succeeds")
	}
	if served(t, b) != before || b.Addr("more") != nil {
		t.Error("a part of the bad configuration is in force")
	}
	ack := b.Dial(t, v5).Connect("ann", brokertest.Login("ann", secret))
	if ack.Properties.MaximumPacketSize == 1<<10 {
		t.Error("the limits of the bad configuration are in force")
	}
}

// TestAccessInForceIsNotPutInForceAgain while something else of a configuration
// is at fault, which is tried again and again.
func TestAccessInForceIsNotPutInForceAgain(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, users)
	brokertest.WriteFile(t, filepath.Join(b.Dir(), "tls.crt"), []byte("nonsense"))
	try := func(change func(*config.Config)) (other bool) {
		t.Helper()
		before := b.Access()
		if b.Reload(change) == nil {
			t.Fatal("the reload succeeds")
		}
		return b.Access() != before
	}
	for _, tc := range []struct {
		name   string
		change func(*config.Config)
		want   bool
	}{
		{"nothing changes", func(*config.Config) {}, false},
		{"a limit of the protocol", mqtt(func(m *config.MQTT) { m.MaxPacketSize = 1 << 10 }), false},
		{"a rule", rules(allow("a")), true},
		{"the same rule", rules(allow("a")), false},
		{"another rule", rules(allow("b")), true},
		{"the rule is gone", func(*config.Config) {}, true},
		{"a limit of a user", func(c *config.Config) { c.Access.Users[0].Limits.MaxConnections = 1 }, true},
		{"anonymous clients", func(c *config.Config) { c.Settings.Anonymous = true }, true},
		{"what is not ruled", func(c *config.Config) { c.Settings.DefaultEffect = config.Allow }, true},
	} {
		if got := try(tc.change); got != tc.want {
			t.Errorf("%s: access is put in force: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestClientCertificates(t *testing.T) {
	t.Parallel()
	others := brokertest.NewCA(t)
	for name, tc := range map[string]struct {
		auth         config.ClientAuth
		certificates func(*testing.T, *brokertest.Broker) []tls.Certificate
		handshake    bool
		user         bool
	}{
		"required and shown":     {config.ClientAuthRequired, own, true, true},
		"required and not shown": {config.ClientAuthRequired, none, false, false},
		"required, and of another CA": {config.ClientAuthRequired, func(t *testing.T, _ *brokertest.Broker) []tls.Certificate {
			return []tls.Certificate{others.Issue(t, "ann's device").TLS()}
		}, false, false},
		"optional and shown":     {config.ClientAuthOptional, own, true, true},
		"optional and not shown": {config.ClientAuthOptional, none, true, false},
		"not asked for":          {config.ClientAuthNone, own, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t, users)
			ca := filepath.Join(b.Dir(), "ca.crt")
			brokertest.WriteFile(t, ca, b.CA.PEM())
			b.MustReload(t, func(c *config.Config) {
				settings := *c.Settings.Listeners[1].TLS
				settings.ClientAuth, settings.ClientCAFile = tc.auth, ca
				c.Settings.Listeners[1].TLS = &settings
				c.Access.Users[0].CommonName = "ann's device"
			})
			raw := b.DialAt(t, brokertest.TLS, v5).Conn
			c := brokertest.NewClient(t, tls.Client(raw, &tls.Config{
				ServerName: "localhost", RootCAs: b.CA.Pool(), Certificates: tc.certificates(t, b),
			}), v5)
			_ = c.SetDeadline(time.Now().Add(brokertest.Patience))
			_, err := c.Write(brokertest.NewConnect("c").Append(nil, v5))
			if !tc.handshake {
				// TLS 1.3 tells the client only after its handshake.
				if _, rerr := c.Read(make([]byte, 1)); err == nil && rerr == nil {
					t.Error("the handshake succeeds")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if ack := brokertest.Expect[*packet.Connack](c); ack.Reason.IsError() == tc.user {
				t.Errorf("CONNACK with %v", ack.Reason)
			}
		})
	}
}

func own(t *testing.T, b *brokertest.Broker) []tls.Certificate {
	t.Helper()
	return []tls.Certificate{b.CA.Issue(t, "ann's device").TLS()}
}

func none(*testing.T, *brokertest.Broker) []tls.Certificate { return nil }

func TestListenersComeAndGo(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	first := b.Connect(t, v5, "first")
	before := b.Addr(brokertest.Plain).String()
	b.MustReload(t, func(c *config.Config) {
		c.Settings.Listeners = append(c.Settings.Listeners, config.Listener{Name: "second", Address: "127.0.0.1"})
	})
	if b.Addr(brokertest.Plain).String() != before {
		t.Error("a listener that stayed has moved")
	}
	second := b.DialAt(t, "second", v5)
	second.Connect("second")
	half := b.DialAt(t, "second", v5)
	half.SendBytes([]byte{0x10})
	addr := b.Addr("second").String()
	b.MustReload(t, func(c *config.Config) { c.Settings.Listeners = c.Settings.Listeners[:2] })
	second.ExpectDisconnect(packet.ReasonAdministrativeAction)
	half.ExpectClosed()
	if conn, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
		_ = conn.Close()
		t.Error("the listener still accepts")
	}
	first.ExpectSilence()
}

func TestTakenPortKeepsTheOldConfiguration(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	port := taken.Addr().(*net.TCPAddr).Port
	b := brokertest.Start(t)
	c := b.Connect(t, v5, "c")
	err = b.Reload(func(c *config.Config) {
		c.Settings.Listeners = []config.Listener{
			{Name: "new", Address: "127.0.0.1"}, {Name: "taken", Address: "127.0.0.1", Port: port},
		}
	})
	if err == nil {
		t.Fatal("the reload succeeds")
	}
	if b.Addr("new") != nil {
		t.Error("a listener of the bad configuration is open")
	}
	c.ExpectSilence()
	b.Connect(t, v5, "another")
}

func TestConnectionsOfAListenerAreBounded(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, func(c *config.Config) { c.Settings.Listeners[0].MaxConnections = 2 })
	first, second := b.Connect(t, v5, "1"), b.Connect(t, v5, "2")
	b.Dial(t, v5).ExpectClosed()
	brokertest.WaitFor(t, "the log to tell", func() bool {
		return strings.Contains(b.Log(), "listener=tcp error=\"the listener has all the connections that maxConnections allows\"")
	})
	first.Disconnect()
	brokertest.WaitFor(t, "room for another", func() bool {
		conn, err := net.Dial("tcp", b.Addr(brokertest.Plain).String())
		if err != nil {
			return false
		}
		defer func() { _ = conn.Close() }()
		_, _ = conn.Write(brokertest.NewConnect("3").Append(nil, v5))
		_ = conn.SetReadDeadline(time.Now().Add(brokertest.Patience))
		n, _ := conn.Read(make([]byte, 1))
		return n == 1
	})
	second.ExpectSilence()
}

func TestStopLetsClientsGo(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	var clients []*brokertest.Client
	for range 20 {
		clients = append(clients, b.Connect(t, v5, ""))
	}
	clients = append(clients, b.DialTLS(t, v5))
	clients[20].Connect("tls")
	stalled, silent := b.DialAt(t, brokertest.TLS, v5), b.Dial(t, v5)
	stopped := make(chan struct{})
	go func() { b.Stop(); close(stopped) }()
	for _, c := range clients[:10] { // the others do not read
		c.ExpectDisconnect(packet.ReasonServerShuttingDown)
		_ = c.Close()
	}
	silent.ExpectClosed()
	stalled.ExpectClosed()
	<-stopped
	clients[20].ExpectDisconnect(packet.ReasonServerShuttingDown)
	if err := b.Reload(func(*config.Config) {}); !errors.Is(err, server.ErrClosed) {
		t.Errorf("a reload after the end: %v", err)
	}
}

// TestCertificatesOfACAThatIsReplacedAreNoLongerValid: who has shown one is
// disconnected, and nobody else.
//
//api:semantics 6
func TestCertificatesOfACAThatIsReplacedAreNoLongerValid(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, users)
	askForCertificates(t, b, b.CA, config.ClientAuthOptional)
	device := b.DialTLS(t, v5, b.CA.Issue(t, "ann's device").TLS())
	device.Connect("device")
	password := b.DialTLS(t, v5)
	password.Connect("password", brokertest.Login("ann", secret))
	b.RenewCertificate(t)
	askForCertificates(t, b, b.CA, config.ClientAuthOptional)
	device.ExpectSilence()

	askForCertificates(t, b, brokertest.NewCA(t), config.ClientAuthOptional)
	device.ExpectDisconnect(packet.ReasonNotAuthorized)
	password.ExpectSilence()
	askForCertificates(t, b, b.CA, config.ClientAuthRequired)
	password.ExpectDisconnect(packet.ReasonNotAuthorized)
}

// askForCertificates has the listener TLS ask for client certificates of a CA, and
// a common name be that of ann.
func askForCertificates(t *testing.T, b *brokertest.Broker, ca *brokertest.CA, mode config.ClientAuth) {
	t.Helper()
	file := filepath.Join(b.Dir(), "clients.crt")
	brokertest.WriteFile(t, file, ca.PEM())
	b.MustReload(t, func(c *config.Config) {
		settings := *c.Settings.Listeners[1].TLS
		settings.ClientAuth, settings.ClientCAFile = mode, file
		c.Settings.Listeners[1].TLS = &settings
		c.Access.Users[0].CommonName = "ann's device"
	})
}

// TestConnectionsEndWithTheirCertificate, also where the listener has lost its TLS
// meanwhile. Nobody else is disconnected.
//
//api:semantics 6
func TestConnectionsEndWithTheirCertificate(t *testing.T) {
	t.Parallel()
	soon := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(15 * time.Second) }
	for name, change := range map[string]func(*config.Config){
		"with TLS":    func(*config.Config) {},
		"without TLS": func(c *config.Config) { c.Settings.Listeners[1].TLS = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t, users)
			askForCertificates(t, b, b.CA, config.ClientAuthOptional)
			lasting, password := b.DialTLS(t, v5, own(t, b)...), b.DialTLS(t, v5)
			lasting.Connect("lasting")
			password.Connect("password", brokertest.Login("ann", secret))
			old := b.DialTLS(t, v311, b.CA.Issue(t, "ann's device", soon).TLS())
			old.Connect("old")
			c := b.DialTLS(t, v5, b.CA.Issue(t, "ann's device", soon).TLS())
			c.Connect("c", func(p *packet.Connect) { p.KeepAlive = 600 })
			b.MustReload(t, change)
			if d := c.ExpectDisconnect(packet.ReasonNotAuthorized); string(d.Properties.ReasonString) != "the client certificate is no longer valid" {
				t.Errorf("DISCONNECT says %q", d.Properties.ReasonString)
			}
			old.ExpectClosed()
			lasting.ExpectSilence()
			password.ExpectSilence()
		})
	}
}

// TestCertificateAloneDecides where the listener says so: no username, password or
// authentication method of a client counts, and who came by one goes when the
// listener begins to say so.
func TestCertificateAloneDecides(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, users, func(c *config.Config) { c.Settings.Anonymous = true })
	askForCertificates(t, b, b.CA, config.ClientAuthRequired)
	password := b.DialTLS(t, v5, b.CA.Issue(t, "ann's device").TLS())
	password.Connect("bob-1", brokertest.Login("bob", secret))
	device := b.DialTLS(t, v5, own(t, b)...)
	device.Connect("device")
	sdk := brokertest.Login("?SDK=Python&Version=1.4.8", "")
	refused := func(name string, reason packet.ReasonCode, how func(*packet.Connect)) {
		t.Helper()
		c := b.DialTLS(t, v5, b.CA.Issue(t, name).TLS())
		c.Send(brokertest.NewConnect("x", how))
		c.ExpectRefused(reason)
	}
	refused("ann's device", packet.ReasonBadUserNameOrPassword, sdk)
	b.MustReload(t, func(c *config.Config) {
		settings := *c.Settings.Listeners[1].TLS
		settings.ClientIdentity = config.IdentityCertificate
		c.Settings.Listeners[1].TLS = &settings
	})
	password.ExpectDisconnect(packet.ReasonNotAuthorized)
	device.ExpectSilence()
	b.DialTLS(t, v5, own(t, b)...).Connect("sdk", sdk)
	refused("ann's device", packet.ReasonBadAuthenticationMethod, withMethod(auth.MethodSCRAM, nil))
	refused("stranger", packet.ReasonNotAuthorized, func(*packet.Connect) {})
	refused("stranger", packet.ReasonNotAuthorized, brokertest.Login("ann", secret))
}

// TestCertificateOfNobodyIsNotAnonymous, on whatever listener it is shown.
func TestCertificateOfNobodyIsNotAnonymous(t *testing.T) {
	t.Parallel()
	for _, mode := range []config.ClientAuth{config.ClientAuthOptional, config.ClientAuthRequired} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t, users, func(c *config.Config) { c.Settings.Anonymous = true })
			askForCertificates(t, b, b.CA, mode)
			for _, name := range []string{"stranger", ""} {
				c := b.DialTLS(t, v5, b.CA.Issue(t, name).TLS())
				c.Send(brokertest.NewConnect("x"))
				c.ExpectRefused(packet.ReasonNotAuthorized)
				b.DialTLS(t, v5, b.CA.Issue(t, name).TLS()).Connect("ann", brokertest.Login("ann", secret))
			}
			b.Connect(t, v5, "anonymous, without a certificate")
		})
	}
}
