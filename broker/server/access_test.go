package server_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// A password and its hash by mosquitto_passwd with few iterations, so that
// tests are quick.
const (
	secret = "correct horse"
	hash   = "$7$101$nmU2V8AOZ2UUEZU2$O5qZVMsanhb57D5OHC0BGCaIplxWGVikULZcwp8Da6cYBnF6cE4c1OoViPnohqlvC9tb2bKAVUgOkrKyaZigGQ=="
)

// users admits ann and bob, and nobody else, to nothing.
func users(c *config.Config) {
	c.Settings.Anonymous, c.Settings.DefaultEffect = false, config.Deny
	c.Access.Users = []config.User{
		{Username: "ann", PasswordHashes: []string{hash}},
		{Username: "bob", PasswordHashes: []string{hash}, ClientIDs: []string{"bob-*"}},
	}
}

// rules are those of everybody who has authenticated.
func rules(rules ...config.Rule) func(*config.Config) {
	return func(c *config.Config) {
		c.Access.Policies = []config.Policy{{Source: "test/rules", Authenticated: true, Rules: rules}}
	}
}

func allow(topics ...string) config.Rule {
	return config.Rule{Effect: config.Allow, Actions: []config.Action{config.ActionAll}, Topics: topics}
}

func deny(action config.Action, topics ...string) config.Rule {
	return config.Rule{Effect: config.Deny, Actions: []config.Action{action}, Topics: topics}
}

var ann = brokertest.Login("ann", secret)

func TestLogin(t *testing.T) { // [MQTT-3.1.4-2]
	t.Parallel()
	b := brokertest.Start(t, users)
	for name, tc := range map[string]struct {
		id     string
		login  func(*packet.Connect)
		reason packet.ReasonCode
	}{
		"the right password":  {"a", ann, 0},
		"and once more":       {"a", ann, 0},
		"a wrong password":    {"a", brokertest.Login("ann", "wrong"), packet.ReasonBadUserNameOrPassword},
		"an unknown user":     {"a", brokertest.Login("eve", secret), packet.ReasonBadUserNameOrPassword},
		"nobody":              {"a", func(*packet.Connect) {}, packet.ReasonNotAuthorized},
		"a client ID by rule": {"bob-1", brokertest.Login("bob", secret), 0},
		"another client ID":   {"b", brokertest.Login("bob", secret), packet.ReasonClientIdentifierNotValid},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, v packet.Version) {
				c := b.Dial(t, v)
				c.Send(brokertest.NewConnect(tc.id, tc.login), &packet.Pingreq{}) // [MQTT-3.1.4-6]
				if tc.reason.IsError() {
					c.ExpectRefused(tc.reason)
					return
				}
				if ack := brokertest.Expect[*packet.Connack](c); ack.Reason.IsError() {
					t.Fatalf("CONNACK with %v", ack.Reason)
				}
				c.Expect(&packet.Pingresp{})
			})
		})
	}
}

func TestSessionsBelongToTheirUsers(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, users)
	b.Connect(t, v5, "bob-1", brokertest.Login("bob", secret), brokertest.Persistent).Disconnect()
	c := b.Dial(t, v5)
	c.Send(brokertest.NewConnect("bob-1", ann))
	c.ExpectRefused(packet.ReasonClientIdentifierNotValid)
}

// TestAClientIdentifierIsTakenFromWhomItIsNotNamedFor: the user whose clientIds name
// it gets a session of its own.
func TestAClientIdentifierIsTakenFromWhomItIsNotNamedFor(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, v packet.Version) {
		b := brokertest.Start(t, users)
		squatter := b.Connect(t, v, "bob-1", ann, brokertest.Persistent)
		bob, ack := connack(t, b, v, "bob-1", brokertest.Login("bob", secret), brokertest.Persistent)
		if ack.SessionPresent {
			t.Error("the session of another user is present")
		}
		squatter.ExpectDisconnect(packet.ReasonSessionTakenOver)
		bob.ExpectSilence()
		again := b.Dial(t, v)
		again.Send(brokertest.NewConnect("bob-1", ann))
		again.ExpectRefused(packet.ReasonClientIdentifierNotValid)
	})
}

//api:semantics 1 5
func TestDeniedPublish(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, v packet.Version) {
		b := brokertest.Start(t, users, rules(allow("#"), deny(config.ActionPublish, "secret/#")))
		sub := b.Connect(t, v, "sub", ann)
		sub.Subscribe("#", qos2)
		c := b.Connect(t, v, "c", ann)
		c.Send(brokertest.NewPublish("secret/0", "m"), brokertest.NewPublish("secret/1", "m", atQoS(qos1, 1)),
			brokertest.NewPublish("secret/2", "m", atQoS(qos2, 2), brokertest.Retained))
		// MQTT 3 cannot refuse: the message is acknowledged and dropped.
		c.Expect(ackReason(packet.TypePuback, 1, packet.ReasonNotAuthorized), ackReason(packet.TypePubrec, 2, packet.ReasonNotAuthorized))
		if v != v5 {
			c.Send(ack(packet.TypePubrel, 2))
			c.ExpectAck(packet.TypePubcomp, 2)
		}
		c.Publish("open", "m", qos2)
		sub.ExpectPublish("open", "m")
		sub.ExpectSilence()
	})
}

//api:semantics 4
func TestDeniedSubscribe(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, v packet.Version) {
		b := brokertest.Start(t, users, rules(allow("open/#", "half/#"), deny(config.ActionSubscribe, "half/secret")))
		c := b.Connect(t, v, "c", ann)
		c.Send(withID(1, 0, "open/+", "#", "half/#", "half/secret", "$share/g/#"))
		no := packet.ReasonNotAuthorized
		if v != v5 {
			no = packet.ReasonUnspecifiedError // 0x80 is all that there is
		}
		c.Expect(&packet.Suback{ID: 1, Reasons: []packet.ReasonCode{1, no, 1, no, no}})
		// A part that is denied is withheld, also of retained messages.
		pub := b.Connect(t, v, "pub", ann)
		for _, topic := range []string{"half/secret", "half/open"} {
			pub.Publish(topic, "m", qos1, brokertest.Retained)
		}
		c.ExpectPublish("half/open", "m")
		c.ExpectSilence()
		c.Subscribe("half/+", qos0)
		c.ExpectPublish("half/open", "m")
		c.ExpectSilence()
	})
}

func TestDeniedWill(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, users, rules(allow("#"), deny(config.ActionPublish, "secret")))
	w := b.Connect(t, v5, "w", ann)
	w.Subscribe("#", qos0)
	offline(t, b, b.Connect(t, v5, "c", ann, brokertest.Will("secret", "m")))
	w.ExpectSilence()
}

//api:semantics 6
func TestReloadOfRules(t *testing.T) {
	t.Parallel()
	// What ann may do. bob may publish everything.
	grant := func(topics ...string) func(*config.Config) {
		return func(c *config.Config) {
			c.Access.Policies = []config.Policy{
				{Source: "test/ann", Users: []string{"ann"}, Rules: []config.Rule{allow(topics...)}},
				{Source: "test/bob", Users: []string{"bob"}, Rules: []config.Rule{allow("#")}},
			}
		}
	}
	b := brokertest.Start(t, users, grant("a/#", "b/#"))
	c, other := b.Connect(t, v5, "c", ann), b.Connect(t, v5, "bob-1", brokertest.Login("bob", secret))
	c.Subscribe("a/#", qos2)
	c.Subscribe("b/#", qos1)
	for _, publisher := range []*brokertest.Client{c, other} {
		publisher.Publish("a/1", "both know the topic", qos0)
		c.ExpectPublish("a/1", "both know the topic")
	}

	b.MustReload(t, grant("b/#"))
	c.Send(brokertest.NewPublish("a/1", "m", atQoS(qos1, 7)))
	c.Expect(ackReason(packet.TypePuback, 7, packet.ReasonNotAuthorized))
	c.Send(withID(8, 0, "a/+"))
	c.Expect(&packet.Suback{ID: 8, Reasons: []packet.ReasonCode{packet.ReasonNotAuthorized}})
	for _, q := range []packet.QoS{qos0, qos1, qos2} {
		other.Publish("a/1", "withheld", q)
	}
	other.Publish("b/1", "m", qos1)
	c.Acknowledge(c.ExpectPublish("b/1", "m"))

	// The subscription that was suspended delivers again.
	b.MustReload(t, grant("a/#", "b/#"))
	other.Publish("a/1", "back", qos2)
	if p := c.ExpectPublish("a/1", "back"); p.QoS != qos2 {
		t.Errorf("QoS %d", p.QoS)
	}
	c.ExpectSilence()
	other.ExpectSilence()
}

//api:semantics 6
func TestReloadSuspendsSessionsThatAreOffline(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, users, rules(allow("#")))
	c := b.Connect(t, v5, "c", ann, brokertest.Persistent)
	c.Subscribe("t", qos1)
	c.Disconnect()
	pub := b.Connect(t, v5, "pub", ann)
	b.MustReload(t, rules(allow("#"), deny(config.ActionSubscribe, "t")))
	pub.Publish("t", "withheld", qos1)
	b.MustReload(t, rules(allow("#")))
	pub.Publish("t", "allowed", qos1)
	b.Connect(t, v5, "c", ann, brokertest.Persistent).ExpectPublish("t", "allowed")
}

//api:semantics 6
func TestReloadOfUsers(t *testing.T) {
	t.Parallel()
	const another = "$7$101$urOneMRoiJXnU7TX$f9pppHzFyAAZWtGPSPewNSQ+bkjXmEIt6JdBi4ecjXBYaxOP52Ob5oRXOcjMr8cUsdvWqgXfWUVXH9QrSGloFA=="
	for name, tc := range map[string]struct {
		change func(*config.Config)
		goes   bool
	}{
		"a user that is removed":         {func(c *config.Config) { c.Access.Users = c.Access.Users[1:] }, true},
		"a password that is replaced":    {func(c *config.Config) { c.Access.Users[0].PasswordHashes = []string{another} }, true},
		"a password that is added":       {func(c *config.Config) { c.Access.Users[0].PasswordHashes = []string{another, hash} }, false},
		"a client ID that is not listed": {func(c *config.Config) { c.Access.Users[0].ClientIDs = []string{"x"} }, true},
		"another user":                   {func(c *config.Config) { c.Access.Users = c.Access.Users[:1] }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, func(t *testing.T, v packet.Version) {
				b := brokertest.Start(t, users, rules(allow("#")))
				c := b.Connect(t, v, "c", ann, brokertest.Persistent)
				b.MustReload(t, tc.change)
				if tc.goes {
					c.ExpectDisconnect(packet.ReasonNotAuthorized)
					return
				}
				c.ExpectSilence()
			})
		})
	}
}

// TestRevokedClientsAreToldWhy, unless they do not want to be told
// [MQTT-3.1.2-29].
//
//api:semantics 6
func TestRevokedClientsAreToldWhy(t *testing.T) {
	t.Parallel()
	noProblemInfo := func(p *packet.Connect) { p.Properties.Set(packet.PropRequestProblemInfo) }
	for name, change := range map[string]func(*config.Config){
		"a user that is removed":         func(c *config.Config) { c.Access.Users = c.Access.Users[1:] },
		"a password that is replaced":    func(c *config.Config) { c.Access.Users[0].PasswordHashes = nil },
		"a client ID that is not listed": func(c *config.Config) { c.Access.Users[0].ClientIDs = []string{"x"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := brokertest.Start(t, users)
			told, content := b.Connect(t, v5, "told", ann), b.Connect(t, v5, "content", ann, noProblemInfo)
			b.MustReload(t, change)
			if d := told.ExpectDisconnect(packet.ReasonNotAuthorized); string(d.Properties.ReasonString) != "the user or the credential is no longer valid" {
				t.Errorf("DISCONNECT says %q", d.Properties.ReasonString)
			}
			if d := content.ExpectDisconnect(packet.ReasonNotAuthorized); d.Properties.Has(packet.PropReasonString) {
				t.Errorf("DISCONNECT says %q to a client that wants no reason strings", d.Properties.ReasonString)
			}
		})
	}
}

// rights are what a client may do, and what it may not.
type rights struct {
	taken, dropped   []string // topics
	granted, refused []string // topic filters
}

// expect has c, which speaks MQTT 5, try all of them.
func (r rights) expect(t *testing.T, c *brokertest.Client) {
	t.Helper()
	for _, topics := range [][]string{r.taken, r.dropped} {
		for _, topic := range topics {
			c.Send(brokertest.NewPublish(topic, "m", atQoS(qos1, c.NextID())))
		}
	}
	for i, topic := range slices.Concat(r.taken, r.dropped) {
		if taken := !brokertest.Expect[*packet.Ack](c).Reason.IsError(); taken != (i < len(r.taken)) {
			t.Errorf("a message on %q is taken: %v", topic, taken)
		}
	}
	for i, filter := range slices.Concat(r.granted, r.refused) {
		c.Send(withID(c.NextID(), 0, filter))
		if granted := !brokertest.Expect[*packet.Suback](c).Reasons[0].IsError(); granted != (i < len(r.granted)) {
			t.Errorf("a subscription to %q is granted: %v", filter, granted)
		}
	}
	c.Disconnect()
}

// TestIdentitiesThatAreNoLevel: what holds '/', '+' or '#' matches no rule with a
// placeholder, be it one that allows or one that denies.
//
//api:semantics 2
func TestIdentitiesThatAreNoLevel(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, users, rules(
		allow("own/%c", "own/%c/#", "%c/own", "all/#"), deny(config.ActionAll, "all/%c", "all/%c/#"),
	))
	for id, r := range map[string]rights{
		"plain": {
			taken: []string{"own/plain", "own/plain/a", "plain/own", "all/b"}, dropped: []string{"own/b", "all/plain", "all/plain/a"},
			granted: []string{"own/plain", "own/plain/#", "own/plain/+", "plain/own", "all/#", "all/b"},
			refused: []string{"own/+", "own/#", "own/+/#", "+/own", "all/plain", "all/plain/#"},
		},
		"a/b": {
			taken: []string{"all/a/b", "all/a"}, dropped: []string{"own/a/b", "own/a", "own/b", "a/b/own"},
			granted: []string{"all/a/b", "all/a/b/#"}, refused: []string{"own/a/b", "own/a/b/#", "own/a/#", "a/b/own"},
		},
		"+": {
			taken: []string{"all/a", "all/a/b"}, dropped: []string{"own/a", "own/a/b", "a/own"},
			granted: []string{"all/+", "all/+/#"}, refused: []string{"own/+", "own/+/#", "own/a", "+/own"},
		},
		"#": {
			taken: []string{"all/a", "all/a/b"}, dropped: []string{"own/a", "own/a/b", "a/own"},
			granted: []string{"all/#", "all/+"}, refused: []string{"own/#", "own/+", "own/a/#", "#"},
		},
	} {
		t.Run(id, func(t *testing.T) { r.expect(t, b.Connect(t, v5, id, ann)) })
	}
}

//api:semantics 3 4
func TestWhatRulesCover(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rules []config.Rule
		rights
	}{
		"# and topics that begin with $": {[]config.Rule{allow("#")}, rights{
			taken: []string{"a", "a/$b"}, dropped: []string{"$other/a", "$other"},
			granted: []string{"#", "+/#"}, refused: []string{"$other/#", "$other", "$SYS/#", "$share/g/$other/#"},
		}},
		"a leading + and topics that begin with $": {[]config.Rule{allow("+/a", "+/b/#")}, rights{
			taken: []string{"a/a", "a/b"}, dropped: []string{"$other/a", "$other/b/c"},
			granted: []string{"+/a", "a/b/#"}, refused: []string{"$other/a", "$other/b/#", "$SYS/a"},
		}},
		"a rule that names them": {[]config.Rule{allow("$other/#", "$SYS/a"), deny(config.ActionAll, "#", "+/a")}, rights{
			taken: []string{"$other/a"}, dropped: []string{"other/a", "$SYS/a"},
			granted: []string{"$other/#", "$other/a", "$SYS/a"}, refused: []string{"#", "$SYS/#"},
		}},
		"two rules that cover a filter together": {[]config.Rule{allow("t"), allow("t/+/#")}, rights{
			taken: []string{"t", "t/a", "t/a/b"}, granted: []string{"t", "t/+/#", "t/a"}, refused: []string{"t/#"},
		}},
		"two topics of a rule that do": {[]config.Rule{allow("t", "t/+/#")}, rights{
			granted: []string{"t", "t/+/#"}, refused: []string{"t/#", "$share/g/t/#"},
		}},
		"one rule that does, beside others": {[]config.Rule{allow("t"), allow("t/#")}, rights{granted: []string{"t/#"}}},
		"a group and its filter": {[]config.Rule{allow("$share/w/jobs/#")}, rights{
			dropped: []string{"jobs/a"},
			granted: []string{"$share/w/jobs/#", "$share/w/jobs/a"},
			refused: []string{"jobs/#", "jobs/a", "$share/x/jobs/#", "$share/w/#", "$share/w/other"},
		}},
		"a filter and every group": {[]config.Rule{allow("jobs/#")}, rights{
			taken: []string{"jobs/a"}, granted: []string{"jobs/#", "$share/w/jobs/#", "$share/x/jobs/a"}, refused: []string{"$share/w/#"},
		}},
		"a group that is denied": {[]config.Rule{allow("jobs/#"), deny(config.ActionAll, "$share/w/jobs/#")}, rights{
			taken: []string{"jobs/a"}, granted: []string{"jobs/#", "$share/x/jobs/#"}, refused: []string{"$share/w/jobs/#", "$share/w/jobs/a"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.expect(t, brokertest.Start(t, users, rules(tc.rules...)).Connect(t, v5, "c", ann))
		})
	}
}

// TestMessagesOfAGroupAreWithheld by a Deny rule that names the group, from
// nobody else.
//
//api:semantics 3 4
func TestMessagesOfAGroupAreWithheld(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, v packet.Version) {
		b := brokertest.Start(t, users, rules(allow("jobs/#"), deny(config.ActionSubscribe, "$share/w/jobs/secret")))
		member, other, plain := b.Connect(t, v, "member", ann), b.Connect(t, v, "other", ann), b.Connect(t, v, "plain", ann)
		member.Subscribe("$share/w/jobs/#", qos1)
		other.Subscribe("$share/x/jobs/#", qos1)
		plain.Subscribe("jobs/#", qos1)
		pub := b.Connect(t, v, "pub", ann)
		for _, topic := range []string{"jobs/secret", "jobs/open"} {
			pub.Publish(topic, "m", qos1)
		}
		for _, c := range []*brokertest.Client{other, plain} {
			c.ExpectPublish("jobs/secret", "m")
			c.ExpectPublish("jobs/open", "m")
		}
		member.ExpectPublish("jobs/open", "m")
		member.ExpectSilence()
	})
}

func TestConnectionsOfAUserAreBounded(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, users, func(c *config.Config) { c.Access.Users[0].Limits.MaxConnections = 1 })
	c := b.Connect(t, v5, "1", ann)
	second := b.Dial(t, v5)
	second.Send(brokertest.NewConnect("2", ann))
	second.ExpectRefused(packet.ReasonQuotaExceeded)
	again := b.Connect(t, v5, "1", ann) // takes over
	c.ExpectDisconnect(packet.ReasonSessionTakenOver)
	again.Disconnect()
	b.Connect(t, v5, "2", ann)
}

func TestLimitsOfAUser(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, users, rules(allow("#")), func(c *config.Config) {
		c.Access.Users[0].Limits = config.UserLimits{MaxPacketSize: 200, MaxSubscriptions: 1}
	})
	c, ack := connack(t, b, v5, "c", ann)
	if ack.Properties.MaximumPacketSize != 200 {
		t.Errorf("maximum packet size %d is announced", ack.Properties.MaximumPacketSize)
	}
	c.Send(withID(1, 0, "a", "b"))
	c.Expect(&packet.Suback{ID: 1, Reasons: []packet.ReasonCode{1, packet.ReasonQuotaExceeded}})
	c.Send(brokertest.NewPublish("t", string(make([]byte, 200))))
	c.ExpectDisconnect(packet.ReasonPacketTooLarge)
}

func TestQueueOfAUserIsBounded(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, users, rules(allow("#")), func(c *config.Config) { c.Access.Users[0].Limits.MaxQueuedMessages = 2 })
	c := b.Connect(t, v5, "c", ann, brokertest.Persistent)
	c.Subscribe("t", qos1)
	c.Disconnect()
	pub := b.Connect(t, v5, "pub", ann)
	for i := range 4 {
		pub.Publish("t", fmt.Sprint(i), qos1)
	}
	c = b.Connect(t, v5, "c", ann, brokertest.Persistent)
	c.ExpectPublish("t", "0")
	c.ExpectPublish("t", "1")
	c.ExpectSilence()
}

func TestDenialsAreTold(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, users)
	c := b.Connect(t, v5, "c", brokertest.Login("ann", secret))
	c.Send(&packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Filter: []byte("their/#")}}})
	c.Expect(&packet.Suback{ID: 1, Reasons: []packet.ReasonCode{packet.ReasonNotAuthorized}})
	c.Send(brokertest.NewPublish("their/topic", "x"))
	c.ExpectSilence()
	for _, want := range []string{"action=subscribe topic=their/# user=ann client=c", "action=publish topic=their/topic user=ann client=c"} {
		if !strings.Contains(b.Log(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
}

// deniedTotal returns godwit_authorization_denied_total by user and action.
func deniedTotal(t *testing.T, b *brokertest.Broker) map[[2]string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(b.Metrics)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[[2]string]float64{}
	for _, f := range families {
		if f.GetName() != "godwit_authorization_denied_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			counts[[2]string{labels["user"], labels["action"]}] = m.GetCounter().GetValue()
		}
	}
	return counts
}

//api:semantics 5
func TestDenialsAreCounted(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, v packet.Version) {
		for _, q := range []packet.QoS{qos0, qos1, qos2} {
			b := brokertest.Start(t, users, rules(allow("open")))
			refuse := func(c *brokertest.Client) {
				t.Helper()
				p := brokertest.NewPublish("their/topic", "m")
				if p.QoS = q; q > qos0 {
					p.ID = c.NextID()
				}
				c.Send(p)
				if q > qos0 {
					brokertest.Expect[*packet.Ack](c)
				}
				if q == qos2 && v != v5 { // for all that it knows, it was taken
					c.Send(ack(packet.TypePubrel, p.ID))
					c.ExpectAck(packet.TypePubcomp, p.ID)
				}
				c.ExpectSilence()
			}
			c, other := b.Connect(t, v, "c", ann, brokertest.Will("their/will", "m")), b.Connect(t, v, "bob-1", brokertest.Login("bob", secret))
			refuse(c)
			refuse(c)
			refuse(other)
			c.Publish("open", "m", q)
			subscribe := withID(c.NextID(), 0, "their/#", "#", "open")
			for i := range subscribe.Subscriptions {
				subscribe.Subscriptions[i].QoS = q
			}
			c.Send(subscribe)
			brokertest.Expect[*packet.Suback](c)
			_ = c.Close()
			want := map[[2]string]float64{{"ann", "publish"}: 2, {"bob", "publish"}: 1, {"ann", "subscribe"}: 2, {"ann", "will"}: 1}
			brokertest.WaitFor(t, "the will is refused", func() bool { return deniedTotal(t, b)[[2]string{"ann", "will"}] > 0 })
			if got := deniedTotal(t, b); !maps.Equal(got, want) {
				t.Errorf("QoS %d: counted %v, want %v", q, got, want)
			}
		}
	})
}
