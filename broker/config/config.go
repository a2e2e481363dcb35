// Package config holds the broker's configuration: what the operator renders
// and what the engine enforces are the same types, so that the two cannot
// drift apart.
//
// A configuration is settings and access. Settings (SettingsFile) holds what may
// be read by anybody: listeners, limits, defaults. Access (Files: AccessFile, and
// shards where that would be too large) holds users with their password hashes
// and the topic rules, and comes from Secrets. All are JSON. Certificates and
// keys are files of their own that Settings points to.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// Names of the files within their directories.
const (
	SettingsFile = "settings.json"
	AccessFile   = "access.json"
)

// Config is one complete, validated configuration. It is immutable once it was
// handed out: readers share it without locks.
type Config struct {
	Settings Settings
	Access   Access
	// Revision names the content: see Revision.
	Revision string
}

// Revision is the name of a configuration's content: a hash over SettingsFile and
// AccessFile, which names its shards by their content. The operator computes it
// from what it rendered, the broker from what it read, and a change has taken
// force where the two agree.
func Revision(settings []byte, access Files) string {
	h := sha256.New()
	for _, part := range [][]byte{settings, access[AccessFile]} {
		sum := sha256.Sum256(part)
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Settings is the content of SettingsFile.
type Settings struct {
	// Name of the broker as its users know it, "namespace/name".
	Name string `json:"name"`
	// Listeners, by unique name and port.
	Listeners []Listener `json:"listeners"`
	// Anonymous admits clients that present no credentials.
	Anonymous bool `json:"anonymous,omitempty"`
	// AnonymousLimits bound clients without credentials: all of them together in
	// connections, sessions and retained messages, and else each by itself.
	AnonymousLimits UserLimits `json:"anonymousLimits,omitzero"`
	// DefaultEffect decides where no rule matches. Empty is Deny.
	DefaultEffect Effect `json:"defaultEffect,omitempty"`
	MQTT          MQTT   `json:"mqtt"`
	// Persistence keeps sessions and messages on disk. nil keeps them in memory,
	// as long as the process runs. A change takes force at the next start.
	Persistence *Persistence `json:"persistence,omitempty"`
	// Drain paces the disconnects of an orderly stop.
	Drain Drain `json:"drain"`
}

// Protocol is what is spoken on a listener.
type Protocol string

// Protocols of a listener.
const (
	ProtocolMQTT      Protocol = "MQTT"
	ProtocolWebSocket Protocol = "WebSocket"
)

// Listener is one address that the broker accepts clients on.
type Listener struct {
	Name string `json:"name"`
	// Address to bind, empty for all.
	Address  string   `json:"address,omitempty"`
	Port     int      `json:"port"`               // 0: any that is free
	Protocol Protocol `json:"protocol,omitempty"` // empty: MQTT
	TLS      *TLS     `json:"tls,omitempty"`
	// WebSocket says more of the protocol of that name; nil is its default.
	WebSocket *WebSocket `json:"webSocket,omitempty"`
	// ProxyProtocol expects a PROXY protocol header (v1 or v2) from peers in
	// TrustedProxies (CIDRs), and from nobody else.
	ProxyProtocol  bool     `json:"proxyProtocol,omitempty"`
	TrustedProxies []string `json:"trustedProxies,omitempty"`
	// MaxConnections at a time; 0 is no limit.
	MaxConnections int `json:"maxConnections,omitempty"`
	// ConnectRate is the number of connections accepted a second; 0 is no limit.
	ConnectRate int `json:"connectRate,omitempty"`
}

// DefaultWebSocketPath is the path of a WebSocket listener that names none.
const DefaultWebSocketPath = "/mqtt"

// WebSocket says who is served on a WebSocket listener.
type WebSocket struct {
	// Path of the endpoint; empty: DefaultWebSocketPath. Slashes that are doubled,
	// or at the end, make no difference.
	Path string `json:"path,omitempty"`
	// AllowedOrigins are the values of Origin with which browsers are served:
	// "https://app.example.com", or "null". Empty: any. Requests without Origin
	// come from no browser, and are served whatever this says.
	AllowedOrigins []string `json:"allowedOrigins,omitempty"`
}

// PathOrDefault returns the path, that of a nil w as well.
func (w *WebSocket) PathOrDefault() string {
	if w == nil || w.Path == "" {
		return DefaultWebSocketPath
	}
	return w.Path
}

// Admits reports whether browsers with an Origin are served. Upper and lower case
// make no difference.
func (w *WebSocket) Admits(origin string) bool {
	if w == nil || len(w.AllowedOrigins) == 0 {
		return true
	}
	return slices.ContainsFunc(w.AllowedOrigins, func(allowed string) bool { return strings.EqualFold(allowed, origin) })
}

// ClientAuth says whether a TLS client has to present a certificate.
type ClientAuth string

// Modes of client authentication by certificate.
const (
	ClientAuthNone     ClientAuth = "None"
	ClientAuthOptional ClientAuth = "Optional"
	ClientAuthRequired ClientAuth = "Required"
)

// ClientIdentity says what tells who a client is that shows a certificate.
type ClientIdentity string

// What tells who a client is.
const (
	// IdentityCertificateOrUsername: the certificate, unless there is another
	// username, with its password.
	IdentityCertificateOrUsername ClientIdentity = "CertificateOrUsername"
	// IdentityCertificate: nothing but the certificate.
	IdentityCertificate ClientIdentity = "Certificate"
)

// TLS of a listener. The files are watched, and a renewed certificate is served
// to new connections without touching those that stand.
type TLS struct {
	CertFile     string     `json:"certFile"`
	KeyFile      string     `json:"keyFile"`
	ClientCAFile string     `json:"clientCAFile,omitempty"`
	ClientAuth   ClientAuth `json:"clientAuth,omitempty"` // empty: None
	// ClientIdentity Certificate goes with ClientAuth Required. Empty:
	// CertificateOrUsername.
	ClientIdentity ClientIdentity `json:"clientIdentity,omitempty"`
	MinVersion     string         `json:"minVersion,omitempty"` // "1.2" (default) or "1.3"
	// ClientCA is the name of what ClientCAFile holds, for users to say which CA
	// vouches for them. Empty is a name too: where all listeners have one CA, none
	// is needed.
	ClientCA string `json:"clientCA,omitempty"`
	// Additional certificates are served to clients that cannot take the one above,
	// as those that know RSA alone.
	Additional []AdditionalCertificate `json:"additional,omitempty"`
	// MaxRecordSize bounds the plaintext of the records that clients are sent, in
	// bytes: MinRecordSize to MaxRecordSize. 0 is what TLS allows. A client that asks
	// for smaller ones gets them.
	MaxRecordSize int `json:"maxRecordSize,omitempty"`
}

// AdditionalCertificate is a further certificate of a listener.
type AdditionalCertificate struct {
	// Name is unique in the listener.
	Name     string `json:"name"`
	CertFile string `json:"certFile"`
	KeyFile  string `json:"keyFile"`
}

// Bounds of TLS.MaxRecordSize.
const (
	MinRecordSize = 512
	MaxRecordSize = 16384
)

// Overflow is what happens to a message that finds its session's queue full.
type Overflow string

// Overflow policies of a session's queue.
const (
	DropNewest Overflow = "DropNewest"
	DropOldest Overflow = "DropOldest"
	Disconnect Overflow = "Disconnect"
)

// MQTT holds the limits of the protocol. Zero takes the default of Defaulted.
type MQTT struct {
	MaxPacketSize             int64    `json:"maxPacketSize,omitempty"` // bytes
	MaxQoS                    *byte    `json:"maxQoS,omitempty"`        // 0..2
	KeepAliveMax              Duration `json:"keepAliveMax,omitempty"`
	SessionExpiryMax          Duration `json:"sessionExpiryMax,omitempty"`
	ReceiveMaximum            int      `json:"receiveMaximum,omitempty"`
	TopicAliasMaximum         *int     `json:"topicAliasMaximum,omitempty"`
	MaxSubscriptionsPerClient int      `json:"maxSubscriptionsPerClient,omitempty"`
	// MaxSubscriptionBytesPerClient bounds the topic filters of one client.
	MaxSubscriptionBytesPerClient int64 `json:"maxSubscriptionBytesPerClient,omitempty"`
	// MaxSharedSubscriptionsPerClient bounds those of them that are shared.
	MaxSharedSubscriptionsPerClient int `json:"maxSharedSubscriptionsPerClient,omitempty"`
	// MaxSessions of all clients, connected or not.
	MaxSessions int `json:"maxSessions,omitempty"`
	// MaxQueuedMessages and MaxQueuedBytes bound what waits for one offline or
	// slow session.
	MaxQueuedMessages int      `json:"maxQueuedMessages,omitempty"`
	MaxQueuedBytes    int64    `json:"maxQueuedBytes,omitempty"`
	Overflow          Overflow `json:"overflow,omitempty"`
	// MaxRetainedMessages and MaxRetainedBytes bound the retained messages.
	MaxRetainedMessages int      `json:"maxRetainedMessages,omitempty"`
	MaxRetainedBytes    int64    `json:"maxRetainedBytes,omitempty"`
	SysInterval         Duration `json:"sysInterval,omitempty"` // of $SYS; negative: off
	// ResponseInformation is told to clients of MQTT 5 that ask for it. %u and %c
	// stand for one whole level, as in the topics of rules. Empty: none is told.
	ResponseInformation string `json:"responseInformation,omitempty"`
}

// Persistence says how sessions and messages are kept on disk.
type Persistence struct {
	// SyncEvery bounds what a power cut can take of what was acknowledged. 0
	// acknowledges nothing before it is on disk.
	SyncEvery Duration `json:"syncEvery,omitempty"`
	// Size of the volume in bytes, where it is less than that of its file system.
	// 0: all of that.
	Size int64 `json:"size,omitempty"`
}

// Drain paces the disconnects of an orderly stop.
type Drain struct {
	DisconnectRate int      `json:"disconnectRate,omitempty"` // clients a second; 0: 500
	Timeout        Duration `json:"timeout,omitempty"`        // 0: 60s
	// ServerReference tells clients of MQTT 5 where else to go. Empty: nowhere.
	ServerReference string `json:"serverReference,omitempty"`
}

// Access is the content of the access directory: see Files.
type Access struct {
	Users    []User   `json:"users,omitempty"`
	Policies []Policy `json:"policies,omitempty"`
	// Suspended are users that exist, and as whom nobody may connect at present. They
	// keep their sessions, which end with any other user that is not among Users.
	Suspended []Suspended `json:"suspended,omitempty"`
	// DecoyKey is a secret, the same for all pods and for good, from which follows how
	// logins of usernames that nobody has are answered, so that they cannot be told
	// from others. Empty, where nobody logs in by SCRAM: each process makes one up.
	DecoyKey []byte `json:"decoyKey,omitempty"`
}

// Suspended is a user as whom nobody may connect at present.
type Suspended struct {
	// Username is unique within the file.
	Username string `json:"username"`
	// ClientIDs as those of a User: they say which of its sessions no client of a
	// user that names less of the client ID ends.
	ClientIDs []string `json:"clientIDs,omitempty"`
}

// User is one identity that may connect.
type User struct {
	// Username is unique within the file.
	Username string `json:"username"`
	// Source names the object that the user comes from, "namespace/name", for
	// logs and metrics.
	Source string `json:"source,omitempty"`
	// PasswordHashes, any of which a password may verify against (bcrypt,
	// argon2id, PBKDF2-SHA512). More than one while a rotation overlaps.
	PasswordHashes []string `json:"passwordHashes,omitempty"`
	// CommonName of client certificates that authenticate as this user, on
	// listeners whose TLS has the ClientCA of the user and no others. Empty: none
	// does.
	CommonName string `json:"commonName,omitempty"`
	// ClientCA is the name of the CA whose certificates count for the user.
	ClientCA string `json:"clientCA,omitempty"`
	// ClientIDs that the user may connect with; a trailing '*' stands for any
	// rest. Empty: any.
	ClientIDs []string   `json:"clientIDs,omitempty"`
	Limits    UserLimits `json:"limits"`
}

// UserLimits bound one user. Zero is no limit of its own.
type UserLimits struct {
	MaxConnections        int   `json:"maxConnections,omitempty"`
	PublishRate           int   `json:"publishRate,omitempty"`           // messages a second
	PublishBytesPerSecond int64 `json:"publishBytesPerSecond,omitempty"` // bytes a second
	MaxPacketSize         int64 `json:"maxPacketSize,omitempty"`         // bytes
	MaxQueuedMessages     int   `json:"maxQueuedMessages,omitempty"`
	MaxSubscriptions      int   `json:"maxSubscriptions,omitempty"`
	MaxSessions           int   `json:"maxSessions,omitempty"`
	MaxRetainedMessages   int   `json:"maxRetainedMessages,omitempty"` // that the user published last
	MaxRetainedBytes      int64 `json:"maxRetainedBytes,omitempty"`
}

// Effect of a rule.
type Effect string

// Effects of a rule.
const (
	Allow Effect = "Allow"
	Deny  Effect = "Deny"
)

// Action that a rule speaks of.
type Action string

// Actions of a rule.
const (
	ActionPublish   Action = "Publish"
	ActionSubscribe Action = "Subscribe"
	ActionAll       Action = "All"
)

// Policy applies rules to subjects: one TopicACL, resolved to usernames.
type Policy struct {
	// Source names the object that the policy comes from, "namespace/name".
	Source string `json:"source"`
	// Users by name.
	Users []string `json:"users,omitempty"`
	// Anonymous applies the rules to clients without credentials.
	Anonymous bool `json:"anonymous,omitempty"`
	// Authenticated applies the rules to every client that has authenticated.
	Authenticated bool `json:"authenticated,omitempty"`
	// PlainIdentities leaves out clients whose username or client identifier holds
	// '/', '+' or '#'.
	PlainIdentities bool   `json:"plainIdentities,omitempty"`
	Rules           []Rule `json:"rules"`
}

// Rule allows or denies actions on topics. Deny wins over Allow, whatever the
// order.
type Rule struct {
	Effect  Effect   `json:"effect"`
	Actions []Action `json:"actions"`
	// Topics are topic filters in which %u and %c stand for one whole level:
	// the username and the client identifier.
	Topics []string `json:"topics"`
	// MaxQoS bounds the quality of service that an Allow rule grants; nil is 2.
	MaxQoS *byte `json:"maxQoS,omitempty"`
	// Retain says whether an Allow rule grants retained publishes; empty is
	// Allow.
	Retain Effect `json:"retain,omitempty"`
	// Index of the rule in its source, where rules before it are left out of the
	// policy; 0: that in the policy.
	Index int `json:"index,omitempty"`
}

// Duration is a time.Duration that reads and writes as "1h30m".
type Duration time.Duration

// MarshalText writes the duration as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) {
	return []byte(time.Duration(d).String()), nil
}

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}
