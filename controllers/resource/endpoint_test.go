package resource_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

func TestTheEndpointOfAClientWithAPassword(t *testing.T) {
	const tls = `tls: {secretName: shared, clientAuth: {mode: Optional, caSecretName: ca}}, listeners: [{name: mqtt, port: 1883}, `
	for name, tt := range map[string]struct{ spec, uri, secret string }{
		"the default":               {`{}`, "mqtt://u:p@edge.iot.svc:1883", ""},
		"TLS first":                 {`{tls: {secretName: shared}}`, "mqtts://u:p@edge.iot.svc:8883", "shared"},
		"its own Service":           {`{listeners: [{name: mqtt, port: 1883, service: {type: NodePort}}]}`, "mqtt://u:p@edge-mqtt.iot.svc:1883", ""},
		"its own certificate":       {`{` + tls + `{name: mqtts, port: 8883, tls: {secretName: own}}]}`, "mqtts://u:p@edge.iot.svc:8883", "own"},
		"additional certificates":   {`{tls: {secretName: shared, additionalCertificates: [{name: rsa, certificate: {issuerRef: {name: ca}}}]}}`, "mqtts://u:p@edge.iot.svc:8883", "shared edge-tls-rsa"},
		"WebSocket last":            {`{` + tls + `{name: wss, port: 443, protocol: WebSocket, tls: {}}, {name: mqtts, port: 8883, tls: {}}]}`, "mqtts://u:p@edge.iot.svc:8883", "shared"},
		"WebSocket on another path": {`{listeners: [{name: ws, port: 80, protocol: WebSocket, webSocket: {path: /}}]}`, "ws://u:p@edge.iot.svc:80/", ""},
		"WebSocket with TLS":        {`{` + tls + `{name: wss, port: 443, protocol: WebSocket, tls: {}}]}`, "wss://u:p@edge.iot.svc:443/mqtt", "shared"},
		"where passwords count": {`{tls: {secretName: shared, clientAuth: {mode: Required, caSecretName: ca}}, listeners: [` +
			`{name: alone, port: 8883, tls: {clientAuth: {mode: Required, caSecretName: ca, identity: Certificate}}}, {name: mqtts, port: 8884, tls: {}}]}`,
			"mqtts://u:p@edge.iot.svc:8884", "shared"},
		"no certificate to present": {`{` + tls + `{name: mqtts, port: 8883, tls: {clientAuth: {mode: Required, caSecretName: ca}}}]}`, "mqtt://u:p@edge.iot.svc:1883", ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := resource.EndpointOf(broker(t, tt.spec))
			if got := e.URI("u", "p"); got != tt.uri || strings.Join(e.TLSSecrets, " ") != tt.secret {
				t.Errorf("%s with %q, want %s with %q", got, e.TLSSecrets, tt.uri, tt.secret)
			}
		})
	}
}

// TestAnyUsernameStandsInTheURI as clients read it that know nothing but RFC 3986.
func TestAnyUsernameStandsInTheURI(t *testing.T) {
	e := resource.EndpointOf(broker(t, `{}`))
	for _, username := range []string{
		"48:e1:e9:12:34:56", "vhost:user", "hub/dev/?api-version=1", "with spaces", "größe", "a+b", "#", "%u", "a&b=c,d;e", strings.Repeat("x", 200),
	} {
		uri := e.URI(username, "p")
		if strings.Trim(strings.TrimSuffix(strings.TrimPrefix(uri, "mqtt://"), ":p@edge.iot.svc:1883"), unreserved) != "" {
			t.Errorf("%q: %s holds reserved characters", username, uri)
		}
		u, err := url.Parse(uri)
		if err != nil || u.User.Username() != username || u.Host != "edge.iot.svc:1883" {
			t.Errorf("%q: %s is read as %+v, %v", username, uri, u, err)
		}
	}
}

const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%"

func TestTheEndpointHasTheAddressThatTheBrokerTells(t *testing.T) {
	b := broker(t, `{tls: {secretName: shared}}`)
	b.Status.Listeners = []v1alpha1.ListenerStatus{{Name: "mqtt", Address: "wrong"}, {Name: "mqtts", Address: "2001:db8::7"}}
	if got, want := resource.EndpointOf(b).URI("a@b", "p/:@"), "mqtts://a%40b:p%2F%3A%40@[2001:db8::7]:8883"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
