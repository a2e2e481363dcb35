package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Broker is an MQTT broker: the operator turns it into a StatefulSet, Services,
// certificates and the configuration that its pods enforce.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:resource:path=brokers,shortName=mqttbroker,categories=godwit
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Replicas",type=integer,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="Clients",type=integer,JSONPath=`.status.clients`
// +kubebuilder:printcolumn:name="Users",type=integer,JSONPath=`.status.users.accepted`
// +kubebuilder:printcolumn:name="Revision",type=string,priority=1,JSONPath=`.status.configRevision`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name becomes the name of Services and pods: use at most 40 lower case letters, digits and '-', beginning with a letter and not ending in '-'"
type Broker struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// What the broker shall be. An empty spec is a broker with one plain listener
	// on port 1883 that nobody may use before there is a MQTTUser.
	// +optional
	// +kubebuilder:default={}
	Spec BrokerSpec `json:"spec,omitempty"`
	// What the operator found. Written by the operator only.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status BrokerStatus `json:"status,omitempty"`
}

// BrokerSpec is what a Broker shall be.
//
// +kubebuilder:validation:XValidation:rule="!has(self.listeners) || has(self.tls) || self.listeners.all(l, !has(l.tls) || has(l.tls.certificate) || has(l.tls.secretName))",message="a listener with tls needs a certificate: set spec.tls, or certificate or secretName in the listener's own tls"
// +kubebuilder:validation:XValidation:rule="!has(self.tls) || has(self.tls.certificate) != has(self.tls.secretName)",message="spec.tls: set exactly one of certificate (issued by cert-manager) and secretName (brought by you)"
type BrokerSpec struct {
	// Number of pods. 0 stops the broker and keeps its volume. More than 1 needs
	// clustering, which this version does not have. Default: 1. Example: 1.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:XValidation:rule="self <= 1",message="more than one replica needs clustering, which this version does not have: set replicas to 1"
	Replicas *int32 `json:"replicas,omitempty"`

	// Image of the broker. Default: the image that the operator itself runs, so
	// that an upgrade of the operator upgrades the broker; set it to pin the
	// broker. Example: "registry.example.com/godwit:1.2.3".
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Image string `json:"image,omitempty"`

	// Ports on which clients connect. Default: "mqtt" on 1883 without TLS, and
	// "mqtts" on 8883 with TLS where spec.tls is set. To add, move or remove one
	// replaces the pod; its limits change while it runs.
	// Example: [{name: mqtts, port: 8883, tls: {}}].
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(l, self.exists_one(m, m.port == l.port))",message="two listeners have the same port: give each listener a port of its own"
	Listeners []Listener `json:"listeners,omitempty"`

	// Certificate and TLS settings of the listeners that have `tls: {}`.
	// Default: none, and no listener has TLS.
	// Example: {certificate: {issuerRef: {name: ca}}}.
	// +optional
	TLS *TLS `json:"tls,omitempty"`

	// Who may connect. Default: only MQTTUsers.
	// +optional
	// +kubebuilder:default={}
	Authentication Authentication `json:"authentication,omitzero"`

	// What is allowed where no TopicACL says anything. Default: nothing.
	// +optional
	// +kubebuilder:default={}
	Authorization Authorization `json:"authorization,omitzero"`

	// Namespaces whose MQTTUsers and TopicACLs may bind to this Broker. The other
	// half of the consent is their brokerRef. Default: the Broker's own.
	// +optional
	// +kubebuilder:default={}
	AllowedUsers AllowedUsers `json:"allowedUsers,omitzero"`

	// Limits of the protocol. MQTT 5 clients are told of those that the protocol
	// has a property for.
	// +optional
	// +kubebuilder:default={}
	MQTT MQTT `json:"mqtt,omitzero"`

	// The volume that holds sessions, queued and retained messages. Cannot be
	// changed once the Broker exists, except for reclaimPolicy and sync.
	// +optional
	// +kubebuilder:default={}
	Persistence Persistence `json:"persistence,omitzero"`

	// How pods are stopped when they are replaced.
	// +optional
	// +kubebuilder:default={}
	UpdateStrategy UpdateStrategy `json:"updateStrategy,omitzero"`

	// Pods that voluntary disruptions (a node drain) must leave. Default: none
	// for one replica, because its node could not be drained; one pod at a time
	// for more. Example: {maxUnavailable: 1}.
	// +optional
	PodDisruptionBudget *PodDisruptionBudget `json:"podDisruptionBudget,omitempty"`

	// Which network traffic reaches the pods.
	// +optional
	// +kubebuilder:default={}
	NetworkPolicy NetworkPolicy `json:"networkPolicy,omitzero"`

	// Objects for the Prometheus operator.
	// +optional
	// +kubebuilder:default={}
	Monitoring Monitoring `json:"monitoring,omitzero"`

	// Compute resources of the broker container. A memory limit is also told to
	// the broker, which collects garbage sooner as it comes near.
	// Default: {requests: {cpu: 100m, memory: 128Mi}}, where nothing is set.
	// Example: {requests: {cpu: 500m, memory: 256Mi}, limits: {memory: 1Gi}}.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitzero"`

	// Scheduling and metadata of the pods.
	// +optional
	Template PodTemplate `json:"template,omitzero"`

	// Stops the operator from changing anything of this Broker; the pods go on.
	// Default: false.
	// +optional
	Paused bool `json:"paused,omitempty"`
}

// Listener is a port on which clients connect.
//
// +kubebuilder:validation:XValidation:rule="!has(self.proxyProtocol) || !self.proxyProtocol || (has(self.trustedProxies) && self.trustedProxies.size() > 0)",message="proxyProtocol lets a peer choose the address that it is seen with: list the proxies' addresses in trustedProxies"
// +kubebuilder:validation:XValidation:rule="!has(self.webSocket) || (has(self.protocol) && self.protocol == 'WebSocket')",message="webSocket is for listeners with protocol: WebSocket; set that, or remove webSocket"
// +kubebuilder:validation:XValidation:rule="!has(self.tls) || !(has(self.tls.certificate) && has(self.tls.secretName))",message="set only one of tls.certificate and tls.secretName"
type Listener struct {
	// Name of the listener, unique in the Broker: the name of the Service port,
	// and the end of the name of a Service of its own. Example: mqtts.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="self != 'admin' && self != 'headless'",message="the names admin and headless are taken by the operator: choose another listener name"
	Name string `json:"name"`

	// Port of the listener, in the pods and in the Service. Example: 8883.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +kubebuilder:validation:XValidation:rule="self != 9883",message="port 9883 serves the broker's health and metrics: choose another port"
	Port int32 `json:"port"`

	// What is spoken: MQTT over TCP, or MQTT over WebSocket. Default: MQTT.
	// +optional
	// +kubebuilder:default=MQTT
	Protocol ListenerProtocol `json:"protocol,omitempty"`

	// The endpoint of a listener whose protocol is WebSocket. Default: the path
	// /mqtt, for pages of any origin.
	// Example: {path: /, allowedOrigins: ["https://app.example.com"]}.
	// +optional
	WebSocket *WebSocket `json:"webSocket,omitempty"`

	// TLS of the listener. Absent: plain. `{}`: as spec.tls says. A field that is
	// set here takes the place of the same field of spec.tls.
	// Example: {clientAuth: {mode: Required, caSecretName: devices-ca}}.
	// +optional
	TLS *TLS `json:"tls,omitempty"`

	// Expects a PROXY protocol header (version 1 or 2) from the peers in
	// trustedProxies, so that clients are seen with their own address. Default:
	// false.
	// +optional
	ProxyProtocol bool `json:"proxyProtocol,omitempty"`

	// Addresses of the proxies, as CIDRs. Needed with proxyProtocol.
	// Example: ["10.0.0.0/8"].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.all(c, isCIDR(c))",message="trustedProxies are CIDRs, such as 10.0.0.0/8 or 192.0.2.7/32"
	TrustedProxies []string `json:"trustedProxies,omitempty"`

	// Limits of the listener as a whole.
	// +optional
	Limits ListenerLimits `json:"limits,omitzero"`

	// A Service of its own for this listener, named BROKER-LISTENER. Default: the
	// listener is a port of the Service that is named as the Broker, of type
	// ClusterIP. Example: {type: LoadBalancer, externalTrafficPolicy: Local}.
	// +optional
	Service *ListenerService `json:"service,omitempty"`
}

// ListenerProtocol is what is spoken on a listener.
//
// +kubebuilder:validation:Enum=MQTT;WebSocket
type ListenerProtocol string

// Protocols of a listener.
const (
	ProtocolMQTT      ListenerProtocol = "MQTT"
	ProtocolWebSocket ListenerProtocol = "WebSocket"
)

// WebSocket is the endpoint of a WebSocket listener.
type WebSocket struct {
	// Path that clients connect to. Slashes that are doubled, or at the end, make no
	// difference, neither here nor in what clients ask for. Default: /mqtt.
	// Example: /.
	// +optional
	// +kubebuilder:default=/mqtt
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^/[A-Za-z0-9._~!$&'()*+,;=:@/-]*$`
	Path string `json:"path,omitempty"`

	// Origins of the web pages that may connect, as browsers name them: scheme,
	// host, and the port unless it is the scheme's own; or null, for pages that have
	// none. Another page gets HTTP status 403. A request without Origin comes from no
	// browser, and is served: this keeps foreign pages from using a browser's client
	// certificate or its place in the network, and is no access control for other
	// clients. Default: any. Example: ["https://app.example.com"].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=256
	// +kubebuilder:validation:items:Pattern=`^(null|[a-z][a-z0-9+.-]*://[^/?# ]+)$`
	AllowedOrigins []string `json:"allowedOrigins,omitempty"`
}

// ListenerLimits bound a listener.
type ListenerLimits struct {
	// Connections at a time, over a pod. Default: no limit. Example: 10000.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxConnections *int32 `json:"maxConnections,omitempty"`

	// Connections accepted a second, over a pod. Default: no limit. Example: 500.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ConnectRate *int32 `json:"connectRate,omitempty"`
}

// ListenerService is the Service of a listener that has its own.
//
// +kubebuilder:validation:XValidation:rule="!has(self.nodePort) || self.type != 'ClusterIP'",message="nodePort needs type NodePort or LoadBalancer"
// +kubebuilder:validation:XValidation:rule="!has(self.externalTrafficPolicy) || self.type != 'ClusterIP'",message="externalTrafficPolicy needs type NodePort or LoadBalancer"
type ListenerService struct {
	// Type of the Service. Default: ClusterIP. Example: LoadBalancer.
	// +optional
	// +kubebuilder:default=ClusterIP
	// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer
	Type corev1.ServiceType `json:"type,omitempty"`

	// Annotations of the Service, which most cloud load balancers are configured
	// by. Example: {service.beta.kubernetes.io/aws-load-balancer-type: nlb}.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`

	// Port on the nodes, for types NodePort and LoadBalancer. Default: chosen by
	// Kubernetes. Example: 31883.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	NodePort *int32 `json:"nodePort,omitempty"`

	// Whether traffic from outside may pass through other nodes (Cluster) or stays
	// on the node that it reached and keeps the client's address (Local).
	// Default: Cluster.
	// +optional
	// +kubebuilder:validation:Enum=Cluster;Local
	ExternalTrafficPolicy corev1.ServiceExternalTrafficPolicy `json:"externalTrafficPolicy,omitempty"`
}

// TLS says which certificates are served and what is asked of clients.
//
// +kubebuilder:validation:XValidation:rule="!has(self.certificate) || !has(self.additionalCertificates) || self.additionalCertificates.all(a, !has(a.certificate) || (has(a.certificate.privateKey) ? (has(self.certificate.privateKey) ? a.certificate.privateKey.algorithm != self.certificate.privateKey.algorithm || (has(a.certificate.privateKey.size) ? a.certificate.privateKey.size : 0) != (has(self.certificate.privateKey.size) ? self.certificate.privateKey.size : 0) : a.certificate.privateKey.algorithm != 'ECDSA' || has(a.certificate.privateKey.size) && a.certificate.privateKey.size != 256) : has(self.certificate.privateKey) && (self.certificate.privateKey.algorithm != 'ECDSA' || has(self.certificate.privateKey.size) && self.certificate.privateKey.size != 256)))",message="an additional certificate with the same kind of key as tls.certificate is served to nobody: set privateKey of one of them, as to {algorithm: RSA}"
type TLS struct {
	// A certificate from cert-manager, renewed without dropping a connection.
	// Needs cert-manager in the cluster. Example: {issuerRef: {name: ca}}.
	// +optional
	Certificate *Certificate `json:"certificate,omitempty"`

	// Name of a kubernetes.io/tls Secret in the Broker's namespace that you bring
	// and renew. Example: edge-example-com.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`

	// Certificates beside the one of certificate or secretName, with other kinds of
	// keys, for clients that cannot take that one. A client is served the first that
	// it says it can take: the one above, then these in their order; and the one
	// above where it can take none. A listener with a certificate of its own has none
	// of those of spec.tls. To add, rename or remove one replaces the pod; a renewed
	// one does not. Default: none.
	// Example, RSA beside ECDSA, the default of certificate:
	// [{name: rsa, certificate: {issuerRef: {name: ca}, privateKey: {algorithm: RSA, size: 2048}}}].
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=3
	AdditionalCertificates []AdditionalCertificate `json:"additionalCertificates,omitempty"`

	// Whether clients present a certificate. Default: they are not asked for one.
	// +optional
	ClientAuth *ClientAuth `json:"clientAuth,omitempty"`

	// Lowest version of TLS that is spoken: "1.2" or "1.3". Default: "1.2".
	// +optional
	// +kubebuilder:validation:Enum="1.2";"1.3"
	MinVersion string `json:"minVersion,omitempty"`

	// Most bytes of plaintext in a TLS record that clients are sent, for devices
	// with small buffers: 512 to 16384. A client that asks for smaller records, by
	// max_fragment_length or record_size_limit, gets them anyway. The certificate
	// chain comes in the records of the handshake, which this does not bound: keep
	// it short. Default: 16384, what TLS allows. Example: 4096.
	// +optional
	// +kubebuilder:validation:Minimum=512
	// +kubebuilder:validation:Maximum=16384
	MaxRecordSize *int32 `json:"maxRecordSize,omitempty"`
}

// AdditionalCertificate is served to clients that cannot take the first
// certificate of their listener.
//
// +kubebuilder:validation:XValidation:rule="has(self.certificate) != has(self.secretName)",message="set exactly one of certificate (issued by cert-manager) and secretName (brought by you) in each of additionalCertificates"
type AdditionalCertificate struct {
	// Name of the certificate, unique in its list. The Certificate that is asked of
	// cert-manager, and its Secret, are named BROKER-tls-NAME, or
	// BROKER-LISTENER-tls-NAME where a listener lists it. Example: rsa.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="!('tls' in self.split('-'))",message="the word tls stands before the name in the name of the Secret, BROKER-tls-NAME: leave it out of the name"
	Name string `json:"name"`

	// A certificate from cert-manager. It holds the names of the Broker's Services,
	// as that of tls.certificate does; dnsNames are its own.
	// Example: {issuerRef: {name: ca}, privateKey: {algorithm: RSA}}.
	// +optional
	Certificate *Certificate `json:"certificate,omitempty"`

	// Name of a kubernetes.io/tls Secret in the Broker's namespace that you bring
	// and renew. Example: edge-example-com-rsa.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`
}

// Certificate is what is asked of cert-manager.
type Certificate struct {
	// The issuer that signs. Example: {name: ca, kind: ClusterIssuer}.
	IssuerRef IssuerRef `json:"issuerRef"`

	// DNS names in the certificate besides the names of the Broker's Services in
	// the cluster, which are always in. Example: ["mqtt.example.com"].
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	DNSNames []string `json:"dnsNames,omitempty"`

	// How long the certificate is valid; the issuer may choose otherwise.
	// Default: that of cert-manager, 2160h. Example: 2160h.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h')",message="cert-manager issues for one hour at least: set duration to 1h or more"
	Duration *metav1.Duration `json:"duration,omitempty"`

	// How long before its end the certificate is renewed. Default: that of
	// cert-manager, a third of its life. Example: 720h.
	// +optional
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('5m')",message="cert-manager renews five minutes ahead at least: set renewBefore to 5m or more"
	RenewBefore *metav1.Duration `json:"renewBefore,omitempty"`

	// Key of the certificate, a new one each time that it is issued. Default: ECDSA
	// with 256 bits. Devices that know RSA alone need that; where others share their
	// listener, it may stand in additionalCertificates.
	// Example: {algorithm: RSA, size: 2048}.
	// +optional
	PrivateKey *PrivateKey `json:"privateKey,omitempty"`
}

// PrivateKey is the kind of key that is asked for.
//
// +kubebuilder:validation:XValidation:rule="!has(self.size) || (self.algorithm == 'RSA' ? self.size in [2048, 3072, 4096, 8192] : self.algorithm == 'ECDSA' && self.size in [256, 384, 521])",message="size is 2048, 3072, 4096 or 8192 for RSA, 256, 384 or 521 for ECDSA, and left out for Ed25519"
type PrivateKey struct {
	// RSA, ECDSA or Ed25519. Example: RSA.
	Algorithm KeyAlgorithm `json:"algorithm"`

	// Bits of the key: 2048, 3072, 4096 or 8192 for RSA, 256, 384 or 521 for ECDSA.
	// Default: 2048 for RSA, 256 for ECDSA. Example: 2048.
	// +optional
	Size *int32 `json:"size,omitempty"`
}

// KeyAlgorithm is what a private key is for.
//
// +kubebuilder:validation:Enum=RSA;ECDSA;Ed25519
type KeyAlgorithm string

// Algorithms of private keys.
const (
	KeyRSA     KeyAlgorithm = "RSA"
	KeyECDSA   KeyAlgorithm = "ECDSA"
	KeyEd25519 KeyAlgorithm = "Ed25519"
)

// IssuerRef names an issuer of cert-manager.
type IssuerRef struct {
	// Name of the issuer. Example: ca.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// Kind of the issuer. Default: Issuer, in the namespace of the object that
	// names it.
	// Example: ClusterIssuer.
	// +optional
	// +kubebuilder:default=Issuer
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// API group of the issuer, for issuers from outside cert-manager. Default:
	// cert-manager.io. Example: awspca.cert-manager.io.
	// +optional
	// +kubebuilder:default=cert-manager.io
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`
}

// ClientAuth says what is asked of clients.
//
// +kubebuilder:validation:XValidation:rule="!has(self.identity) || self.identity != 'Certificate' || self.mode == 'Required'",message="identity Certificate leaves clients without a certificate no way in: set mode to Required"
// +kubebuilder:validation:XValidation:rule="self.mode == 'None' || has(self.caSecretName)",message="modes Optional and Required check certificates: set caSecretName to the Secret that holds the CA in its key ca.crt"
type ClientAuth struct {
	// None: no certificate is asked for. Optional: a certificate that is presented
	// must be valid. Required: no connection without a valid certificate.
	// +kubebuilder:validation:Enum=None;Optional;Required
	Mode ClientAuthMode `json:"mode"`

	// Name of a Secret in the Broker's namespace whose key ca.crt holds the CAs
	// that sign clients' certificates. Where listeners have different Secrets, a
	// MQTTUser is admitted by those of its own: see its caSecretName.
	// Example: devices-ca.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	CASecretName string `json:"caSecretName,omitempty"`

	// What tells who a client with a certificate is. CertificateOrUsername: the user
	// with the certificate's common name or, where the client sends another
	// username, the user of that name, by its password. Certificate: nothing but the
	// common name; the username and the password in CONNECT are not looked at, which
	// is for clients that put something else there, as SDKs of clouds do. It takes
	// mode Required. Either way a certificate whose common name is no user's admits
	// nobody, also where anonymous clients are admitted.
	// Default: CertificateOrUsername. Example: Certificate.
	// +optional
	// +kubebuilder:validation:Enum=CertificateOrUsername;Certificate
	Identity ClientIdentity `json:"identity,omitempty"`
}

// ClientAuthMode says whether clients present a certificate.
type ClientAuthMode string

// Modes of client authentication.
const (
	ClientAuthNone     ClientAuthMode = "None"
	ClientAuthOptional ClientAuthMode = "Optional"
	ClientAuthRequired ClientAuthMode = "Required"
)

// ClientIdentity says what tells who a client with a certificate is.
type ClientIdentity string

// What tells who a client is.
const (
	IdentityCertificateOrUsername ClientIdentity = "CertificateOrUsername"
	IdentityCertificate           ClientIdentity = "Certificate"
)

// Authentication says who may connect.
type Authentication struct {
	// Admits clients that present no credentials. What they may do is for
	// TopicACLs with the subject `anonymous: true`. Default: false.
	// +optional
	Anonymous bool `json:"anonymous,omitempty"`

	// Limits of clients without credentials. Connections, sessions and retained
	// messages are counted of all of them together; every other limit is of each
	// client by itself, the publish rates among them, so that strangers do not use
	// up each other's. Default: none but those of the Broker. Example:
	// {maxConnections: 100, publishRate: 10}.
	// +optional
	AnonymousLimits UserLimits `json:"anonymousLimits,omitzero"`
}

// Authorization says what is allowed where no rule speaks.
type Authorization struct {
	// Deny or Allow, where no rule of a TopicACL matches. Default: Deny.
	// +optional
	// +kubebuilder:default=Deny
	Default Effect `json:"default,omitempty"`
}

// AllowedUsers says from where objects may bind to a Broker.
type AllowedUsers struct {
	// The namespaces. Default: the Broker's own.
	// +optional
	// +kubebuilder:default={}
	Namespaces AllowedNamespaces `json:"namespaces,omitzero"`
}

// AllowedNamespaces chooses namespaces.
//
// +kubebuilder:validation:XValidation:rule="(has(self.from) && self.from == 'Selector') == has(self.selector)",message="selector goes with from: Selector, and only with it"
type AllowedNamespaces struct {
	// Same: the Broker's own. Selector: those whose labels selector matches, and
	// the Broker's own. All: every namespace. Default: Same.
	// +optional
	// +kubebuilder:default=Same
	// +kubebuilder:validation:Enum=Same;Selector;All
	From AllowedFrom `json:"from,omitempty"`

	// Labels of the namespaces, with from: Selector.
	// Example: {matchLabels: {mqtt: edge}}.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// AllowedFrom is a way of choosing namespaces.
type AllowedFrom string

// Ways of choosing namespaces.
const (
	FromSame     AllowedFrom = "Same"
	FromSelector AllowedFrom = "Selector"
	FromAll      AllowedFrom = "All"
)

// MQTT holds the limits of the protocol.
type MQTT struct {
	// Largest packet that is accepted, in bytes. Default: 1Mi. Example: 256Ki.
	// +optional
	// +kubebuilder:default="1Mi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('127')) && quantity(string(self)).isLessThan(quantity('268435461'))",message="maxPacketSize lies between 128 bytes and 268435460 bytes, the largest packet of MQTT"
	MaxPacketSize *resource.Quantity `json:"maxPacketSize,omitempty"`

	// Highest quality of service: 0, 1 or 2. Default: 2.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2
	MaxQoS *int32 `json:"maxQoS,omitempty"`

	// Longest keep alive. A client that asks for more, or for none, has this one, and
	// is told so in MQTT 5. Default: 1h. Example: 5m.
	// +optional
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('18h12m15s')",message="keepAliveMax lies between 1s and 18h12m15s (65535 seconds)"
	KeepAliveMax *metav1.Duration `json:"keepAliveMax,omitempty"`

	// How long a session outlives its connection at most. Default: 24h.
	// Example: 168h.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1193046h')",message="sessionExpiryMax lies between 1s and 1193046h (the 4294967295 seconds that the protocol can carry)"
	SessionExpiryMax *metav1.Duration `json:"sessionExpiryMax,omitempty"`

	// QoS 1 and 2 messages of one client that are in flight to the broker at a
	// time. Default: 1024.
	// +optional
	// +kubebuilder:default=1024
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	ReceiveMaximum *int32 `json:"receiveMaximum,omitempty"`

	// Topic aliases that a client may use; 0 is none. Default: 64.
	// +optional
	// +kubebuilder:default=64
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	TopicAliasMaximum *int32 `json:"topicAliasMaximum,omitempty"`

	// Subscriptions of one client. Default: 1000.
	// +optional
	// +kubebuilder:default=1000
	// +kubebuilder:validation:Minimum=1
	MaxSubscriptionsPerClient *int32 `json:"maxSubscriptionsPerClient,omitempty"`

	// Bytes of the topic filters that one client is subscribed to, all together.
	// Default: 256 for each of maxSubscriptionsPerClient, and 64Ki at least.
	// Example: 1Mi.
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="maxSubscriptionBytesPerClient is positive"
	MaxSubscriptionBytesPerClient *resource.Quantity `json:"maxSubscriptionBytesPerClient,omitempty"`

	// Shared subscriptions of one client, which count as subscriptions too. Each
	// gets a copy of every message that it matches. Default: 100.
	// +optional
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=1
	MaxSharedSubscriptionsPerClient *int32 `json:"maxSharedSubscriptionsPerClient,omitempty"`

	// Sessions of all clients, connected or not. A client that would begin one
	// more is refused with reason code 0x97 (MQTT 3: return code 3); one that
	// comes back to its session is not. Default: one for each 4Ki of
	// resources.limits.memory, and of persistence.size where that is smaller, at
	// most 1000000. Example: 50000.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxSessions *int32 `json:"maxSessions,omitempty"`

	// Messages that wait for one offline or slow session. Default: 10000.
	// +optional
	// +kubebuilder:default=10000
	// +kubebuilder:validation:Minimum=1
	MaxQueuedMessages *int32 `json:"maxQueuedMessages,omitempty"`

	// Bytes that wait for one offline or slow session, with the memory that holds
	// them; less while the broker is short of memory or of disk. Default: 16Mi.
	// +optional
	// +kubebuilder:default="16Mi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="maxQueuedBytes is positive"
	MaxQueuedBytes *resource.Quantity `json:"maxQueuedBytes,omitempty"`

	// What happens to a message that finds the queue full: DropNewest drops it,
	// DropOldest makes room for it, Disconnect ends the slow client's connection.
	// Default: DropNewest.
	// +optional
	// +kubebuilder:default=DropNewest
	// +kubebuilder:validation:Enum=DropNewest;DropOldest;Disconnect
	Overflow string `json:"overflow,omitempty"`

	// Bounds of the retained messages.
	// +optional
	// +kubebuilder:default={}
	Retained Retained `json:"retained,omitzero"`

	// How often the topics under $SYS are published; 0s turns them off. Default:
	// 10s.
	// +optional
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:XValidation:rule="duration(self) == duration('0s') || duration(self) >= duration('1s')",message="sysInterval is 1s or more, or 0s to turn $SYS off"
	SysInterval *metav1.Duration `json:"sysInterval,omitempty"`

	// Where clients of MQTT 5 may have responses sent to: what a client is told in
	// CONNACK as Response Information, if it asks for it, to build the response
	// topics of its requests from. %u and %c stand for one whole level, the
	// username and the client identifier; a client that has none, or one with '/',
	// '+' or '#' in it, is told nothing. It grants no right: TopicACLs have to
	// allow the client to subscribe there, and others to publish. Default: none.
	// Example: responses/%c.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^+#[:cntrl:]]*$') && self.split('/').all(l, l == '%u' || l == '%c' || !l.matches('%[uc]'))",message="responseInformation is the beginning of a topic name, without wildcards, in which %u and %c are whole levels, as in responses/%c"
	ResponseInformation string `json:"responseInformation,omitempty"`
}

// Retained bounds the retained messages.
type Retained struct {
	// Retained messages. Default: 1000000.
	// +optional
	// +kubebuilder:default=1000000
	// +kubebuilder:validation:Minimum=1
	MaxMessages *int32 `json:"maxMessages,omitempty"`

	// Bytes of all retained messages. Default: 1Gi.
	// +optional
	// +kubebuilder:default="1Gi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="retained.maxBytes is positive"
	MaxBytes *resource.Quantity `json:"maxBytes,omitempty"`
}

// Persistence is the volume of a broker pod.
//
// +kubebuilder:validation:XValidation:rule="(!has(self.enabled) || self.enabled) == (!has(oldSelf.enabled) || oldSelf.enabled) && (!has(self.size) || !has(oldSelf.size) || quantity(string(self.size)) == quantity(string(oldSelf.size))) && has(self.storageClassName) == has(oldSelf.storageClassName) && (!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)",message="enabled, size and storageClassName are those of a volume that exists: set them back, or create another Broker"
type Persistence struct {
	// Keeps sessions and messages on a PersistentVolume. false: they end with the
	// pod. Default: true.
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`

	// Size of the volume. Default: 1Gi. Example: 20Gi.
	// +optional
	// +kubebuilder:default="1Gi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="size is positive"
	Size *resource.Quantity `json:"size,omitempty"`

	// StorageClass of the volume. Default: the cluster's default class.
	// Example: fast-ssd.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	StorageClassName *string `json:"storageClassName,omitempty"`

	// What becomes of the volume when the Broker is deleted. Retain: it stays, and
	// a Broker of the same name takes it up again. Delete: it goes with the
	// Broker. Default: Retain.
	// +optional
	// +kubebuilder:default=Retain
	// +kubebuilder:validation:Enum=Retain;Delete
	ReclaimPolicy ReclaimPolicy `json:"reclaimPolicy,omitempty"`

	// When messages are acknowledged. Always: when they are on the disk. Interval:
	// at once, and a power cut may cost those of the last second. Default: Always.
	// +optional
	// +kubebuilder:default=Always
	// +kubebuilder:validation:Enum=Always;Interval
	Sync SyncMode `json:"sync,omitempty"`
}

// ReclaimPolicy says what becomes of the volume of a deleted Broker.
type ReclaimPolicy string

// Reclaim policies.
const (
	ReclaimRetain ReclaimPolicy = "Retain"
	ReclaimDelete ReclaimPolicy = "Delete"
)

// SyncMode says when messages are acknowledged.
type SyncMode string

// Modes of synchronization.
const (
	SyncAlways   SyncMode = "Always"
	SyncInterval SyncMode = "Interval"
)

// UpdateStrategy says how pods are replaced.
type UpdateStrategy struct {
	// Paces the disconnects of a pod that stops, so that its clients do not all
	// come back at once.
	// +optional
	// +kubebuilder:default={}
	Drain Drain `json:"drain,omitzero"`
}

// Drain paces disconnects.
type Drain struct {
	// Clients that are disconnected a second. Default: 500.
	// +optional
	// +kubebuilder:default=500
	// +kubebuilder:validation:Minimum=1
	DisconnectRate *int32 `json:"disconnectRate,omitempty"`

	// How long a stopping pod takes at most. Default: 60s.
	// +optional
	// +kubebuilder:default="60s"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('1h')",message="timeout lies between 1s and 1h"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// Where clients of MQTT 5 may go meanwhile: one address, or several with a
	// space between them, for a client to choose from. They are disconnected with
	// reason code 0x9C (Use another server) and this as the Server Reference; it is
	// up to a client to follow it, and its session stays with this Broker.
	// Default: none, and reason code 0x8B (Server shutting down).
	// Example: "edge-b.example.com:8883".
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^([!-~]+( [!-~]+)*)?$')",message="serverReference is an address such as edge-b.example.com:8883, or several with one space between them"
	ServerReference string `json:"serverReference,omitempty"`
}

// PodDisruptionBudget says how many pods must stay.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.minAvailable) && has(self.maxUnavailable))",message="set only one of minAvailable and maxUnavailable"
type PodDisruptionBudget struct {
	// Pods that must stay, as a number or a percentage. Example: 1.
	// +optional
	MinAvailable *intstr.IntOrString `json:"minAvailable,omitempty"`

	// Pods that may be missing, as a number or a percentage. Example: 1.
	// +optional
	MaxUnavailable *intstr.IntOrString `json:"maxUnavailable,omitempty"`
}

// NetworkPolicy says which traffic reaches the pods.
type NetworkPolicy struct {
	// Makes a NetworkPolicy: the listeners are open to all, health and metrics to
	// the operator's namespace and metricsFrom, and the broker opens no
	// connections. Default: true.
	// +optional
	// +kubebuilder:default=true
	Enabled *bool `json:"enabled,omitempty"`

	// Further peers that may read health and metrics on port 9883.
	// Example: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}].
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	MetricsFrom []networkingv1.NetworkPolicyPeer `json:"metricsFrom,omitempty"`
}

// Monitoring asks for objects of the Prometheus operator. None is supported in
// this version.
type Monitoring struct {
	// A PodMonitor for the pods. Default: false. Not supported in this version.
	// +optional
	PodMonitor bool `json:"podMonitor,omitempty"`

	// A PrometheusRule with alerts. Default: false. Not supported in this version.
	// +optional
	Rules bool `json:"rules,omitempty"`

	// A ConfigMap with a Grafana dashboard. Default: false. Not supported in this
	// version.
	// +optional
	Dashboard bool `json:"dashboard,omitempty"`
}

// PodTemplate is what may be set of the pods.
type PodTemplate struct {
	// Labels and annotations of the pods.
	// +optional
	Metadata PodMetadata `json:"metadata,omitzero"`

	// Scheduling of the pods.
	// +optional
	Spec PodSpec `json:"spec,omitzero"`
}

// PodMetadata is added to the metadata of the pods.
type PodMetadata struct {
	// Labels, added to those of the operator, which win. Example: {team: iot}.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`

	// Annotations, added to those of the operator, which win.
	// Example: {cluster-autoscaler.kubernetes.io/safe-to-evict: "false"}.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
}

// PodSpec is the part of a pod's spec that decides where it runs.
type PodSpec struct {
	// Labels that a node must have. Example: {kubernetes.io/arch: amd64}.
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`

	// Taints that the pods bear.
	// +optional
	// +listType=atomic
	Tolerations []corev1.Toleration `json:"tolerations,omitempty"`

	// Affinity of the pods to nodes and to other pods.
	// +optional
	Affinity *corev1.Affinity `json:"affinity,omitempty"`

	// How pods spread over zones and nodes.
	// +optional
	// +listType=atomic
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints,omitempty"`

	// Priority class of the pods. Example: business-critical.
	// +optional
	PriorityClassName string `json:"priorityClassName,omitempty"`

	// Runtime class of the pods. Example: gvisor.
	// +optional
	RuntimeClassName *string `json:"runtimeClassName,omitempty"`

	// Scheduler of the pods. Default: the cluster's default scheduler.
	// +optional
	SchedulerName string `json:"schedulerName,omitempty"`

	// Secrets with which the image is pulled. Example: [{name: registry}].
	// +optional
	// +listType=map
	// +listMapKey=name
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
}

// BrokerStatus is what the operator found.
type BrokerStatus struct {
	// Generation of the spec that this status speaks of; -1 from the creation on
	// until the operator has seen the object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Pods that exist.
	// +optional
	Replicas int32 `json:"replicas,omitempty"`

	// Pods that are ready.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas,omitempty"`

	// Label selector of the pods, for the scale subresource.
	// +optional
	Selector string `json:"selector,omitempty"`

	// Revision of the configuration that was rendered last; pods enforce it where
	// ConfigApplied is True.
	// +optional
	ConfigRevision string `json:"configRevision,omitempty"`

	// Ready, Reconciling, Stalled, TLSReady and ConfigApplied.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// Where clients connect.
	// +optional
	// +listType=map
	// +listMapKey=name
	Listeners []ListenerStatus `json:"listeners,omitempty"`

	// MQTTUsers that name this Broker.
	// +optional
	Users UserCounts `json:"users,omitzero"`

	// Connected clients, as the pods said last.
	// +optional
	Clients int64 `json:"clients"`
}

// ListenerStatus says where clients reach a listener.
type ListenerStatus struct {
	// Name of the listener.
	Name string `json:"name"`

	// Host name or address; empty while a load balancer is being made.
	// +optional
	Address string `json:"address,omitempty"`

	// Port at the address.
	Port int32 `json:"port"`

	// The certificate that is served, the first where there are more.
	// +optional
	Certificate *CertificateStatus `json:"certificate,omitempty"`

	// The certificates that clients are served that cannot take the first.
	// +optional
	// +listType=map
	// +listMapKey=name
	AdditionalCertificates []AdditionalCertificateStatus `json:"additionalCertificates,omitempty"`
}

// AdditionalCertificateStatus describes one of the additional certificates of a
// listener.
type AdditionalCertificateStatus struct {
	// Name of the certificate in the spec.
	Name string `json:"name"`

	CertificateStatus `json:",inline"`
}

// CertificateStatus describes a certificate that is served.
type CertificateStatus struct {
	// End of its validity.
	NotAfter metav1.Time `json:"notAfter"`

	// SHA-256 fingerprint of the certificate, in hexadecimal.
	SHA256 string `json:"sha256"`
}

// UserCounts counts MQTTUsers.
type UserCounts struct {
	// MQTTUsers that are accepted.
	Accepted int32 `json:"accepted"`

	// MQTTUsers that are not; each says why in its conditions.
	Rejected int32 `json:"rejected"`
}

// BrokerList is a list of Brokers.
//
// +kubebuilder:object:root=true
type BrokerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Broker `json:"items"`
}
