package config

import (
	"strings"
	"testing"
	"time"
)

func valid() *Config {
	return &Config{
		Settings: Settings{Listeners: []Listener{{Name: "mqtt", Port: 1883}}}.Defaulted(),
		Access: Access{
			Users: []User{{Username: "dev-1", ClientIDs: []string{"dev-1", "dev-1-*"}}},
			Policies: []Policy{{
				Source: "iot/devices",
				Users:  []string{"dev-1", "not-there-yet"},
				Rules: []Rule{{
					Effect: Allow, Actions: []Action{ActionPublish},
					Topics: []string{"telemetry/%u/#", "$share/w/jobs/+", "%c"},
				}},
			}},
		},
	}
}

func TestValidateAcceptsAWholeConfiguration(t *testing.T) {
	if err := valid().Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestValidateNamesEachProblem(t *testing.T) {
	listener := func(change func(*Listener)) func(*Config) {
		return func(c *Config) { change(&c.Settings.Listeners[0]) }
	}
	socket := func(w WebSocket) func(*Config) {
		return listener(func(l *Listener) { l.Protocol, l.WebSocket = ProtocolWebSocket, &w })
	}
	rule := func(change func(*Rule)) func(*Config) {
		return func(c *Config) { change(&c.Access.Policies[0].Rules[0]) }
	}
	topic := func(filter string) func(*Config) {
		return rule(func(r *Rule) { r.Topics[0] = filter })
	}
	const inRule = "access.policies[0] (iot/devices).rules[0]"
	tests := map[string]struct {
		change func(*Config)
		want   string
	}{
		"no listeners":   {func(c *Config) { c.Settings.Listeners = nil }, "settings.listeners: none is given"},
		"no name":        {listener(func(l *Listener) { l.Name = "" }), "settings.listeners[0].name"},
		"port too large": {listener(func(l *Listener) { l.Port = 65536 }), "settings.listeners[0].port: 65536"},
		"address":        {listener(func(l *Listener) { l.Address = "here" }), `settings.listeners[0].address: "here"`},
		"protocol":       {listener(func(l *Listener) { l.Protocol = "CoAP" }), "use MQTT, WebSocket"},
		"name twice": {func(c *Config) {
			c.Settings.Listeners = append(c.Settings.Listeners, Listener{Name: "mqtt", Port: 1})
		}, `settings.listeners[1].name: "mqtt" is the name of listeners[0]`},
		"port twice": {func(c *Config) {
			c.Settings.Listeners = append(c.Settings.Listeners, Listener{Name: "other", Port: 1883})
		}, "settings.listeners[1].port: 1883 is the port of listeners[0]"},
		"suspended and there": {func(c *Config) {
			c.Access.Suspended = []Suspended{{Username: c.Access.Users[0].Username}}
		}, "access.suspended[0].username:"},
		"suspended by no name": {func(c *Config) { c.Access.Suspended = []Suspended{{}} }, `access.suspended[0].username: "" is not a username`},
		"suspended with a bad pattern": {func(c *Config) {
			c.Access.Suspended = []Suspended{{Username: "x", ClientIDs: []string{"a*b"}}}
		}, `access.suspended[0].clientIDs[0]: "a*b" is not`},
		"webSocket on a plain listener": {listener(func(l *Listener) { l.WebSocket = &WebSocket{} }), "webSocket: is set although"},
		"path":                          {socket(WebSocket{Path: "mqtt"}), `webSocket.path: "mqtt" is not a path`},
		"path with a query":             {socket(WebSocket{Path: "/mqtt?a"}), `webSocket.path: "/mqtt?a" is not a path`},
		"origin with a path":            {socket(WebSocket{AllowedOrigins: []string{"https://a.example", "https://a.example/"}}), "allowedOrigins[1]"},
		"origin without a scheme":       {socket(WebSocket{AllowedOrigins: []string{"a.example"}}), "allowedOrigins[0]"},
		"tls without files":             {listener(func(l *Listener) { l.TLS = &TLS{} }), "settings.listeners[0].tls.keyFile: is empty"},
		"client ca": {listener(func(l *Listener) {
			l.TLS = &TLS{CertFile: "c", KeyFile: "k", ClientAuth: ClientAuthRequired}
		}), "tls.clientCAFile: is empty although clientAuth is Required"},
		"a certificate that decides and is not required": {listener(func(l *Listener) {
			l.TLS = &TLS{CertFile: "c", KeyFile: "k", ClientAuth: ClientAuthOptional, ClientCAFile: "ca", ClientIdentity: IdentityCertificate}
		}), "tls.clientIdentity: Certificate leaves clients without a certificate no way in; set clientAuth to Required"},
		"a decoy key that is short": {func(c *Config) { c.Access.DecoyKey = []byte("short") }, "access.decoyKey: has 5 bytes"},
		"tls version": {listener(func(l *Listener) {
			l.TLS = &TLS{CertFile: "c", KeyFile: "k", MinVersion: "1.1"}
		}), `tls.minVersion: "1.1" is not known; use 1.2, 1.3`},
		"proxies missing": {listener(func(l *Listener) { l.ProxyProtocol = true }), "trustedProxies: none is given"},
		"proxy cidr":      {listener(func(l *Listener) { l.TrustedProxies = []string{"10.0.0.1"} }), "trustedProxies[0]"},
		"connections":     {listener(func(l *Listener) { l.MaxConnections = -1 }), "maxConnections: -1 is negative"},
		"effect":          {func(c *Config) { c.Settings.DefaultEffect = "deny" }, `settings.defaultEffect: "deny"`},
		"packet size":     {func(c *Config) { c.Settings.MQTT.MaxPacketSize = 1 << 40 }, "settings.mqtt.maxPacketSize"},
		"qos":             {func(c *Config) { *c.Settings.MQTT.MaxQoS = 3 }, "settings.mqtt.maxQoS: 3"},
		"keep alive": {func(c *Config) {
			c.Settings.MQTT.KeepAliveMax = Duration(24 * time.Hour)
		}, "settings.mqtt.keepAliveMax: 24h0m0s is out of range; use 1s to 18h12m15s"},
		"limits of anonymous clients": {func(c *Config) { c.Settings.AnonymousLimits.PublishRate = -1 }, "settings.anonymousLimits.publishRate"},
		"receive maximum":             {func(c *Config) { c.Settings.MQTT.ReceiveMaximum = 70000 }, "settings.mqtt.receiveMaximum"},
		"topic alias":                 {func(c *Config) { *c.Settings.MQTT.TopicAliasMaximum = -1 }, "settings.mqtt.topicAliasMaximum"},
		"overflow":                    {func(c *Config) { c.Settings.MQTT.Overflow = "Drop" }, "use DropNewest, DropOldest, Disconnect"},
		"drain":                       {func(c *Config) { c.Settings.Drain.Timeout = -1 }, "settings.drain.timeout"},
		"response information": {func(c *Config) {
			c.Settings.MQTT.ResponseInformation = "responses/a%c"
		}, `settings.mqtt.responseInformation: "responses/a%c": %c must be a whole level`},
		"response information with a wildcard": {func(c *Config) {
			c.Settings.MQTT.ResponseInformation = "responses/+"
		}, "settings.mqtt.responseInformation"},
		"server reference": {func(c *Config) {
			c.Settings.Drain.ServerReference = "edge-b:8883  edge-c:8883"
		}, `settings.drain.serverReference: "edge-b:8883  edge-c:8883"`},
		"username": {func(c *Config) { c.Access.Users[0].Username = "" }, "access.users[0].username"},
		"username twice": {func(c *Config) {
			c.Access.Users = append(c.Access.Users, User{Username: "dev-1"})
		}, `access.users[1].username: "dev-1" is users[0] already`},
		"common name twice": {func(c *Config) {
			c.Access.Users = []User{{Username: "a", CommonName: "cn"}, {Username: "b", CommonName: "cn"}}
		}, `access.users[1].commonName: "cn" stands for users[0] already`},
		"common name of one CA twice": {func(c *Config) {
			c.Access.Users = []User{{Username: "a", CommonName: "cn", ClientCA: "x"}, {Username: "b", CommonName: "cn", ClientCA: "x"}}
		}, `access.users[1].commonName: "cn" stands for users[0] already`},
		"client CA without a common name": {func(c *Config) { c.Access.Users[0].ClientCA = "x" }, `access.users[0].clientCA: "x" is`},
		"client CA that is not asked for": {listener(func(l *Listener) {
			l.TLS = &TLS{CertFile: "c", KeyFile: "k", ClientCA: "x"}
		}), `tls.clientCA: "x" is`},
		"empty hash": {func(c *Config) { c.Access.Users[0].PasswordHashes = []string{""} }, "access.users[0].passwordHashes[0]"},
		"client id":  {func(c *Config) { c.Access.Users[0].ClientIDs[1] = "a*b" }, "access.users[0].clientIDs[1]"},
		"user limit": {func(c *Config) { c.Access.Users[0].Limits.PublishRate = -1 }, "access.users[0].limits.publishRate"},
		"policy user": {func(c *Config) {
			c.Access.Policies[0].Users[0] = "a\x00"
		}, "access.policies[0] (iot/devices).users[0]"},
		"rule effect":     {rule(func(r *Rule) { r.Effect = "" }), inRule + `.effect: "" is not known; use Allow, Deny`},
		"no actions":      {rule(func(r *Rule) { r.Actions = nil }), inRule + ".actions: none is given"},
		"action":          {rule(func(r *Rule) { r.Actions[0] = "Read" }), inRule + ".actions[0]"},
		"no topics":       {rule(func(r *Rule) { r.Topics = nil }), inRule + ".topics: none is given"},
		"rule retain":     {rule(func(r *Rule) { r.Retain = "No" }), inRule + ".retain"},
		"half a level":    {topic("a/x%u"), inRule + `.topics[0]: %u must be a whole level of topic filter "a/x%u"`},
		"wildcard inside": {topic("a/b+/c"), inRule + `.topics[0]: '+' must stand alone`},
		"hash not last":   {topic("a/#/c"), inRule + `.topics[0]: '#' must be the last`},
		"share, no rest":  {topic("$share/g"), inRule + `.topics[0]: shared subscription`},
		"empty topic":     {topic(""), inRule + `.topics[0]: topic filter is empty`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := valid()
			tt.change(c)
			err := c.Validate()
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v\nwant one that says %q", err, tt.want)
			}
		})
	}
}

func TestValidateFindsAllProblemsAtOnce(t *testing.T) {
	c := valid()
	c.Settings.Listeners[0].Port = -1
	c.Access.Users[0].Username = ""
	err := c.Validate()
	if err == nil || len(strings.Split(err.Error(), "\n")) != 2 {
		t.Errorf("error = %v, want two lines", err)
	}
}

func TestValidateNeverQuotesAHash(t *testing.T) {
	c := valid()
	c.Access.Users[0].PasswordHashes = []string{"secret-hash"}
	c.Access.Users[0].Username = ""
	if err := c.Validate(); err == nil || strings.Contains(err.Error(), "secret-hash") {
		t.Errorf("error = %v", err)
	}
}

func TestOneCommonNameMayBeThatOfAUserOfEachCA(t *testing.T) {
	c := valid()
	c.Access.Users = []User{{Username: "a", CommonName: "cn"}, {Username: "b", CommonName: "cn", ClientCA: "x"}, {Username: "c", CommonName: "cn", ClientCA: "y"}}
	c.Access.Policies = nil
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}
