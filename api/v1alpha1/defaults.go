package v1alpha1

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Default fills in what the schema defaults, and the listeners, whose default
// depends on spec.tls and is therefore not in the schema.
func (b *Broker) Default() {
	s := &b.Spec
	fill(&s.Replicas, 1)
	if len(s.Listeners) == 0 {
		s.Listeners = defaultListeners(s.TLS != nil)
	}
	for i := range s.Listeners {
		s.Listeners[i].setDefaults()
	}
	if s.TLS != nil {
		s.TLS.setDefaults()
	}
	fillEmpty(&s.Authorization.Default, Deny)
	fillEmpty(&s.AllowedUsers.Namespaces.From, FromSame)
	s.MQTT.setDefaults()
	s.Persistence.setDefaults()
	fill(&s.UpdateStrategy.Drain.DisconnectRate, 500)
	fill(&s.UpdateStrategy.Drain.Timeout, metav1.Duration{Duration: time.Minute})
	fill(&s.NetworkPolicy.Enabled, true)
}

func defaultListeners(withTLS bool) []Listener {
	listeners := []Listener{{Name: "mqtt", Port: 1883}}
	if withTLS {
		listeners = append(listeners, Listener{Name: "mqtts", Port: 8883, TLS: &TLS{}})
	}
	return listeners
}

func (l *Listener) setDefaults() {
	fillEmpty(&l.Protocol, ProtocolMQTT)
	if l.TLS != nil {
		l.TLS.setDefaults()
	}
	if l.Service != nil {
		fillEmpty(&l.Service.Type, corev1.ServiceTypeClusterIP)
	}
}

func (t *TLS) setDefaults() {
	if t.Certificate != nil {
		t.Certificate.IssuerRef.setDefaults()
	}
	for i := range t.AdditionalCertificates {
		if c := t.AdditionalCertificates[i].Certificate; c != nil {
			c.IssuerRef.setDefaults()
		}
	}
}

func (r *IssuerRef) setDefaults() {
	fillEmpty(&r.Kind, "Issuer")
	fillEmpty(&r.Group, "cert-manager.io")
}

func (m *MQTT) setDefaults() {
	fill(&m.MaxPacketSize, resource.MustParse("1Mi"))
	fill(&m.MaxQoS, 2)
	fill(&m.KeepAliveMax, metav1.Duration{Duration: time.Hour})
	fill(&m.SessionExpiryMax, metav1.Duration{Duration: 24 * time.Hour})
	fill(&m.ReceiveMaximum, 1024)
	fill(&m.TopicAliasMaximum, 64)
	fill(&m.MaxSubscriptionsPerClient, 1000)
	fill(&m.MaxSharedSubscriptionsPerClient, 100)
	fill(&m.MaxQueuedMessages, 10000)
	fill(&m.MaxQueuedBytes, resource.MustParse("16Mi"))
	fillEmpty(&m.Overflow, "DropNewest")
	fill(&m.Retained.MaxMessages, 1000000)
	fill(&m.Retained.MaxBytes, resource.MustParse("1Gi"))
	fill(&m.SysInterval, metav1.Duration{Duration: 10 * time.Second})
}

func (p *Persistence) setDefaults() {
	fill(&p.Enabled, true)
	fill(&p.Size, resource.MustParse("1Gi"))
	fillEmpty(&p.ReclaimPolicy, ReclaimRetain)
	fillEmpty(&p.Sync, SyncAlways)
}

// Default fills in what the schema defaults.
func (u *MQTTUser) Default() {
	if p := u.Spec.Authentication.Password; p != nil {
		fillEmpty(&p.SecretRef.Key, "password")
	}
	if c := u.Spec.Authentication.Certificate; c != nil {
		c.IssuerRef.setDefaults()
	}
}

func fill[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

func fillEmpty[T ~string](field *T, value T) {
	if *field == "" {
		*field = value
	}
}
