package config

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/godwit-mqtt/godwit/broker/topic"
)

// Bounds that the protocol itself sets.
const (
	maxPacketSize    = 268435460 // remaining length of four bytes, and the fixed header before it
	maxKeepAlive     = 65535 * time.Second
	maxSessionExpiry = 4294967295 * time.Second
	maxUint16        = 65535
	maxString        = 65535 // bytes of a UTF-8 encoded string
	maxQoS           = 2
	minDecoyKey      = 16 // bytes
)

// serverReference is a list of addresses, whose form MQTT leaves open.
var serverReference = regexp.MustCompile(`^[!-~]+( [!-~]+)*$`)

var listenerName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// Validate returns every problem of the configuration, each with the path of
// its field and what to change, joined; nil where there is none.
func (c *Config) Validate() error {
	return errors.Join(c.Settings.Validate(), c.Access.Validate())
}

// problems collects what is wrong below a path. Copies made by at share the
// list.
type problems struct {
	path string
	list *[]error
}

func newProblems(path string) problems { return problems{path: path, list: new([]error)} }

// at is the place of a field below this one.
func (p problems) at(format string, args ...any) problems {
	p.path += fmt.Sprintf(format, args...)
	return p
}

// add notes a problem of the field that p stands at.
func (p problems) add(format string, args ...any) {
	*p.list = append(*p.list, fmt.Errorf("%s: %s", p.path, fmt.Sprintf(format, args...)))
}

// must notes a problem unless ok holds.
func (p problems) must(ok bool, format string, args ...any) {
	if !ok {
		p.add(format, args...)
	}
}

func (p problems) join() error { return errors.Join(*p.list...) }

// Validate returns every problem of the settings, joined.
func (s *Settings) Validate() error {
	p := newProblems("settings")
	s.validateListeners(p.at(".listeners"))
	validateEnum(p.at(".defaultEffect"), s.DefaultEffect, "", Allow, Deny)
	s.AnonymousLimits.validate(p.at(".anonymousLimits"))
	s.MQTT.validate(p.at(".mqtt"))
	s.Drain.validate(p.at(".drain"))
	if s.Persistence != nil {
		p.at(".persistence.syncEvery").must(s.Persistence.SyncEvery >= 0,
			"%s is negative; use a duration such as 1s, or 0s to sync before each acknowledgement", time.Duration(s.Persistence.SyncEvery))
		validateCount(p.at(".persistence.size"), s.Persistence.Size)
	}
	return p.join()
}

func (s *Settings) validateListeners(p problems) {
	p.must(len(s.Listeners) > 0, "none is given; add at least one")
	names, ports := map[string]int{}, map[string]int{}
	for i, l := range s.Listeners {
		at := p.at("[%d]", i)
		l.validate(at)
		if other, taken := names[l.Name]; taken {
			at.at(".name").add("%q is the name of listeners[%d] already; names must differ", l.Name, other)
		}
		names[l.Name] = i
		if l.Port == 0 {
			continue // each gets a port of its own
		}
		bind := fmt.Sprintf("%s:%d", l.Address, l.Port)
		if other, taken := ports[bind]; taken {
			at.at(".port").add("%d is the port of listeners[%d] already; use another", l.Port, other)
		}
		ports[bind] = i
	}
}

func (l *Listener) validate(p problems) {
	p.at(".name").must(listenerName.MatchString(l.Name),
		"%q is not a name; use lower-case letters, digits and '-', at most 63", l.Name)
	if l.Address != "" {
		_, err := netip.ParseAddr(l.Address)
		p.at(".address").must(err == nil, "%q is not an IP address; give one, or leave it empty for all", l.Address)
	}
	p.at(".port").must(l.Port >= 0 && l.Port <= maxUint16,
		"%d is not a port; use 1 to 65535, or 0 for any that is free", l.Port)
	validateEnum(p.at(".protocol"), l.Protocol, "", ProtocolMQTT, ProtocolWebSocket)
	if l.TLS != nil {
		l.TLS.validate(p.at(".tls"))
	}
	if l.WebSocket != nil {
		l.WebSocket.validate(p.at(".webSocket"))
		p.at(".webSocket").must(l.Protocol == ProtocolWebSocket, "is set although the protocol is not WebSocket; make it that, or remove this")
	}
	l.validateProxies(p)
	validateCount(p.at(".maxConnections"), l.MaxConnections)
	validateCount(p.at(".connectRate"), l.ConnectRate)
}

func (l *Listener) validateProxies(p problems) {
	p.at(".trustedProxies").must(!l.ProxyProtocol || len(l.TrustedProxies) > 0,
		"none is given although proxyProtocol is on, so nobody could connect; list the proxies' CIDRs")
	for i, cidr := range l.TrustedProxies {
		_, err := netip.ParsePrefix(cidr)
		p.at(".trustedProxies[%d]", i).must(err == nil, "%q is not a CIDR; write it as in 10.0.0.0/8", cidr)
	}
}

// origin is what browsers send as the origin of a page.
var origin = regexp.MustCompile(`^(null|[a-z][a-z0-9+.-]*://[^/?# ]+)$`)

func (w *WebSocket) validate(p problems) {
	p.at(".path").must(w.Path == "" || w.Path[0] == '/' && !strings.ContainsAny(w.Path, "?# "),
		"%q is not a path; write it as in /mqtt", w.Path)
	for i, o := range w.AllowedOrigins {
		p.at(".allowedOrigins[%d]", i).must(origin.MatchString(o),
			"%q is not an origin; write it as in https://app.example.com, without a path, or null", o)
	}
}

func (t *TLS) validate(p problems) {
	p.at(".certFile").must(t.CertFile != "", "is empty; name the file of the PEM certificate chain")
	p.at(".keyFile").must(t.KeyFile != "", "is empty; name the file of the PEM private key")
	validateEnum(p.at(".clientAuth"), t.ClientAuth, "", ClientAuthNone, ClientAuthOptional, ClientAuthRequired)
	if t.ClientAuth == ClientAuthOptional || t.ClientAuth == ClientAuthRequired {
		p.at(".clientCAFile").must(t.ClientCAFile != "",
			"is empty although clientAuth is %s; name the file of the CA that signs client certificates", t.ClientAuth)
	} else {
		p.at(".clientCA").must(t.ClientCA == "", "%q is given although clients are asked for no certificate; leave it out", t.ClientCA)
	}
	validateEnum(p.at(".clientIdentity"), t.ClientIdentity, "", IdentityCertificateOrUsername, IdentityCertificate)
	p.at(".clientIdentity").must(t.ClientIdentity != IdentityCertificate || t.ClientAuth == ClientAuthRequired,
		"%s leaves clients without a certificate no way in; set clientAuth to %s", IdentityCertificate, ClientAuthRequired)
	validateEnum(p.at(".minVersion"), t.MinVersion, "", "1.2", "1.3")
	p.at(".maxRecordSize").must(t.MaxRecordSize == 0 || t.MaxRecordSize >= MinRecordSize && t.MaxRecordSize <= MaxRecordSize,
		"%d is out of range; use %d to %d bytes", t.MaxRecordSize, MinRecordSize, MaxRecordSize)
	t.validateAdditional(p)
}

func (t *TLS) validateAdditional(p problems) {
	names := map[string]int{}
	for i, a := range t.Additional {
		at := p.at(".additional[%d]", i)
		at.at(".name").must(listenerName.MatchString(a.Name),
			"%q is not a name; use lower-case letters, digits and '-', at most 63", a.Name)
		at.at(".certFile").must(a.CertFile != "", "is empty; name the file of the PEM certificate chain")
		at.at(".keyFile").must(a.KeyFile != "", "is empty; name the file of the PEM private key")
		if other, taken := names[a.Name]; taken {
			at.at(".name").add("%q is the name of additional[%d] already; names must differ", a.Name, other)
		}
		names[a.Name] = i
	}
}

func (m *MQTT) validate(p problems) {
	p.at(".maxPacketSize").must(m.MaxPacketSize >= 0 && m.MaxPacketSize <= maxPacketSize,
		"%d is out of range; use 1 to %d bytes", m.MaxPacketSize, maxPacketSize)
	validateQoS(p.at(".maxQoS"), m.MaxQoS)
	validateSeconds(p.at(".keepAliveMax"), m.KeepAliveMax, maxKeepAlive)
	validateSeconds(p.at(".sessionExpiryMax"), m.SessionExpiryMax, maxSessionExpiry)
	p.at(".receiveMaximum").must(m.ReceiveMaximum >= 0 && m.ReceiveMaximum <= maxUint16,
		"%d is out of range; use 1 to 65535", m.ReceiveMaximum)
	if a := m.TopicAliasMaximum; a != nil {
		p.at(".topicAliasMaximum").must(*a >= 0 && *a <= maxUint16, "%d is out of range; use 0 to 65535", *a)
	}
	validateCount(p.at(".maxSubscriptionsPerClient"), m.MaxSubscriptionsPerClient)
	validateCount(p.at(".maxSubscriptionBytesPerClient"), m.MaxSubscriptionBytesPerClient)
	validateCount(p.at(".maxSharedSubscriptionsPerClient"), m.MaxSharedSubscriptionsPerClient)
	validateCount(p.at(".maxSessions"), m.MaxSessions)
	validateCount(p.at(".maxQueuedMessages"), m.MaxQueuedMessages)
	validateCount(p.at(".maxQueuedBytes"), m.MaxQueuedBytes)
	validateEnum(p.at(".overflow"), m.Overflow, "", DropNewest, DropOldest, Disconnect)
	validateCount(p.at(".maxRetainedMessages"), m.MaxRetainedMessages)
	validateCount(p.at(".maxRetainedBytes"), m.MaxRetainedBytes)
	if info := m.ResponseInformation; info != "" {
		err := errors.Join(validatePlaceholders(info), topic.ValidateName([]byte(info)))
		p.at(".responseInformation").must(err == nil, "%q: %v; use the beginning of a topic name, as in responses/%%c", info, err)
	}
}

func (d *Drain) validate(p problems) {
	validateCount(p.at(".disconnectRate"), d.DisconnectRate)
	p.at(".timeout").must(d.Timeout >= 0, "%s is negative; use a duration such as 60s", time.Duration(d.Timeout))
	p.at(".serverReference").must(d.ServerReference == "" || serverReference.MatchString(d.ServerReference) && len(d.ServerReference) <= maxString,
		"%q is not a server reference; use an address such as edge-b.example.com:8883, or several with one space between them", d.ServerReference)
}

// Validate returns every problem of the users and policies, joined.
func (a *Access) Validate() error {
	p := newProblems("access")
	p.at(".decoyKey").must(len(a.DecoyKey) == 0 || len(a.DecoyKey) >= minDecoyKey,
		"has %d bytes; use %d or more that nobody can guess", len(a.DecoyKey), minDecoyKey)
	names, subjects := map[string]int{}, map[subject]int{}
	for i, u := range a.Users {
		at := p.at(".users[%d]", i)
		u.validate(at)
		if other, taken := names[u.Username]; taken {
			at.at(".username").add("%q is users[%d] already; usernames must differ", u.Username, other)
		}
		names[u.Username] = i
		if u.CommonName == "" {
			continue
		}
		certified := subject{u.ClientCA, u.CommonName}
		if other, taken := subjects[certified]; taken {
			at.at(".commonName").add("%q stands for users[%d] already; common names of the same clientCA must differ", u.CommonName, other)
		}
		subjects[certified] = i
	}
	for i := range a.Suspended {
		u, at := &a.Suspended[i], p.at(".suspended[%d]", i)
		validateIdentity(at, u.Username, u.ClientIDs)
		if other, taken := names[u.Username]; taken {
			at.at(".username").add("%q is users[%d]; a user is there or suspended", u.Username, other)
		}
	}
	for i := range a.Policies {
		a.Policies[i].validate(p.at(".policies[%d]", i))
	}
	return p.join()
}

// subject is what a client certificate says of whom it is for.
type subject struct{ clientCA, commonName string }

func (u *User) validate(p problems) {
	validateIdentity(p, u.Username, u.ClientIDs)
	for i, h := range u.PasswordHashes {
		p.at(".passwordHashes[%d]", i).must(h != "", "is empty; give a hash or leave it out")
	}
	p.at(".clientCA").must(u.ClientCA == "" || u.CommonName != "", "%q is given without a commonName; add one, or leave it out", u.ClientCA)
	u.Limits.validate(p.at(".limits"))
}

func validateIdentity(p problems, username string, clientIDs []string) {
	p.at(".username").must(isString(username), "%q is not a username; use 1 to 65535 bytes of UTF-8 without NUL", username)
	for i, id := range clientIDs {
		stem := strings.TrimSuffix(id, "*")
		p.at(".clientIDs[%d]", i).must(id != "" && !strings.Contains(stem, "*") && utf8.ValidString(id),
			"%q is not a client ID pattern; give a client ID, with '*' only at its end", id)
	}
}

func (l *UserLimits) validate(p problems) {
	validateCount(p.at(".maxConnections"), l.MaxConnections)
	validateCount(p.at(".publishRate"), l.PublishRate)
	validateCount(p.at(".publishBytesPerSecond"), l.PublishBytesPerSecond)
	validateCount(p.at(".maxPacketSize"), l.MaxPacketSize)
	validateCount(p.at(".maxQueuedMessages"), l.MaxQueuedMessages)
	validateCount(p.at(".maxSubscriptions"), l.MaxSubscriptions)
	validateCount(p.at(".maxSessions"), l.MaxSessions)
	validateCount(p.at(".maxRetainedMessages"), l.MaxRetainedMessages)
	validateCount(p.at(".maxRetainedBytes"), l.MaxRetainedBytes)
}

func (y *Policy) validate(p problems) {
	if y.Source != "" {
		p.path += " (" + y.Source + ")"
	}
	for i, name := range y.Users {
		p.at(".users[%d]", i).must(isString(name), "%q is not a username", name)
	}
	for i := range y.Rules {
		y.Rules[i].validate(p.at(".rules[%d]", i))
	}
}

func (r *Rule) validate(p problems) {
	validateEnum(p.at(".effect"), r.Effect, Allow, Deny)
	p.at(".actions").must(len(r.Actions) > 0, "none is given; use Publish, Subscribe or All")
	for i, a := range r.Actions {
		validateEnum(p.at(".actions[%d]", i), a, ActionPublish, ActionSubscribe, ActionAll)
	}
	p.at(".topics").must(len(r.Topics) > 0, "none is given; add at least one topic filter")
	for i, t := range r.Topics {
		if err := validateTopic(t); err != nil {
			p.at(".topics[%d]", i).add("%v", err)
		}
	}
	validateQoS(p.at(".maxQoS"), r.MaxQoS)
	validateEnum(p.at(".retain"), r.Retain, "", Allow, Deny)
	validateCount(p.at(".index"), r.Index)
}

// validateTopic checks a topic filter of a rule.
func validateTopic(filter string) error {
	if err := validatePlaceholders(filter); err != nil {
		return err
	}
	_, _, _, err := topic.ParseShared(filter)
	return err
}

// validatePlaceholders checks that %u and %c stand for whole levels.
func validatePlaceholders(filter string) error {
	for level := range strings.SplitSeq(filter, "/") {
		for _, placeholder := range []string{"%u", "%c"} {
			if level != placeholder && strings.Contains(level, placeholder) {
				return fmt.Errorf("%s must be a whole level of topic filter %q, as in a/%s/b", placeholder, filter, placeholder)
			}
		}
	}
	return nil
}

func validateQoS(p problems, q *byte) {
	if q != nil {
		p.must(*q <= maxQoS, "%d is not a quality of service; use 0, 1 or 2", *q)
	}
}

// validateSeconds checks a duration that the protocol carries in whole seconds;
// zero is the default's.
func validateSeconds(p problems, d Duration, limit time.Duration) {
	v := time.Duration(d)
	p.must(v == 0 || v >= time.Second && v <= limit, "%s is out of range; use 1s to %s", v, limit)
}

func validateCount[T int | int64](p problems, n T) {
	p.must(n >= 0, "%d is negative; use a number above 0, or leave it out", n)
}

func validateEnum[T ~string](p problems, v T, allowed ...T) {
	names := make([]string, 0, len(allowed))
	for _, a := range allowed {
		if v == a {
			return
		}
		if a != "" {
			names = append(names, string(a))
		}
	}
	p.add("%q is not known; use %s", v, strings.Join(names, ", "))
}

// isString says whether s can stand in a packet as a non-empty string
// [MQTT-1.5.4-1], [MQTT-1.5.4-2].
func isString(s string) bool {
	return s != "" && len(s) <= maxString && utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}
