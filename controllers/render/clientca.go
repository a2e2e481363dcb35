package render

import (
	"fmt"
	"strings"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// listenerCA names the CA that a listener knows clients by. Where all listeners
// have one CA it needs no name, and users are for that one.
func listenerCA(b *v1alpha1.Broker, tls *v1alpha1.TLS) string {
	if !tls.AsksForCertificate() || len(b.ClientCAs()) < 2 {
		return ""
	}
	return tls.ClientAuth.CASecretName
}

// readSubject fills in what the client certificates of the user say, which is with
// what clients connect, or says in the verdict why none would be admitted. That no
// listener asks for certificates at all is told by those who make them.
func (u *user) readSubject(b *v1alpha1.Broker, with string, out *config.User) Verdict {
	all := b.ClientCAs()
	ca, asked := b.ClientCAOf(u.source)
	switch {
	case !asked && ca != "":
		return rejected(v1alpha1.ReasonNoClientAuth,
			"no listener of the Broker asks for client certificates of the CA in Secret %q: %s", ca, choice(all))
	case !asked && len(all) > 0:
		return rejected(v1alpha1.ReasonAmbiguousClientCA,
			"listeners of the Broker ask for client certificates of different CAs, and a name that one of them signs is not the same name from another: %s", choice(all))
	}
	out.CommonName = u.source.CommonName()
	if len(all) < 2 {
		return accepted("clients connect with " + with)
	}
	out.ClientCA = ca
	return accepted(fmt.Sprintf("clients connect with %s, signed by the CA in Secret %q of the Broker, on %s",
		with, ca, strings.Join(listenersOf(b, ca), ", ")))
}

// choice says what a user may set.
func choice(cas []string) string {
	if len(cas) == 0 {
		return "set clientAuth of a listener"
	}
	return fmt.Sprintf("set caSecretName beside the user's commonName or issuerRef to one of %s", strings.Join(cas, ", "))
}

// listenersOf names the listeners that ask for certificates of a CA.
func listenersOf(b *v1alpha1.Broker, ca string) []string {
	var names []string
	for i := range b.Spec.Listeners {
		l := &b.Spec.Listeners[i]
		if tls := b.ListenerTLS(l); tls != nil && tls.AsksForCertificate() && tls.ClientAuth.CASecretName == ca {
			names = append(names, l.Name)
		}
	}
	return names
}
