package dev

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mqtt/godwit/broker/config"
)

const samples = "../../config/samples"

// copySamples gives a test its own manifests.
func copySamples(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(samples)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func edit(t *testing.T, file, old, replacement string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), old) {
		t.Fatalf("%s lacks %q", file, old)
	}
	put(t, file, strings.Replace(string(content), old, replacement, 1))
}

func put(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func workspace(t *testing.T, manifests, state string) *Workspace {
	t.Helper()
	w, err := NewWorkspace(Options{Manifests: manifests, StateDir: state, Address: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func mustBuild(t *testing.T, w *Workspace) *Build {
	t.Helper()
	b, err := w.Build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// content reads all files of a directory.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestBuildWritesWhatTheBrokerReads(t *testing.T) {
	w := workspace(t, samples, filepath.Join(t.TempDir(), "state"))
	b := mustBuild(t, w)
	c, err := config.Load(w.SettingsDir(), w.AccessDir())
	if err != nil {
		t.Fatal(err)
	}
	if c.Revision != b.Config.Revision {
		t.Errorf("revision on disk %s, of the build %s", c.Revision, b.Config.Revision)
	}
	for _, l := range c.Settings.Listeners {
		if l.Address != "127.0.0.1" {
			t.Errorf("listener %s binds %q", l.Name, l.Address)
		}
		if l.TLS == nil {
			continue
		}
		if _, err := tls.LoadX509KeyPair(l.TLS.CertFile, l.TLS.KeyFile); err != nil {
			t.Error(err)
		}
	}
	for path := range content(t, filepath.Dir(w.CAFile())) {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, error %v", path, info.Mode(), err)
		}
	}
}

func TestBuildChangesNothingTheSecondTime(t *testing.T) {
	state := t.TempDir()
	mustBuild(t, workspace(t, samples, state))
	before := content(t, state)
	mustBuild(t, workspace(t, samples, state))
	if !reflect.DeepEqual(content(t, state), before) {
		t.Error("a file changed although no manifest did")
	}
}

func TestBuildKeepsTheLastGoodOne(t *testing.T) {
	manifests, state := copySamples(t), t.TempDir()
	w := workspace(t, manifests, state)
	mustBuild(t, w)
	before := content(t, state)
	edit(t, filepath.Join(manifests, "broker.yaml"), "port: 1883", "prot: 1883")
	_, err := w.Build()
	if err == nil || !strings.Contains(err.Error(), "broker.yaml:9: Broker default/edge: spec.listeners[0].prot: unknown field") {
		t.Errorf("error = %v", err)
	}
	if !reflect.DeepEqual(content(t, state), before) {
		t.Error("a bad manifest changed the state")
	}
}

func TestBuildNotesWhatIsNotInForce(t *testing.T) {
	manifests := copySamples(t)
	edit(t, filepath.Join(manifests, "users.yaml"), "  sensor: sensor-password\n", "")
	b := mustBuild(t, workspace(t, manifests, t.TempDir()))
	all := strings.Join(b.Notes, "\n")
	for _, want := range []string{
		`MQTTUser default/sensor is not in force: Secret "edge-passwords" has no key "sensor"`,
		"Issuer default/edge-ca: a local CA stands in for cert-manager",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("notes lack %q:\n%s", want, all)
		}
	}
}

// verify checks a listener's certificate for a name, as a client does.
func verify(t *testing.T, caFile, certFile, name string) error {
	t.Helper()
	caPEM, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(caPEM)
	cert, err := parseCertificate(certPEM)
	if err != nil {
		t.Fatal(err)
	}
	_, err = cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
	return err
}

func TestCertificateServesTheNamesOfThisMachine(t *testing.T) {
	manifests := copySamples(t)
	edit(t, filepath.Join(manifests, "broker.yaml"), "dnsNames: [localhost]", "dnsNames: [localhost, mqtt.example.com]")
	w := workspace(t, manifests, t.TempDir())
	mustBuild(t, w)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "[::1]", host, "mqtt.example.com"} {
		if err := verify(t, w.CAFile(), w.paths().CertFile("mqtts"), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if verify(t, w.CAFile(), w.paths().CertFile("mqtts"), "other.example.com") == nil {
		t.Error("the certificate is good for any name")
	}
}

func TestCertificatesHaveTheKeysThatAreAskedFor(t *testing.T) {
	manifests := t.TempDir()
	file := filepath.Join(manifests, "broker.yaml")
	put(t, file, `apiVersion: mqtt.godwit.io/v1alpha1
kind: Broker
metadata: {name: edge}
spec:
  tls:
    certificate: {issuerRef: {name: ca}}
    additionalCertificates:
    - {name: rsa, certificate: {issuerRef: {name: ca}, dnsNames: [old.example.com], privateKey: {algorithm: RSA}}}
    - {name: p384, certificate: {issuerRef: {name: ca}, privateKey: {algorithm: ECDSA, size: 384}}}
    - {name: ed, certificate: {issuerRef: {name: ca}, privateKey: {algorithm: Ed25519}}}
`)
	w := workspace(t, manifests, t.TempDir())
	kinds := func() (all []string) {
		for _, l := range mustBuild(t, w).Config.Settings.Listeners {
			if l.TLS == nil {
				continue
			}
			files := []config.AdditionalCertificate{{CertFile: l.TLS.CertFile, KeyFile: l.TLS.KeyFile}}
			for _, a := range append(files, l.TLS.Additional...) {
				pair, err := tls.LoadX509KeyPair(a.CertFile, a.KeyFile)
				if err != nil {
					t.Fatal(err)
				}
				if err := verify(t, w.CAFile(), a.CertFile, "localhost"); err != nil {
					t.Errorf("%s: %v", a.CertFile, err)
				}
				kind := kindOf(pair.Leaf.PublicKey)
				all = append(all, fmt.Sprintf("%s %s %d", a.Name, kind.algorithm, kind.bits))
			}
		}
		return all
	}
	if got, want := kinds(), []string{" ECDSA 256", "rsa RSA 2048", "p384 ECDSA 384", "ed Ed25519 0"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if err := verify(t, w.CAFile(), w.paths().AdditionalCertFile("mqtts", "rsa"), "old.example.com"); err != nil {
		t.Error(err)
	}
	before := content(t, w.dir)
	if kinds(); !reflect.DeepEqual(content(t, w.dir), before) {
		t.Error("the second build changes files")
	}
	edit(t, file, "certificate: {issuerRef: {name: ca}}", "certificate: {issuerRef: {name: ca}, privateKey: {algorithm: RSA, size: 3072}}")
	if got := kinds(); got[0] != " RSA 3072" {
		t.Errorf("%q after another key is asked for", got)
	}
}

// TestTheCAsOfAListenerAreInOneFile where its certificates are of different ones.
func TestTheCAsOfAListenerAreInOneFile(t *testing.T) {
	other := mustAuthority(t)
	cert, key, err := other.issue(names{dns: []string{"localhost"}}, keyKindOf(nil), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	manifests := t.TempDir()
	secret, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]string{"name": "mine"},
		"stringData": map[string]string{"tls.crt": string(cert), "tls.key": string(key), "ca.crt": string(other.pem)},
	})
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(manifests, "secret.yaml"), string(secret))
	put(t, filepath.Join(manifests, "broker.yaml"), `apiVersion: mqtt.godwit.io/v1alpha1
kind: Broker
metadata: {name: edge}
spec: {tls: {certificate: {issuerRef: {name: ca}}, additionalCertificates: [{name: brought, secretName: mine}]}}
`)
	w := workspace(t, manifests, t.TempDir())
	b := mustBuild(t, w)
	for _, file := range []string{w.paths().CertFile("mqtts"), w.paths().AdditionalCertFile("mqtts", "brought")} {
		if err := verify(t, b.CAFiles["mqtts"], file, "localhost"); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	if len(b.Notes) != 0 {
		t.Errorf("notes %q", b.Notes)
	}
}

func mustAuthority(t *testing.T) *authority {
	t.Helper()
	ca, err := openAuthority(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestCertificateIsRenewedInTime(t *testing.T) {
	manifests := copySamples(t)
	w := workspace(t, manifests, t.TempDir())
	now := time.Now()
	w.now = func() time.Time { return now }
	read := func() string {
		mustBuild(t, w)
		b, err := os.ReadFile(w.paths().CertFile("mqtts"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first := read()
	ca := content(t, w.CAFile())
	now = now.Add(leafLife - leafRenew - time.Hour)
	if read() != first {
		t.Error("renewed too early")
	}
	now = now.Add(2 * time.Hour)
	second := read()
	if second == first {
		t.Error("not renewed")
	}
	edit(t, filepath.Join(manifests, "broker.yaml"), "dnsNames: [localhost]", "dnsNames: [localhost, mqtt.example.com]")
	if read() == second {
		t.Error("not renewed for a new name")
	}
	if !reflect.DeepEqual(content(t, w.CAFile()), ca) {
		t.Error("the CA changed")
	}
}

func TestADamagedCAIsNotReplaced(t *testing.T) {
	state := t.TempDir()
	w := workspace(t, samples, state)
	mustBuild(t, w)
	put(t, filepath.Join(state, caKeyName), "damaged")
	_, err := w.Build()
	if err == nil || !strings.Contains(err.Error(), "remove "+w.CAFile()) {
		t.Errorf("error = %v, want one that says what to remove", err)
	}
}

func TestWatchRebuildsOnEachChange(t *testing.T) {
	manifests := copySamples(t)
	w := workspace(t, manifests, t.TempDir())
	mustBuild(t, w)
	put(t, filepath.Join(manifests, "before.yaml"), "# before Watch\n")
	ctx, cancel := context.WithCancel(t.Context())
	rebuilt, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		w.Watch(ctx, func() { rebuilt <- struct{}{} })
	}()
	defer func() { cancel(); <-done }()
	<-rebuilt
	put(t, filepath.Join(manifests, "new.yaml"), "# new\n")
	<-rebuilt
	put(t, filepath.Join(manifests, "new.yaml"), "# changed\n")
	<-rebuilt
	if err := os.Remove(filepath.Join(manifests, "new.yaml")); err != nil {
		t.Fatal(err)
	}
	<-rebuilt
	select {
	case <-rebuilt:
		t.Error("rebuilt without a change")
	case <-time.After(5 * look):
	}
}

func TestCredentialsAreMadeForUsers(t *testing.T) {
	manifests, state := copySamples(t), t.TempDir()
	put(t, filepath.Join(manifests, "made.yaml"), `
apiVersion: mqtt.godwit.io/v1alpha1
kind: MQTTUser
metadata: {name: meter}
spec: {brokerRef: {name: edge}, authentication: {generate: {secretName: meter-mqtt}}}
---
apiVersion: mqtt.godwit.io/v1alpha1
kind: MQTTUser
metadata: {name: pump}
spec: {brokerRef: {name: edge}, authentication: {certificate: {issuerRef: {name: edge-ca}, secretName: pump-cert}}}
`)
	b := mustBuild(t, workspace(t, manifests, state))
	made := content(t, filepath.Join(state, "credentials", "default"))
	read := func(key string) string { return made[filepath.Join(state, "credentials", "default", key)] }
	password, ca := read("meter-mqtt/password"), content(t, filepath.Join(state, caFileName))[filepath.Join(state, caFileName)]
	for key, want := range map[string]string{
		"meter-mqtt/username": "meter", "meter-mqtt/ca.crt": ca, "pump-cert/ca.crt": ca,
		"meter-mqtt/uri": "mqtts://meter:" + password + "@localhost:8883", "meter-mqtt/password": b.Secrets["meter"],
	} {
		if read(key) != want || want == "" {
			t.Errorf("%s is %q, want %q", key, read(key), want)
		}
	}
	authority, err := openAuthority(state, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if !authority.admits([]byte(read("pump-cert/tls.crt")), "pump", time.Now()) {
		t.Errorf("certificate %s", read("pump-cert/tls.crt"))
	}
	if _, err := tls.X509KeyPair([]byte(read("pump-cert/tls.crt")), []byte(read("pump-cert/tls.key"))); err != nil {
		t.Error(err)
	}
	mustBuild(t, workspace(t, manifests, state))
	if again := content(t, filepath.Join(state, "credentials", "default")); !reflect.DeepEqual(again, made) {
		t.Error("the credentials were made again")
	}
}
