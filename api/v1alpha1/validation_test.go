package v1alpha1_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/testenv"
)

var env *testenv.Env

func TestMain(m *testing.M) {
	os.Exit(testenv.Main(m, testenv.Options{CertManager: true}, func(e *testenv.Env) { env = e }))
}

// parse reads a manifest's spec into an object of a new namespace.
func parse[T client.Object](t *testing.T, obj T, name, spec string) T {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte("spec: "+spec), obj); err != nil {
		t.Fatal(err)
	}
	obj.SetName(name)
	obj.SetNamespace("default")
	return obj
}

// refused expects that the API server refuses the object with a message.
func refused(t *testing.T, err error, message string) {
	t.Helper()
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), message) {
		t.Errorf("want a refusal with %q, have %v", message, err)
	}
}

func TestBrokersThatAreRefused(t *testing.T) {
	for name, tt := range map[string]struct{ spec, message string }{
		"many-replicas":          {`{replicas: 2}`, "set replicas to 1"},
		"negative-replicas":      {`{replicas: -1}`, "greater than or equal to 0"},
		"two-certificates":       {`{tls: {secretName: a, certificate: {issuerRef: {name: ca}}}}`, "exactly one of certificate"},
		"certificate-alone":      {`{tls: {secretName: a, clientAuth: {mode: Optional, caSecretName: b, identity: Certificate}}}`, "set mode to Required"},
		"no-certificate":         {`{tls: {minVersion: "1.3"}}`, "exactly one of certificate"},
		"tls-without-a-source":   {`{listeners: [{name: mqtts, port: 8883, tls: {}}]}`, "set spec.tls"},
		"same-name":              {`{listeners: [{name: a, port: 1}, {name: a, port: 2}]}`, "Duplicate value"},
		"same-port":              {`{listeners: [{name: a, port: 1883}, {name: b, port: 1883}]}`, "same port"},
		"admin-port":             {`{listeners: [{name: a, port: 9883}]}`, "port 9883"},
		"admin-name":             {`{listeners: [{name: admin, port: 1883}]}`, "taken by the operator"},
		"proxies-unnamed":        {`{listeners: [{name: a, port: 1883, proxyProtocol: true}]}`, "trustedProxies"},
		"proxies-not-cidr":       {`{listeners: [{name: a, port: 1883, trustedProxies: ["10.0.0.1"]}]}`, "are CIDRs"},
		"web-socket-elsewhere":   {`{listeners: [{name: a, port: 1883, webSocket: {path: /}}]}`, "protocol: WebSocket"},
		"path-with-a-query":      {`{listeners: [{name: a, port: 80, protocol: WebSocket, webSocket: {path: "/a?b"}}]}`, "should match"},
		"origin-with-a-path":     {`{listeners: [{name: a, port: 80, protocol: WebSocket, webSocket: {allowedOrigins: ["https://a.example/b"]}}]}`, "should match"},
		"client-auth-without-ca": {`{tls: {secretName: a, clientAuth: {mode: Required}}}`, "set caSecretName"},
		"node-port-cluster-ip":   {`{listeners: [{name: a, port: 1883, service: {nodePort: 31883}}]}`, "nodePort needs type"},
		"selector-without-from":  {`{allowedUsers: {namespaces: {selector: {}}}}`, "from: Selector"},
		"from-without-selector":  {`{allowedUsers: {namespaces: {from: Selector}}}`, "from: Selector"},
		"huge-packets":           {`{mqtt: {maxPacketSize: 1Gi}}`, "maxPacketSize lies between"},
		"strangers-of-none":      {`{authentication: {anonymousLimits: {maxConnections: 0}}}`, "maxConnections"},
		"no-packets":             {`{mqtt: {maxPacketSize: 1}}`, "maxPacketSize lies between"},
		"short-certificate":      {`{tls: {certificate: {issuerRef: {name: ca}, duration: 1m}}}`, "one hour at least"},
		"odd-key-size":           {`{tls: {certificate: {issuerRef: {name: ca}, privateKey: {algorithm: RSA, size: 256}}}}`, "size is 2048"},
		"key-with-no-size":       {`{tls: {certificate: {issuerRef: {name: ca}, privateKey: {algorithm: Ed25519, size: 256}}}}`, "left out for Ed25519"},
		"other-key":              {`{tls: {certificate: {issuerRef: {name: ca}, privateKey: {algorithm: DSA}}}}`, "Unsupported value"},
		"nameless-additional":    {`{tls: {secretName: a, additionalCertificates: [{secretName: b}]}}`, "additionalCertificates[0].name"},
		"additional-of-nothing":  {`{tls: {secretName: a, additionalCertificates: [{name: rsa}]}}`, "in each of additionalCertificates"},
		"additional-of-both":     {`{tls: {secretName: a, additionalCertificates: [{name: rsa, secretName: b, certificate: {issuerRef: {name: ca}}}]}}`, "in each of additionalCertificates"},
		"additional-alone":       {`{tls: {additionalCertificates: [{name: rsa, secretName: b}]}}`, "spec.tls: set exactly one of certificate"},
		"additional-tls-name":    {`{tls: {secretName: a, additionalCertificates: [{name: my-tls, secretName: b}]}}`, "leave it out of the name"},
		"additional-odd-name":    {`{tls: {secretName: a, additionalCertificates: [{name: "a/b", secretName: b}]}}`, "should match"},
		"additional-twice":       {`{tls: {secretName: a, additionalCertificates: [{name: rsa, secretName: b}, {name: rsa, secretName: c}]}}`, "Duplicate value"},
		"additional-too-many":    {`{tls: {secretName: a, additionalCertificates: [{name: b, secretName: b}, {name: c, secretName: c}, {name: d, secretName: d}, {name: e, secretName: e}]}}`, "at most 3 items"},
		"additional-same-key":    {`{tls: {certificate: {issuerRef: {name: ca}}, additionalCertificates: [{name: rsa, certificate: {issuerRef: {name: ca}}}]}}`, "is served to nobody"},
		"additional-same-rsa":    {`{listeners: [{name: a, port: 1883, tls: {certificate: {issuerRef: {name: ca}, privateKey: {algorithm: RSA}}, additionalCertificates: [{name: b, certificate: {issuerRef: {name: ca}, privateKey: {algorithm: RSA}}}]}}]}`, "is served to nobody"},
		"additional-key-size":    {`{tls: {secretName: a, additionalCertificates: [{name: rsa, certificate: {issuerRef: {name: ca}, privateKey: {algorithm: RSA, size: 256}}}]}}`, "size is 2048"},
		"tiny-records":           {`{tls: {secretName: a, maxRecordSize: 100}}`, "greater than or equal to 512"},
		"information-wildcard":   {`{mqtt: {responseInformation: responses/#}}`, "responseInformation is"},
		"information-half-level": {`{mqtt: {responseInformation: responses/a%c}}`, "responseInformation is"},
		"reference-with-a-gap":   {`{updateStrategy: {drain: {serverReference: "edge-b:8883, edge-c:8883 "}}}`, "serverReference is an address"},
		"two-budgets":            {`{podDisruptionBudget: {minAvailable: 1, maxUnavailable: 1}}`, "only one of minAvailable"},
		"A-name":                 {`{}`, "RFC 1123"},
		"1-name":                 {`{}`, "beginning with a letter"},
		"a-name-that-is-much-longer-than-those-of-pods-may-be": {`{}`, "at most 40"},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, env.Client.Create(t.Context(), parse(t, &v1alpha1.Broker{}, name, tt.spec)), tt.message)
		})
	}
}

func TestUsersThatAreRefused(t *testing.T) {
	const password = `authentication: {password: {secretRef: {name: s}}}`
	for name, tt := range map[string]struct{ spec, message string }{
		"no-authentication":  {`{brokerRef: {name: edge}, authentication: {}}`, "exactly one of password"},
		"two-ways":           {`{brokerRef: {name: edge}, authentication: {password: {secretRef: {name: s}}, x509: {commonName: c}}}`, "exactly one of password"},
		"control-username":   {`{brokerRef: {name: edge}, username: "a\u0007b", ` + password + `}`, "spec.username"},
		"long-username":      {`{brokerRef: {name: edge}, username: ` + strings.Repeat("a", 257) + `, ` + password + `}`, "spec.username"},
		"long-in-bytes":      {`{brokerRef: {name: edge}, username: ` + strings.Repeat("ä", 129) + `, ` + password + `}`, "at most 256 bytes"},
		"star-in-the-middle": {`{brokerRef: {name: edge}, clientIds: ["a*b"], ` + password + `}`, "spec.clientIds"},
		"no-broker":          {`{brokerRef: {name: ""}, ` + password + `}`, "spec.brokerRef.name"},
		"no-packets":         {`{brokerRef: {name: edge}, limits: {maxPacketSize: 1}, ` + password + `}`, "128 bytes or more"},
		"rotates-at-once":    {`{brokerRef: {name: edge}, authentication: {generate: {secretName: s, rotateEvery: 1s}}}`, "rotateEvery to 1m or more"},
		"overlaps-backwards": {`{brokerRef: {name: edge}, authentication: {generate: {secretName: s, overlap: -1s}}}`, "overlap to 0s or more"},
		"overlaps-too-long":  {`{brokerRef: {name: edge}, authentication: {generate: {secretName: s, rotateEvery: 1h, overlap: 2h}}}`, "overlap to rotateEvery or less"},
		"no-secret-name":     {`{brokerRef: {name: edge}, authentication: {generate: {secretName: "A/b"}}}`, "generate.secretName"},
		"short-certificate":  {`{brokerRef: {name: edge}, authentication: {certificate: {issuerRef: {name: ca}, secretName: s, duration: 1m}}}`, "1h or more"},
		"long-common-name": {`{brokerRef: {name: edge}, username: ` + strings.Repeat("a", 65) + `, authentication: {certificate: {issuerRef: {name: ca}, secretName: s}}}`,
			"at most 64 bytes"},
		"common-name-bytes": {`{brokerRef: {name: edge}, username: ` + strings.Repeat("ä", 33) + `, authentication: {certificate: {issuerRef: {name: ca}, secretName: s}}}`,
			"at most 64 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, env.Client.Create(t.Context(), parse(t, &v1alpha1.MQTTUser{}, name, tt.spec)), tt.message)
		})
	}
}

// TestUsernamesThatFirmwareDictates are taken, by users and by the rules for them.
func TestUsernamesThatFirmwareDictates(t *testing.T) {
	ns := env.Namespace(t, nil)
	for i, name := range []string{
		"48:e1:e9:12:34:56", "vhost:user", "hub/dev/?api-version=1", "with spaces", " ", "größe", "日本", "a+b", "#", "$SYS",
		strings.Repeat("x", 200), strings.Repeat("ä", 128),
	} {
		u := testenv.User(ns, fmt.Sprint("firmware-", i), "edge", func(u *v1alpha1.MQTTUser) { u.Spec.Username = name })
		a := parse(t, &v1alpha1.TopicACL{}, fmt.Sprint("firmware-", i), `{brokerRef: {name: edge}, subjects: [{user: x}], `+
			`rules: [{effect: Allow, actions: [All], topics: ["t/%u"]}]}`)
		a.Namespace, a.Spec.Subjects[0].User = ns, name
		for _, obj := range []client.Object{u, a} {
			if err := env.Client.Create(t.Context(), obj); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
}

func TestACLsThatAreRefused(t *testing.T) {
	rule := func(rule string) string {
		return `{brokerRef: {name: edge}, subjects: [{user: dev}], rules: [` + rule + `]}`
	}
	for name, tt := range map[string]struct{ spec, message string }{
		"no-subject":    {`{brokerRef: {name: edge}, subjects: [], rules: [{effect: Allow, actions: [All], topics: ["#"]}]}`, "at least 1 items"},
		"empty-subject": {`{brokerRef: {name: edge}, subjects: [{}], rules: [{effect: Allow, actions: [All], topics: ["#"]}]}`, "exactly one of user"},
		"two-in-one":    {`{brokerRef: {name: edge}, subjects: [{user: dev, authenticated: true}], rules: [{effect: Allow, actions: [All], topics: ["#"]}]}`, "exactly one of user"},
		"no-rule":       {rule(``), "at least 1 items"},
		"no-topic":      {rule(`{effect: Allow, actions: [All], topics: []}`), "at least 1 items"},
		"other-effect":  {rule(`{effect: Maybe, actions: [All], topics: ["#"]}`), "Unsupported value"},
		"other-action":  {rule(`{effect: Allow, actions: [Read], topics: ["#"]}`), "Unsupported value"},
		"deny-with-qos": {rule(`{effect: Deny, actions: [All], topics: ["#"], maxQoS: 1}`), "leave them out of a Deny rule"},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, env.Client.Create(t.Context(), parse(t, &v1alpha1.TopicACL{}, name, tt.spec)), tt.message)
		})
	}
}

func TestWhatCannotBeChanged(t *testing.T) {
	ns := env.Namespace(t, nil)
	for name, tt := range map[string]struct {
		obj     client.Object
		change  func(client.Object)
		message string
	}{
		"broker": {
			testenv.User(ns, "a", "edge"),
			func(o client.Object) { o.(*v1alpha1.MQTTUser).Spec.BrokerRef.Name = "core" },
			"brokerRef cannot be changed",
		},
		"username": {
			testenv.User(ns, "b", "edge", func(u *v1alpha1.MQTTUser) { u.Spec.Username = "b" }),
			func(o client.Object) { o.(*v1alpha1.MQTTUser).Spec.Username = "c" },
			"username cannot be changed",
		},
		"username that was the default": {
			testenv.User(ns, "c", "edge"),
			func(o client.Object) { o.(*v1alpha1.MQTTUser).Spec.Username = "d" },
			"username cannot be changed",
		},
		"volume": {
			testenv.Broker(ns, "d"),
			func(o client.Object) { o.(*v1alpha1.Broker).Spec.Persistence.Size = new(resource.MustParse("2Gi")) },
			"those of a volume that exists",
		},
		"storage class": {
			testenv.Broker(ns, "e"),
			func(o client.Object) { o.(*v1alpha1.Broker).Spec.Persistence.StorageClassName = new("fast") },
			"those of a volume that exists",
		},
	} {
		t.Run(name, func(t *testing.T) {
			env.Create(t, tt.obj)
			var err error
			env.Eventually(t, func() error {
				if getErr := env.Client.Get(t.Context(), client.ObjectKeyFromObject(tt.obj), tt.obj); getErr != nil {
					return getErr
				}
				tt.change(tt.obj)
				if err = env.Client.Update(t.Context(), tt.obj); apierrors.IsConflict(err) {
					return err // the operator has written the status meanwhile
				}
				return nil
			})
			refused(t, err, tt.message)
		})
	}
}

func TestDefaultsAgreeWithTheSchema(t *testing.T) {
	ns := env.Namespace(t, nil)
	for name, spec := range map[string]string{
		"empty": `{}`,
		"tls":   `{tls: {certificate: {issuerRef: {name: ca}}}}`,
		"additional": `{tls: {certificate: {issuerRef: {name: ca}}, additionalCertificates: [` +
			`{name: rsa, certificate: {issuerRef: {name: ca}, privateKey: {algorithm: RSA}}}, {name: p384, certificate: {issuerRef: {name: ca}, privateKey: {algorithm: ECDSA, size: 384}}}, {name: brought, secretName: a}]}}`,
		"listeners": `{listeners: [{name: mqtt, port: 1883, service: {}}]}`,
	} {
		local := parse(t, &v1alpha1.Broker{}, name, spec)
		served := local.DeepCopy()
		served.Namespace = ns
		env.Create(t, served)
		local.Default()
		served.Default()
		if !equality.Semantic.DeepEqual(local.Spec, served.Spec) {
			t.Errorf("%s: Default says\n%+v\nand the schema\n%+v", name, local.Spec, served.Spec)
		}
	}
	local := parse(t, &v1alpha1.MQTTUser{}, "dev", `{brokerRef: {name: none}, authentication: {password: {secretRef: {name: s}}}}`)
	served := local.DeepCopy()
	served.Namespace = ns
	env.Create(t, served)
	local.Default()
	if !equality.Semantic.DeepEqual(local.Spec, served.Spec) {
		t.Errorf("Default says %+v and the schema %+v", local.Spec, served.Spec)
	}
}
