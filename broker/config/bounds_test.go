package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Each bound is the last value that is taken.
func TestBoundsAreTheLastValuesThatAreTaken(t *testing.T) {
	for path, tt := range map[string]struct {
		set         func(*Config, int64)
		least, most int64
	}{
		"settings.listeners[0].port": {func(c *Config, n int64) { c.Settings.Listeners[0].Port = int(n) }, 0, 65535},
		"settings.mqtt.maxPacketSize": {func(c *Config, n int64) { c.Settings.MQTT.MaxPacketSize = n },
			0, maxPacketSize},
		"settings.mqtt.receiveMaximum": {func(c *Config, n int64) { c.Settings.MQTT.ReceiveMaximum = int(n) }, 0, 65535},
		"settings.mqtt.topicAliasMaximum": {func(c *Config, n int64) { *c.Settings.MQTT.TopicAliasMaximum = int(n) },
			0, 65535},
		"settings.mqtt.keepAliveMax": {func(c *Config, n int64) {
			c.Settings.MQTT.KeepAliveMax = Duration(n) * Duration(time.Second)
		}, 1, 65535},
		"settings.mqtt.sessionExpiryMax": {func(c *Config, n int64) {
			c.Settings.MQTT.SessionExpiryMax = Duration(n) * Duration(time.Second)
		}, 1, 4294967295},
	} {
		t.Run(path, func(t *testing.T) {
			for _, n := range []int64{tt.least, tt.most} {
				c := valid()
				if tt.set(c, n); c.Validate() != nil {
					t.Errorf("%d is refused: %v", n, c.Validate())
				}
			}
			for _, n := range []int64{-1, tt.most + 1} {
				c := valid()
				if tt.set(c, n); c.Validate() == nil || !strings.HasPrefix(c.Validate().Error(), path+": ") {
					t.Errorf("%d: error %v, want one of %s", n, c.Validate(), path)
				}
			}
		})
	}
}

func TestQualityOfServiceIsAtMost2(t *testing.T) {
	for q, ok := range []bool{true, true, true, false} {
		v := byte(q)
		for path, set := range map[string]func(*Config){
			"settings.mqtt.maxQoS": func(c *Config) { c.Settings.MQTT.MaxQoS = &v },
			"access.policies[0] (iot/devices).rules[0].maxQoS": func(c *Config) {
				c.Access.Policies[0].Rules[0].MaxQoS = &v
			},
		} {
			c := valid()
			set(c)
			if err := c.Validate(); (err == nil) != ok || err != nil && !strings.HasPrefix(err.Error(), path) {
				t.Errorf("%s: %d: %v", path, q, err)
			}
		}
	}
}

func TestCountsAreNotNegative(t *testing.T) {
	for path, field := range map[string]func(*Config) any{
		"settings.listeners[0].maxConnections":            func(c *Config) any { return &c.Settings.Listeners[0].MaxConnections },
		"settings.listeners[0].connectRate":               func(c *Config) any { return &c.Settings.Listeners[0].ConnectRate },
		"settings.mqtt.maxSubscriptionsPerClient":         func(c *Config) any { return &c.Settings.MQTT.MaxSubscriptionsPerClient },
		"settings.mqtt.maxQueuedMessages":                 func(c *Config) any { return &c.Settings.MQTT.MaxQueuedMessages },
		"settings.mqtt.maxQueuedBytes":                    func(c *Config) any { return &c.Settings.MQTT.MaxQueuedBytes },
		"settings.mqtt.maxRetainedMessages":               func(c *Config) any { return &c.Settings.MQTT.MaxRetainedMessages },
		"settings.mqtt.maxRetainedBytes":                  func(c *Config) any { return &c.Settings.MQTT.MaxRetainedBytes },
		"settings.drain.disconnectRate":                   func(c *Config) any { return &c.Settings.Drain.DisconnectRate },
		"settings.drain.timeout":                          func(c *Config) any { return (*int64)(&c.Settings.Drain.Timeout) },
		"settings.persistence.syncEvery":                  func(c *Config) any { return (*int64)(&c.Settings.Persistence.SyncEvery) },
		"access.users[0].limits.maxConnections":           func(c *Config) any { return &c.Access.Users[0].Limits.MaxConnections },
		"access.users[0].limits.publishRate":              func(c *Config) any { return &c.Access.Users[0].Limits.PublishRate },
		"access.users[0].limits.maxPacketSize":            func(c *Config) any { return &c.Access.Users[0].Limits.MaxPacketSize },
		"access.users[0].limits.maxQueuedMessages":        func(c *Config) any { return &c.Access.Users[0].Limits.MaxQueuedMessages },
		"access.users[0].limits.maxSubscriptions":         func(c *Config) any { return &c.Access.Users[0].Limits.MaxSubscriptions },
		"access.policies[0] (iot/devices).rules[0].index": func(c *Config) any { return &c.Access.Policies[0].Rules[0].Index },
		"access.users[0].limits.publishBytesPerSecond": func(c *Config) any {
			return &c.Access.Users[0].Limits.PublishBytesPerSecond
		},
	} {
		for n, ok := range map[int]bool{-1: false, 0: true, 1: true} {
			c := valid()
			c.Settings.Persistence = &Persistence{}
			switch f := field(c).(type) {
			case *int:
				*f = n
			case *int64:
				*f = int64(n)
			}
			err := c.Validate()
			if (err == nil) != ok || err != nil && !strings.HasPrefix(err.Error(), path+": ") {
				t.Errorf("%s: %d: %v", path, n, err)
			}
		}
	}
}

// [MQTT-1.5.4-1], [MQTT-1.5.4-2]
func TestNamesFitIntoAString(t *testing.T) {
	for what, tt := range map[string]struct {
		name string
		ok   bool
	}{
		"the longest":   {strings.Repeat("u", 65535), true},
		"too long":      {strings.Repeat("u", 65536), false},
		"one character": {"u", true},
		"UTF-8":         {"gerät", true},
		"no UTF-8":      {"ger\xe4t", false},
		"a NUL":         {"a\x00b", false},
		"empty":         {"", false},
	} {
		c := valid()
		c.Access.Users[0].Username = tt.name
		if err := c.Validate(); (err == nil) != tt.ok {
			t.Errorf("a username that is %s: refused is %v", what, err != nil)
		}
		c = valid()
		c.Access.Policies[0].Users[0] = tt.name
		if err := c.Validate(); (err == nil) != tt.ok {
			t.Errorf("a user of a policy that is %s: refused is %v", what, err != nil)
		}
	}
}

func TestClientIDPatternsEndInAWildcardAtMost(t *testing.T) {
	for pattern, ok := range map[string]bool{
		"dev-1": true, "dev-*": true, "*": true, "": false, "*-dev": false, "a**": false, "\xff": false,
	} {
		c := valid()
		c.Access.Users[0].ClientIDs = []string{pattern}
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("%q: %v", pattern, err)
		}
	}
}

func TestServerReferenceIsAsLongAsAStringAtMost(t *testing.T) {
	for n, ok := range map[int]bool{1: true, 65535: true, 65536: false} {
		c := valid()
		c.Settings.Drain.ServerReference = strings.Repeat("s", n)
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("%d bytes: refused is %v", n, err != nil)
		}
	}
}

func TestTLSNeedsACAForClientCertificates(t *testing.T) {
	for auth, needs := range map[ClientAuth]bool{
		"": false, ClientAuthNone: false, ClientAuthOptional: true, ClientAuthRequired: true,
	} {
		for _, version := range []string{"", "1.2", "1.3"} {
			for _, ca := range []string{"", "ca.crt"} {
				c := valid()
				c.Settings.Listeners[0].TLS = &TLS{
					CertFile: "c", KeyFile: "k", ClientAuth: auth, ClientCAFile: ca, MinVersion: version,
				}
				if err := c.Validate(); (err == nil) != (!needs || ca != "") {
					t.Errorf("clientAuth %q, CA %q, version %q: %v", auth, ca, version, err)
				}
			}
		}
	}
	c := valid()
	c.Settings.Listeners[0].TLS = &TLS{}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "tls.certFile: is empty") {
		t.Errorf("without a certificate: %v", err)
	}
}

func TestListenersMayShareAPortWhereTheyBindToOtherAddresses(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b Listener
		ok   bool
	}{
		"any free port":      {Listener{Name: "a"}, Listener{Name: "b"}, true},
		"another address":    {Listener{Name: "a", Port: 1, Address: "127.0.0.1"}, Listener{Name: "b", Port: 1, Address: "::1"}, true},
		"the same":           {Listener{Name: "a", Port: 1, Address: "::1"}, Listener{Name: "b", Port: 1, Address: "::1"}, false},
		"free, then a fixed": {Listener{Name: "a"}, Listener{Name: "b", Port: 1}, true},
		"one trusted proxy": {Listener{Name: "a", ProxyProtocol: true, TrustedProxies: []string{"10.0.0.0/8"}},
			Listener{Name: "b"}, true},
	} {
		c := valid()
		c.Settings.Listeners = []Listener{tt.a, tt.b}
		if err := c.Validate(); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFilesUpToTheLimitAreRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for size, ok := range map[int64]bool{MaxFileSize: true, MaxFileSize + 1: false, 2 * MaxFileSize: false} {
		writeFile(t, path, "")
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		content, err := readFile(path)
		if (err == nil) != ok || ok && int64(len(content)) != size || !ok && content != nil {
			t.Errorf("%d bytes: read %d, error %v", size, len(content), err)
		}
		if err != nil && !strings.Contains(err.Error(), "more than 67108864 bytes") {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// What cannot be read is an error of the disk, and never a file that is empty or a shard that
// is still to come.
func TestFilesThatCannotBeReadAreAnError(t *testing.T) {
	shards := mustEncode(t, fleet(10), 2)
	for name, spoil := range map[string]func(dir string) string{
		"settings": func(dir string) string { return filepath.Join(dir, SettingsFile) },
		"access":   func(dir string) string { return filepath.Join(dir, AccessFile) },
		"a shard":  func(dir string) string { return filepath.Join(dir, shards.Shards()[1]) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, SettingsFile), minimalSettings)
			for file, content := range shards {
				writeFile(t, filepath.Join(dir, file), string(content))
			}
			if c, err := Load(dir, dir); err != nil || len(c.Access.Users) != 10 {
				t.Fatalf("the whole is read as %v, %v", c, err)
			}
			path := spoil(dir)
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil { // reading fails
				t.Fatal(err)
			}
			c, err := Load(dir, dir)
			var failed *fs.PathError
			if c != nil || !errors.As(err, &failed) || failed.Path != path || errors.Is(err, ErrIncomplete) {
				t.Errorf("loaded %v, error %v, want one of reading %s", c, err, path)
			}
		})
	}
}

func TestReadAccessLeavesOutAShardThatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	shards := mustEncode(t, fleet(10), 2)
	for _, file := range []string{AccessFile, shards.Shards()[1]} {
		writeFile(t, filepath.Join(dir, file), string(shards[file]))
	}
	got, err := ReadAccess(dir)
	if err != nil || len(got) != 2 || string(got[shards.Shards()[1]]) != string(shards[shards.Shards()[1]]) {
		t.Fatalf("read %d files, error %v, want the index and the other shard", len(got), err)
	}
	if _, err := Parse([]byte(minimalSettings), got); !errors.Is(err, ErrIncomplete) {
		t.Errorf("parsed with %v, want an incomplete configuration", err)
	}
	if _, err := ReadAccess(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v of an empty directory", err)
	}
}

// Both files are told of, and nothing is returned besides.
func TestParseReturnsNothingBesideAnError(t *testing.T) {
	for name, tt := range map[string]struct{ settings, access string }{
		"settings": {"{", minimalAccess},
		"access":   {minimalSettings, "{"},
		"invalid":  {`{"listeners":[]}`, minimalAccess},
	} {
		if c, err := Parse([]byte(tt.settings), alone(tt.access)); c != nil || err == nil {
			t.Errorf("%s: parsed %v, error %v", name, c, err)
		}
	}
	_, err := Parse([]byte("{"), alone("}"))
	if err == nil || !strings.Contains(err.Error(), SettingsFile) || !strings.Contains(err.Error(), AccessFile) {
		t.Errorf("the error is %v, want one of both files", err)
	}
}

func TestErrorsTellTheLine(t *testing.T) {
	for content, want := range map[string]string{
		"!":                   "(line 1)",
		"{\n\"name\": \n!":    "(line 3)", // the last byte
		"{\"name\":\n1,\n}":   "(line 3)",
		"{\n\"name\": 1\n\n}": "(line 2)",
	} {
		if _, err := Parse([]byte(content), alone(minimalAccess)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", content, err, want)
		}
	}
	if _, err := Parse([]byte(`{"name":`), alone(minimalAccess)); err == nil || strings.Contains(err.Error(), "(line") {
		t.Errorf("%v, want no line where the end is missing", err)
	}
}

func TestShardsAreRefused(t *testing.T) {
	good := mustEncode(t, fleet(4), 2)
	names := good.Shards()
	indexOf := func(names ...string) string { return `{"shards":["` + strings.Join(names, `","`) + `"]}` }
	seventeen := make([]string, MaxShards+1)
	for i := range seventeen {
		seventeen[i] = shardName(i%MaxShards, nil)
	}
	policy := `{"policies":[{"source":"a/b","rules":[]}]}`
	for name, tt := range map[string]struct {
		files Files
		want  string
	}{
		"too many":        {alone(indexOf(seventeen...)), "17 shards are more than 16"},
		"another place":   {alone(indexOf(names[1], names[0])), "shards[0]"},
		"no such name":    {alone(indexOf("../passwd")), "is no name of this shard"},
		"users beside it": {Files{AccessFile: []byte(`{"users":[{"username":"u"}],"shards":["` + names[0] + `"]}`)}, "stand in the shards"},
		"policies beside it": {Files{AccessFile: []byte(`{"policies":[{"source":"s","rules":[]}],"shards":["` + names[0] + `"]}`)},
			"stand in the shards"},
		"a policy twice": {Files{
			AccessFile:                   []byte(indexOf(shardName(0, []byte(policy)), shardName(1, []byte(policy)))),
			shardName(0, []byte(policy)): []byte(policy), shardName(1, []byte(policy)): []byte(policy),
		}, `two policies have the source "a/b"`},
		"members of nothing": {one(`{"members":{"a/b":["u"]}}`), `there is no policy "a/b"`},
		"an unknown field":   {one(`{"user":[]}`), `unknown field "user"`},
		"another content":    {Files{AccessFile: good[AccessFile], names[0]: good[names[1]], names[1]: good[names[1]]}, "do not belong together"},
	} {
		t.Run(name, func(t *testing.T) {
			if c, err := Parse([]byte(minimalSettings), tt.files); c != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one that says %q", err, tt.want)
			}
		})
	}
	sixteen := Files{}
	var list []string
	for i := range MaxShards {
		list = append(list, shardName(i, []byte("{}")))
		sixteen[list[i]] = []byte("{}")
	}
	sixteen[AccessFile] = []byte(indexOf(list...))
	if _, err := Parse([]byte(minimalSettings), sixteen); err != nil || !slices.Equal(sixteen.Shards(), list) {
		t.Errorf("sixteen shards: %v", err)
	}
}

// one is an access directory with one shard.
func one(content string) Files {
	name := shardName(0, []byte(content))
	return Files{AccessFile: []byte(`{"shards":["` + name + `"]}`), name: []byte(content)}
}
