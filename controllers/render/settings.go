package render

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// Unsupported names what the Broker's spec asks for and this version cannot do,
// as a message for people; empty where there is nothing.
func Unsupported(b *v1alpha1.Broker) string {
	var fields []string
	for _, f := range []struct {
		name  string
		asked bool
	}{
		{"spec.monitoring.podMonitor", b.Spec.Monitoring.PodMonitor},
		{"spec.monitoring.rules", b.Spec.Monitoring.Rules},
		{"spec.monitoring.dashboard", b.Spec.Monitoring.Dashboard},
	} {
		if f.asked {
			fields = append(fields, f.name)
		}
	}
	if len(fields) == 0 {
		return ""
	}
	return "not supported in this version, remove it: " + strings.Join(fields, ", ")
}

// settings renders what may be read by anybody. The defaults of b are filled in.
func settings(b *v1alpha1.Broker, paths Paths) config.Settings {
	s := config.Settings{
		Name:          b.Namespace + "/" + b.Name,
		Anonymous:     b.Spec.Authentication.Anonymous,
		DefaultEffect: config.Effect(b.Spec.Authorization.Default),

		AnonymousLimits: limits(b.Spec.Authentication.AnonymousLimits),

		MQTT: mqtt(b.Spec.MQTT),
		Drain: config.Drain{
			DisconnectRate: int(*b.Spec.UpdateStrategy.Drain.DisconnectRate),
			Timeout:        duration(b.Spec.UpdateStrategy.Drain.Timeout),

			ServerReference: b.Spec.UpdateStrategy.Drain.ServerReference,
		},
	}
	if *b.Spec.Persistence.Enabled {
		s.Persistence = persistence(b.Spec.Persistence.Sync)
		s.Persistence.Size = b.Spec.Persistence.Size.Value()
	}
	s.MQTT.MaxSessions = maxSessions(&b.Spec)
	for i := range b.Spec.Listeners {
		s.Listeners = append(s.Listeners, listener(b, &b.Spec.Listeners[i], paths))
	}
	return s
}

// syncInterval is the window of what a power cut can take with sync: Interval.
const syncInterval = time.Second

func persistence(sync v1alpha1.SyncMode) *config.Persistence {
	if sync == v1alpha1.SyncInterval {
		return &config.Persistence{SyncEvery: config.Duration(syncInterval)}
	}
	return &config.Persistence{}
}

func listener(b *v1alpha1.Broker, l *v1alpha1.Listener, paths Paths) config.Listener {
	out := config.Listener{
		Name:           l.Name,
		Address:        paths.Address,
		Port:           int(l.Port),
		Protocol:       config.Protocol(l.Protocol),
		ProxyProtocol:  l.ProxyProtocol,
		TrustedProxies: l.TrustedProxies,
		MaxConnections: number(l.Limits.MaxConnections),
		ConnectRate:    number(l.Limits.ConnectRate),
	}
	if w := l.WebSocket; w != nil {
		out.WebSocket = &config.WebSocket{Path: w.Path, AllowedOrigins: w.AllowedOrigins}
	}
	if tls := b.ListenerTLS(l); tls != nil {
		out.TLS = listenerTLS(l.Name, tls, paths)
		out.TLS.ClientCA = listenerCA(b, tls)
	}
	return out
}

func listenerTLS(name string, tls *v1alpha1.TLS, paths Paths) *config.TLS {
	out := &config.TLS{
		CertFile:   paths.CertFile(name),
		KeyFile:    paths.KeyFile(name),
		MinVersion: tls.MinVersion,

		MaxRecordSize: number(tls.MaxRecordSize),
	}
	for _, a := range tls.AdditionalCertificates {
		out.Additional = append(out.Additional, config.AdditionalCertificate{
			Name: a.Name, CertFile: paths.AdditionalCertFile(name, a.Name), KeyFile: paths.AdditionalKeyFile(name, a.Name),
		})
	}
	if tls.AsksForCertificate() {
		out.ClientAuth = config.ClientAuth(tls.ClientAuth.Mode)
		out.ClientIdentity = config.ClientIdentity(tls.ClientAuth.Identity)
		out.ClientCAFile = paths.ClientCAFile(name)
	}
	return out
}

func mqtt(m v1alpha1.MQTT) config.MQTT {
	qos, aliases := byte(*m.MaxQoS), int(*m.TopicAliasMaximum)
	out := config.MQTT{
		MaxPacketSize:                   m.MaxPacketSize.Value(),
		MaxQoS:                          &qos,
		KeepAliveMax:                    duration(m.KeepAliveMax),
		SessionExpiryMax:                duration(m.SessionExpiryMax),
		ReceiveMaximum:                  int(*m.ReceiveMaximum),
		TopicAliasMaximum:               &aliases,
		MaxSubscriptionsPerClient:       int(*m.MaxSubscriptionsPerClient),
		MaxSharedSubscriptionsPerClient: int(*m.MaxSharedSubscriptionsPerClient),
		MaxQueuedMessages:               int(*m.MaxQueuedMessages),
		MaxQueuedBytes:                  m.MaxQueuedBytes.Value(),
		Overflow:                        config.Overflow(m.Overflow),
		MaxRetainedMessages:             int(*m.Retained.MaxMessages),
		MaxRetainedBytes:                m.Retained.MaxBytes.Value(),
		SysInterval:                     sysInterval(m.SysInterval),
		ResponseInformation:             m.ResponseInformation,
	}
	if bytes := m.MaxSubscriptionBytesPerClient; bytes != nil {
		out.MaxSubscriptionBytesPerClient = bytes.Value()
	}
	return out
}

// sessionSize is what a session takes at least, in memory and on disk, with the
// room that a broker needs besides.
const sessionSize = 4 << 10

// maxSessions is how many sessions there is room for, unless the spec says it.
func maxSessions(s *v1alpha1.BrokerSpec) int {
	if s.MQTT.MaxSessions != nil {
		return int(*s.MQTT.MaxSessions)
	}
	most := int64(config.DefaultMaxSessions)
	if memory := s.Resources.Limits.Memory(); !memory.IsZero() {
		most = min(most, memory.Value()/sessionSize)
	}
	if *s.Persistence.Enabled {
		most = min(most, s.Persistence.Size.Value()/sessionSize)
	}
	return int(max(most, 1))
}

// sysInterval maps the 0s that turns $SYS off to the engine's way to say so,
// for which zero is the default.
func sysInterval(d *metav1.Duration) config.Duration {
	if d.Duration == 0 {
		return config.Duration(-time.Second)
	}
	return duration(d)
}

func duration(d *metav1.Duration) config.Duration { return config.Duration(d.Duration) }

func number(n *int32) int {
	if n == nil {
		return 0
	}
	return int(*n)
}
