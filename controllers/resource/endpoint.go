package resource

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// Endpoint is where a client with a password connects.
type Endpoint struct {
	Listener string
	Host     string
	Port     int32
	// TLS says that it is spoken.
	TLS bool
	// Path of the WebSocket endpoint; empty where MQTT is spoken directly.
	Path string
	// TLSSecrets are the Secrets of the listener's certificates, in the Broker's
	// namespace; none for a plain listener. What they have in ca.crt, if anything,
	// is what the client verifies the broker with.
	TLSSecrets []string
}

// EndpointOf chooses the listener that a client with a password should use: one
// that lets it in without a certificate, with TLS, without WebSocket, in this
// order, and of equals the first. The host is that of the Broker's status, or
// else the name of the Service in the cluster. The defaults of b are filled in.
func EndpointOf(b *v1alpha1.Broker) Endpoint {
	best := slices.MinFunc(b.Spec.Listeners, func(x, y v1alpha1.Listener) int {
		return cumbersome(b, &x) - cumbersome(b, &y)
	})
	e := Endpoint{
		Listener: best.Name,
		Host:     host(b, &best),
		Port:     best.Port,
		TLS:      best.TLS != nil,
		Path:     webSocketPath(&best),
	}
	for _, s := range servedBy(b, &best) {
		e.TLSSecrets = append(e.TLSSecrets, s.secret)
	}
	return e
}

// webSocketPath is where a listener speaks MQTT over WebSocket, empty if it does
// not.
func webSocketPath(l *v1alpha1.Listener) string {
	switch {
	case l.Protocol != v1alpha1.ProtocolWebSocket:
		return ""
	case l.WebSocket == nil || l.WebSocket.Path == "":
		return config.DefaultWebSocketPath
	default:
		return l.WebSocket.Path
	}
}

// cumbersome weighs what speaks against a listener for a client with a password.
func cumbersome(b *v1alpha1.Broker, l *v1alpha1.Listener) int {
	weight := 0
	tls := b.ListenerTLS(l)
	if tls == nil {
		weight += 2
	} else if tls.ClientAuth != nil {
		if tls.ClientAuth.Mode == v1alpha1.ClientAuthRequired {
			weight += 4
		}
		if tls.ClientAuth.Identity == v1alpha1.IdentityCertificate {
			weight += 8 // no password is looked at
		}
	}
	if l.Protocol == v1alpha1.ProtocolWebSocket {
		weight++
	}
	return weight
}

func host(b *v1alpha1.Broker, l *v1alpha1.Listener) string {
	for _, status := range b.Status.Listeners {
		if status.Name == l.Name && status.Address != "" {
			return status.Address
		}
	}
	return ServiceAddress(b, l)
}

// ServiceAddress is the name in the cluster of the Service of a listener.
func ServiceAddress(b *v1alpha1.Broker, l *v1alpha1.Listener) string {
	return ServiceName(b, l) + "." + b.Namespace + ".svc"
}

// URI holds all that a client needs, also the password.
func (e Endpoint) URI(username, password string) string {
	scheme, path := "mqtt", ""
	if e.Path != "" {
		scheme, path = "ws", (&url.URL{Path: e.Path}).EscapedPath()
	}
	if e.TLS {
		scheme += "s"
	}
	host := net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
	return scheme + "://" + percentEncode(username) + ":" + percentEncode(password) + "@" + host + path
}

// percentEncode encodes all but the unreserved characters of RFC 3986, since clients
// do not agree on which others may stand in the user information of a URI.
func percentEncode(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}
