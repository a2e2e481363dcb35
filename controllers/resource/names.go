package resource

import (
	"fmt"
	"maps"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// Labels and annotations of children.
const (
	// LabelBroker holds the Broker's name, on every child and every pod.
	LabelBroker = "mqtt.godwit.io/broker"
	// LabelManagedBy and ManagedBy tell the operator's objects from others; its
	// caches hold no others of the kinds that it makes.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	ManagedBy      = "godwit"
	// AnnotationRevision, AnnotationCertificates and AnnotationReminded are written
	// to running pods, not to their template: a change of a pod makes the kubelet
	// bring its mounted files up to date at once.
	AnnotationRevision     = "mqtt.godwit.io/revision"
	AnnotationCertificates = "mqtt.godwit.io/certificates"
	AnnotationReminded     = "mqtt.godwit.io/reminded"
)

// SettingsName is the name of the ConfigMap with the settings.
func SettingsName(b *v1alpha1.Broker) string { return b.Name + "-settings" }

// AccessName is the name of the Secret with users and rules, or with the names of
// their shards.
func AccessName(b *v1alpha1.Broker) string { return b.Name + "-access" }

// ShardName is the name of the Secret with a shard of users and rules.
func ShardName(b *v1alpha1.Broker, number int) string {
	return fmt.Sprintf("%s-%d", AccessName(b), number)
}

// HeadlessName is the name of the Service that gives pods their DNS names.
func HeadlessName(b *v1alpha1.Broker) string { return b.Name + "-headless" }

// CertificateName is the name of the Certificate of spec.tls or, where a
// listener is named, of that listener, and of the Secret that it is issued to.
func CertificateName(b *v1alpha1.Broker, listener string) string {
	if listener == "" {
		return b.Name + "-tls"
	}
	return fmt.Sprintf("%s-%s-tls", b.Name, listener)
}

// AdditionalCertificateName is the name of one of the additional Certificates of
// spec.tls or, where a listener is named, of that listener. Since no name of one
// has the word tls in it, it is no other's.
func AdditionalCertificateName(b *v1alpha1.Broker, listener, name string) string {
	return CertificateName(b, listener) + "-" + name
}

// Labels of a Broker's children. Selector is a part of them.
func Labels(b *v1alpha1.Broker) map[string]string {
	labels := Selector(b)
	labels["app.kubernetes.io/name"] = "godwit"
	labels["app.kubernetes.io/component"] = "broker"
	labels["app.kubernetes.io/instance"] = b.Name
	return labels
}

// Selector selects a Broker's children, its pods among them.
func Selector(b *v1alpha1.Broker) map[string]string {
	return map[string]string{LabelManagedBy: ManagedBy, LabelBroker: b.Name}
}

// meta is the metadata of a child.
func meta(b *v1alpha1.Broker, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: b.Namespace, Labels: Labels(b)}
}

// merged returns the union of two maps, in which those of the operator win.
func merged(theirs, ours map[string]string) map[string]string {
	out := maps.Clone(theirs)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, ours)
	return out
}

// dnsNames returns the names of a Service in the cluster, the short ones first.
func dnsNames(service, namespace, clusterDomain string) []string {
	names := []string{service, service + "." + namespace, service + "." + namespace + ".svc"}
	if domain := strings.Trim(clusterDomain, "."); domain != "" {
		names = append(names, names[2]+"."+domain)
	}
	return names
}
