//go:build e2e

package e2e

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// refuseCredentials tries what must not get in, in both versions of the protocol that say why. The
// answer does not tell whether there is such a user.
func (s *story) refuseCredentials(t *testing.T) {
	for _, version := range []string{"311", "5"} {
		answer := s.mustRefuse(t, sensor.with("another-password"), version)
		if unknown := s.mustRefuse(t, login{username: "nobody", password: sensor.password}, version); unknown != answer {
			t.Errorf("version %s: a wrong password is answered %q, an unknown user %q", version, answer, unknown)
		}
		s.mustRefuse(t, sensor.with(""), version)
		s.mustRefuse(t, login{}, version)
	}
	s.broker.mustPublish(t, sensor, "telemetry/sensor/x", "hello", "-q", "1")
}

// mustRefuse checks that a client may not connect, and returns what it was told: "not authorised" or
// "bad user name or password", in the words of the version.
func (s *story) mustRefuse(t *testing.T, l login, version string) string {
	t.Helper()
	out := s.broker.publish(t, l, "telemetry/sensor/x", "hello", "-V", version, "-q", "1")
	if out.code <= 0 || !isRefusal(out.output) {
		t.Errorf("want a refusal of user %q by version %s: %s", l.username, version, out)
	}
	return out.output
}

// isRefusal says that a client tells that its login was refused.
func isRefusal(output string) bool {
	said := strings.ToLower(output)
	return strings.Contains(said, "not authori") || strings.Contains(said, "bad user name or password")
}

// refuseCertificates has a client refuse the broker's certificate, and the broker those of clients.
func (s *story) refuseCertificates(t *testing.T) {
	other := newAuthority(t)
	mistrusting := sensor
	mistrusting.caFile = writeFile(t, "other-ca.crt", other.certificatePEM)
	s.broker.publish(t, mistrusting, "telemetry/sensor/x", "hello").mustFail(t, "TLS error")

	meter := login{
		certFile: writeFile(t, "meter.crt", s.secret(t, namespace, "meter", "tls.crt")),
		keyFile:  writeFile(t, "meter.key", s.secret(t, namespace, "meter", "tls.key")),
	}
	sub := s.broker.subscribe(t, dashboard, "telemetry/meter/#", 1)
	s.broker.mustPublish(t, meter, "telemetry/meter/reading", "7", "-q", "1")
	sub.awaitMessage(t, message("telemetry/meter/reading", "7", 1, 0))

	certPEM, keyPEM := other.issue(t, "meter")
	stranger := login{certFile: writeFile(t, "stranger.crt", certPEM), keyFile: writeFile(t, "stranger.key", keyPEM)}
	if out := s.broker.publish(t, stranger, "telemetry/meter/reading", "8", "-q", "1"); out.code <= 0 {
		t.Errorf("a client certificate of another CA was accepted: %s", out)
	}
	noCertificate := *s.broker
	noCertificate.tlsPort = noCertificate.devicePort
	if out := noCertificate.publish(t, sensor, "telemetry/sensor/x", "8", "-q", "1"); out.code <= 0 {
		t.Errorf("a client without a certificate was accepted: %s", out)
	}
	s.broker.mustPublish(t, meter, "telemetry/meter/reading", "9", "-q", "1")
	sub.awaitMessage(t, message("telemetry/meter/reading", "9", 1, 0))
}

// refusePublish publishes what no rule allows. MQTT 5 says so; 3.1.1 cannot. Nobody receives it, and
// it is counted.
//
//api:semantics 2 5
func (s *story) refusePublish(t *testing.T) {
	const forbidden, allowed = "telemetry/meter/forged", "telemetry/sensor/true"
	before := s.denied(t, "publish")
	sub := s.broker.subscribe(t, dashboard, "telemetry/#", 1)
	for _, qos := range []string{"1", "2"} {
		if out := s.broker.publish(t, sensor, forbidden, "5", "-V", "5", "-q", qos); !strings.Contains(out.output, "Not authorized") {
			t.Errorf("QoS %s: want the reason code 0x87: %s", qos, out)
		}
		s.broker.mustPublish(t, sensor, forbidden, "3.1.1", "-V", "311", "-q", qos)
	}
	s.broker.mustPublish(t, sensor, allowed, "marker", "-q", "1")
	sub.awaitMessage(t, message(allowed, "marker", 1, 0)) // and nothing forbidden before it
	if n := s.denied(t, "publish") - before; n != 4 {
		t.Errorf("%d refused publishes were counted, want 4", n)
	}
}

// refuseSubscribe subscribes to what no rule allows: SUBACK 0x80 in 3.1.1, and 0x87 in MQTT 5.
//
//api:semantics 4
func (s *story) refuseSubscribe(t *testing.T) {
	before := s.denied(t, "subscribe")
	for version, code := range map[string]string{"311": "128", "5": "135"} {
		args := append(s.broker.subscribeArguments(sensor, "telemetry/#", 1), "-V", version, "-W", "20")
		out := run(t, patience, "mosquitto_sub", args...)
		if !strings.Contains(out.output, "Subscribed (mid: 1): "+code) || !strings.Contains(out.output, "denied") {
			t.Errorf("version %s: want SUBACK %s: %s", version, code, out)
		}
	}
	if n := s.denied(t, "subscribe") - before; n != 2 {
		t.Errorf("%d refused subscriptions were counted, want 2", n)
	}
}

// denied reads from the broker's metrics how often the sensor was refused an action.
func (s *story) denied(t *testing.T, action string) int {
	t.Helper()
	pod := openForward(t, s.cluster, namespace, "pod/edge-0", 9883)
	address, err := pod.running()
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	name := fmt.Sprintf(`godwit_authorization_denied_total{action=%q,user=%q} `, action, sensor.username)
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if value, found := strings.CutPrefix(lines.Text(), name); found {
			n, err := strconv.Atoi(value)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// tellNoPassword looks for passwords in what the operator and the broker say, and in all objects that
// are no Secret of a user.
//
//api:semantics 10
func (s *story) tellNoPassword(t *testing.T) {
	told := map[string]string{
		"the operator's log": s.do(t, "logs", "--namespace", s.systemNS, "deployment/"+s.deployment(t), "--tail=-1"),
		"the broker's log":   s.do(t, "logs", "--namespace", namespace, "edge-0", "--tail=-1"),
		"events":             s.do(t, "get", "events", "--namespace", namespace, "--output", "yaml"),
		"configuration and state": s.do(t, "get", "configmaps,brokers,mqttusers,topicacls,statefulsets,pods",
			"--namespace", namespace, "--output", "jsonpath={range .items[*]}{.data}{.spec}{.status}{end}"),
		"access.json": string(s.secret(t, namespace, "edge-access", "access.json")),
	}
	for place, text := range told {
		if len(text) == 0 {
			t.Errorf("there is nothing in %s", place)
		}
		for _, l := range []login{sensor, dashboard, bystander} {
			if strings.Contains(text, l.password) {
				t.Errorf("the password of %s is in %s", l.username, place)
			}
		}
	}
	if !strings.Contains(told["access.json"], "$argon2id$") {
		t.Error("there is no hash in access.json")
	}
}

// authority is a certificate authority that nobody in the story trusts.
type authority struct {
	certificate    *x509.Certificate
	certificatePEM []byte
	key            *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "devices-ca"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	a := authority{key: newKey(t)}
	a.certificatePEM = sign(t, template, template, a.key, a.key)
	block, _ := pem.Decode(a.certificatePEM)
	var err error
	if a.certificate, err = x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	}
	return a
}

// issue makes a client certificate and its key.
func (a authority) issue(t *testing.T, commonName string) (certPEM, keyPEM []byte) {
	t.Helper()
	key := newKey(t)
	certPEM = sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: commonName},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.certificate, key, a.key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return certPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
