package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MQTTUser is an identity that may connect to a Broker. What it may publish and
// subscribe is for TopicACLs.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=mqttusers,categories=godwit
// +kubebuilder:printcolumn:name="Broker",type=string,JSONPath=`.spec.brokerRef.name`
// +kubebuilder:printcolumn:name="Username",type=string,JSONPath=`.status.username`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Secret",type=string,priority=1,JSONPath=`.status.secretName`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="!has(self.spec.authentication.certificate) || (has(self.spec.username) ? bytes(self.spec.username).size() : self.metadata.name.size()) <= 64",message="the username becomes the common name of the certificate, which has at most 64 bytes: set a shorter spec.username, or bring a certificate by authentication.x509"
type MQTTUser struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What the user shall be.
	Spec MQTTUserSpec `json:"spec"`
	// What the operator found. Written by the operator only.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status MQTTUserStatus `json:"status,omitempty"`
}

// MQTTUserSpec is what a MQTTUser shall be.
//
// +kubebuilder:validation:XValidation:rule="has(self.username) == has(oldSelf.username) && (!has(self.username) || self.username == oldSelf.username)",message="username cannot be changed: create another MQTTUser"
type MQTTUserSpec struct {
	// The Broker that the user connects to. It holds some 30000 users with
	// passwords; newer ones are refused with reason BrokerFull. Cannot be changed.
	// Example: {name: edge}.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="brokerRef cannot be changed: create another MQTTUser"
	BrokerRef BrokerRef `json:"brokerRef"`

	// The username in CONNECT, unique on the Broker: where many MQTTUsers ask for
	// the same, the oldest holds it. Any that clients come with: 1 to 256 bytes of
	// UTF-8 without control characters. Where it holds '/', '+' or '#', rules with %u
	// never match. Cannot be changed. Default: metadata.name.
	// Examples: dev-1, "48:e1:e9:12:34:56", "hub/dev-1/?api-version=1".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f-\x9f]+$`
	// +kubebuilder:validation:XValidation:rule="bytes(self).size() <= 256",message="a username has at most 256 bytes of UTF-8"
	Username string `json:"username,omitempty"`

	// How the user proves who it is.
	Authentication UserAuthentication `json:"authentication"`

	// Client identifiers that the user may connect with; a '*' at the end stands
	// for any rest. A client identifier that is named here is taken from clients
	// of other users who do not name it, or less of it: their sessions under it
	// end. Default: any. Example: ["dev-1", "dev-1-*"].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:Pattern=`^[^*]*\*?$`
	ClientIDs []string `json:"clientIds,omitempty"`

	// Limits of this user, over all of its connections where nothing else is said.
	// +optional
	Limits UserLimits `json:"limits,omitzero"`

	// Keeps the object and its sessions, and ends the user's connections. What its
	// sessions are subscribed to does not come until it is false again. Default:
	// false.
	// +optional
	Disabled bool `json:"disabled,omitempty"`
}

// BrokerRef names a Broker.
type BrokerRef struct {
	// Name of the Broker. Example: edge.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Namespace of the Broker, which has to admit this object's namespace by its
	// allowedUsers. Default: this object's namespace. Example: iot.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
}

// UserAuthentication is how a user proves who it is.
//
// +kubebuilder:validation:XValidation:rule="[has(self.password), has(self.generate), has(self.x509), has(self.certificate)].exists_one(x, x)",message="set exactly one of password, generate, x509 and certificate"
type UserAuthentication struct {
	// A password that you bring in a Secret.
	// Example: {secretRef: {name: dev-1, key: password}}.
	// +optional
	Password *PasswordAuthentication `json:"password,omitempty"`

	// A password that the operator generates and rotates.
	// Example: {secretName: dev-1-mqtt, rotateEvery: 720h, overlap: 24h}.
	// +optional
	Generate *GeneratedPassword `json:"generate,omitempty"`

	// A client certificate that you bring, on a listener with clientAuth.
	// Example: {commonName: dev-1}.
	// +optional
	X509 *X509Authentication `json:"x509,omitempty"`

	// A client certificate that cert-manager issues, for a listener with
	// clientAuth. Needs cert-manager in the cluster.
	// Example: {issuerRef: {name: devices}, secretName: dev-1-cert}.
	// +optional
	Certificate *IssuedCertificate `json:"certificate,omitempty"`
}

// PasswordAuthentication takes a password from a Secret. A change of the Secret
// takes force by itself.
type PasswordAuthentication struct {
	// Where the password is.
	SecretRef SecretKeyRef `json:"secretRef"`
}

// SecretKeyRef names a key of a Secret.
type SecretKeyRef struct {
	// Name of a Secret in the MQTTUser's namespace. Example: dev-1.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Key in the Secret. The key passwordHash holds a hash (bcrypt, argon2id, or
	// PBKDF2-SHA512 as mosquitto_passwd writes it); any other key holds the plain
	// password, every byte of it. Default: password. Example: passwordHash.
	// +optional
	// +kubebuilder:default=password
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]{1,253}$`
	Key string `json:"key,omitempty"`
}

// PasswordHashKey is the key of a Secret that holds a hash, not a password.
const PasswordHashKey = "passwordHash"

// Keys of a Secret with a generated password that count for authentication.
const (
	PasswordKey         = "password"
	PreviousPasswordKey = "previousPassword"
)

// GeneratedPassword asks for a password made by the operator, in a Secret that
// belongs to the MQTTUser. What stands in the Secret's key password is what
// brokers accept: without the Secret, or that key, a new password is made at
// once; one that you write there takes force. The other keys are kept as they
// should be.
//
// +kubebuilder:validation:XValidation:rule="!has(self.rotateEvery) || !has(self.overlap) || duration(self.overlap) <= duration(self.rotateEvery)",message="two passwords are valid at a time: set overlap to rotateEvery or less"
type GeneratedPassword struct {
	// Name of the Secret to write, in the MQTTUser's namespace: username, password,
	// host, port, uri, and ca.crt where the listener has TLS and a CA of its own. In
	// uri the username stands percent-encoded.
	// While the password before stays valid, it is in previousPassword. A Secret
	// that does not belong to the MQTTUser is left as it is. Example: dev-1-mqtt.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	SecretName string `json:"secretName"`

	// How often a new password is made: 1m or more. Default: never. Example: 720h.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m')",message="set rotateEvery to 1m or more"
	RotateEvery *metav1.Duration `json:"rotateEvery,omitempty"`

	// How long the password before stays valid after a rotation, so that clients
	// have time to take up the new one. 0s: not at all. Default: 24h, or
	// rotateEvery where that is shorter. Example: 1h.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s')",message="set overlap to 0s or more"
	Overlap *metav1.Duration `json:"overlap,omitempty"`
}

// X509Authentication maps a client certificate to the user.
type X509Authentication struct {
	// Common name of the subject, unique among the users of the same CA.
	// Example: dev-1.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	CommonName string `json:"commonName"`

	// The CA that signs the certificate, by the name of its Secret in the Broker's
	// namespace: the clientAuth.caSecretName of listeners. Those listeners admit the
	// user, and no others do. Needed where listeners have different CAs and none of
	// them is that of the Broker's spec.tls. Default: the CA of spec.tls.clientAuth,
	// or the one that all listeners have. Example: devices-ca.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	CASecretName string `json:"caSecretName,omitempty"`
}

// IssuedCertificate asks cert-manager for a client certificate whose common
// name is the username.
type IssuedCertificate struct {
	// The issuer that signs. Its CA has to be that of the clientAuth of a listener.
	// Example: {name: devices, kind: ClusterIssuer}.
	IssuerRef IssuerRef `json:"issuerRef"`

	// Name of the Secret that cert-manager writes, in the MQTTUser's namespace, and
	// of the Certificate: tls.crt, tls.key and ca.crt. Example: dev-1-cert.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	SecretName string `json:"secretName"`

	// The CA that the issuer signs with, by the name of its Secret in the Broker's
	// namespace: the clientAuth.caSecretName of listeners. Those listeners admit the
	// user, and no others do. Needed where listeners have different CAs and none of
	// them is that of the Broker's spec.tls. Default: the CA of spec.tls.clientAuth,
	// or the one that all listeners have. Example: devices-ca.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	CASecretName string `json:"caSecretName,omitempty"`

	// How long the certificate is valid; the issuer may choose otherwise.
	// Default: that of cert-manager, 2160h. Example: 720h.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h')",message="cert-manager issues for one hour at least: set duration to 1h or more"
	Duration *metav1.Duration `json:"duration,omitempty"`

	// How long before its end the certificate is renewed. Default: that of
	// cert-manager, a third of its life. Example: 240h.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('5m')",message="cert-manager renews five minutes ahead at least: set renewBefore to 5m or more"
	RenewBefore *metav1.Duration `json:"renewBefore,omitempty"`
}

// UserLimits bound one user. What is not set has no limit of its own; the
// Broker's limits hold in any case.
type UserLimits struct {
	// Connections at a time. Example: 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxConnections *int32 `json:"maxConnections,omitempty"`

	// Messages published a second, over all connections. A client that sends more
	// is slowed down; one whose next message would have to wait for more than 30
	// seconds is disconnected with reason code 0x96. Example: 100.
	// +optional
	// +kubebuilder:validation:Minimum=1
	PublishRate *int32 `json:"publishRate,omitempty"`

	// Bytes published a second, over all connections, held to as publishRate is:
	// let it be at least a thirtieth of the largest message. Example: 1Mi.
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="publishBytesPerSecond is positive"
	PublishBytesPerSecond *resource.Quantity `json:"publishBytesPerSecond,omitempty"`

	// Largest packet, in bytes. Example: 64Ki.
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('127'))",message="maxPacketSize is 128 bytes or more"
	MaxPacketSize *resource.Quantity `json:"maxPacketSize,omitempty"`

	// Messages that wait for one offline or slow session. Example: 1000.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxQueuedMessages *int32 `json:"maxQueuedMessages,omitempty"`

	// Subscriptions of one client. Example: 50.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxSubscriptions *int32 `json:"maxSubscriptions,omitempty"`

	// Sessions at a time, of clients that are connected or away. A client that
	// would begin one more is refused with reason code 0x97 (MQTT 3: return code
	// 3). Example: 10.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxSessions *int32 `json:"maxSessions,omitempty"`

	// Retained messages that this user was the last to publish. One that would be
	// more is delivered to current subscribers, and not kept. Example: 100.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxRetainedMessages *int32 `json:"maxRetainedMessages,omitempty"`

	// Bytes of these retained messages, with the memory that holds them.
	// Example: 1Mi.
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="maxRetainedBytes is positive"
	MaxRetainedBytes *resource.Quantity `json:"maxRetainedBytes,omitempty"`
}

// MQTTUserStatus is what the operator found.
type MQTTUserStatus struct {
	// Generation of the spec that this status speaks of; -1 from the creation on
	// until the operator has seen the object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// The username that clients use.
	// +optional
	Username string `json:"username,omitempty"`

	// Secret with generated or issued credentials.
	// +optional
	SecretName string `json:"secretName,omitempty"`

	// Version of the Secret with the user's credentials, its
	// metadata.resourceVersion, that the Broker has taken up. While there is a newer
	// one, the user is not Ready.
	// +optional
	ObservedSecretVersion string `json:"observedSecretVersion,omitempty"`

	// The generated password. The password itself is in the Secret only.
	// +optional
	Password *GeneratedPasswordStatus `json:"password,omitempty"`

	// The issued certificate, as it stands in the Secret.
	// +optional
	Certificate *CertificateStatus `json:"certificate,omitempty"`

	// Ready, Accepted and Programmed.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// GeneratedPasswordStatus says when a password was made and how long it counts.
type GeneratedPasswordStatus struct {
	// When the password was made.
	MadeAt metav1.Time `json:"madeAt"`

	// When the next one is made; absent where rotateEvery is not set.
	// +optional
	NextAt *metav1.Time `json:"nextAt,omitempty"`

	// Until when the password before is valid; absent where it is not.
	// +optional
	PreviousUntil *metav1.Time `json:"previousUntil,omitempty"`
}

// MQTTUserList is a list of MQTTUsers.
//
// +kubebuilder:object:root=true
type MQTTUserList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MQTTUser `json:"items"`
}
