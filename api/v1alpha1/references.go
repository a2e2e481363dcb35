package v1alpha1

import "k8s.io/apimachinery/pkg/types"

// ListenerTLS is the TLS of a listener with what it takes from spec.tls; nil
// for a plain listener. The certificate is the listener's own or that of
// spec.tls, never a mixture.
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
	if tls.ClientAuth == nil {
		tls.ClientAuth = shared.ClientAuth
	}
	if tls.MinVersion == "" {
		tls.MinVersion = shared.MinVersion
	}
	return &tls
}

// HasOwnCertificate says that the listener's certificate is not that of
// spec.tls.
func (l *Listener) HasOwnCertificate() bool {
	return l.TLS != nil && (l.TLS.Certificate != nil || l.TLS.SecretName != "")
}

// AsksForCertificate says that clients may or must present a certificate.
func (t *TLS) AsksForCertificate() bool {
	return t.ClientAuth != nil && t.ClientAuth.Mode != ClientAuthNone && t.ClientAuth.Mode != ""
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
