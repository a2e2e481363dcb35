package server_test

import (
	"fmt"
	"testing"

	"github.com/xdg-go/scram"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/auth/password"
	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// scramBroker knows the user dev, whose password is pencil.
func scramBroker(t *testing.T, changes ...func(*config.User)) *brokertest.Broker {
	t.Helper()
	verifier, err := password.HashSCRAM([]byte("pencil"))
	if err != nil {
		t.Fatal(err)
	}
	u := config.User{Username: "dev", PasswordHashes: []string{verifier}}
	for _, change := range changes {
		change(&u)
	}
	return brokertest.Start(t, func(c *config.Config) { c.Access.Users = []config.User{u} })
}

func scramClient(t *testing.T, pass string) *scram.ClientConversation {
	t.Helper()
	client, err := scram.SHA256.NewClient("dev", pass, "")
	if err != nil {
		t.Fatal(err)
	}
	return client.NewConversation()
}

func step(t *testing.T, c *scram.ClientConversation, data []byte) []byte {
	t.Helper()
	out, err := c.Step(string(data))
	if err != nil {
		t.Fatal(err)
	}
	return []byte(out)
}

func withMethod(method string, data []byte) func(*packet.Connect) {
	return func(p *packet.Connect) { setMethod(&p.Properties, method, data) }
}

func setMethod(p *packet.Properties, method string, data []byte) {
	p.AuthMethod, p.AuthData = []byte(method), data
	p.Set(packet.PropAuthMethod)
	p.Set(packet.PropAuthData)
}

func authPacket(reason packet.ReasonCode, data []byte) *packet.Auth {
	p := &packet.Auth{Reason: reason}
	setMethod(&p.Properties, auth.MethodSCRAM, data)
	return p
}

// begin sends CONNECT and returns the client's last message of the exchange.
func begin(t *testing.T, c *brokertest.Client, conversation *scram.ClientConversation) []byte {
	t.Helper()
	c.Send(brokertest.NewConnect("dev-1", withMethod(auth.MethodSCRAM, step(t, conversation, nil))))
	challenge := brokertest.Expect[*packet.Auth](c)
	if challenge.Reason != packet.ReasonContinueAuthentication || string(challenge.Properties.AuthMethod) != auth.MethodSCRAM {
		t.Fatalf("challenge %+v", challenge)
	}
	return step(t, conversation, challenge.Properties.AuthData)
}

func connectSCRAM(t *testing.T, b *brokertest.Broker) *brokertest.Client {
	t.Helper()
	c, conversation := b.Dial(t, packet.V5), scramClient(t, "pencil")
	c.Send(authPacket(packet.ReasonContinueAuthentication, begin(t, c, conversation)))
	ack := brokertest.Expect[*packet.Connack](c)
	if ack.Reason != packet.ReasonSuccess || string(ack.Properties.AuthMethod) != auth.MethodSCRAM {
		t.Fatalf("CONNACK %+v", ack)
	}
	if step(t, conversation, ack.Properties.AuthData); !conversation.Valid() {
		t.Fatal("the server did not prove itself")
	}
	return c
}

func TestEnhancedAuthentication(t *testing.T) {
	c := connectSCRAM(t, scramBroker(t))
	c.Send(&packet.Pingreq{})
	c.Expect(&packet.Pingresp{})
}

func TestEnhancedAuthenticationAgain(t *testing.T) {
	c, conversation := connectSCRAM(t, scramBroker(t)), scramClient(t, "pencil")
	c.Send(authPacket(packet.ReasonReauthenticate, step(t, conversation, nil)))
	challenge := brokertest.Expect[*packet.Auth](c)
	c.Send(&packet.Pingreq{}) // other packets may flow meanwhile
	c.Expect(&packet.Pingresp{})
	c.Send(authPacket(packet.ReasonContinueAuthentication, step(t, conversation, challenge.Properties.AuthData)))
	if done := brokertest.Expect[*packet.Auth](c); done.Reason != packet.ReasonSuccess {
		t.Fatalf("AUTH %+v", done)
	}
}

func TestEnhancedAuthenticationAgainWithAWrongPasswordEndsTheConnection(t *testing.T) {
	c, conversation := connectSCRAM(t, scramBroker(t)), scramClient(t, "pen")
	c.Send(authPacket(packet.ReasonReauthenticate, step(t, conversation, nil)))
	challenge := brokertest.Expect[*packet.Auth](c)
	c.Send(authPacket(packet.ReasonContinueAuthentication, step(t, conversation, challenge.Properties.AuthData)))
	c.ExpectDisconnect(packet.ReasonNotAuthorized)
}

func TestEnhancedAuthenticationRefuses(t *testing.T) {
	b := scramBroker(t)
	t.Run("a method that is not known", func(t *testing.T) {
		c := b.Dial(t, packet.V5)
		c.Send(brokertest.NewConnect("dev-1", withMethod("GS2-KRB5", nil)))
		c.ExpectRefused(packet.ReasonBadAuthenticationMethod)
	})
	t.Run("a wrong password", func(t *testing.T) {
		c := b.Dial(t, packet.V5)
		c.Send(authPacket(packet.ReasonContinueAuthentication, begin(t, c, scramClient(t, "pen"))))
		c.ExpectRefused(packet.ReasonBadUserNameOrPassword)
	})
	t.Run("another packet before it is complete", func(t *testing.T) {
		c := b.Dial(t, packet.V5)
		begin(t, c, scramClient(t, "pencil"))
		c.Send(&packet.Pingreq{})
		c.ExpectClosed()
	})
	t.Run("AUTH from a client that chose no method", func(t *testing.T) {
		c := brokertest.Start(t).Connect(t, packet.V5, "plain")
		c.Send(authPacket(packet.ReasonReauthenticate, nil))
		c.ExpectDisconnect(packet.ReasonProtocolError)
	})
}

// TestChangeOfTheVerifierEndsTheConnection: a client is bound to what it has
// proved, whatever way it has done so.
func TestChangeOfTheVerifierEndsTheConnection(t *testing.T) {
	b := scramBroker(t)
	c := connectSCRAM(t, b)
	b.MustReload(t, func(c *config.Config) {
		other, err := password.HashSCRAM([]byte("pencil"))
		if err != nil {
			t.Fatal(err)
		}
		c.Access.Users[0].PasswordHashes = []string{other}
	})
	c.ExpectDisconnect(packet.ReasonNotAuthorized)
}

// TestExchangeThatIsNotFinishedEndsTheConnection: a client that has begun to
// authenticate again does so in time.
func TestExchangeThatIsNotFinishedEndsTheConnection(t *testing.T) {
	t.Parallel()
	c := connectSCRAM(t, scramBroker(t))
	c.Send(authPacket(packet.ReasonReauthenticate, step(t, scramClient(t, "pencil"), nil)))
	brokertest.Expect[*packet.Auth](c)
	c.ExpectDisconnect(packet.ReasonNotAuthorized)
}

// TestExchangesThatAreAbandonedCountAsFailed: whoever leaves in the middle has had
// its attempt.
func TestExchangesThatAreAbandonedCountAsFailed(t *testing.T) {
	t.Parallel()
	b := scramBroker(t)
	brokertest.WaitFor(t, "the user to be out of attempts", func() bool {
		c := b.Dial(t, packet.V5)
		defer func() { _ = c.Close() }()
		c.Send(brokertest.NewConnect("dev-1", withMethod(auth.MethodSCRAM, step(t, scramClient(t, "pencil"), nil))))
		ack, refused := c.Next().(*packet.Connack)
		return refused && ack.Reason == packet.ReasonBadUserNameOrPassword
	})
}

// TestManyExchangesOfAUserAtOnce: clients that take their time to answer have not
// failed.
func TestManyExchangesOfAUserAtOnce(t *testing.T) {
	t.Parallel()
	b := scramBroker(t)
	client, err := scram.SHA256.NewClient("dev", "pencil", "") // which derives its keys once
	if err != nil {
		t.Fatal(err)
	}
	const clients = 20
	var all [clients]*brokertest.Client
	var last [clients][]byte
	for i := range all {
		conversation := client.NewConversation()
		all[i] = b.Dial(t, packet.V5)
		all[i].Send(brokertest.NewConnect(fmt.Sprint("dev-", i), withMethod(auth.MethodSCRAM, step(t, conversation, nil))))
		last[i] = step(t, conversation, brokertest.Expect[*packet.Auth](all[i]).Properties.AuthData)
	}
	for i, c := range all {
		c.Send(authPacket(packet.ReasonContinueAuthentication, last[i]))
		if ack := brokertest.Expect[*packet.Connack](c); ack.Reason.IsError() {
			t.Errorf("client %d: CONNACK with %v", i, ack.Reason)
		}
	}
}
