package server

import (
	"errors"
	"math"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// enhanced is the enhanced authentication of a connection that chose a method in
// its CONNECT.
type enhanced struct {
	exchange *auth.Exchange // nil while none is under way
	begun    uint32         // wheel time of the exchange
	connect  []byte         // body of the CONNECT, until it is answered
}

// left is how many seconds the client has yet to finish an exchange on an open
// connection.
func (e *enhanced) left(now uint32) uint32 {
	if e == nil || e.exchange == nil {
		return math.MaxUint32
	}
	return connectTimeout - min(now-e.begun, connectTimeout)
}

// abandon ends an exchange that the client does not finish.
func (e *enhanced) abandon() {
	if e != nil && e.exchange != nil {
		e.exchange.Abandon()
		e.exchange = nil
	}
}

// beginExchange takes a CONNECT that asks for enhanced authentication.
func (c *conn) beginExchange(p *packet.Connect, body []byte) {
	c.enhanced = &enhanced{connect: append([]byte(nil), body...)}
	c.enhanced.exchange = c.server.authenticator.Begin(c.server.access.Load(), c.credentials(p))
	c.state = stateExchange
	c.step(p.Properties.AuthData)
}

// handleExchange takes what a client sends before it is authenticated.
func (c *conn) handleExchange(h packet.Header, body []byte) error {
	switch h.Type {
	case packet.TypeAuth:
		return c.handleAuth(body)
	case packet.TypeDisconnect:
		c.close()
		return nil
	default: // [MQTT-3.1.2-30]
		return &packet.Error{Type: h.Type, Reason: packet.ReasonProtocolError, Detail: "the authentication is not complete"}
	}
}

// handleAuth takes a step of an exchange, or the wish to authenticate again.
func (c *conn) handleAuth(body []byte) error {
	var p packet.Auth
	if err := p.Decode(c.version, body); err != nil {
		return err
	}
	e := c.enhanced
	if e == nil || string(p.Properties.AuthMethod) != auth.MethodSCRAM { // [MQTT-4.12.0-5], [MQTT-4.12.1-1]
		return &packet.Error{Type: packet.TypeAuth, Reason: packet.ReasonProtocolError, Detail: "the authentication method is not that of CONNECT"}
	}
	again := p.Reason == packet.ReasonReauthenticate
	switch {
	case again && c.state == stateOpen && e.exchange == nil:
		who := c.subscriber.Principal()
		e.exchange = c.server.authenticator.Begin(c.server.access.Load(), auth.Credentials{
			ClientID: who.ClientID, Username: who.Username, HasUsername: true, RemoteAddr: c.remote.Addr(),
		})
		e.begun = c.loop.wheel.now
		c.lookAgain()
	case again || e.exchange == nil || p.Reason != packet.ReasonContinueAuthentication:
		return &packet.Error{Type: packet.TypeAuth, Reason: packet.ReasonProtocolError, Detail: "AUTH does not fit the exchange"}
	}
	c.step(p.Properties.AuthData)
	return nil
}

// step goes on with the exchange by what the client said.
func (c *conn) step(data []byte) {
	e := c.enhanced
	reply, who, done, err := e.exchange.Step(data)
	switch {
	case err != nil:
		c.notAuthenticated(err)
	case !done:
		c.sendAuth(packet.ReasonContinueAuthentication, reply) // [MQTT-4.12.0-2]
	case e.connect == nil:
		e.exchange = nil
		c.authenticatedAgain(who, reply)
	default:
		c.authenticated(who, reply)
	}
}

// notAuthenticated ends a connection whose exchange failed [MQTT-4.12.0-4].
func (c *conn) notAuthenticated(err error) {
	switch {
	case c.state != stateOpen:
		c.refuse(reasonOf(err), err)
	case errors.Is(err, auth.ErrBusy): // [MQTT-4.12.1-2]
		c.disconnect(packet.ReasonServerBusy, "too many others authenticate")
	default: // [MQTT-4.12.1-2]
		c.disconnect(packet.ReasonNotAuthorized, "the client could not authenticate again")
	}
}

// authenticated answers the CONNECT that began the exchange.
func (c *conn) authenticated(who auth.Principal, reply []byte) {
	var p packet.Connect
	if err := p.Decode(c.enhanced.connect); err != nil {
		c.fail(err)
		return
	}
	p.ClientID = []byte(who.ClientID)
	c.enhanced.exchange, c.enhanced.connect = nil, nil
	c.admit(&p, who, reply)
}

// authenticatedAgain answers an exchange on an open connection. The rules may have
// changed since it began.
func (c *conn) authenticatedAgain(who auth.Principal, reply []byte) {
	if !c.loop.worker.Reprove(c.subscriber, who) {
		c.disconnect(packet.ReasonNotAuthorized, "the user or the credential is no longer valid")
		return
	}
	c.sendAuth(packet.ReasonSuccess, reply)
}

func (c *conn) sendAuth(reason packet.ReasonCode, data []byte) {
	p := packet.Auth{Reason: reason}
	setAuth(&p.Properties, data)
	c.send(p.Append(c.loop.reply[:0], c.version))
}

// setAuth adds the method and the data of an exchange [MQTT-4.12.0-5].
func setAuth(p *packet.Properties, data []byte) {
	p.AuthMethod = []byte(auth.MethodSCRAM)
	p.Set(packet.PropAuthMethod)
	if len(data) > 0 {
		p.AuthData = data
		p.Set(packet.PropAuthData)
	}
}
