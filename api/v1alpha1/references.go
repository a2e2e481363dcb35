package v1alpha1

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// ListenerTLS is the TLS of a listener with what it takes from spec.tls; nil
// for a plain listener. The certificate is the listener's own or that of
// spec.tls, never a mixture. Those of spec.tls come with its additional ones,
// unless the listener lists others.
func (b *Broker) ListenerTLS(l *Listener) *TLS {
	if l.TLS == nil {
		return nil
	}
	tls := *l.TLS
	shared := b.Spec.TLS
	if shared == nil {
		return &tls
	}
	if !l.HasOwnCertificate() {
		tls.Certificate, tls.SecretName = shared.Certificate, shared.SecretName
	}
	if !l.HasOwnAdditionalCertificates() {
		tls.AdditionalCertificates = shared.AdditionalCertificates
	}
	if tls.ClientAuth == nil {
		tls.ClientAuth = shared.ClientAuth
	}
	if tls.MinVersion == "" {
		tls.MinVersion = shared.MinVersion
	}
	if tls.MaxRecordSize == nil {
		tls.MaxRecordSize = shared.MaxRecordSize
	}
	return &tls
}

// HasOwnCertificate says that the listener's certificate is not that of
// spec.tls.
func (l *Listener) HasOwnCertificate() bool {
	return l.TLS != nil && (l.TLS.Certificate != nil || l.TLS.SecretName != "")
}

// HasOwnAdditionalCertificates says that the listener's additional certificates,
// which may be none, are not those of spec.tls.
func (l *Listener) HasOwnAdditionalCertificates() bool {
	return l.HasOwnCertificate() || l.TLS != nil && len(l.TLS.AdditionalCertificates) > 0
}

// AsksForCertificate says that clients may or must present a certificate.
func (t *TLS) AsksForCertificate() bool {
	return t.ClientAuth != nil && t.ClientAuth.Mode != ClientAuthNone && t.ClientAuth.Mode != ""
}

// ClientCAs lists the Secrets of the CAs whose certificates listeners ask clients
// for, each once, in the order of the listeners.
func (b *Broker) ClientCAs() []string {
	var names []string
	for i := range b.Spec.Listeners {
		tls := b.ListenerTLS(&b.Spec.Listeners[i])
		if tls != nil && tls.AsksForCertificate() && !slices.Contains(names, tls.ClientAuth.CASecretName) {
			names = append(names, tls.ClientAuth.CASecretName)
		}
	}
	return names
}

// ClientCAOf returns the Secret of the CA whose certificates count for a user: the
// one that the user names, the one that all listeners have, or that of spec.tls.
// asked is false where no listener asks for its certificates; then name is what
// the user names.
func (b *Broker) ClientCAOf(u *MQTTUser) (name string, asked bool) {
	all := b.ClientCAs()
	name = u.clientCA()
	switch {
	case name != "":
		return name, slices.Contains(all, name)
	case len(all) == 1:
		return all[0], true
	case b.Spec.TLS != nil && b.Spec.TLS.AsksForCertificate() && slices.Contains(all, b.Spec.TLS.ClientAuth.CASecretName):
		return b.Spec.TLS.ClientAuth.CASecretName, true
	}
	return "", false
}

// Username is the name that clients of this user send in CONNECT.
func (u *MQTTUser) Username() string {
	if u.Spec.Username != "" {
		return u.Spec.Username
	}
	return u.Name
}

// BrokerKey is the Broker that the user is for.
func (u *MQTTUser) BrokerKey() types.NamespacedName {
	return u.Spec.BrokerRef.in(u.Namespace)
}

// SecretKey is the Secret that the user's credentials are in: brought, generated
// or issued. ok is false where there is none.
func (u *MQTTUser) SecretKey() (key types.NamespacedName, ok bool) {
	auth := u.Spec.Authentication
	key.Namespace = u.Namespace
	switch {
	case auth.Password != nil:
		key.Name = auth.Password.SecretRef.Name
	case auth.Generate != nil:
		key.Name = auth.Generate.SecretName
	case auth.Certificate != nil:
		key.Name = auth.Certificate.SecretName
	}
	return key, key.Name != ""
}

// CommonName of the client certificates that authenticate as the user; empty
// where none does.
func (u *MQTTUser) CommonName() string {
	switch auth := u.Spec.Authentication; {
	case auth.X509 != nil:
		return auth.X509.CommonName
	case auth.Certificate != nil:
		return u.Username()
	default:
		return ""
	}
}

// clientCA is the Secret of the CA that the user says its certificate is of.
func (u *MQTTUser) clientCA() string {
	switch auth := u.Spec.Authentication; {
	case auth.X509 != nil:
		return auth.X509.CASecretName
	case auth.Certificate != nil:
		return auth.Certificate.CASecretName
	default:
		return ""
	}
}

// BrokerKey is the Broker that the rules are for.
func (a *TopicACL) BrokerKey() types.NamespacedName {
	return a.Spec.BrokerRef.in(a.Namespace)
}

// in resolves the reference from an object in namespace.
func (r BrokerRef) in(namespace string) types.NamespacedName {
	if r.Namespace != "" {
		namespace = r.Namespace
	}
	return types.NamespacedName{Namespace: namespace, Name: r.Name}
}
