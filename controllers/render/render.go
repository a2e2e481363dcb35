package render

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/auth/password"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// Input is all that a configuration depends on. Nothing in it is changed.
type Input struct {
	Broker *v1alpha1.Broker
	// Users and ACLs, in any order; those that name another Broker are left out
	// of the Output.
	Users []v1alpha1.MQTTUser
	ACLs  []v1alpha1.TopicACL
	// Secrets that users refer to. One that is missing here does not exist.
	Secrets map[types.NamespacedName]*corev1.Secret
	// Unread are Secrets of which nobody knows, since reading them failed. What the
	// configuration held of their users it holds still.
	Unread map[types.NamespacedName]bool
	// Namespaces holds the labels of namespaces by name. It is read only where the
	// Broker chooses namespaces by label.
	Namespaces map[string]map[string]string
	// Previous are the access files that were rendered last, whose hashes are kept
	// while their passwords stay the same. It may be empty.
	Previous config.Files
	Paths    Paths
	// Passwords hashes plain passwords. It may not be nil.
	Passwords *Passwords
	// Hurry is closed when the rendering should come to its end, and leave passwords
	// for the next one: hashing takes long on purpose. Each rendering hashes those of
	// one user at least. nil is never closed.
	Hurry <-chan struct{}
}

// Paths says where the engine finds what the configuration points to.
type Paths struct {
	// Address that every listener binds; empty for all addresses.
	Address string
	// TLS is the directory with a directory for each listener that has TLS, which
	// holds tls.crt and tls.key, and those of each additional certificate in a
	// directory of its name.
	TLS string
	// ClientCA is the directory with a directory for each listener that asks for
	// client certificates, which holds ca.crt.
	ClientCA string
}

// CertFile of a listener.
func (p Paths) CertFile(listener string) string { return path.Join(p.TLS, listener, "tls.crt") }

// KeyFile of a listener.
func (p Paths) KeyFile(listener string) string { return path.Join(p.TLS, listener, "tls.key") }

// AdditionalCertFile of a listener and one of its additional certificates.
func (p Paths) AdditionalCertFile(listener, name string) string {
	return path.Join(p.TLS, listener, name, "tls.crt")
}

// AdditionalKeyFile of a listener and one of its additional certificates.
func (p Paths) AdditionalKeyFile(listener, name string) string {
	return path.Join(p.TLS, listener, name, "tls.key")
}

// ClientCAFile of a listener.
func (p Paths) ClientCAFile(listener string) string { return path.Join(p.ClientCA, listener, "ca.crt") }

// Output is one configuration, and what became of each object.
type Output struct {
	// Settings is the content of config.SettingsFile.
	Settings []byte
	Access   config.Files
	// Revision that an engine with these files answers.
	Revision string
	// Users and ACLs that name the Broker, sorted by namespace and name.
	Users, ACLs []Object
	// Unhashed is the number of Users whose passwords were left for the next
	// rendering.
	Unhashed int
}

// Object says what became of a MQTTUser or TopicACL.
type Object struct {
	Key        types.NamespacedName
	UID        types.UID
	Generation int64
	Verdict    Verdict
	// Username of a MQTTUser.
	Username string
	// Pending says of a MQTTUser that its password has yet to be read or hashed, by
	// another rendering. Until then the configuration holds what it held before.
	Pending bool
	// Admitted says of a MQTTUser that the Broker admits it and that its names are
	// its own, so that credentials may be made for it.
	Admitted bool
	// SecretVersion is the resource version of the Secret that a MQTTUser's
	// password was read from, empty where there is none.
	SecretVersion string
	// MatchedUsers of a TopicACL.
	MatchedUsers int32
	// ShadowedRules of a TopicACL, where they were looked for: see Shadows.
	ShadowedRules []v1alpha1.ShadowedRule
	// Digest names the object's generation and what the configuration holds of it:
	// two configurations with the same digest treat the object alike.
	Digest string
}

// Verdict says whether an object is accepted; Reason and Message are those of
// its condition Accepted.
type Verdict struct {
	Reason, Message string
}

// Accepted says whether the object is valid and admitted.
func (v Verdict) Accepted() bool {
	return v.Reason == v1alpha1.ReasonAccepted || v.Reason == v1alpha1.ReasonDisabled
}

func accepted(message string) Verdict {
	return Verdict{Reason: v1alpha1.ReasonAccepted, Message: message}
}

func rejected(reason, format string, args ...any) Verdict {
	return Verdict{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Render renders the configuration of in.Broker. An error says that the
// Broker's own spec makes no valid configuration; what is wrong with a user or
// an ACL is in its verdict, and leaves only that object out.
func Render(in Input) (*Output, error) {
	broker := in.Broker.DeepCopy()
	broker.Default()
	in.Broker = broker

	before := previousUsers(in.Previous)
	users, err := renderUsers(in, before)
	if err != nil {
		return nil, err
	}
	users, acls, room := fit(in, users)
	unhashed := hashPasswords(in, users, before.rendered)
	cfg := config.Config{Settings: settings(broker, in.Paths), Access: access(users, acls)}
	if slices.ContainsFunc(cfg.Access.Users, hasSCRAM) {
		cfg.Access.DecoyKey = in.decoyKey()
	}
	cfg.Settings.Anonymous = cfg.Settings.Anonymous && !room.anonymous
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("render Broker %s/%s: %w", broker.Namespace, broker.Name, err)
	}
	out, err := encode(cfg, room.sizes.shards(max(1, len(in.Previous.Shards()))), users, acls)
	if err != nil {
		return nil, err
	}
	out.Unhashed = unhashed
	return out, nil
}

// hasSCRAM reports whether a user may log in by SCRAM, whose exchange would tell it
// from users that there are not.
func hasSCRAM(u config.User) bool {
	return slices.ContainsFunc(u.PasswordHashes, func(hash string) bool {
		_, ok := password.ParseSCRAM(hash)
		return ok
	})
}

// decoyKey keeps the secret that decoys are chosen by, so that they stay the same;
// where there is none yet, it follows from that of the process.
func (in Input) decoyKey() []byte {
	var previous struct{ DecoyKey []byte }
	if json.Unmarshal(in.Previous[config.AccessFile], &previous) == nil && len(previous.DecoyKey) > 0 {
		return previous.DecoyKey
	}
	key := in.Passwords.mac("decoys", []byte(keyOf(in.Broker).String()))
	return key[:]
}

func encode(cfg config.Config, shards int, users []user, acls []acl) (*Output, error) {
	settings, err := json.MarshalIndent(cfg.Settings, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode settings: %w", err)
	}
	access, err := cfg.Access.Encode(shards)
	if err != nil {
		return nil, fmt.Errorf("encode access: %w", err)
	}
	out := &Output{Settings: settings, Access: access, Revision: config.Revision(settings, access)}
	for _, u := range users {
		out.Users = append(out.Users, u.Object)
	}
	for _, a := range acls {
		out.ACLs = append(out.ACLs, a.Object)
	}
	return out, nil
}

// access gathers what was rendered of users and ACLs.
func access(users []user, acls []acl) config.Access {
	var out config.Access
	for _, u := range users {
		switch {
		case u.rendered != nil:
			out.Users = append(out.Users, *u.rendered)
		case u.holds:
			out.Suspended = append(out.Suspended, u.suspended())
		}
	}
	slices.SortFunc(out.Suspended, func(x, y config.Suspended) int { return cmp.Compare(x.Username, y.Username) })
	for _, a := range acls {
		if a.rendered != nil {
			out.Policies = append(out.Policies, *a.rendered)
		}
	}
	return out
}
