package server

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/metrics"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/router"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// maxConnect bounds CONNECT, and AUTH before CONNECT is answered, in bytes. It has
// room for one field of the 64 KiB that MQTT allows, such as the payload of a will,
// and for as much in all others, which hardly take a few KiB, and with a token as
// the password some more.
const maxConnect = 128 << 10

// handleFirst takes the first packet, which has to be CONNECT [MQTT-3.1.0-1].
func (c *conn) handleFirst(h packet.Header, body []byte) error {
	if h.Type != packet.TypeConnect {
		return &packet.Error{Type: h.Type, Reason: packet.ReasonProtocolError, Detail: "the first packet is not CONNECT"}
	}
	var p packet.Connect
	err := p.Decode(body)
	c.version = p.Version
	if err != nil {
		return c.refuseBroken(p.Version, err)
	}
	if p.Properties.Has(packet.PropMaximumPacketSize) {
		c.limits.maxPacketSent = limit32(p.Properties.MaximumPacketSize)
	}
	c.limits.problemInfo = !p.Properties.Has(packet.PropRequestProblemInfo) || p.Properties.RequestProblemInfo == 1
	if reason, err := c.vet(&p); err != nil {
		c.refuse(reason, err)
		return nil
	}
	c.authenticate(&p, body)
	return nil
}

// refuseBroken answers a CONNECT that cannot be decoded, if v says how. That the
// version is none of the server's is no fault of the client: those that speak
// several, and bridges that mark themselves by bit 7 of it, try another one then.
func (c *conn) refuseBroken(v packet.Version, err error) error {
	broken, ok := errors.AsType[*packet.Error](err)
	if !ok || v == 0 {
		return err
	}
	if broken.Reason != packet.ReasonUnsupportedProtocolVersion {
		c.loop.worker.Counts[metrics.ProtocolErrors]++
	}
	c.refuse(broken.Reason, err)
	return nil
}

// vet judges what does not depend on who the client is.
func (c *conn) vet(p *packet.Connect) (packet.ReasonCode, error) {
	settings := c.server.settings()
	switch {
	case c.server.draining.Load():
		return c.server.elsewhere(packet.ReasonServerUnavailable), errors.New("the broker is ending")
	case len(p.ClientID) == 0 && p.Version == packet.V31,
		len(p.ClientID) == 0 && p.Version == packet.V311 && !p.CleanStart: // 3.1.1: [MQTT-3.1.3-8]
		return packet.ReasonClientIdentifierNotValid, errors.New("the client identifier is empty")
	case p.Properties.Has(packet.PropAuthMethod) && string(p.Properties.AuthMethod) != auth.MethodSCRAM: // [MQTT-4.12.0-1]
		return packet.ReasonBadAuthenticationMethod, errors.New("the authentication method is not supported")
	case p.Properties.Has(packet.PropAuthMethod) && c.certificateOnly():
		return packet.ReasonBadAuthenticationMethod, errNotCertified
	case !p.HasWill:
		return packet.ReasonSuccess, nil
	case p.Will.QoS > packet.QoS(*settings.MQTT.MaxQoS): // [MQTT-3.2.2-12]
		return packet.ReasonQoSNotSupported, errors.New("the QoS of the will is above the maximum")
	case topic.ValidateName(p.Will.Topic) != nil || !responseTopicValid(&p.Will.Properties):
		return packet.ReasonTopicNameInvalid, errors.New("the will topic or its response topic is not a valid topic name")
	case !payloadValid(&p.Will.Properties, p.Will.Payload):
		return packet.ReasonPayloadFormatInvalid, errors.New("the will payload is not UTF-8 as it claims")
	}
	return packet.ReasonSuccess, nil
}

// refuse answers CONNECT with a failure and ends the connection
// [MQTT-3.1.4-6]. err is for the log.
func (c *conn) refuse(reason packet.ReasonCode, err error) {
	c.server.metrics.Refused(reason.String())
	c.tellRejected(err)
	if c.version == packet.V5 || hasReturnCode(reason) {
		p := packet.Connack{Reason: reason}
		if c.server.refer(&p.Properties, reason); !c.fits(p.Size(c.version)) {
			p.Properties.Unset(packet.PropServerReference)
		}
		c.send(p.Append(c.loop.reply[:0], c.version))
	}
	c.linger()
}

// hasReturnCode reports whether CONNACK of MQTT 3 can name a reason. For what is
// wrong with the CONNECT itself it has nothing, and the connection ends without
// one (3.1.1: [MQTT-3.1.4-1], [MQTT-3.2.2-6]).
func hasReturnCode(reason packet.ReasonCode) bool {
	switch reason {
	case packet.ReasonMalformedPacket, packet.ReasonProtocolError, packet.ReasonTopicNameInvalid,
		packet.ReasonPayloadFormatInvalid, packet.ReasonQoSNotSupported, packet.ReasonPacketTooLarge:
		return false
	default:
		return true
	}
}

// authenticate finds out who the client is: at once if no hash has to be computed
// for that, and else on another goroutine while the connection is not read.
func (c *conn) authenticate(p *packet.Connect, body []byte) {
	if c.assigned = len(p.ClientID) == 0; c.assigned {
		p.ClientID = assignClientID() // [MQTT-3.1.3-6]
	}
	if p.Properties.Has(packet.PropAuthMethod) {
		c.beginExchange(p, body)
		return
	}
	cred := c.credentials(p)
	if who, decided, err := c.server.authenticator.Cached(c.server.access.Load(), cred); decided {
		if err != nil {
			c.refuseLogin(cred, err)
			return
		}
		c.admit(p, who, nil)
		return
	}
	body = append([]byte(nil), body...)
	cred.Password = append([]byte(nil), cred.Password...)
	if !c.server.logins.add(login{
		address:  auth.Network(cred.RemoteAddr),
		username: cred.Username,
		known:    c.server.authenticator.Knows(cred),
		check:    func() { c.verify(cred, body) },
		giveUp:   func() { c.post(c.giveUpLogin) },
	}) {
		c.refuse(packet.ReasonServerBusy, errTooManyLogins)
		return
	}
	c.await()
}

var errTooManyLogins = errors.New("too many passwords wait to be checked")

// giveUpLogin answers a CONNECT whose password is not going to be checked.
func (c *conn) giveUpLogin() {
	if c.state == stateAuth {
		c.state = stateConnect
		c.refuse(packet.ReasonServerBusy, errTooManyLogins)
	}
}

func assignClientID() []byte {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return []byte("auto-" + hex.EncodeToString(b[:]))
}

func (c *conn) credentials(p *packet.Connect) auth.Credentials {
	cred := auth.Credentials{
		ClientID:    string(p.ClientID),
		Username:    string(p.Username),
		HasUsername: p.HasUsername,
		Password:    p.Password,
		HasPassword: p.HasPassword,
		RemoteAddr:  c.remote.Addr(),
	}
	if c.tls != nil {
		cred.ClientCA = c.tls.config.ClientCA
		cred.CommonName, cred.HasCertificate = c.tls.commonName()
		cred.CertificateOnly = c.certificateOnly()
	}
	return cred
}

// verify checks a password by the rules of now, which may be others than those that
// the client came under. body is that of the CONNECT.
func (c *conn) verify(cred auth.Credentials, body []byte) {
	if c.gone.Load() { // the client did not wait
		return
	}
	who, err := c.server.authenticator.Authenticate(c.server.access.Load(), cred)
	c.post(func() { c.verified(who, cred, body, err) })
}

// verified goes on with a CONNECT.
func (c *conn) verified(who auth.Principal, cred auth.Credentials, body []byte, err error) {
	if c.state != stateAuth {
		return // the client did not wait
	}
	c.state = stateConnect
	if err != nil {
		c.refuseLogin(cred, err)
		return
	}
	var p packet.Connect
	if err := p.Decode(body); err != nil {
		c.fail(err)
		return
	}
	p.ClientID = []byte(cred.ClientID)
	c.admit(&p, who, nil)
}

// refuseLogin answers CONNECT where the client is not who it says, or may not come.
func (c *conn) refuseLogin(cred auth.Credentials, err error) {
	c.refuse(reasonOf(err), fmt.Errorf("user %q, client identifier %q: %w",
		clip(cred.Username, longestName), clip(cred.ClientID, longestName), err))
}

// reasonOf is what a client is told of a login that is refused.
func reasonOf(err error) packet.ReasonCode {
	if refused, ok := errors.AsType[*auth.Error](err); ok {
		return refused.Code
	}
	return packet.ReasonNotAuthorized
}

// admit gives an authenticated client its session. Nothing else is handled until
// the session is stored and CONNACK is on its way [MQTT-3.2.0-1]. proof is the
// server's part of an enhanced authentication.
func (c *conn) admit(p *packet.Connect, who auth.Principal, proof []byte) {
	if !c.takes(who) {
		c.refuse(packet.ReasonNotAuthorized, errNotCertified)
		return
	}
	req, ack := c.terms(p, who)
	if p.HasWill && willSize(p) > int(c.limits.maxPacket) {
		c.refuse(packet.ReasonPacketTooLarge, fmt.Errorf("the will is a packet of %d bytes, and the limit is %d", willSize(p), c.limits.maxPacket))
		return
	}
	if c.enhanced != nil {
		setAuth(&ack.Properties, proof)
	}
	if p.Properties.RequestResponseInfo == 1 { // [MQTT-3.1.2-28]
		c.inform(who, ack)
	}
	c.join(req, ack)
}

// terms settles what the client asks for against what the server grants.
func (c *conn) terms(p *packet.Connect, who auth.Principal) (*router.Connect, *packet.Connack) {
	m := c.server.settings().MQTT
	ack := &packet.Connack{}
	req := &router.Connect{
		Principal:  who,
		Link:       c,
		Version:    p.Version,
		CleanStart: p.CleanStart,
		Window:     session.MaxWindow,
		Limits:     queueLimits(&m),
		Overflow:   overflow(m.Overflow),
	}
	c.limits.maxPacket = limit32(m.MaxPacketSize)
	c.limits.maxQoS = packet.QoS(*m.MaxQoS)
	c.limits.receiveMax = limit32(m.ReceiveMaximum)
	c.limits.maxSubscriptions = limit32(m.MaxSubscriptionsPerClient)
	c.limits.maxFilterBytes = limit32(m.MaxSubscriptionBytesPerClient)
	c.limits.full = m.MaxQueuedBytes
	c.applyUserLimits(who, req)
	c.setPatience(c.keepAlive(p))
	if p.HasWill {
		req.Will, req.WillDelay = willOf(&p.Will)
	}
	if p.Version == packet.V5 {
		c.terms5(p, req, ack)
	} else if !p.CleanStart {
		req.Expiry = time.Duration(m.SessionExpiryMax)
	}
	return req, ack
}

// maxAnnounced is the greatest Maximum Packet Size that a client is told. The
// standard allows five bytes more, for the header, but clients refuse what is
// beyond the greatest remaining length.
const maxAnnounced = 1<<28 - 1

// terms5 settles what MQTT 5 lets the two sides tell each other.
func (c *conn) terms5(p *packet.Connect, req *router.Connect, ack *packet.Connack) {
	m := c.server.settings().MQTT
	asked, out := &p.Properties, &ack.Properties
	if asked.Has(packet.PropSessionExpiry) {
		req.Expiry = sessionExpiry(asked.SessionExpiry, time.Duration(m.SessionExpiryMax))
		if granted := uint32(req.Expiry / time.Second); granted != asked.SessionExpiry {
			out.SessionExpiry = granted
			out.Set(packet.PropSessionExpiry)
		}
	}
	if asked.Has(packet.PropReceiveMaximum) {
		req.Window = int(asked.ReceiveMaximum)
	}
	if asked.Has(packet.PropTopicAliasMaximum) {
		req.TopicAliases = min(int(asked.TopicAliasMaximum), *m.TopicAliasMaximum)
	}
	if asked.Has(packet.PropMaximumPacketSize) {
		req.MaxPacket = int(asked.MaximumPacketSize)
	}
	if granted := c.keepAlive(p); granted != p.KeepAlive { // [MQTT-3.2.2-21]
		out.ServerKeepAlive = granted
		out.Set(packet.PropServerKeepAlive)
	}
	out.ReceiveMaximum = uint16(m.ReceiveMaximum)
	out.Set(packet.PropReceiveMaximum)
	out.MaximumPacketSize = min(uint32(c.limits.maxPacket), maxAnnounced)
	out.Set(packet.PropMaximumPacketSize)
	if q := *m.MaxQoS; q < 2 { // [MQTT-3.2.2-9]
		out.MaximumQoS = q
		out.Set(packet.PropMaximumQoS)
	}
	if c.limits.topicAliasMax = uint16(*m.TopicAliasMaximum); c.limits.topicAliasMax > 0 {
		out.TopicAliasMaximum = c.limits.topicAliasMax
		out.Set(packet.PropTopicAliasMaximum)
	}
	if c.assigned { // [MQTT-3.1.3-7]
		out.AssignedClientID = p.ClientID
		out.Set(packet.PropAssignedClientID)
	}
}

// keepAlive is the one in force, in seconds: what the client asked for, within the
// bound of the server's. MQTT 3 has no way to tell the client, but lets the server
// end a connection that it finds inactive at any time, whatever the keep alive
// (3.1.1: section 3.1.2.10).
func (c *conn) keepAlive(p *packet.Connect) uint16 {
	longest := uint16(min(time.Duration(c.server.settings().MQTT.KeepAliveMax)/time.Second, math.MaxUint16))
	if longest > 0 && (p.KeepAlive == 0 || p.KeepAlive > longest) {
		return longest
	}
	return p.KeepAlive
}

// inform adds where the client may have responses sent to, if that fits into
// what it takes.
func (c *conn) inform(who auth.Principal, ack *packet.Connack) {
	topic, ok := who.Expand(c.server.settings().MQTT.ResponseInformation)
	if !ok || topic == "" {
		return
	}
	ack.Properties.ResponseInfo = []byte(topic)
	ack.Properties.Set(packet.PropResponseInfo)
	if !c.fits(ack.Size(c.version)) {
		ack.Properties.Unset(packet.PropResponseInfo)
	}
}

// sessionExpiry is the interval that is granted of what was asked for, in
// seconds; the largest value stands for no end.
func sessionExpiry(asked uint32, longest time.Duration) time.Duration {
	return min(time.Duration(asked)*time.Second, longest)
}

// applyUserLimits narrows the limits by those of the user.
func (c *conn) applyUserLimits(who auth.Principal, req *router.Connect) {
	own := c.server.access.Load().Limits(who)
	c.limits.maxPacket = narrow(c.limits.maxPacket, limit32(own.MaxPacketSize))
	c.limits.maxSubscriptions = narrow(c.limits.maxSubscriptions, limit32(own.MaxSubscriptions))
	req.MaxConnections, req.MaxSessions = own.MaxConnections, own.MaxSessions
	req.Limits.QueuedMessages = narrow(req.Limits.QueuedMessages, own.MaxQueuedMessages)
}

// narrow returns the lower of two limits, of which 0 is none.
func narrow[N int | int32](limit, own N) N {
	if own > 0 && (limit == 0 || own < limit) {
		return own
	}
	return limit
}

// queueLimits bound a session's queue, unless its user has narrower ones.
func queueLimits(m *config.MQTT) session.Limits {
	return session.Limits{
		QueuedMessages: m.MaxQueuedMessages,
		QueuedBytes:    int(m.MaxQueuedBytes),
		DropOldest:     m.Overflow == config.DropOldest,
	}
}

func overflow(o config.Overflow) router.Overflow {
	switch o {
	case config.DropOldest:
		return router.DropOldest
	case config.Disconnect:
		return router.Disconnect
	default:
		return router.DropNewest
	}
}

// willSize is that of the PUBLISH which the will stands for.
func willSize(p *packet.Connect) int {
	will := packet.Publish{QoS: p.Will.QoS, Topic: p.Will.Topic, Payload: p.Will.Payload, Properties: p.Will.Properties}
	will.Properties.Unset(packet.PropWillDelay)
	return will.Size(p.Version)
}

// willOf makes the will message, and how long after the end of the connection it
// is published.
func willOf(will *packet.Will) (*session.Message, time.Duration) {
	p := packet.Publish{
		QoS: will.QoS, Retain: will.Retain,
		Topic: will.Topic, Payload: will.Payload, Properties: will.Properties,
	}
	var delay time.Duration
	if p.Properties.Has(packet.PropWillDelay) {
		delay = time.Duration(p.Properties.WillDelay) * time.Second
		p.Properties.Unset(packet.PropWillDelay)
	}
	return session.NewMessage(&p, router.Unpublished), delay
}

// maxWaiting bounds the answers of one connection that wait for a commit. MQTT 5
// has the receive maximum for that as well, MQTT 3 has not.
const maxWaiting = 1024

// afterCommit runs answer once what was changed is durable, and in the order of
// the packets: at once if there is nothing to wait for.
func (c *conn) afterCommit(answer func(error)) {
	if !c.loop.worker.Dirty() && c.waiting == 0 {
		answer(nil)
		return
	}
	if c.waiting++; c.waiting >= maxWaiting {
		c.hold(heldCommits)
	}
	c.loop.worker.Commit(func(err error) {
		defer c.recoverPanic()
		if c.waiting--; c.waiting < maxWaiting/2 {
			defer c.resume(heldCommits)
		}
		if c.state == stateOpen {
			answer(err)
		}
		if c.waiting == 0 && c.end != goesOn {
			c.settle()
		}
	})
}
