package server_test

import (
	"crypto/tls"
	"path/filepath"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// twoCAs is a broker whose listener TLS trusts one CA for clients and whose
// listener "weak" trusts another. ann's certificates count from the first.
type twoCAs struct {
	*brokertest.Broker
	strong, weak *brokertest.CA
}

func startTwoCAs(t *testing.T) *twoCAs {
	b := &twoCAs{Broker: brokertest.Start(t, users), strong: brokertest.NewCA(t), weak: brokertest.NewCA(t)}
	b.MustReload(t, func(c *config.Config) {
		c.Settings.Anonymous = false
		c.Settings.Listeners = []config.Listener{
			b.asking(t, c.Settings.Listeners[1], brokertest.TLS, b.strong),
			b.asking(t, c.Settings.Listeners[1], "weak", b.weak),
		}
		c.Access.Users[0].CommonName, c.Access.Users[0].ClientCA = "ann's device", brokertest.TLS
	})
	return b
}

// asking is the listener l under another name, for certificates of a CA that has
// its name.
func (b *twoCAs) asking(t *testing.T, l config.Listener, name string, ca *brokertest.CA) config.Listener {
	t.Helper()
	settings := *l.TLS
	settings.ClientAuth, settings.ClientCA = config.ClientAuthOptional, name
	settings.ClientCAFile = filepath.Join(b.Dir(), name+"-clients.crt")
	brokertest.WriteFile(t, settings.ClientCAFile, ca.PEM())
	l.Name, l.TLS = name, &settings
	return l
}

func (b *twoCAs) dial(t *testing.T, listener string, ca *brokertest.CA) *brokertest.Client {
	t.Helper()
	return brokertest.NewClient(t, tls.Client(b.DialAt(t, listener, v5).Conn, &tls.Config{
		ServerName: "localhost", RootCAs: b.CA.Pool(), Certificates: []tls.Certificate{ca.Issue(t, "ann's device").TLS()},
	}), v5)
}

// TestACASignsNoNamesOfAnother: the CA of one listener vouches for nobody who is
// known by that of another.
func TestACASignsNoNamesOfAnother(t *testing.T) {
	t.Parallel()
	b := startTwoCAs(t)
	b.dial(t, brokertest.TLS, b.strong).Connect("strong")
	for name, login := range map[string][]func(*packet.Connect){
		"by the certificate alone": nil,
		"with its username":        {func(p *packet.Connect) { p.HasUsername, p.Username = true, []byte("ann") }},
		"with a wrong password":    {brokertest.Login("ann", "wrong")},
	} {
		t.Run(name, func(t *testing.T) {
			weak := b.dial(t, "weak", b.weak)
			weak.Send(brokertest.NewConnect("weak", login...))
			if ack := brokertest.Expect[*packet.Connack](weak); !ack.Reason.IsError() {
				t.Error("the CA of another listener has signed ann's name")
			}
		})
	}
	b.dial(t, "weak", b.weak).Connect("password", brokertest.Login("ann", secret))
}

// TestWhoCameByACertificateGoesWithItsCA: another CA counts for the user, or the
// listener has another.
func TestWhoCameByACertificateGoesWithItsCA(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(c *config.Config){
		"of the user": func(c *config.Config) { c.Access.Users[0].ClientCA = "weak" },
		"of the listener": func(c *config.Config) {
			settings := *c.Settings.Listeners[0].TLS
			settings.ClientCA = "another"
			c.Settings.Listeners[0].TLS = &settings
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startTwoCAs(t)
			certified, other := b.dial(t, brokertest.TLS, b.strong), b.dial(t, "weak", b.weak)
			certified.Connect("certified")
			other.Connect("other", brokertest.Login("ann", secret))
			b.MustReload(t, change)
			certified.ExpectDisconnect(packet.ReasonNotAuthorized)
			other.ExpectSilence()
		})
	}
}
