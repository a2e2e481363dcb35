package render_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/auth/password"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/controllers/render"
)

// slowHash hashes with a salt, and counts how often it is asked.
type slowHash struct{ hashes, verifications atomic.Int32 }

func (s *slowHash) passwords() *render.Passwords {
	return render.NewPasswords(
		func(hash string, password []byte) (bool, error) {
			s.verifications.Add(1)
			_, plain, ok := strings.Cut(hash, "$")
			return ok && plain == string(password), nil
		},
		func(password []byte) (string, error) {
			s.hashes.Add(1)
			return rand.N[time.Duration](1<<62).String() + "$" + string(password), nil
		},
		func(hash string) error {
			if !strings.Contains(hash, "$") {
				return errors.New("not a hash that is known")
			}
			return nil
		},
	)
}

// input reads the objects of a test: a Broker "iot/edge" and what belongs to it.
func input(t *testing.T, manifests ...string) render.Input {
	t.Helper()
	in := render.Input{
		Broker:    &v1alpha1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: "iot", Name: "edge"}},
		Secrets:   map[types.NamespacedName]*corev1.Secret{},
		Paths:     render.Paths{TLS: "/tls", ClientCA: "/ca"},
		Passwords: (&slowHash{}).passwords(),
	}
	for _, m := range manifests {
		var kind metav1.TypeMeta
		read(t, m, &kind)
		switch kind.Kind {
		case v1alpha1.KindBroker:
			in.Broker = &v1alpha1.Broker{}
			read(t, m, in.Broker)
			in.Broker.Namespace, in.Broker.Name = "iot", "edge"
		case v1alpha1.KindMQTTUser:
			u := v1alpha1.MQTTUser{}
			read(t, m, &u)
			place(&u)
			in.Users = append(in.Users, u)
		case v1alpha1.KindTopicACL:
			a := v1alpha1.TopicACL{}
			read(t, m, &a)
			place(&a)
			in.ACLs = append(in.ACLs, a)
		default:
			s := &corev1.Secret{}
			read(t, m, s)
			place(s)
			in.Secrets[types.NamespacedName{Namespace: s.Namespace, Name: s.Name}] = s
		}
	}
	return in
}

func place(o metav1.Object) {
	if o.GetNamespace() == "" {
		o.SetNamespace("iot")
	}
	o.SetUID(types.UID(o.GetNamespace() + "/" + o.GetName()))
	o.SetGeneration(1)
}

func read(t *testing.T, manifest string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(manifest, "\t", " ")), into); err != nil {
		t.Fatalf("%s: %v", manifest, err)
	}
}

func mustRender(t *testing.T, in render.Input) *render.Output {
	t.Helper()
	out, err := render.Render(in)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.Parse(out.Settings, out.Access); err != nil {
		t.Fatalf("the engine refuses the configuration: %v", err)
	}
	return out
}

func accessOf(t *testing.T, out *render.Output) config.Access {
	t.Helper()
	cfg, err := config.Parse(out.Settings, out.Access)
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Access
}

func verdictOf(t *testing.T, objects []render.Object, name string) render.Verdict {
	t.Helper()
	for _, o := range objects {
		if o.Key.Name == name {
			return o.Verdict
		}
	}
	t.Fatalf("%s is not in the output", name)
	return render.Verdict{}
}

const (
	secrets = `{kind: Secret, metadata: {name: s}, stringData: {password: one, empty: "", passwordHash: " 7$one\n"}, data: {binary: AAE=}}`
	dev     = `{kind: MQTTUser, metadata: {name: dev, labels: {fleet: eu}}, spec: {brokerRef: {name: edge}, authentication: {password: {secretRef: {name: s}}}}}`
	devACL  = `{kind: TopicACL, metadata: {name: acl}, spec: {brokerRef: {name: edge}, subjects: [{user: dev}], rules: [{effect: Allow, actions: [Publish], topics: ["a/%u"]}]}}`
)

const generate = `authentication: {generate: {secretName: x}}`

// generatedSecret is a Secret "x" that the user of this UID controls, in the
// overlap of a rotation.
func generatedSecret(uid string) string {
	return `{kind: Secret, metadata: {name: x, ownerReferences: [{controller: true, uid: ` + uid + `}]}, stringData: {password: new, previousPassword: old}}`
}

func user(name, spec string) string {
	return `{kind: MQTTUser, metadata: {` + name + `}, spec: {brokerRef: {name: edge, namespace: iot}, ` + spec + `}}`
}

// passwordOf is the Secret of dev with a password of n bytes.
func passwordOf(n int) string {
	return `{kind: Secret, metadata: {name: s}, stringData: {password: "` + strings.Repeat("x", n) + `"}}`
}

// A user that was in the configuration keeps its sessions while it exists and holds
// its name, although nobody may connect as it; and one that never was has none.
func TestUsersThatExistAreSuspended(t *testing.T) {
	const password = `authentication: {password: {secretRef: {name: s}}}`
	taken := user(`name: taken, creationTimestamp: "2030-01-01T00:00:00Z"`, `username: dev, `+password)
	for name, tt := range map[string]struct {
		now  []string
		want []config.Suspended
	}{
		"that is there": {[]string{secrets, dev}, nil},
		"that is disabled": {[]string{secrets, user("name: dev", `disabled: true, clientIds: [dev, "a-*"], `+password)},
			[]config.Suspended{{Username: "dev", ClientIDs: []string{"a-*", "dev"}}}},
		"whose Secret is gone":         {[]string{dev}, []config.Suspended{{Username: "dev"}}},
		"whose Secret has no password": {[]string{`{kind: Secret, metadata: {name: s}}`, dev}, []config.Suspended{{Username: "dev"}}},
		"that is gone":                 {[]string{secrets}, nil},
		"that is admitted no more":     {[]string{secrets, user("name: dev, namespace: far", password)}, nil},
		"whose name another one has":   {[]string{secrets, dev, taken}, nil},
		"that is new":                  {[]string{secrets, dev, user("name: new", `disabled: true, `+password)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			before := mustRender(t, input(t, secrets, dev))
			in := input(t, tt.now...)
			in.Previous = before.Access
			out := mustRender(t, in)
			for range 2 { // and it stays so
				if got := accessOf(t, out).Suspended; !reflect.DeepEqual(got, tt.want) {
					t.Errorf("%v are suspended, want %v", got, tt.want)
				}
				in.Previous = out.Access
				out = mustRender(t, in)
			}
		})
	}
}

func TestUsersAreJudged(t *testing.T) {
	const password = `authentication: {password: {secretRef: {name: s}}}`
	for name, tt := range map[string]struct {
		manifests []string
		// of the last user
		reason, message string
		rendered        bool
	}{
		"plain password": {[]string{secrets, dev}, "Accepted", "", true},
		"hash":           {[]string{secrets, user("name: dev", `authentication: {password: {secretRef: {name: s, key: passwordHash}}}`)}, "Accepted", "", true},
		"binary":         {[]string{secrets, user("name: dev", `authentication: {password: {secretRef: {name: s, key: binary}}}`)}, "Accepted", "", true},
		"common name":    {[]string{user("name: dev", `authentication: {x509: {commonName: dev}}`)}, "Accepted", "", true},
		"disabled":       {[]string{user("name: dev", `disabled: true, clientIds: [a, "b*"], `+password)}, "Disabled", "disabled", false},
		"longest":        {[]string{passwordOf(1024), dev}, "Accepted", "", true},
		"too long":       {[]string{passwordOf(1025), dev}, "InvalidCredentials", "longer than 1024 bytes", false},
		"no secret":      {[]string{dev}, "WaitingForSecret", `Secret "s" does not exist`, false},
		"no key":         {[]string{secrets, user("name: dev", `authentication: {password: {secretRef: {name: s, key: other}}}`)}, "WaitingForSecret", `no key "other"`, false},
		"empty":          {[]string{secrets, user("name: dev", `authentication: {password: {secretRef: {name: s, key: empty}}}`)}, "InvalidCredentials", "is empty", false},
		"bad hash": {[]string{`{kind: Secret, metadata: {name: s}, stringData: {passwordHash: nonsense}}`,
			user("name: dev", `authentication: {password: {secretRef: {name: s, key: passwordHash}}}`)}, "InvalidCredentials", "not a hash", false},
		"generated":         {[]string{generatedSecret("iot/dev"), user("name: dev", generate)}, "Accepted", "", true},
		"not generated yet": {[]string{user("name: dev", generate)}, "WaitingForSecret", `Secret "x" is about to be made`, false},
		"generated, and emptied": {[]string{strings.Replace(generatedSecret("iot/dev"), "password: new", `password: ""`, 1),
			user("name: dev", generate)}, "WaitingForSecret", "about to get a new password", false},
		"generated for somebody else": {[]string{generatedSecret("iot/other"), user("name: dev", generate)}, "NotOwned", "does not belong to the MQTTUser", false},
		"issued": {[]string{user("name: dev", `authentication: {certificate: {issuerRef: {name: ca}, secretName: x}}`)},
			"Accepted", `Secret "x"`, true},
		"username that is the common name of an older one": {[]string{user("name: a", `authentication: {x509: {commonName: dev}}`),
			user("name: dev", `authentication: {certificate: {issuerRef: {name: ca}, secretName: x}}`)}, "CommonNameTaken", "iot/a is older", false},
		"other namespace": {[]string{user("name: dev, namespace: far", password)},
			"NotAllowedByBroker", `namespace "far"`, false},
		"username of an older one": {[]string{secrets, dev,
			user(`name: a, creationTimestamp: "2030-01-01T00:00:00Z"`, `username: dev, `+password)}, "UsernameTaken", "iot/dev is older", false},
		"username of one that is not admitted": {[]string{secrets, user("name: dev, namespace: far", password),
			user(`name: dev, creationTimestamp: "2030-01-01T00:00:00Z"`, password)}, "Accepted", "", true},
		"common name of an older one": {[]string{user("name: a", `authentication: {x509: {commonName: dev}}`),
			user("name: b", `authentication: {x509: {commonName: dev}}`)}, "CommonNameTaken", "iot/a is older", false},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(t, tt.manifests...)
			last := in.Users[len(in.Users)-1]
			out := mustRender(t, in)
			for _, u := range out.Users {
				if u.Key == (types.NamespacedName{Namespace: last.Namespace, Name: last.Name}) {
					if u.Verdict.Reason != tt.reason || !strings.Contains(u.Verdict.Message, tt.message) {
						t.Errorf("verdict %+v, want %s, %q", u.Verdict, tt.reason, tt.message)
					}
				}
			}
			rendered := false
			for _, u := range accessOf(t, out).Users {
				rendered = rendered || u.Source == last.Namespace+"/"+last.Name
			}
			if rendered != tt.rendered {
				t.Errorf("rendered is %v", rendered)
			}
		})
	}
}

func TestACLsAreJudged(t *testing.T) {
	acl := func(meta, spec string) string {
		return `{kind: TopicACL, metadata: {` + meta + `}, spec: {brokerRef: {name: edge, namespace: iot}, ` + spec + `}}`
	}
	const rules = `rules: [{effect: Allow, actions: [All], topics: ["#"]}]`
	for name, tt := range map[string]struct {
		acl             string
		reason, message string
		matched         int32
		users           string
	}{
		"user":              {devACL, "Accepted", "", 1, "dev"},
		"user of no object": {acl("name: a", `subjects: [{user: nobody}], `+rules), "Accepted", "", 0, ""},
		"labels":            {acl("name: a", `subjects: [{selector: {matchLabels: {fleet: eu}}}], `+rules), "Accepted", "", 1, "dev"},
		"labels and user":   {acl("name: a", `subjects: [{selector: {}}, {user: dev}], `+rules), "Accepted", "", 2, "dev,other"},
		"rejected users":    {acl("name: a", `subjects: [{user: lost}], `+rules), "Accepted", "", 0, ""},
		"bad filter":        {acl("name: a", `subjects: [{user: dev}], rules: [{effect: Allow, actions: [All], topics: [ok, "a/#/b"]}]`), "InvalidRule", "spec.rules[0].topics[1]", 1, ""},
		"bad selector":      {acl("name: a", `subjects: [{selector: {matchExpressions: [{key: a, operator: Like}]}}], `+rules), "InvalidSubject", "spec.subjects[0]", 0, ""},
		"bad selector, bad filter": {acl("name: a", `subjects: [{selector: {matchExpressions: [{key: a, operator: Like}]}}], rules: [{effect: Allow, actions: [All], topics: ["a/#/b"]}]`),
			"InvalidRule", "spec.rules[0].topics[0]", 0, ""},
		"other namespace": {acl("name: a, namespace: far", `subjects: [{user: dev}], `+rules), "NotAllowedByBroker", "", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			out := mustRender(t, input(t, secrets, dev, tt.acl,
				user("name: other", `authentication: {password: {secretRef: {name: s}}}`),
				user("name: lost", `authentication: {password: {secretRef: {name: missing}}}`)))
			a := out.ACLs[0]
			if a.Verdict.Reason != tt.reason || !strings.Contains(a.Verdict.Message, tt.message) || a.MatchedUsers != tt.matched {
				t.Errorf("verdict %+v, matched %d", a.Verdict, a.MatchedUsers)
			}
			var users string
			for _, p := range accessOf(t, out).Policies {
				users = strings.Join(p.Users, ",")
			}
			if users != tt.users {
				t.Errorf("rendered for users %q, want %q", users, tt.users)
			}
		})
	}
}

func TestSelectorsStayInTheirNamespace(t *testing.T) {
	in := input(t,
		`{kind: Broker, spec: {allowedUsers: {namespaces: {from: Selector, selector: {matchLabels: {mqtt: yes}}}}}}`,
		secrets, dev, `{kind: Secret, metadata: {name: s, namespace: far}, stringData: {password: two}}`,
		user("name: abroad, namespace: far, labels: {fleet: eu}", `authentication: {password: {secretRef: {name: s}}}`),
		`{kind: TopicACL, metadata: {name: acl, namespace: far}, spec: {brokerRef: {name: edge, namespace: iot}, subjects: [{selector: {matchLabels: {fleet: eu}}}], rules: [{effect: Allow, actions: [All], topics: [a]}]}}`)
	in.Broker.Spec.AllowedUsers.Namespaces.Selector.MatchLabels = map[string]string{"mqtt": "yes"}
	in.Namespaces = map[string]map[string]string{"far": {"mqtt": "yes"}}
	policies := accessOf(t, mustRender(t, in)).Policies
	if len(policies) != 1 || len(policies[0].Users) != 1 || policies[0].Users[0] != "abroad" {
		t.Errorf("policies %+v", policies)
	}
}

func TestTheOrderOfTheInputDoesNotMatter(t *testing.T) {
	in := input(t, secrets, dev, devACL,
		user("name: a", `authentication: {x509: {commonName: a}}, clientIds: [z, b]`),
		user("name: b", `username: dev, authentication: {x509: {commonName: b}}`),
		user("name: c", `authentication: {x509: {commonName: a}}, clientIds: [b, z]`),
		`{kind: TopicACL, metadata: {name: b}, spec: {brokerRef: {name: edge}, subjects: [{selector: {}}], rules: [{effect: Deny, actions: [All], topics: ["x"]}]}}`)
	first := mustRender(t, in)
	in.Previous = first.Access
	for range 20 {
		rand.Shuffle(len(in.Users), func(i, j int) { in.Users[i], in.Users[j] = in.Users[j], in.Users[i] })
		rand.Shuffle(len(in.ACLs), func(i, j int) { in.ACLs[i], in.ACLs[j] = in.ACLs[j], in.ACLs[i] })
		if out := mustRender(t, in); out.Revision != first.Revision {
			t.Fatalf("another order gives another configuration:\n%s\n%s", first.Access, out.Access)
		}
	}
}

func TestHashesAreKeptAndNotComputedAgain(t *testing.T) {
	slow := &slowHash{}
	in := input(t, secrets, dev)
	in.Passwords = slow.passwords()
	first := mustRender(t, in)
	in.Previous = first.Access
	if again := mustRender(t, in); again.Revision != first.Revision || slow.hashes.Load() != 1 || slow.verifications.Load() != 0 {
		t.Errorf("revision %s became %s after %d hashes and %d verifications",
			first.Revision, again.Revision, slow.hashes.Load(), slow.verifications.Load())
	}

	// Another process has to verify once.
	fresh := &slowHash{}
	in.Passwords = fresh.passwords()
	for range 3 {
		if again := mustRender(t, in); again.Revision != first.Revision {
			t.Error("another process makes another revision")
		}
	}
	if fresh.hashes.Load() != 0 || fresh.verifications.Load() != 1 {
		t.Errorf("%d hashes and %d verifications", fresh.hashes.Load(), fresh.verifications.Load())
	}

	in.Secrets[types.NamespacedName{Namespace: "iot", Name: "s"}].StringData["password"] = "two"
	if changed := mustRender(t, in); changed.Revision == first.Revision || fresh.hashes.Load() != 1 {
		t.Error("a changed password keeps the revision")
	}
}

func TestBothPasswordsOfARotationAreKept(t *testing.T) {
	slow := &slowHash{}
	in := input(t, generatedSecret("iot/dev"), user("name: dev", generate))
	in.Passwords = slow.passwords()
	hashes := func() []string {
		out := mustRender(t, in)
		in.Previous = out.Access
		return accessOf(t, out).Users[0].PasswordHashes
	}
	both := hashes()
	if len(both) != 2 || !strings.HasSuffix(both[0], "$new") || !strings.HasSuffix(both[1], "$old") {
		t.Fatalf("hashes %q", both)
	}
	secret := in.Secrets[types.NamespacedName{Namespace: "iot", Name: "x"}]
	secret.StringData = map[string]string{"password": "newest", "previousPassword": "new"}
	if rotated := hashes(); len(rotated) != 2 || rotated[1] != both[0] {
		t.Errorf("the hash of the password before is %q, and was %q", rotated[1:], both[0])
	}
	done := slow.hashes.Load() + slow.verifications.Load()
	hashes()
	if n := slow.hashes.Load() + slow.verifications.Load() - done; n != 0 {
		t.Errorf("%d slow operations for what was rendered just before", n)
	}
	delete(secret.StringData, "previousPassword")
	if last := hashes(); len(last) != 1 {
		t.Errorf("after the overlap there are %d hashes", len(last))
	}
}

func TestDigestsNameWhatIsRenderedOfAnObject(t *testing.T) {
	in := input(t, secrets, dev, devACL)
	first := mustRender(t, in)
	in.Previous = first.Access
	in.Users = append(in.Users, input(t, user("name: other", `authentication: {x509: {commonName: o}}`)).Users...)
	second := mustRender(t, in)
	if second.Users[0].Digest != first.Users[0].Digest || second.ACLs[0].Digest != first.ACLs[0].Digest {
		t.Error("a digest changed with another object")
	}
	in.Users[0].Generation++
	in.Secrets[types.NamespacedName{Namespace: "iot", Name: "s"}].StringData["password"] = "two"
	third := mustRender(t, in)
	if third.Users[0].Digest == second.Users[0].Digest {
		t.Error("a digest stays when the object changes")
	}
}

func TestSettingsOfABroker(t *testing.T) {
	out := mustRender(t, input(t, `{kind: Broker, spec: {
		authentication: {anonymous: true, anonymousLimits: {maxConnections: 9, publishBytesPerSecond: 1Ki}}, authorization: {default: Allow},
		tls: {secretName: shared, maxRecordSize: 4096, additionalCertificates: [{name: rsa, secretName: old}], clientAuth: {mode: Optional, caSecretName: ca}},
		listeners: [
			{name: mqtt, port: 1883, limits: {maxConnections: 5}},
			{name: mqtts, port: 8883, tls: {}},
			{name: wss, port: 443, protocol: WebSocket, webSocket: {path: /x, allowedOrigins: ["https://a.example"]}, tls: {secretName: own, minVersion: "1.3", clientAuth: {mode: None}}}],
		updateStrategy: {drain: {disconnectRate: 7, timeout: 5s, serverReference: "edge-b:8883"}},
		mqtt: {maxPacketSize: 64Ki, sysInterval: 0s, maxQoS: 1, responseInformation: responses/%c}}}`))
	cfg, err := config.Parse(out.Settings, out.Access)
	if err != nil {
		t.Fatal(err)
	}
	s := cfg.Settings
	if !s.Anonymous || s.DefaultEffect != config.Allow || s.Name != "iot/edge" || s.MQTT.MaxPacketSize != 64<<10 || *s.MQTT.MaxQoS != 1 || s.MQTT.SysInterval >= 0 {
		t.Errorf("settings %+v", s)
	}
	if want := (config.UserLimits{MaxConnections: 9, PublishBytesPerSecond: 1 << 10}); s.AnonymousLimits != want {
		t.Errorf("limits of anonymous clients %+v, want %+v", s.AnonymousLimits, want)
	}
	if want := (config.Drain{DisconnectRate: 7, Timeout: config.Duration(5 * time.Second), ServerReference: "edge-b:8883"}); s.Drain != want {
		t.Errorf("drain %+v, want %+v", s.Drain, want)
	}
	if s.MQTT.ResponseInformation != "responses/%c" {
		t.Errorf("response information %q", s.MQTT.ResponseInformation)
	}
	plain, shared, own := s.Listeners[0], s.Listeners[1], s.Listeners[2]
	if plain.TLS != nil || plain.MaxConnections != 5 {
		t.Errorf("plain listener %+v", plain)
	}
	if shared.TLS.CertFile != "/tls/mqtts/tls.crt" || shared.TLS.ClientAuth != config.ClientAuthOptional || shared.TLS.ClientCAFile != "/ca/mqtts/ca.crt" {
		t.Errorf("listener with the shared certificate %+v", shared.TLS)
	}
	if want := (&config.WebSocket{Path: "/x", AllowedOrigins: []string{"https://a.example"}}); plain.WebSocket != nil || !reflect.DeepEqual(own.WebSocket, want) {
		t.Errorf("endpoints %+v and %+v, want none and %+v", plain.WebSocket, own.WebSocket, want)
	}
	if shared.TLS.MaxRecordSize != 4096 {
		t.Errorf("records of %d bytes", shared.TLS.MaxRecordSize)
	}
	if want := []config.AdditionalCertificate{{Name: "rsa", CertFile: "/tls/mqtts/rsa/tls.crt", KeyFile: "/tls/mqtts/rsa/tls.key"}}; !slices.Equal(shared.TLS.Additional, want) || own.TLS.Additional != nil {
		t.Errorf("additional certificates %+v and %+v, want %+v and none", shared.TLS.Additional, own.TLS.Additional, want)
	}
	if own.Protocol != config.ProtocolWebSocket || own.TLS.MinVersion != "1.3" || own.TLS.ClientCAFile != "" {
		t.Errorf("listener with its own certificate %+v", own.TLS)
	}
	if out.Revision != config.Revision(out.Settings, out.Access) {
		t.Error("the revision is not that of the files")
	}
}

func TestUnsupported(t *testing.T) {
	in := input(t, `{kind: Broker, spec: {monitoring: {rules: true, dashboard: true}}}`)
	if got := render.Unsupported(in.Broker); !strings.HasSuffix(got, "spec.monitoring.rules, spec.monitoring.dashboard") {
		t.Errorf("unsupported: %q", got)
	}
	if got := render.Unsupported(input(t).Broker); got != "" {
		t.Errorf("an empty Broker is unsupported: %q", got)
	}
}

func TestAMistakeInAnACLOpensNothing(t *testing.T) {
	const rules = `{effect: Allow, actions: [All], topics: ["open/#"]}, {effect: Deny, actions: [All], topics: ["secret/#"%s]}`
	for name, tt := range map[string]struct{ subjects, filter, reason, message string }{
		"a bad filter": {`{user: dev}`, `, "$share/g"`, "InvalidRule", "what it denies stays denied"},
		"a bad selector": {`{selector: {matchExpressions: [{key: fleet, operator: in, values: [eu]}]}}, {user: dev}`, ``,
			"InvalidSubject", "what it denies stays denied to its other subjects"},
		"both": {`{user: dev}, {selector: {matchExpressions: [{key: fleet, operator: in, values: [eu]}]}}`, `, "$share/g"`,
			"InvalidRule", "what it denies stays denied"},
	} {
		t.Run(name, func(t *testing.T) {
			out := mustRender(t, input(t, secrets, dev, fmt.Sprintf(`{kind: TopicACL, metadata: {name: typo},
				spec: {brokerRef: {name: edge, namespace: iot}, subjects: [%s], rules: [`+rules+`]}}`, tt.subjects, tt.filter)))
			if a := out.ACLs[0]; a.Verdict.Reason != tt.reason || !strings.HasSuffix(a.Verdict.Message, tt.message) || a.MatchedUsers != 1 {
				t.Errorf("verdict %+v, matched %d", a.Verdict, a.MatchedUsers)
			}
			if access := string(out.Access[config.AccessFile]); !strings.Contains(access, "secret/#") || strings.Contains(access, "open/#") {
				t.Fatalf("access: %s", access)
			}
			if p := accessOf(t, out).Policies[0]; p.Rules[0].Index != 1 || !reflect.DeepEqual(p.Users, []string{"dev"}) {
				t.Errorf("the second rule of the source, for dev, is %+v", p)
			}
		})
	}
}

// abroad is a Broker that admits every namespace, and an object of another one.
func abroad(t *testing.T, manifests ...string) render.Input {
	t.Helper()
	return input(t, append([]string{`{kind: Broker, spec: {allowedUsers: {namespaces: {from: All}}}}`}, manifests...)...)
}

func TestObjectsOfOtherNamespacesAreNotNamed(t *testing.T) {
	for name, tt := range map[string]struct{ older, newer, message string }{
		"username": {user("name: dev", `authentication: {x509: {commonName: a}}`),
			user("name: mine, namespace: far", `username: dev, authentication: {x509: {commonName: b}}`),
			`a MQTTUser of another namespace is older and has the username "dev"`},
		"common name": {user("name: dev", `authentication: {x509: {commonName: a}}`),
			user("name: mine, namespace: far", `authentication: {x509: {commonName: a}}`),
			`a MQTTUser of another namespace is older and has the common name "a"`},
		"username, at home": {user("name: dev, namespace: far", `authentication: {x509: {commonName: a}}`),
			user("name: mine, namespace: far", `username: dev, authentication: {x509: {commonName: b}}`),
			`MQTTUser far/dev is older and has the username "dev"`},
	} {
		t.Run(name, func(t *testing.T) {
			in := abroad(t, tt.older, tt.newer)
			in.Users[1].CreationTimestamp = metav1.Unix(1, 0)
			if v := verdictOf(t, mustRender(t, in).Users, "mine"); v.Message != tt.message {
				t.Errorf("%+v, want %q", v, tt.message)
			}
		})
	}
	out := mustRender(t, abroad(t, secrets, dev,
		`{kind: TopicACL, metadata: {name: guard}, spec: {brokerRef: {name: edge}, subjects: [{authenticated: true}], rules: [{effect: Deny, actions: [All], topics: [a]}]}}`,
		`{kind: TopicACL, metadata: {name: mine, namespace: far}, spec: {brokerRef: {name: edge, namespace: iot}, subjects: [{user: dev}], rules: [{effect: Allow, actions: [All], topics: [a]}]}}`))
	found, err := render.FindShadows(out)
	if err != nil {
		t.Fatal(err)
	}
	want := render.Shadows{"far/mine": {{Index: 0, CoveredBy: "Deny in a TopicACL of another namespace"}}}
	if !reflect.DeepEqual(found, want) {
		t.Errorf("shadows %v, want %v", found, want)
	}
}

func TestShadowsNameRulesAsTheirAuthorsCountThem(t *testing.T) {
	acl := func(name, subject, rules string) string {
		return fmt.Sprintf(`{kind: TopicACL, metadata: {name: %s}, spec: {brokerRef: {name: edge}, subjects: [{%s}], rules: [%s]}}`, name, subject, rules)
	}
	in := input(t, secrets, dev,
		acl("guard", "authenticated: true", `{effect: Deny, actions: [All], topics: ["secret/#"]}`),
		acl("mine", "user: dev", `{effect: Allow, actions: [Publish], topics: ["a"]},
			{effect: Allow, actions: [Publish], topics: ["secret/a"]}, {effect: Allow, actions: [Publish], topics: ["a"], maxQoS: 1}`),
		acl("slip", "user: dev", `{effect: Allow, actions: [All], topics: ["$share/g"]}, {effect: Deny, actions: [All], topics: ["secret/b"]}`),
		acl("others", "user: nobody", `{effect: Allow, actions: [All], topics: ["secret/c"]}`))
	got, err := render.FindShadows(mustRender(t, in))
	if err != nil {
		t.Fatal(err)
	}
	const guard = "Deny in TopicACL iot/guard, spec.rules[0]"
	want := render.Shadows{
		"iot/mine": {{Index: 1, CoveredBy: guard}, {Index: 2, CoveredBy: "Allow in TopicACL iot/mine, spec.rules[0]"}},
		"iot/slip": {{Index: 1, CoveredBy: guard}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("shadows %v, want %v", got, want)
	}
}

func TestTheDecoyKeyStays(t *testing.T) {
	verifier, err := password.HashSCRAM([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	in := input(t, `{kind: Secret, metadata: {name: s}, stringData: {passwordHash: "`+verifier+`"}}`,
		user("name: dev", `authentication: {password: {secretRef: {name: s, key: passwordHash}}}`))
	first := mustRender(t, in)
	key := accessOf(t, first).DecoyKey
	if len(key) < 16 {
		t.Fatalf("a key of %d bytes", len(key))
	}
	in.Passwords = (&slowHash{}).passwords() // of an operator that was restarted
	if fresh := accessOf(t, mustRender(t, in)).DecoyKey; bytes.Equal(fresh, key) {
		t.Error("the key can be guessed")
	}
	in.Previous = first.Access
	if again := mustRender(t, in); again.Revision != first.Revision {
		t.Error("the key changes")
	}
	if key := accessOf(t, mustRender(t, input(t, secrets, dev))).DecoyKey; key != nil {
		t.Errorf("a key %q where nobody logs in by SCRAM", key)
	}
}
