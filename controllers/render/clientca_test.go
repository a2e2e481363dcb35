package render_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/config"
)

// listenersOfCAs is a Broker with two listeners that ask for certificates of CAs,
// and one that asks for none.
func listenersOfCAs(shared, first, second string) string {
	return fmt.Sprintf(`{kind: Broker, spec: {tls: {secretName: s%s}, listeners: [
		{name: one, port: 8883, tls: {%s}}, {name: two, port: 8884, tls: {%s}}, {name: three, port: 8885, tls: {clientAuth: {mode: None}}}]}}`,
		shared, first, second)
}

func clientAuth(ca string) string {
	return fmt.Sprintf(`clientAuth: {mode: Optional, caSecretName: %s}`, ca)
}

func x509(name, authentication string) string {
	return fmt.Sprintf(`{kind: MQTTUser, metadata: {name: %s}, spec: {brokerRef: {name: edge}, authentication: {%s}}}`, name, authentication)
}

// TestAUserIsForTheListenersOfOneCA: the configuration holds a user's certificate
// with the CA that it is of, as soon as listeners have more than one.
func TestAUserIsForTheListenersOfOneCA(t *testing.T) {
	const named, unnamed = `x509: {commonName: u, caSecretName: weak}`, `x509: {commonName: u}`
	const issued = `certificate: {issuerRef: {name: i}, secretName: s, caSecretName: weak}`
	same := listenersOfCAs("", clientAuth("weak"), clientAuth("weak"))
	apart := listenersOfCAs("", clientAuth("strong"), clientAuth("weak"))
	shared := listenersOfCAs(", "+clientAuth("strong"), "", clientAuth("weak"))
	unused := listenersOfCAs(", "+clientAuth("unused"), clientAuth("strong"), clientAuth("weak"))
	for name, tt := range map[string]struct {
		broker, authentication string
		ca                     string // of the user, where it is accepted
		reason, message        string
	}{
		"one CA, and the user names none":            {same, unnamed, "", "Accepted", "clients connect with a certificate of this common name"},
		"one CA, and the user names it":              {same, named, "", "Accepted", "clients connect with a certificate of this common name"},
		"two CAs, and the user names one":            {apart, named, "weak", "Accepted", `this common name, signed by the CA in Secret "weak" of the Broker, on two`},
		"two CAs, and the issued user names one":     {apart, issued, "weak", "Accepted", `the certificate in Secret "s", signed by the CA in Secret "weak" of the Broker, on two`},
		"two CAs, and nobody names one":              {apart, unnamed, "", "AmbiguousClientCA", "set caSecretName beside the user's commonName or issuerRef to one of strong, weak"},
		"two CAs, one of spec.tls":                   {shared, unnamed, "strong", "Accepted", `Secret "strong" of the Broker, on one`},
		"two CAs, one of spec.tls, the other named":  {shared, named, "weak", "Accepted", `Secret "weak" of the Broker, on two`},
		"two CAs, and that of spec.tls is not asked": {unused, unnamed, "", "AmbiguousClientCA", "to one of strong, weak"},
		"another CA than any listener's": {same, `x509: {commonName: u, caSecretName: other}`, "", "NoClientAuth",
			`of the CA in Secret "other": set caSecretName beside the user's commonName or issuerRef to one of weak`},
		"a CA, and no listener asks": {listenersOfCAs("", "clientAuth: {mode: None}", "clientAuth: {mode: None}"), named, "", "NoClientAuth", "set clientAuth of a listener"},
	} {
		t.Run(name, func(t *testing.T) {
			out := mustRender(t, input(t, tt.broker, x509("u", tt.authentication)))
			v := verdictOf(t, out.Users, "u")
			if v.Reason != tt.reason || !strings.HasSuffix(v.Message, tt.message) {
				t.Errorf("verdict %+v, want %s: …%s", v, tt.reason, tt.message)
			}
			users := accessOf(t, out).Users
			if !v.Accepted() {
				if len(users) != 0 {
					t.Errorf("%+v is in force", users)
				}
				return
			}
			if len(users) != 1 || users[0].CommonName != "u" || users[0].ClientCA != tt.ca {
				t.Errorf("users %+v, want one of the CA %q", users, tt.ca)
			}
		})
	}
}

// TestListenersNameTheirCAWhereTheyDiffer, and else the settings are as they were.
func TestListenersNameTheirCAWhereTheyDiffer(t *testing.T) {
	for broker, want := range map[string][3]string{
		listenersOfCAs("", clientAuth("weak"), clientAuth("weak")):        {},
		listenersOfCAs("", clientAuth("strong"), clientAuth("weak")):      {"strong", "weak"},
		listenersOfCAs(", "+clientAuth("strong"), "", clientAuth("weak")): {"strong", "weak"},
	} {
		out := mustRender(t, input(t, broker))
		cfg, err := config.Parse(out.Settings, out.Access)
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range cfg.Settings.Listeners {
			if l.TLS.ClientCA != want[i] {
				t.Errorf("listener %s has the CA %q, want %q", l.Name, l.TLS.ClientCA, want[i])
			}
		}
	}
}

func TestOneCommonNameIsFreeForTheUsersOfEachCA(t *testing.T) {
	user := func(name, ca string) string { return x509(name, "x509: {commonName: cn, caSecretName: "+ca+"}") }
	out := mustRender(t, input(t, listenersOfCAs("", clientAuth("strong"), clientAuth("weak")),
		user("a", "strong"), user("b", "weak"), user("c", "weak")))
	for name, want := range map[string]string{"a": "Accepted", "b": "Accepted", "c": "CommonNameTaken"} {
		if v := verdictOf(t, out.Users, name); v.Reason != want {
			t.Errorf("%s: %+v, want %s", name, v, want)
		}
	}
}
