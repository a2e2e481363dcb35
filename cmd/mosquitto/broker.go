package mosquitto

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// brokerMaker makes a Broker, setting by setting.
type brokerMaker struct {
	*document
	broker    *v1alpha1.Broker
	listeners []*listener
	namespace string // as a flag of kubectl
	setting   setting
}

// listener of a configuration, and the files of its TLS.
type listener struct {
	v1alpha1.Listener
	certfile, keyfile, cafile string
	minVersion                string // of TLS
	requireCertificate        bool
	namesByCertificate        bool
}

// broker makes a Broker of mosquitto.conf.
func (c *converter) broker() []*document {
	if c.Config == nil {
		return nil
	}
	m := &brokerMaker{
		document: &document{comment: []string{
			"What mosquitto.conf does not say has Godwit's defaults, which are not those of Mosquitto: " +
				"among others packets of at most 1 MiB (maxPacketSize), sessions that end a day after their " +
				"client has gone (sessionExpiryMax), and a keep alive of at most an hour (keepAliveMax).",
		}},
		broker:    &v1alpha1.Broker{TypeMeta: typeOf(v1alpha1.KindBroker), ObjectMeta: c.metadata(c.Broker)},
		namespace: c.namespaceFlag(),
	}
	m.object = m.broker
	m.broker.Spec.Authentication.Anonymous = c.Config.allowsAnonymous()
	m.broker.Spec.Persistence.Enabled = new(c.Config.isOn("persistence"))
	if c.ACL == nil {
		m.broker.Spec.Authorization.Default = v1alpha1.Allow
		m.comment = append(m.comment, "Without an ACL file Mosquitto allows everything to everybody, and so does this: "+
			"spec.authorization.default.")
	}
	for _, s := range c.Config.settings {
		m.setting = s
		m.take()
	}
	m.finishListeners()
	return []*document{m.document}
}

// take does what a setting says.
func (m *brokerMaker) take() {
	spec := &m.broker.Spec
	switch s := m.setting; s.key {
	case "listener", "port":
		m.addListener()
	case "protocol", "max_connections", "certfile", "keyfile", "cafile", "require_certificate", "use_identity_as_username",
		"tls_version", "ciphers", "crlfile", "mount_point":
		m.ofListener(m.listener())
	case "max_keepalive":
		m.seconds(&spec.MQTT.KeepAliveMax)
	case "sys_interval":
		m.seconds(&spec.MQTT.SysInterval)
	case "persistent_client_expiration":
		m.expiration()
	case "max_packet_size":
		m.bytes(&spec.MQTT.MaxPacketSize)
	case "max_queued_bytes":
		m.bytes(&spec.MQTT.MaxQueuedBytes)
	case "max_queued_messages":
		m.count(&spec.MQTT.MaxQueuedMessages, 1)
	case "max_qos":
		m.count(&spec.MQTT.MaxQoS, 0)
	case "max_topic_alias":
		m.count(&spec.MQTT.TopicAliasMaximum, 0)
	case "retain_available":
		if !s.isOn() {
			m.say("messages can always be retained: deny it by retain: Deny in the rules of TopicACLs")
		}
	case "plugin", "auth_plugin":
		m.say("there are no plugins: users and rules are MQTTUsers and TopicACLs")
	case "psk_file":
		m.say("TLS with pre-shared keys is not supported: give these clients passwords or certificates")
	case "connection":
		m.say("there are no bridges: run a bridge beside the broker, as a client of both")
	case "address", "addresses", "topic", "remote_username", "remote_password", "bridge_cafile", "start_type", "try_private",
		"clientid", "remote_clientid", "cleansession", "notifications", "keepalive_interval": // of a bridge
	case "per_listener_settings", "allow_anonymous", "password_file", "acl_file", "persistence": // taken
	case "use_username_as_clientid", "clientid_prefixes":
		if s.key != "use_username_as_clientid" || s.isOn() {
			m.say("each MQTTUser gets these clientIds, so that its clients have to ask for one of them. " +
				"Clients without credentials are not admitted, since nothing would hold them to it")
		}
	case "persistence_location", "persistence_file", "autosave_interval", "autosave_on_changes", "user", "pid_file",
		"log_dest", "log_type", "log_timestamp", "log_timestamp_format", "log_facility", "connection_messages",
		"websockets_log_level", "set_tcp_nodelay": // the cluster's business, or no longer a question
	default:
		m.unknown()
	}
}

var settingNames = regexp.MustCompile(`^[A-Za-z0-9_]*`)

// unknown notes a setting of which nothing is known, without its value: it may be a
// secret.
func (m *brokerMaker) unknown() {
	m.note(m.setting.file, m.setting.line, "%s: there is nothing like it, and it is left out", settingNames.FindString(m.setting.key))
}

// say notes something about the setting.
func (m *brokerMaker) say(format string, args ...any) {
	s := m.setting
	m.note(s.file, s.line, "%s: %s", strings.TrimSpace(s.key+" "+s.value), fmt.Sprintf(format, args...))
}

// number reads the value, and notes if it is none.
func (m *brokerMaker) number() (int64, bool) {
	n, err := strconv.ParseInt(m.setting.value, 10, 64)
	if err != nil {
		m.say("this is no number, and is left out")
	}
	return n, err == nil
}

// count takes a number; one below least is left to the default, since it stands
// for no limit.
func (m *brokerMaker) count(to **int32, least int64) {
	switch n, ok := m.number(); {
	case !ok:
	case n < least || n > math.MaxInt32:
		m.say("there is always a limit: the default holds")
	default:
		*to = new(int32(n))
	}
}

func (m *brokerMaker) bytes(to **resource.Quantity) {
	switch n, ok := m.number(); {
	case !ok:
	case n <= 0:
		m.say("there is always a limit: the default holds")
	default:
		*to = resource.NewQuantity(n, resource.BinarySI)
	}
}

func (m *brokerMaker) seconds(to **metav1.Duration) {
	if n, ok := m.number(); ok {
		*to = &metav1.Duration{Duration: time.Duration(n) * time.Second}
	}
}

// expiration takes a number and h, d, w, m or y.
func (m *brokerMaker) expiration() {
	const day = 24 * time.Hour
	units := map[byte]time.Duration{'h': time.Hour, 'd': day, 'w': 7 * day, 'm': 30 * day, 'y': 365 * day}
	value := m.setting.value
	if value == "" {
		return
	}
	unit := units[value[len(value)-1]]
	n, err := strconv.Atoi(value[:len(value)-1])
	if err != nil || unit == 0 || n <= 0 {
		m.say("this is no duration, and is left out")
		return
	}
	m.broker.Spec.MQTT.SessionExpiryMax = &metav1.Duration{Duration: time.Duration(n) * unit}
}

// adminPort is taken in every pod.
const adminPort = 9883

// addListener takes "listener PORT [ADDRESS]".
func (m *brokerMaker) addListener() {
	port, address, _ := strings.Cut(m.setting.value, " ")
	n, err := strconv.ParseInt(port, 10, 32)
	why := ""
	switch {
	case err != nil || n < 1 || n > math.MaxUint16:
		why = "clients come by TCP ports 1 to 65535"
	case n == adminPort:
		why = "health and metrics have this port"
	case slices.ContainsFunc(m.listeners, func(l *listener) bool { return l != nil && l.Port == int32(n) }):
		why = "another listener has this port, on all addresses"
	}
	if why != "" {
		m.say("this listener is left out: %s", why)
		m.listeners = append(m.listeners, nil)
		return
	}
	if address != "" {
		m.say("the pods listen on all of their addresses: who reaches them is for spec.networkPolicy and the listener's service")
	}
	m.listeners = append(m.listeners, &listener{Listener: v1alpha1.Listener{Port: int32(n)}})
}

// listener is the one that settings are for: the last, or the default one.
func (m *brokerMaker) listener() *listener {
	if len(m.listeners) == 0 {
		m.listeners = append(m.listeners, &listener{Listener: v1alpha1.Listener{Port: 1883}})
	}
	return m.listeners[len(m.listeners)-1]
}

// ofListener takes a setting of a listener; nil is one that is left out.
func (m *brokerMaker) ofListener(l *listener) {
	if l == nil {
		return
	}
	switch value := m.setting.value; m.setting.key {
	case "protocol":
		if value == "websockets" {
			l.Protocol = v1alpha1.ProtocolWebSocket
			m.say("clients connect on the path /mqtt, Mosquitto takes any path")
		}
	case "max_connections":
		if n, ok := m.number(); ok && n > 0 && n <= math.MaxInt32 {
			l.Limits.MaxConnections = new(int32(n))
		}
	case "certfile":
		l.certfile = value
	case "keyfile":
		l.keyfile = value
	case "cafile":
		l.cafile = value
	case "require_certificate":
		l.requireCertificate = m.setting.isOn()
	case "use_identity_as_username":
		l.namesByCertificate = m.setting.isOn()
	case "tls_version":
		if l.minVersion = ""; value == "tlsv1.3" {
			l.minVersion = "1.3"
		} else if value != "tlsv1.2" {
			m.say("the least version is TLS 1.2: clients that speak no newer one than %s cannot connect", value)
		}
	case "ciphers":
		m.say("the suites are those that Go has for good: clients need ECDHE with AES-GCM, ChaCha20 or AES-CBC and SHA-1. " +
			"Those that speak no key exchange but RSA or DHE cannot connect")
	case "crlfile":
		m.say("there are no revocation lists: a certificate opens what the MQTTUser with its common name may, as long as there is one. " +
			"Make none for the clients of certificates that are revoked, or give the others certificates of another CA")
	case "mount_point":
		m.say("a listener has no prefix of its own: let its clients use the whole topics, or run a Broker for them")
	}
}

// finishListeners names the listeners and tells where their certificates go.
func (m *brokerMaker) finishListeners() {
	names := names{}
	certificates, authorities := names.group(m.broker.Name+"-tls"), names.group(m.broker.Name+"-client-ca")
	for _, l := range slices.DeleteFunc(m.listeners, func(l *listener) bool { return l == nil }) {
		if l.certfile != "" {
			l.TLS = &v1alpha1.TLS{SecretName: certificates(l.certfile), MinVersion: l.minVersion}
			m.notes = append(m.notes, fmt.Sprintf("listener %d needs its certificate in a Secret: "+
				"kubectl create secret tls %s%s --cert=%s --key=%s. Or let cert-manager issue one: tls.certificate in place of tls.secretName",
				l.Port, l.TLS.SecretName, m.namespace, l.certfile, cmp.Or(l.keyfile, "KEY")))
		}
		if l.TLS != nil && l.requireCertificate {
			m.requireCertificate(l, authorities(l.cafile))
		}
		l.Name = names.unique(fmt.Sprintf("port %d", l.Port), l.kind())
		m.broker.Spec.Listeners = append(m.broker.Spec.Listeners, l.Listener)
	}
}

// requireCertificate has the listener ask for client certificates of the CA in a
// Secret.
func (m *brokerMaker) requireCertificate(l *listener, secret string) {
	l.TLS.ClientAuth = &v1alpha1.ClientAuth{Mode: v1alpha1.ClientAuthRequired, CASecretName: secret}
	m.notes = append(m.notes, fmt.Sprintf("listener %d needs the CA of client certificates in a Secret: "+
		"kubectl create secret generic %s%s --from-file=ca.crt=%s",
		l.Port, secret, m.namespace, cmp.Or(l.cafile, "CA")))
	if l.namesByCertificate {
		l.TLS.ClientAuth.Identity = v1alpha1.IdentityCertificate
		m.notes = append(m.notes, fmt.Sprintf("listener %d admits clients by the common names of their certificates, each of which takes a MQTTUser "+
			"with authentication.x509. Those that the ACL file names have one; Mosquitto admits every other one, too", l.Port))
		return
	}
	m.notes = append(m.notes, fmt.Sprintf("listener %d admits clients by a username and password, or as the MQTTUser whose authentication.x509 "+
		"has the common name of their certificate. Who shows a certificate of no MQTTUser is not admitted without a password, "+
		"also where clients without credentials are", l.Port))
}

// kind names what is spoken, as in the scheme of a URL.
func (l *listener) kind() string {
	kind := "mqtt"
	if l.Protocol == v1alpha1.ProtocolWebSocket {
		kind = "ws"
	}
	if l.TLS != nil {
		kind += "s"
	}
	return kind
}
