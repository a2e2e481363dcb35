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
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="has(self.spec.username) || self.metadata.name.size() <= 128",message="metadata.name is longer than a username may be (128): set spec.username"
type MQTTUser struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What the user shall be.
	Spec MQTTUserSpec `json:"spec"`
	// What the operator found. Written by the operator only.
	// +optional
	Status MQTTUserStatus `json:"status,omitempty"`
}

// MQTTUserSpec is what a MQTTUser shall be.
//
// +kubebuilder:validation:XValidation:rule="has(self.username) == has(oldSelf.username) && (!has(self.username) || self.username == oldSelf.username)",message="username cannot be changed: create another MQTTUser"
type MQTTUserSpec struct {
	// The Broker that the user connects to. It holds some 4000 users with
	// passwords; newer ones are refused with reason BrokerFull. Cannot be changed.
	// Example: {name: edge}.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="brokerRef cannot be changed: create another MQTTUser"
	BrokerRef BrokerRef `json:"brokerRef"`

	// The username in CONNECT, unique on the Broker: where many MQTTUsers ask for
	// the same, the oldest holds it. Cannot be changed. Default: metadata.name.
	// Example: dev-1.
	// +optional
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9._@-]{0,127}$`
	Username string `json:"username,omitempty"`

	// How the user proves who it is.
	Authentication UserAuthentication `json:"authentication"`

	// Client identifiers that the user may connect with; a '*' at the end stands
	// for any rest. Default: any. Example: ["dev-1", "dev-1-*"].
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

	// Keeps the object and ends the user's connections. Default: false.
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

	// A password that the operator generates and rotates. Not supported in this
	// version.
	// +optional
	Generate *GeneratedPassword `json:"generate,omitempty"`

	// A client certificate that you bring, on a listener with clientAuth.
	// Example: {commonName: dev-1}.
	// +optional
	X509 *X509Authentication `json:"x509,omitempty"`

	// A client certificate that cert-manager issues. Not supported in this
	// version.
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

// GeneratedPassword asks for a password made by the operator.
type GeneratedPassword struct {
	// Name of the Secret to write: username, password, host, port, uri, and
	// ca.crt where the listener has TLS. Example: dev-1-mqtt.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName"`

	// How often a new password is made. Default: never. Example: 720h.
	// +optional
	RotateEvery *metav1.Duration `json:"rotateEvery,omitempty"`

	// How long the password before stays valid. Default: 24h.
	// +optional
	Overlap *metav1.Duration `json:"overlap,omitempty"`
}

// X509Authentication maps a client certificate to the user.
type X509Authentication struct {
	// Common name of the subject. The certificate is signed by the CA of the
	// listener's clientAuth. Example: dev-1.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	CommonName string `json:"commonName"`
}

// IssuedCertificate asks cert-manager for a client certificate whose common
// name is the username.
type IssuedCertificate struct {
	// The issuer that signs. Example: {name: devices, kind: ClusterIssuer}.
	IssuerRef IssuerRef `json:"issuerRef"`

	// Name of the Secret to write. Example: dev-1-cert.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName"`
}

// UserLimits bound one user. What is not set has no limit of its own; the
// Broker's limits hold in any case.
type UserLimits struct {
	// Connections at a time. Example: 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxConnections *int32 `json:"maxConnections,omitempty"`

	// Messages published a second. Example: 100.
	// +optional
	// +kubebuilder:validation:Minimum=1
	PublishRate *int32 `json:"publishRate,omitempty"`

	// Bytes published a second. Example: 1Mi.
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
}

// MQTTUserStatus is what the operator found.
type MQTTUserStatus struct {
	// Generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// The username that clients use.
	// +optional
	Username string `json:"username,omitempty"`

	// Secret with generated or issued credentials.
	// +optional
	SecretName string `json:"secretName,omitempty"`

	// Ready, Accepted and Programmed.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// MQTTUserList is a list of MQTTUsers.
//
// +kubebuilder:object:root=true
type MQTTUserList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MQTTUser `json:"items"`
}
