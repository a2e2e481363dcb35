package server_test

import (
	"fmt"
	"strings"
	"testing"

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
	b.Connect(t, v5, "bob-1", ann, brokertest.Persistent).Disconnect()
	c := b.Dial(t, v5)
	c.Send(brokertest.NewConnect("bob-1", brokertest.Login("bob", secret)))
	c.ExpectRefused(packet.ReasonClientIdentifierNotValid)
}

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

func TestReloadOfRules(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, users, rules(allow("a/#", "b/#")))
	c, other := b.Connect(t, v5, "c", ann), b.Connect(t, v5, "bob-1", brokertest.Login("bob", secret))
	c.Subscribe("a/#", qos2)
	c.Subscribe("b/#", qos1)
	c.Publish("a/1", "both know the topic", qos0)
	c.ExpectPublish("a/1", "both know the topic")

	b.MustReload(t, rules(allow("b/#")))
	c.Send(brokertest.NewPublish("a/1", "m", atQoS(qos1, 7)))
	c.Expect(ackReason(packet.TypePuback, 7, packet.ReasonNotAuthorized))
	c.Send(withID(8, 0, "a/+"))
	c.Expect(&packet.Suback{ID: 8, Reasons: []packet.ReasonCode{packet.ReasonNotAuthorized}})
	other.Publish("b/1", "m", qos1)
	c.Acknowledge(c.ExpectPublish("b/1", "m"))

	// The subscription that was suspended delivers again.
	b.MustReload(t, rules(allow("a/#", "b/#")))
	other.Publish("a/1", "back", qos2)
	if p := c.ExpectPublish("a/1", "back"); p.QoS != qos2 {
		t.Errorf("QoS %d", p.QoS)
	}
	c.ExpectSilence()
	other.ExpectSilence()
}

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
