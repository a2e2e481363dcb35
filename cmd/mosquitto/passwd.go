package mosquitto

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/auth/password"
)

// credential is a line of a password file.
type credential struct {
	line           int
	username, hash string
}

// parsePasswd reads a password file. Mosquitto passes over lines that it cannot
// read, so this does.
func parsePasswd(s *Source) []credential {
	var out []credential
	for i, line := range strings.Split(string(s.Content), "\n") {
		username, hash, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok && username != "" && !strings.HasPrefix(username, "#") {
			out = append(out, credential{i + 1, username, hash})
		}
	}
	return out
}

// users makes a MQTTUser and a Secret of each credential.
func (c *converter) users() []*document {
	var docs []*document
	seen := map[string]int{}
	for _, cred := range c.credentials {
		first, again := seen[cred.username]
		if !again {
			seen[cred.username] = cred.line
		}
		switch {
		case again:
			d := &document{}
			d.note(c.Passwd.Name, cred.line, "user %q stands in line %d already: this line is left out", cred.username, first)
			docs = append(docs, d)
		case !isUsername(cred.username):
			d := &document{}
			d.note(c.Passwd.Name, cred.line, "user %q is left out: a username of a MQTTUser is at most %d bytes of UTF-8 "+
				"without control characters. Give the client another username", cred.username, maxUsername)
			docs = append(docs, d)
		default:
			docs = append(docs, c.passwordUser(cred)...)
		}
	}
	if c.rules != nil && c.namesByCertificate() {
		docs = append(docs, c.certificateUsers(seen)...)
	}
	return docs
}

func (c *converter) passwordUser(cred credential) []*document {
	name := c.names.of(cred.username)
	user := &document{object: c.user(cred.username, v1alpha1.UserAuthentication{
		Password: &v1alpha1.PasswordAuthentication{
			SecretRef: v1alpha1.SecretKeyRef{Name: name, Key: v1alpha1.PasswordHashKey},
		},
	})}
	if err := password.Validate(cred.hash); err != nil {
		user.note(c.Passwd.Name, cred.line, "the password of user %q cannot be moved: %v. The user waits for a Secret with a new one: "+
			`kubectl create secret generic %s%s --from-literal=%s="$(godwit passwd)"`,
			cred.username, err, name, c.namespaceFlag(), v1alpha1.PasswordHashKey)
		return []*document{user}
	}
	return []*document{{object: &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: c.metadata(name),
		StringData: map[string]string{v1alpha1.PasswordHashKey: cred.hash},
	}}, user}
}

// maxCommonName is what X.509 allows, in bytes.
const maxCommonName = 64

// certificateUsers makes a MQTTUser of each user that only the ACL file names:
// clients that Mosquitto knows by their certificates.
func (c *converter) certificateUsers(known map[string]int) []*document {
	var docs []*document
	for _, s := range c.rules.users {
		if _, ok := known[s.username]; !ok && isUsername(s.username) && len(s.username) <= maxCommonName {
			docs = append(docs, &document{
				comment: []string{"Known by the common name of its certificate."},
				object: c.user(s.username, v1alpha1.UserAuthentication{
					X509: &v1alpha1.X509Authentication{CommonName: s.username},
				}),
			})
		}
	}
	return docs
}

func (c *converter) user(username string, a v1alpha1.UserAuthentication) *v1alpha1.MQTTUser {
	u := &v1alpha1.MQTTUser{
		TypeMeta:   typeOf(v1alpha1.KindMQTTUser),
		ObjectMeta: c.metadata(c.names.of(username)),
		Spec: v1alpha1.MQTTUserSpec{
			BrokerRef: v1alpha1.BrokerRef{Name: c.Broker}, Authentication: a, ClientIDs: c.clientIDs(username),
		},
	}
	if u.Name != username {
		u.Spec.Username = username
	}
	return u
}

// clientIDs are those that Mosquitto lets the user have; none where it has any.
func (c *converter) clientIDs(username string) []string {
	switch {
	case c.Config == nil:
		return nil
	case c.Config.isOn("use_username_as_clientid"):
		return []string{username}
	case c.Config.last("clientid_prefixes") != "":
		return []string{c.Config.last("clientid_prefixes") + "*"}
	}
	return nil
}

func (c *converter) namespaceFlag() string {
	if c.Namespace == "" {
		return ""
	}
	return fmt.Sprintf(" --namespace %s", c.Namespace)
}
