package server_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

const elsewhere = "edge-b.example.com:8883 [fe80::1]:1883"

// referring starts a broker that names another one when it ends, and lets its
// clients go at a pace.
func referring(t *testing.T, rate int) *brokertest.Broker {
	return brokertest.Start(t, func(c *config.Config) {
		c.Settings.Drain.ServerReference = elsewhere
		c.Settings.Drain.DisconnectRate = rate
	})
}

// stopping ends a broker beside the test, which has to let its clients go.
func stopping(t *testing.T, b *brokertest.Broker) {
	stopped := make(chan struct{})
	go func() { b.Stop(); close(stopped) }()
	t.Cleanup(func() { <-stopped })
}

// TestStopNamesAnotherServer, where that fits into what a client takes.
//
//mqtt:5.0 3.1.2-24 3.14.2-1 4.13.2-1
func TestStopNamesAnotherServer(t *testing.T) {
	t.Parallel()
	b := referring(t, 1<<20)
	told := b.Connect(t, v5, "told")
	small := b.Connect(t, v5, "small", maximumPacketSize(40))
	old := b.Connect(t, v311, "old")
	stopping(t, b)
	want := packet.Disconnect{Reason: packet.ReasonUseAnotherServer}
	small.Expect(&want)
	small.ExpectClosed()
	want.Properties.ServerReference = []byte(elsewhere)
	want.Properties.Set(packet.PropServerReference)
	told.Expect(&want)
	told.ExpectClosed()
	old.ExpectClosed()
}

// TestAccessChangesWhileClientsLeave: who is no longer admitted goes at once, and
// does not wait for its turn.
func TestAccessChangesWhileClientsLeave(t *testing.T) {
	t.Parallel()
	b := referring(t, 1)
	b.MustReload(t, users)
	var waiting []*brokertest.Client
	for range 20 {
		waiting = append(waiting, b.Connect(t, v5, "", ann))
	}
	address := b.Addr(brokertest.Plain).String()
	stopping(t, b)
	closed(t, address)
	b.MustReload(t, func(c *config.Config) { c.Access.Users = c.Access.Users[1:] })
	revoked := 0
	for _, c := range waiting { // some had their turn before
		if d := brokertest.Expect[*packet.Disconnect](c); d.Reason == packet.ReasonNotAuthorized {
			revoked++
		}
		_ = c.Close()
	}
	if revoked == 0 {
		t.Error("nobody was disconnected before its turn")
	}
}

// closed waits until nobody listens at an address.
func closed(t *testing.T, address string) {
	t.Helper()
	brokertest.WaitFor(t, "the listener is closed", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
}

// TestClientsThatComeToABrokerThatEnds are refused, as long as it has time for
// them.
//
//mqtt:5.0 3.1.2-24 3.1.4-2 4.13.2-1
//mqtt:3.1.1 3.2.2-4
func TestClientsThatComeToABrokerThatEnds(t *testing.T) {
	t.Parallel()
	refusal := func(v packet.Version, reason packet.ReasonCode, reference string) string {
		p := packet.Connack{Reason: reason}
		if reference != "" {
			p.Properties.ServerReference = []byte(reference)
			p.Properties.Set(packet.PropServerReference)
		}
		return string(p.Append(nil, v))
	}
	for name, tc := range map[string]struct {
		reference string
		v         packet.Version
		change    func(*packet.Connect)
		want      string
	}{
		"told":       {elsewhere, v5, nothing, refusal(v5, packet.ReasonUseAnotherServer, elsewhere)},
		"too small":  {elsewhere, v5, maximumPacketSize(40), refusal(v5, packet.ReasonUseAnotherServer, "")},
		"old":        {elsewhere, v311, nothing, refusal(v311, packet.ReasonServerUnavailable, "")},
		"no other":   {"", v5, nothing, refusal(v5, packet.ReasonServerUnavailable, "")},
		"no and old": {"", v311, nothing, refusal(v311, packet.ReasonServerUnavailable, "")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := referring(t, 1)
			b.MustReload(t, func(c *config.Config) { c.Settings.Drain.ServerReference = tc.reference })
			var waiting []*brokertest.Client
			for range 20 {
				waiting = append(waiting, b.Dial(t, tc.v))
			}
			b.Connect(t, tc.v, "last") // they were accepted before it
			address := b.Addr(brokertest.Plain).String()
			stopping(t, b)
			closed(t, address)
			refused := 0
			for _, c := range waiting { // some had their turn to be disconnected before
				_, _ = c.Write(brokertest.NewConnect("c", tc.change).Append(nil, tc.v))
				_ = c.SetReadDeadline(time.Now().Add(brokertest.Patience))
				switch answer, _ := io.ReadAll(c); string(answer) {
				case tc.want:
					refused++
				case "":
				default:
					t.Fatalf("% x, want % x", answer, tc.want)
				}
				_ = c.Close()
			}
			if refused == 0 {
				t.Error("nobody was refused")
			}
		})
	}
}

func nothing(*packet.Connect) {}
