package conformance

import (
	"testing"

	"github.com/xdg-go/scram"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/auth/password"
	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// scramBroker lets the user dev authenticate by SCRAM, with the password pencil.
func scramBroker(t *testing.T) *brokertest.Broker {
	t.Helper()
	verifier, err := password.HashSCRAM([]byte("pencil"))
	if err != nil {
		t.Fatal(err)
	}
	return brokertest.Start(t, func(c *config.Config) {
		c.Access.Users = []config.User{{Username: "dev", PasswordHashes: []string{verifier}}}
	})
}

// exchange is the client's side of an authentication.
type exchange struct {
	*brokertest.Client
	t            *testing.T
	conversation *scram.ClientConversation
}

func newExchange(t *testing.T, c *brokertest.Client, pass string) *exchange {
	t.Helper()
	user, err := scram.SHA256.NewClient("dev", pass, "")
	if err != nil {
		t.Fatal(err)
	}
	return &exchange{Client: c, t: t, conversation: user.NewConversation()}
}

// step answers what the server said.
func (e *exchange) step(data []byte) []byte {
	e.t.Helper()
	out, err := e.conversation.Step(string(data))
	if err != nil {
		e.t.Fatal(err)
	}
	return []byte(out)
}

// begin sends CONNECT and returns the client's answer to the challenge.
func (e *exchange) begin(changes ...func(*packet.Connect)) []byte {
	e.t.Helper()
	e.Send(brokertest.NewConnect("c", append(changes, method(auth.MethodSCRAM, e.step(nil)))...))
	return e.step(e.expectAuth(packet.ReasonContinueAuthentication).AuthData)
}

func (e *exchange) expectAuth(reason packet.ReasonCode) packet.Properties {
	e.t.Helper()
	p := brokertest.Expect[*packet.Auth](e.Client)
	if p.Reason != reason || string(p.Properties.AuthMethod) != auth.MethodSCRAM {
		e.t.Fatalf("AUTH with %v and the method %q", p.Reason, p.Properties.AuthMethod)
	}
	if p.Properties.Has(packet.PropReasonString) || p.Properties.Has(packet.PropUser) {
		e.t.Error("AUTH says more than it has to")
	}
	return p.Properties
}

func (e *exchange) sendAuth(reason packet.ReasonCode, name string, data []byte) {
	e.t.Helper()
	p := &packet.Auth{Reason: reason}
	setMethod(&p.Properties, name, data)
	e.Send(p)
}

func method(name string, data []byte) func(*packet.Connect) {
	return func(p *packet.Connect) { setMethod(&p.Properties, name, data) }
}

func setMethod(p *packet.Properties, name string, data []byte) {
	p.AuthMethod, p.AuthData = []byte(name), data
	p.Set(packet.PropAuthMethod)
	p.Set(packet.PropAuthData)
}

// authenticated has been through an exchange, and is connected.
func authenticated(t *testing.T, b *brokertest.Broker) *exchange {
	t.Helper()
	e := newExchange(t, b.Dial(t, v5), "pencil")
	e.sendAuth(packet.ReasonContinueAuthentication, auth.MethodSCRAM, e.begin())
	ack := brokertest.Expect[*packet.Connack](e.Client)
	if ack.Reason != packet.ReasonSuccess || string(ack.Properties.AuthMethod) != auth.MethodSCRAM {
		t.Fatalf("CONNACK with %v and the method %q", ack.Reason, ack.Properties.AuthMethod)
	}
	if e.step(ack.Properties.AuthData); !e.conversation.Valid() {
		t.Fatal("the server has not proved who it is")
	}
	return e
}

//mqtt:5.0 3.2.0-1 3.15.2-1 4.12.0-2 4.12.0-3 4.12.0-5
func TestEnhancedAuthentication(t *testing.T) {
	t.Parallel()
	authenticated(t, scramBroker(t)).ExpectSilence()
}

//mqtt:5.0 3.15.2-1 4.12.0-5 4.12.1-1
func TestAuthenticationAgain(t *testing.T) {
	t.Parallel()
	e := authenticated(t, scramBroker(t))
	again := newExchange(t, e.Client, "pencil")
	again.sendAuth(packet.ReasonReauthenticate, auth.MethodSCRAM, again.step(nil))
	answer := again.step(again.expectAuth(packet.ReasonContinueAuthentication).AuthData)
	again.ExpectSilence() // other packets flow meanwhile
	again.sendAuth(packet.ReasonContinueAuthentication, auth.MethodSCRAM, answer)
	again.step(again.expectAuth(packet.ReasonSuccess).AuthData)
	again.ExpectSilence()
}

//mqtt:5.0 4.12.0-1 4.12.0-4 3.2.2-7 3.14.0-1 4.13.2-1
func TestAuthenticationIsRejected(t *testing.T) {
	t.Parallel()
	b := scramBroker(t)
	t.Run("a method that is not known", func(t *testing.T) {
		c := b.Dial(t, v5)
		c.Send(brokertest.NewConnect("c", method("GS2-KRB5", nil)))
		c.ExpectRefused(packet.ReasonBadAuthenticationMethod)
	})
	t.Run("a wrong password", func(t *testing.T) {
		e := newExchange(t, b.Dial(t, v5), "pen")
		e.sendAuth(packet.ReasonContinueAuthentication, auth.MethodSCRAM, e.begin())
		e.ExpectRefused(packet.ReasonBadUserNameOrPassword)
	})
}

//mqtt:5.0 3.1.2-30 4.12.0-3 4.12.0-5 3.14.0-1 4.13.1-1
func TestExchangeIsNotInterrupted(t *testing.T) {
	t.Parallel()
	b := scramBroker(t)
	for name, interrupt := range map[string]func(e *exchange, answer []byte){
		"another packet": func(e *exchange, _ []byte) { e.Send(&packet.Pingreq{}) },
		"another method": func(e *exchange, answer []byte) {
			e.sendAuth(packet.ReasonContinueAuthentication, "GS2-KRB5", answer)
		},
		"another reason": func(e *exchange, answer []byte) {
			e.sendAuth(packet.ReasonReauthenticate, auth.MethodSCRAM, answer)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExchange(t, b.Dial(t, v5), "pencil")
			interrupt(e, e.begin())
			e.ExpectClosed()
		})
	}
}

//mqtt:5.0 4.12.1-1 4.12.1-2 4.12.0-7 4.13.1-1 3.14.2-1
func TestAuthenticationAgainFails(t *testing.T) {
	t.Parallel()
	b := scramBroker(t)
	t.Run("a wrong password", func(t *testing.T) {
		e := newExchange(t, authenticated(t, b).Client, "pen")
		e.sendAuth(packet.ReasonReauthenticate, auth.MethodSCRAM, e.step(nil))
		answer := e.step(e.expectAuth(packet.ReasonContinueAuthentication).AuthData)
		e.sendAuth(packet.ReasonContinueAuthentication, auth.MethodSCRAM, answer)
		e.ExpectDisconnect(packet.ReasonNotAuthorized)
	})
	t.Run("another method", func(t *testing.T) {
		e := authenticated(t, b)
		e.sendAuth(packet.ReasonReauthenticate, "GS2-KRB5", nil)
		e.ExpectDisconnect(packet.ReasonProtocolError)
	})
	t.Run("no method at CONNECT", func(t *testing.T) {
		e := newExchange(t, b.Connect(t, v5, "plain"), "pencil")
		e.sendAuth(packet.ReasonReauthenticate, auth.MethodSCRAM, e.step(nil))
		e.ExpectDisconnect(packet.ReasonProtocolError)
	})
}

// TestAuthIsNotTooLarge: a challenge does not fit into 40 bytes, but the
// DISCONNECT that ends a connection does.
//
//mqtt:5.0 3.1.2-24 3.15.2-2 3.15.2-3 3.14.0-1
func TestAuthIsNotTooLarge(t *testing.T) {
	t.Parallel()
	e := newExchange(t, scramBroker(t).Dial(t, v5), "pencil")
	e.Send(brokertest.NewConnect("c", maximumPacketSize(40), method(auth.MethodSCRAM, e.step(nil))))
	e.ExpectClosed()
}
