// Package dev turns the manifests of a cluster into the files that the broker
// runs from on this machine. It stands in for the operator, for the API server's
// validation and for cert-manager; the broker itself is the same.
package dev

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/auth/password"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/cmd/dev/manifest"
	"github.com/godwit-mqtt/godwit/controllers/render"
)

// Workspace renders manifests into a state directory, which holds
//
//	ca.crt, ca.key                     the local CA
//	settings/settings.json             what the broker reads
//	access/access.json                 and more, where there are many users
//	tls/LISTENER/{tls.crt,tls.key}     certificates
//	tls/LISTENER/NAME/{...}            additional certificates
//	client-ca/LISTENER/ca.crt          CAs of client certificates
//	credentials/NAMESPACE/SECRET/KEY   passwords and certificates made for users
//	data/NAMESPACE/NAME/               sessions and messages of a Broker
//	lock                               held while a process uses the directory
//
// It may be used by one goroutine at a time.
type Workspace struct {
	manifests, dir, broker string
	address                string
	passwords              *render.Passwords
	now                    func() time.Time
	built                  string // stamp of the manifests that Build read last
}

// Options of a Workspace.
type Options struct {
	// Manifests is a file or a directory.
	Manifests string
	// StateDir is made if it is not there.
	StateDir string
	// Broker is the name of the one to run, where the manifests hold several.
	Broker string
	// Address that listeners bind; empty for all.
	Address string
}

// NewWorkspace makes the state directory.
func NewWorkspace(o Options) (*Workspace, error) {
	dir, err := filepath.Abs(o.StateDir)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	return &Workspace{
		manifests: o.Manifests, dir: dir, broker: o.Broker, address: o.Address,
		passwords: render.NewPasswords(password.Verify, password.Hash, password.Validate),
		now:       time.Now,
	}, nil
}

// SettingsDir is where the broker finds its settings.
func (w *Workspace) SettingsDir() string { return filepath.Join(w.dir, "settings") }

// AccessDir is where the broker finds its users and rules.
func (w *Workspace) AccessDir() string { return filepath.Join(w.dir, "access") }

// DataDir is where a broker, "namespace/name", keeps sessions and messages.
func (w *Workspace) DataDir(broker string) string {
	return filepath.Join(w.dir, "data", filepath.FromSlash(broker))
}

// Lock keeps other processes from the state directory until it is closed. It
// comes before Build, which writes there.
func (w *Workspace) Lock() (io.Closer, error) {
	lock, err := vfs.Default.Lock(filepath.Join(w.dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("another godwit uses the state directory %s; end it, or choose another one with --state-dir: %w", w.dir, err)
	}
	return lock, nil
}

// CAFile is the certificate of the local CA.
func (w *Workspace) CAFile() string { return filepath.Join(w.dir, caFileName) }

func (w *Workspace) paths() render.Paths {
	return render.Paths{
		Address:  w.address,
		TLS:      filepath.Join(w.dir, "tls"),
		ClientCA: filepath.Join(w.dir, "client-ca"),
	}
}

// Build is what became of the manifests.
type Build struct {
	Broker *v1alpha1.Broker
	Config *config.Config
	// Secrets holds the plain passwords by username, where the manifests do, or
	// where they were generated.
	Secrets map[string]string
	// CAFiles holds by listener the file of the CAs that clients verify it with; no
	// entry for a plain one.
	CAFiles map[string]string
	// Notes are what a person should know: objects that are not in force, and
	// manifests that are passed over.
	Notes []string
}

// Build reads the manifests and writes what the broker reads, if all of them are
// good; else nothing is written, and the error says what to change.
func (w *Workspace) Build() (*Build, error) {
	w.built = w.stamp()
	set, err := manifest.Load(w.manifests)
	if err != nil {
		return nil, err
	}
	broker, err := set.Broker(w.broker)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.manifests, err)
	}
	broker.Default()
	secrets := w.withGenerated(set, broker)
	out, err := w.render(set, broker, secrets)
	if err != nil {
		return nil, err
	}
	cfg, err := config.Parse(out.Settings, out.Access)
	if err != nil {
		return nil, err
	}
	b := &Build{Broker: broker, Config: cfg, Secrets: passwords(set), CAFiles: map[string]string{}}
	b.Notes = notes(set, broker, out)
	if err := w.certify(set, b); err != nil {
		return nil, err
	}
	if err := w.writeCredentials(set, b, secrets); err != nil {
		return nil, err
	}
	return b, w.write(out)
}

func (w *Workspace) render(set *manifest.Set, broker *v1alpha1.Broker, secrets map[types.NamespacedName]*corev1.Secret) (*render.Output, error) {
	previous, _ := config.ReadAccess(w.AccessDir()) // none the first time
	return render.Render(render.Input{
		Broker: broker, Users: set.Users, ACLs: set.ACLs, Secrets: secrets,
		Namespaces: set.Namespaces, Previous: previous, Paths: w.paths(), Passwords: w.passwords,
	})
}

// write writes the configuration, and of it the file that names the others last.
func (w *Workspace) write(out *render.Output) error {
	if err := writeFile(filepath.Join(w.SettingsDir(), config.SettingsFile), out.Settings); err != nil {
		return err
	}
	for _, name := range append(out.Access.Shards(), config.AccessFile) {
		if err := writeFile(filepath.Join(w.AccessDir(), name), out.Access[name]); err != nil {
			return err
		}
	}
	return w.removeStaleShards(out)
}

func (w *Workspace) removeStaleShards(out *render.Output) error {
	entries, err := os.ReadDir(w.AccessDir())
	for _, e := range entries {
		if _, current := out.Access[e.Name()]; err == nil && !current {
			err = os.Remove(filepath.Join(w.AccessDir(), e.Name()))
		}
	}
	return err
}

// notes gathers what is not in force, and why.
func notes(set *manifest.Set, broker *v1alpha1.Broker, out *render.Output) []string {
	all := slices.Concat(set.Skipped, set.Strays())
	if unsupported := render.Unsupported(broker); unsupported != "" {
		all = append(all, fmt.Sprintf("Broker %s/%s: %s", broker.Namespace, broker.Name, unsupported))
	}
	rejected := func(kind string, objects []render.Object) {
		for _, o := range objects {
			if !o.Verdict.Accepted() {
				all = append(all, fmt.Sprintf("%s: %s %s is not in force: %s",
					set.Place(kind, o.Key), kind, o.Key, o.Verdict.Message))
			}
		}
	}
	rejected(v1alpha1.KindMQTTUser, out.Users)
	rejected(v1alpha1.KindTopicACL, out.ACLs)
	return all
}

// passwords returns the plain passwords that the manifests hold.
func passwords(set *manifest.Set) map[string]string {
	plain := map[string]string{}
	for i := range set.Users {
		u := &set.Users[i]
		key, _ := u.SecretKey()
		secret := set.Secrets[key]
		if u.Spec.Authentication.Password == nil || secret == nil {
			continue
		}
		ref := u.Spec.Authentication.Password.SecretRef
		if value, ok := secret.Data[ref.Key]; ok && ref.Key != v1alpha1.PasswordHashKey {
			plain[u.Username()] = string(value)
		}
	}
	return plain
}

// certify writes the certificates that the broker's listeners need.
func (w *Workspace) certify(set *manifest.Set, b *Build) error {
	for i := range b.Broker.Spec.Listeners {
		l := &b.Broker.Spec.Listeners[i]
		tls := b.Broker.ListenerTLS(l)
		if tls == nil {
			continue
		}
		if err := w.certifyListener(set, b, l.Name, tls); err != nil {
			return err
		}
	}
	return nil
}

func (w *Workspace) certifyListener(set *manifest.Set, b *Build, listener string, tls *v1alpha1.TLS) error {
	namespace, paths := b.Broker.Namespace, w.paths()
	ca, err := openAuthority(w.dir, w.now())
	if err != nil {
		return err
	}
	if tls.AsksForCertificate() {
		clientCA := ca.pem
		if brought := b.secret(set, namespace, tls.ClientAuth.CASecretName, "the CA of client certificates"); brought != nil {
			clientCA = brought[caFileName]
		}
		if err := writeFile(paths.ClientCAFile(listener), clientCA); err != nil {
			return err
		}
	}
	var cas [][]byte
	for _, s := range w.served(listener, tls) {
		pem, err := w.certifyServed(set, b, ca, s)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(cas, func(other []byte) bool { return bytes.Equal(other, pem) }) {
			cas = append(cas, pem)
		}
	}
	return w.writeCAs(b, listener, ca, cas)
}

// served is a certificate that a listener serves.
type served struct {
	certFile, keyFile string
	certificate       *v1alpha1.Certificate // nil where the manifests bring it
	secretName        string
}

// served lists the certificates of a listener, the first before the additional ones.
func (w *Workspace) served(listener string, tls *v1alpha1.TLS) []served {
	paths := w.paths()
	out := []served{{paths.CertFile(listener), paths.KeyFile(listener), tls.Certificate, tls.SecretName}}
	for _, a := range tls.AdditionalCertificates {
		out = append(out, served{
			paths.AdditionalCertFile(listener, a.Name), paths.AdditionalKeyFile(listener, a.Name), a.Certificate, a.SecretName,
		})
	}
	return out
}

// certifyServed writes a certificate: the one that the manifests bring or, where
// they bring none, one of the local CA. It returns the CA that clients verify it
// with.
func (w *Workspace) certifyServed(set *manifest.Set, b *Build, ca *authority, s served) ([]byte, error) {
	if s.secretName != "" {
		if brought := b.secret(set, b.Broker.Namespace, s.secretName, "a certificate"); brought != nil {
			err := s.write(brought[corev1.TLSCertKey], brought[corev1.TLSPrivateKeyKey])
			if len(brought[caFileName]) == 0 { // taken for self-signed
				return brought[corev1.TLSCertKey], err
			}
			return brought[caFileName], err
		}
	}
	return ca.pem, w.issue(ca, s)
}

// writeCAs writes the CAs of a listener's certificates beside them.
func (w *Workspace) writeCAs(b *Build, listener string, local *authority, cas [][]byte) error {
	file := filepath.Join(filepath.Dir(w.paths().CertFile(listener)), caFileName)
	b.CAFiles[listener] = file
	if len(cas) == 1 && bytes.Equal(cas[0], local.pem) {
		b.CAFiles[listener] = w.CAFile()
	}
	return writeFile(file, bytes.Join(cas, []byte("\n")))
}

// secret returns the content of a Secret in the manifests. For one that is not
// there nil is returned, and a note says that the local CA stands in.
func (b *Build) secret(set *manifest.Set, namespace, name, what string) map[string][]byte {
	key := types.NamespacedName{Namespace: namespace, Name: name}
	if s := set.Secrets[key]; s != nil {
		return s.Data
	}
	if !set.Issued[key] {
		b.Notes = append(b.Notes, fmt.Sprintf("Secret %s with %s is not in the manifests: that of the local CA stands in", key, what))
	}
	return nil
}

// issue writes a certificate of the local CA, unless a good one is there.
func (w *Workspace) issue(ca *authority, s served) error {
	n, kind := w.names(s.certificate), keyKindOf(nil)
	if s.certificate != nil {
		kind = keyKindOf(s.certificate.PrivateKey)
	}
	if current, err := os.ReadFile(s.certFile); err == nil && ca.serves(current, n, kind, w.now()) {
		return nil
	}
	cert, key, err := ca.issue(n, kind, w.now())
	if err != nil {
		return err
	}
	return s.write(cert, key)
}

func (s served) write(cert, key []byte) error {
	if err := writeFile(s.keyFile, key); err != nil {
		return err
	}
	return writeFile(s.certFile, cert)
}

// names that a listener is reached by on this machine, and those of its spec.
func (w *Workspace) names(asked *v1alpha1.Certificate) names {
	n := names{
		dns: []string{"localhost"},
		ips: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()},
	}
	if host, err := os.Hostname(); err == nil && host != "" {
		n.dns = append(n.dns, host)
	}
	if asked != nil {
		n.dns = append(n.dns, asked.DNSNames...)
	}
	if addr, err := netip.ParseAddr(w.address); err == nil && !addr.IsUnspecified() && !addr.IsLoopback() {
		n.ips = append(n.ips, addr)
	}
	slices.Sort(n.dns)
	n.dns = slices.Compact(n.dns)
	return n
}

// Pace of Watch.
const (
	look  = 100 * time.Millisecond
	renew = time.Hour
)

// Watch calls rebuild, from this goroutine, each time that a manifest has
// changed, appeared or gone since the last Build, and once an hour for the
// certificates. It returns when ctx ends. It looks rather than waits for events:
// that costs a few system calls, and works for every editor and file system. A
// file that is still being written is left alone.
func (w *Workspace) Watch(ctx context.Context, rebuild func()) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	last, built := w.built, w.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := w.stamp()
		settled := now == last
		last = now
		if settled && (now != w.built || w.now().Sub(built) >= renew) {
			w.built, built = now, w.now()
			rebuild()
		}
	}
}

// stamp differs when a manifest does.
func (w *Workspace) stamp() string {
	files, err := manifest.Files(w.manifests)
	if err != nil {
		return err.Error()
	}
	var stamp []byte
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			stamp = fmt.Appendf(stamp, "%s %v\n", file, err)
			continue
		}
		stamp = fmt.Appendf(stamp, "%s %d %d\n", file, info.Size(), info.ModTime().UnixNano())
	}
	return string(stamp)
}
