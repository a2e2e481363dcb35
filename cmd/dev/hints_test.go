package dev

import (
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/config"
)

func buildOf(t *testing.T, settings config.Settings, access config.Access, secrets map[string]string) *Build {
	t.Helper()
	c := &config.Config{Settings: settings.Defaulted(), Access: access}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return &Build{Config: c, Secrets: secrets, CAFiles: map[string]string{"mqtts": "/state/ca.crt"}}
}

func allow(action config.Action, topics ...string) config.Rule {
	return config.Rule{Effect: config.Allow, Actions: []config.Action{action}, Topics: topics}
}

func TestHintsChooseUsersThatMay(t *testing.T) {
	plain := config.Listener{Name: "mqtt", Port: 1883, Address: "127.0.0.1"}
	tls := &config.TLS{CertFile: "c", KeyFile: "k"}
	secure := config.Listener{Name: "mqtts", Port: 8883, TLS: tls}
	socket := config.Listener{Name: "ws", Port: 8083, Protocol: config.ProtocolWebSocket}
	strict := config.Listener{Name: "strict", Port: 8884, TLS: &config.TLS{
		CertFile: "c", KeyFile: "k", ClientAuth: config.ClientAuthRequired, ClientCAFile: "ca"}}
	users := []config.User{{Username: "eye"}, {Username: "unknown"}, {Username: "hand"}}
	secrets := map[string]string{"eye": "e'e", "hand": "h"}
	policies := []config.Policy{
		{Source: "a/eye", Users: []string{"eye", "unknown"}, Rules: []config.Rule{
			{Effect: config.Deny, Actions: []config.Action{config.ActionAll}, Topics: []string{"t/secret/#"}},
			allow(config.ActionSubscribe, "t/#"),
		}},
		{Source: "a/hand", Users: []string{"hand"}, Rules: []config.Rule{allow(config.ActionPublish, "t/%u/+")}},
	}
	byClientID := []config.Policy{{Source: "a/all", Authenticated: true, Rules: []config.Rule{
		allow(config.ActionPublish, "c/%c"), allow(config.ActionSubscribe, "c/+")}}}

	tests := map[string]struct {
		settings config.Settings
		access   config.Access
		want     []string
	}{
		"a pair over TLS": {
			config.Settings{Listeners: []config.Listener{plain, strict, secure, socket}},
			config.Access{Users: users, Policies: policies},
			[]string{
				"  mqtt         127.0.0.1:1883         MQTT\n",
				"  strict       *:8884                 MQTT over TLS, client certificate required",
				"  mqtts        *:8883                 MQTT over TLS, CA /state/ca.crt\n",
				"  ws           *:8083                 MQTT over WebSocket, path /mqtt\n",
				`mosquitto_sub -h localhost -p 8883 --cafile /state/ca.crt -u eye -P 'e'\''e' -v -t 't/#'` + "\n",
				"mosquitto_pub -h localhost -p 8883 --cafile /state/ca.crt -u hand -P h -t t/hand/hello -m hello\n",
			},
		},
		"plain where there is no TLS": {
			config.Settings{Listeners: []config.Listener{socket, plain}},
			config.Access{Users: users, Policies: policies},
			[]string{"mosquitto_sub -h localhost -p 1883 -u eye"},
		},
		"client identifiers where they count": {
			config.Settings{Listeners: []config.Listener{plain}},
			config.Access{Users: []config.User{{Username: "eye", ClientIDs: []string{"e-*"}}}, Policies: byClientID},
			[]string{"-u eye -P 'e'\\''e' -i e-subscribe -v -t c/+", "-i e-publish -t c/e-publish -m hello"},
		},
		"anonymous clients": {
			config.Settings{Listeners: []config.Listener{plain}, Anonymous: true, DefaultEffect: config.Allow},
			config.Access{},
			[]string{"mosquitto_sub -h localhost -p 1883 -v -t 'demo/#'", "mosquitto_pub -h localhost -p 1883 -t demo/hello -m hello"},
		},
		"nobody": {
			config.Settings{Listeners: []config.Listener{plain}},
			config.Access{Users: users},
			[]string{"Nobody may publish or subscribe yet"},
		},
		"only a subscriber": {
			config.Settings{Listeners: []config.Listener{plain}},
			config.Access{Users: users, Policies: policies[:1]},
			[]string{"mosquitto_sub"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := buildOf(t, tt.settings, tt.access, secrets).Hints()
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("hints lack %q:\n%s", want, got)
				}
			}
		})
	}
}
