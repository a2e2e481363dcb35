// Package manifest reads Kubernetes manifests from files and judges them as the
// API server would: by the schemas and rules of the CustomResourceDefinitions,
// with their defaults filled in. What it accepts, a cluster accepts.
package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

// Set is what stands in the manifests.
type Set struct {
	Brokers []v1alpha1.Broker // sorted by namespace and name
	Users   []v1alpha1.MQTTUser
	ACLs    []v1alpha1.TopicACL
	Secrets map[types.NamespacedName]*corev1.Secret
	// Namespaces holds the labels of namespaces by name.
	Namespaces map[string]map[string]string
	// Issued holds the names of Secrets that cert-manager would write.
	Issued map[types.NamespacedName]bool
	// Skipped names what is of no use without a cluster.
	Skipped []string

	origin    map[string]place
	namespace string // of objects that name none
}

// place is where a document stands.
type place struct {
	file string
	line int
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

// Problem is one thing that is wrong with a manifest, fit for the eyes of whoever
// wrote it.
type Problem struct {
	File    string
	Line    int    // 0 where it is not known
	Object  string // "Broker iot/edge"; empty where it is not known
	Field   string // path of the field; empty for the whole
	Message string
}

func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	for _, part := range []string{p.Object, p.Field, p.Message} {
		if part != "" {
			b.WriteString(": " + part)
		}
	}
	return b.String()
}

// Source says where manifests are.
type Source struct {
	// Paths of files, or of directories whose .yaml, .yml and .json files are read,
	// without those below them. "-" is Stdin.
	Paths []string
	Stdin io.Reader
	// Namespace of objects that name none; empty is "default".
	Namespace string
}

// Load reads the manifests of a file or directory, as Source.Load does.
func Load(path string) (*Set, error) { return Source{Paths: []string{path}}.Load() }

// Load reads the manifests. The error joins every *Problem.
func (src Source) Load() (*Set, error) {
	kinds, err := definitions()
	if err != nil {
		return nil, err
	}
	s := &Set{
		Secrets:    map[types.NamespacedName]*corev1.Secret{},
		Namespaces: map[string]map[string]string{},
		Issued:     map[types.NamespacedName]bool{},
		origin:     map[string]place{},
		namespace:  cmp.Or(src.Namespace, defaultNamespace),
	}
	var problems []error
	for _, path := range src.Paths {
		docs, err := src.read(path)
		if err != nil {
			problems = append(problems, err)
		}
		for _, d := range docs {
			problems = append(problems, s.add(d, kinds)...)
		}
	}
	slices.SortFunc(s.Brokers, func(a, b v1alpha1.Broker) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
	})
	return s, errors.Join(problems...)
}

// Broker returns the one of that name, "name" or "namespace/name". An empty name
// is the only one that there is.
func (s *Set) Broker(name string) (*v1alpha1.Broker, error) {
	var found []*v1alpha1.Broker
	var names []string
	for i := range s.Brokers {
		b := &s.Brokers[i]
		key := b.Namespace + "/" + b.Name
		names = append(names, key)
		if name == "" || name == key || name == b.Name {
			found = append(found, b)
		}
	}
	list := strings.Join(names, ", ")
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(names) == 0:
		return nil, errors.New("no Broker in the manifests: add one, as in config/samples/broker.yaml")
	case len(found) == 0:
		return nil, fmt.Errorf("no Broker %q in the manifests: they hold %s", name, list)
	case name == "":
		return nil, fmt.Errorf("more than one Broker in the manifests: choose with --broker one of %s", list)
	default:
		return nil, fmt.Errorf("more than one Broker is named %q: choose with --broker one of %s", name, list)
	}
}

// Strays names the users and ACLs whose Broker is not in the manifests, with
// what to change.
func (s *Set) Strays() []string {
	known := map[types.NamespacedName]bool{}
	for _, b := range s.Brokers {
		known[types.NamespacedName{Namespace: b.Namespace, Name: b.Name}] = true
	}
	var strays []string
	stray := func(kind string, o metav1.Object, broker types.NamespacedName) {
		if !known[broker] {
			key := objectKey(kind, o.GetNamespace(), o.GetName())
			strays = append(strays, fmt.Sprintf("%s: %s: no Broker %s in the manifests: correct spec.brokerRef",
				s.origin[key], key, broker))
		}
	}
	for i := range s.Users {
		stray(v1alpha1.KindMQTTUser, &s.Users[i], s.Users[i].BrokerKey())
	}
	for i := range s.ACLs {
		stray(v1alpha1.KindTopicACL, &s.ACLs[i], s.ACLs[i].BrokerKey())
	}
	return strays
}

// Place tells where an object stands, "file:line".
func (s *Set) Place(kind string, key types.NamespacedName) string {
	return s.origin[objectKey(kind, key.Namespace, key.Name)].String()
}

func objectKey(kind, namespace, name string) string {
	return fmt.Sprintf("%s %s/%s", kind, namespace, name)
}

// add takes a document into the set.
func (s *Set) add(d *document, kinds map[string]*definition) []error {
	head, err := d.head(s.namespace)
	if err != nil {
		return []error{err}
	}
	key := objectKey(head.Kind, head.Namespace, head.Name)
	if first, taken := s.origin[key]; taken && head.Name != "" {
		return []error{d.problem("metadata.name", "%s stands in %s already: remove or rename one of them", key, first)}
	}
	s.origin[key] = place{d.file, d.line}
	group, version, _ := strings.Cut(head.APIVersion, "/")
	switch {
	case group == v1alpha1.GroupVersion.Group || kinds[head.Kind] != nil && group != "v1":
		return s.addOwn(d, head, kinds)
	case head.APIVersion == "v1" && head.Kind == "Secret":
		return s.addSecret(d, head)
	case head.APIVersion == "v1" && head.Kind == "Namespace":
		s.Namespaces[head.Name] = head.Labels
		return nil
	case group == "cert-manager.io" && version != "":
		return s.addCertManager(d, head)
	default:
		s.skip(d, key, "of no use without a cluster")
		return nil
	}
}

func (s *Set) skip(d *document, key, why string) {
	s.Skipped = append(s.Skipped, fmt.Sprintf("%s: %s: %s", place{d.file, d.line}, key, why))
}

// addOwn adds an object of one of this project's kinds.
func (s *Set) addOwn(d *document, head *head, kinds map[string]*definition) []error {
	want := v1alpha1.GroupVersion.String()
	kind := kinds[head.Kind]
	if kind == nil {
		known := strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")
		return []error{d.problem("kind", "%q is not a kind of %s: use %s", head.Kind, want, known)}
	}
	if head.APIVersion != want {
		return []error{d.problem("apiVersion", "%q has no kind %s: use %s", head.APIVersion, head.Kind, want)}
	}
	if problems := d.judge(kind); problems != nil {
		return problems
	}
	switch head.Kind {
	case v1alpha1.KindBroker:
		return into(d, &s.Brokers, func(b *v1alpha1.Broker) { b.Namespace = head.Namespace })
	case v1alpha1.KindMQTTUser:
		return into(d, &s.Users, func(u *v1alpha1.MQTTUser) { u.Namespace = head.Namespace })
	default:
		return into(d, &s.ACLs, func(a *v1alpha1.TopicACL) { a.Namespace = head.Namespace })
	}
}

// into decodes the document and appends it to list.
func into[T any](d *document, list *[]T, complete func(*T)) []error {
	var v T
	if problems := d.decode(&v); problems != nil {
		return problems
	}
	complete(&v)
	*list = append(*list, v)
	return nil
}

// addSecret adds a Secret; stringData wins over data, as in the API server.
func (s *Set) addSecret(d *document, head *head) []error {
	var secret corev1.Secret
	if problems := d.decode(&secret); problems != nil {
		return problems
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	for k, v := range secret.StringData {
		secret.Data[k] = []byte(v)
	}
	secret.StringData = nil
	secret.Namespace = head.Namespace
	s.Secrets[types.NamespacedName{Namespace: head.Namespace, Name: head.Name}] = &secret
	return nil
}

// addCertManager notes which Secrets cert-manager would write. The rest of its
// kinds is its own to judge.
func (s *Set) addCertManager(d *document, head *head) []error {
	if head.Kind == "Certificate" {
		spec, _ := d.object["spec"].(map[string]any)
		name, _ := spec["secretName"].(string)
		if name == "" {
			return []error{d.problem("spec.secretName", "is missing: name the Secret that cert-manager is to write")}
		}
		s.Issued[types.NamespacedName{Namespace: head.Namespace, Name: name}] = true
	}
	s.skip(d, objectKey(head.Kind, head.Namespace, head.Name), "a local CA stands in for cert-manager")
	return nil
}
