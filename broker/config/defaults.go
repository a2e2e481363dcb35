package config

import (
	"slices"
	"time"
)

// Defaults of the protocol's limits and of the drain.
const (
	DefaultMaxPacketSize             = 1 << 20
	DefaultMaxQoS                    = 2
	DefaultKeepAliveMax              = time.Hour
	DefaultSessionExpiryMax          = 24 * time.Hour
	DefaultReceiveMaximum            = 1024
	DefaultTopicAliasMaximum         = 64
	DefaultMaxSubscriptionsPerClient = 1000
	DefaultMaxSharedSubscriptions    = 100
	DefaultMaxSessions               = 1000000
	DefaultMaxQueuedMessages         = 10000
	DefaultMaxQueuedBytes            = 16 << 20
	DefaultOverflow                  = DropNewest
	DefaultMaxRetainedMessages       = 1000000
	DefaultMaxRetainedBytes          = 1 << 30
	DefaultSysInterval               = 10 * time.Second
	DefaultDrainRate                 = 500
	DefaultDrainTimeout              = time.Minute
	DefaultMinTLSVersion             = "1.2"
)

// Defaulted returns a copy in which every default is spelled out. It shares no
// memory with s that either of them may change.
func (s Settings) Defaulted() Settings {
	s.DefaultEffect = or(s.DefaultEffect, Deny)
	listeners := make([]Listener, len(s.Listeners))
	for i, l := range s.Listeners {
		listeners[i] = l.defaulted()
	}
	s.Listeners = listeners
	s.MQTT = s.MQTT.Defaulted()
	s.Drain = s.Drain.Defaulted()
	if s.Persistence != nil {
		p := *s.Persistence
		s.Persistence = &p
	}
	return s
}

func (l Listener) defaulted() Listener {
	l.Protocol = or(l.Protocol, ProtocolMQTT)
	if l.TLS != nil {
		t := *l.TLS
		t.ClientAuth = or(t.ClientAuth, ClientAuthNone)
		t.ClientIdentity = or(t.ClientIdentity, IdentityCertificateOrUsername)
		t.MinVersion = or(t.MinVersion, DefaultMinTLSVersion)
		t.Additional = slices.Clone(t.Additional)
		l.TLS = &t
	}
	return l
}

// Defaulted returns a copy in which every limit is set.
func (m MQTT) Defaulted() MQTT {
	m.MaxPacketSize = or(m.MaxPacketSize, DefaultMaxPacketSize)
	m.MaxQoS = orPointer(m.MaxQoS, DefaultMaxQoS)
	m.KeepAliveMax = or(m.KeepAliveMax, Duration(DefaultKeepAliveMax))
	m.SessionExpiryMax = or(m.SessionExpiryMax, Duration(DefaultSessionExpiryMax))
	m.ReceiveMaximum = or(m.ReceiveMaximum, DefaultReceiveMaximum)
	m.TopicAliasMaximum = orPointer(m.TopicAliasMaximum, DefaultTopicAliasMaximum)
	m.MaxSubscriptionsPerClient = or(m.MaxSubscriptionsPerClient, DefaultMaxSubscriptionsPerClient)
	m.MaxSubscriptionBytesPerClient = or(m.MaxSubscriptionBytesPerClient, subscriptionBytes(m.MaxSubscriptionsPerClient))
	m.MaxSharedSubscriptionsPerClient = or(m.MaxSharedSubscriptionsPerClient, DefaultMaxSharedSubscriptions)
	m.MaxSessions = or(m.MaxSessions, DefaultMaxSessions)
	m.MaxQueuedMessages = or(m.MaxQueuedMessages, DefaultMaxQueuedMessages)
	m.MaxQueuedBytes = or(m.MaxQueuedBytes, DefaultMaxQueuedBytes)
	m.Overflow = or(m.Overflow, DefaultOverflow)
	m.MaxRetainedMessages = or(m.MaxRetainedMessages, DefaultMaxRetainedMessages)
	m.MaxRetainedBytes = or(m.MaxRetainedBytes, DefaultMaxRetainedBytes)
	m.SysInterval = or(m.SysInterval, Duration(DefaultSysInterval))
	return m
}

// subscriptionBytes is the default for so many subscriptions: room for each to
// have a filter of 256 bytes, and for the longest filter there is.
func subscriptionBytes(subscriptions int) int64 {
	return max(256*int64(subscriptions), 64<<10)
}

// Defaulted returns a copy in which the pace and its bound are set.
func (d Drain) Defaulted() Drain {
	d.DisconnectRate = or(d.DisconnectRate, DefaultDrainRate)
	d.Timeout = or(d.Timeout, Duration(DefaultDrainTimeout))
	return d
}

// or returns v, or the default where v is zero.
func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// orPointer returns a pointer to a copy of what v points to, or to the default.
func orPointer[T any](v *T, def T) *T {
	if v != nil {
		def = *v
	}
	return &def
}
