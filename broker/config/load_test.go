package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const (
	minimalSettings = `{"name":"iot/edge","listeners":[{"name":"mqtt","port":1883}],"mqtt":{},"drain":{}}`
	minimalAccess   = `{}`
)

// alone is an access directory with nothing but AccessFile.
func alone(content string) Files { return Files{AccessFile: []byte(content)} }

func TestParseSpellsOutDefaults(t *testing.T) {
	c, err := Parse([]byte(minimalSettings), alone(minimalAccess))
	if err != nil {
		t.Fatal(err)
	}
	qos, alias := byte(2), 64
	want := Settings{
		Name:          "iot/edge",
		Listeners:     []Listener{{Name: "mqtt", Port: 1883, Protocol: ProtocolMQTT}},
		DefaultEffect: Deny,
		MQTT: MQTT{
			MaxPacketSize: 1 << 20, MaxQoS: &qos,
			KeepAliveMax: Duration(time.Hour), SessionExpiryMax: Duration(24 * time.Hour),
			ReceiveMaximum: 1024, TopicAliasMaximum: &alias, MaxSubscriptionsPerClient: 1000,
			MaxSubscriptionBytesPerClient:   256000,
			MaxSharedSubscriptionsPerClient: 100, MaxSessions: 1000000,
			MaxQueuedMessages: 10000, MaxQueuedBytes: 16 << 20, Overflow: DropNewest,
			MaxRetainedMessages: 1000000, MaxRetainedBytes: 1 << 30,
			SysInterval: Duration(10 * time.Second),
		},
		Drain: Drain{DisconnectRate: 500, Timeout: Duration(time.Minute)},
	}
	if !reflect.DeepEqual(c.Settings, want) {
		t.Errorf("settings\n got %+v\nwant %+v", c.Settings, want)
	}
	if c.Revision != Revision([]byte(minimalSettings), alone(minimalAccess)) {
		t.Error("the revision is not that of the bytes that were read")
	}
}

func TestDefaultedKeepsWhatIsSet(t *testing.T) {
	qos, alias := byte(0), 0
	s := Settings{
		Listeners: []Listener{{Name: "mqtts", TLS: &TLS{MinVersion: "1.3"}}},
		MQTT:      MQTT{MaxQoS: &qos, TopicAliasMaximum: &alias, SysInterval: -1},
	}
	d := s.Defaulted()
	if *d.MQTT.MaxQoS != 0 || *d.MQTT.TopicAliasMaximum != 0 || d.MQTT.SysInterval != -1 {
		t.Errorf("an explicit value was replaced: %+v", d.MQTT)
	}
	if got := d.Listeners[0].TLS; got.MinVersion != "1.3" || got.ClientAuth != ClientAuthNone {
		t.Errorf("tls = %+v", got)
	}
	if s.Listeners[0].Protocol != "" || s.Listeners[0].TLS.ClientAuth != "" {
		t.Error("Defaulted wrote to its argument")
	}
}

func TestParseRefusesWhatItDoesNotUnderstand(t *testing.T) {
	tests := map[string]struct{ settings, access, want string }{
		"empty settings":      {"", minimalAccess, "settings.json: the file is empty"},
		"empty access":        {minimalSettings, "", "access.json: the file is empty"},
		"unknown field":       {`{"listenerz":[]}`, minimalAccess, `settings.json: json: unknown field "listenerz"`},
		"unknown user field":  {minimalSettings, `{"users":[{"username":"u","password":"p"}]}`, `access.json: json: unknown field "password"`},
		"truncated":           {minimalSettings[:40], minimalAccess, "settings.json: unexpected EOF"},
		"trailing data":       {minimalSettings + "{}", minimalAccess, "more after the end"},
		"syntax with line":    {"{\n\n!}", minimalAccess, "(line 3)"},
		"wrong type and line": {"{\n\"name\":1}", minimalAccess, "(line 2)"},
		"duration":            {`{"listeners":[],"drain":{"timeout":"soon"}}`, minimalAccess, `invalid duration "soon"`},
		"both files at once":  {"", "", "access.json"},
		"too large":           {strings.Repeat(" ", MaxFileSize+1), minimalAccess, "more than"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(tt.settings), alone(tt.access))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want one that says %q", err, tt.want)
			}
		})
	}
}

func TestRevisionTellsTheFilesApart(t *testing.T) {
	seen := map[string]bool{}
	for _, pair := range [][2]string{{"ab", ""}, {"a", "b"}, {"", "ab"}, {"b", "a"}} {
		seen[Revision([]byte(pair[0]), alone(pair[1]))] = true
	}
	if len(seen) != 4 {
		t.Errorf("%d revisions for 4 contents", len(seen))
	}
}

func TestLoadNamesTheMissingFile(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, SettingsFile), minimalSettings)
	_, err := Load(dir, dir)
	if err == nil || !strings.Contains(err.Error(), AccessFile) {
		t.Errorf("error = %v, want one that names %s", err, AccessFile)
	}
}

func TestFilesAreSortedAndUnique(t *testing.T) {
	s := Settings{Listeners: []Listener{
		{TLS: &TLS{CertFile: "b/tls.crt", KeyFile: "b/tls.key", ClientCAFile: "a/ca.crt"}},
		{},
		{TLS: &TLS{CertFile: "b/tls.crt", KeyFile: "b/tls.key"}},
	}}
	want := []string{"a/ca.crt", "b/tls.crt", "b/tls.key"}
	if got := s.Files(); !reflect.DeepEqual(got, want) {
		t.Errorf("Files() = %q, want %q", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimalSettings), []byte(minimalAccess), []byte(`{}`))
	f.Add([]byte(`{"listeners":[{"tls":{}}]}`), []byte(`{"policies":[{"rules":[{"topics":["%u/#"]}]}]}`), []byte(`{}`))
	f.Add([]byte(minimalSettings), []byte(`{"shards":["access-0-00000000000000000000000000000000.json"]}`),
		[]byte(`{"users":[{"username":"u"}],"policies":[{"source":"a/b","rules":[]}],"members":{"a/b":["u"]}}`))
	f.Fuzz(func(t *testing.T, settings, access, content []byte) {
		name := shardName(0, content)
		for _, files := range []Files{
			{AccessFile: access},
			{AccessFile: []byte(`{"shards":["` + name + `"]}`), name: content},
		} {
			c, err := Parse(settings, files)
			if err != nil {
				continue
			}
			if err := c.Validate(); err != nil {
				t.Errorf("a parsed configuration is invalid: %v", err)
			}
		}
	})
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
