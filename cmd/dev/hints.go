package dev

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/topic"
)

// Hints tells where the broker listens, and which commands to try: a
// subscription and a publish that reaches it, by users that the rules let do so.
func (b *Build) Hints() (string, error) {
	snapshot, err := auth.Compile(b.Config)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "Broker %s listens on\n", b.Config.Settings.Name)
	for _, l := range b.Config.Settings.Listeners {
		fmt.Fprintf(&out, "  %-12s %-22s %s\n", l.Name, address(l), b.describe(l))
	}
	l, ok := b.tryable()
	if !ok {
		return out.String(), nil
	}
	sub, pub := b.example(snapshot)
	if sub == nil && pub == nil {
		out.WriteString("Nobody may publish or subscribe yet: add a MQTTUser with its Secret, and a TopicACL.\n")
		return out.String(), nil
	}
	out.WriteString("Try it:\n")
	if sub != nil {
		fmt.Fprintf(&out, "  mosquitto_sub %s -v -t %s\n", b.flags(l, sub), quote(sub.topic))
	}
	if pub != nil {
		fmt.Fprintf(&out, "  mosquitto_pub %s -t %s -m hello\n", b.flags(l, pub), quote(pub.topic))
	}
	return out.String(), nil
}

// describe tells what is spoken on a listener.
func (b *Build) describe(l config.Listener) string {
	s := "MQTT"
	if l.Protocol == config.ProtocolWebSocket {
		s = "MQTT over WebSocket, path " + l.WebSocket.PathOrDefault()
	}
	if l.TLS == nil {
		return s
	}
	s += " over TLS"
	if l.TLS.ClientAuth == config.ClientAuthRequired {
		s += ", client certificate required"
	}
	return s + ", CA " + b.CAFiles[l.Name]
}

// tryable chooses the listener for the examples: one with TLS where there is
// one, that the tools speak and that asks for no certificate.
func (b *Build) tryable() (config.Listener, bool) {
	var plain *config.Listener
	for i, l := range b.Config.Settings.Listeners {
		switch {
		case l.Protocol == config.ProtocolWebSocket, l.ProxyProtocol:
		case l.TLS == nil:
			plain = &b.Config.Settings.Listeners[i]
		case l.TLS.ClientAuth != config.ClientAuthRequired:
			return l, true
		}
	}
	if plain == nil {
		return config.Listener{}, false
	}
	return *plain, true
}

// try is one command: who does it, and on which topic.
type try struct {
	user     string // empty: anonymous
	password string
	clientID string // empty: any
	topic    string
}

// flags of the mosquitto tools.
func (b *Build) flags(l config.Listener, t *try) string {
	flags := []string{"-h", quote(host(l)), "-p", strconv.Itoa(l.Port)}
	if l.TLS != nil {
		flags = append(flags, "--cafile", quote(b.CAFiles[l.Name]))
	}
	if t.user != "" {
		flags = append(flags, "-u", quote(t.user), "-P", quote(t.password))
	}
	if t.clientID != "" {
		flags = append(flags, "-i", quote(t.clientID))
	}
	return strings.Join(flags, " ")
}

// example finds a subscription and a publish that belong together, or what there
// is of them.
func (b *Build) example(s *auth.Snapshot) (sub, pub *try) {
	subs := b.allowed(s, config.ActionSubscribe, func(acl *auth.ACL, filter string) bool {
		granted, _ := acl.Subscribe(filter)
		return granted
	})
	pubs := b.allowed(s, config.ActionPublish, func(acl *auth.ACL, name string) bool {
		return acl.Publish([]byte(name)).Permits(0, false)
	})
	for i := range pubs {
		for j := range subs {
			// Two clients of one identifier would take over from each other.
			clash := subs[j].clientID != "" && subs[j].clientID == pubs[i].clientID
			if !clash && topic.Match(subs[j].topic, pubs[i].topic) {
				return &subs[j], &pubs[i]
			}
		}
	}
	if len(subs) > 0 {
		sub = &subs[0]
	}
	if len(pubs) > 0 {
		pub = &pubs[0]
	}
	return sub, pub
}

// allowed lists what users whose passwords are known may do, of the topics that
// the rules name.
func (b *Build) allowed(s *auth.Snapshot, action config.Action, may func(*auth.ACL, string) bool) []try {
	var tries []try
	for _, who := range b.identities() {
		id, fixed := clientID(b.Config, who.user, action)
		principal := auth.Principal{Username: who.user, Anonymous: who.user == "", ClientID: id}
		acl := s.ACL(principal)
		for _, rule := range b.topics(action) {
			t := concrete(rule, action, principal)
			if !may(acl, t) {
				continue
			}
			found := try{user: who.user, password: who.password, topic: t}
			if fixed || strings.Contains(rule, "%c") {
				found.clientID = id
			}
			tries = append(tries, found)
		}
	}
	return tries
}

func (b *Build) identities() []try {
	var who []try
	for _, u := range b.Config.Access.Users {
		if password, known := b.Secrets[u.Username]; known {
			who = append(who, try{user: u.Username, password: password})
		}
	}
	if b.Config.Settings.Anonymous {
		who = append(who, try{})
	}
	return who
}

// topics that rules of the action name, and one that needs no rule.
func (b *Build) topics(action config.Action) []string {
	var topics []string
	for _, policy := range b.Config.Access.Policies {
		for _, r := range policy.Rules {
			if r.Effect == config.Allow && (slices.Contains(r.Actions, action) || slices.Contains(r.Actions, config.ActionAll)) {
				topics = append(topics, r.Topics...)
			}
		}
	}
	return append(topics, "demo/#")
}

// concrete fills in the placeholders of a rule's filter; for a publish also the
// wildcards.
func concrete(filter string, action config.Action, p auth.Principal) string {
	_, filter, _, _ = topic.ParseShared(filter) // the configuration is valid
	levels := strings.Split(filter, "/")
	for i, level := range levels {
		switch {
		case level == "%u":
			levels[i] = p.Username
		case level == "%c":
			levels[i] = p.ClientID
		case action == config.ActionPublish && (level == "+" || level == "#"):
			levels[i] = "hello"
		}
	}
	return strings.Join(levels, "/")
}

// clientID returns one that the user may connect with, and whether the user is
// bound to such.
func clientID(c *config.Config, user string, action config.Action) (id string, fixed bool) {
	suffix := "-" + strings.ToLower(string(action))
	for _, u := range c.Access.Users {
		if u.Username == user && len(u.ClientIDs) > 0 {
			if stem, wild := strings.CutSuffix(u.ClientIDs[0], "*"); wild {
				return stem + suffix[1:], true
			}
			return u.ClientIDs[0], true
		}
	}
	return user + suffix, false
}

// host is how a client on this machine reaches a listener.
func host(l config.Listener) string {
	addr, err := netip.ParseAddr(l.Address)
	if err != nil || addr.IsUnspecified() || addr.IsLoopback() {
		return "localhost"
	}
	return l.Address
}

func address(l config.Listener) string {
	bind := l.Address
	if bind == "" {
		bind = "*"
	}
	return net.JoinHostPort(bind, strconv.Itoa(l.Port))
}

// quote writes a word for a shell.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_@%+=:,./-", r)
	}
	if s != "" && strings.TrimLeftFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
