package render_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/controllers/render"
)

// fleet is a Broker with many users, each with a password of its own that was
// rendered before, and many TopicACLs with one subject each.
func fleet(b *testing.B, users, acls int, subject func(i int) v1alpha1.Subject) render.Input {
	b.Helper()
	in := render.Input{
		Broker:  &v1alpha1.Broker{ObjectMeta: metav1.ObjectMeta{Namespace: "iot", Name: "edge"}},
		Users:   devices(users, 0),
		ACLs:    make([]v1alpha1.TopicACL, acls),
		Secrets: map[types.NamespacedName]*corev1.Secret{},
		Passwords: render.NewPasswords(
			func(hash string, password []byte) (bool, error) {
				return strings.HasSuffix(hash, string(password)), nil
			},
			func(password []byte) (string, error) {
				return fmt.Sprintf("%0*d%s", 97-len(password), 0, password), nil
			},
			func(string) error { return nil },
		),
	}
	for i := range in.Users {
		u := &in.Users[i]
		u.Labels = map[string]string{"device": u.Name}
		u.Spec.Authentication = v1alpha1.UserAuthentication{
			Password: &v1alpha1.PasswordAuthentication{SecretRef: v1alpha1.SecretKeyRef{Name: u.Name}},
		}
		in.Secrets[types.NamespacedName{Namespace: u.Namespace, Name: u.Name}] = &corev1.Secret{
			Data: map[string][]byte{v1alpha1.PasswordKey: []byte(u.Name)},
		}
	}
	for i := range in.ACLs {
		a := &in.ACLs[i]
		a.Name = fmt.Sprintf("acl-%05d", i)
		place(a)
		a.Spec = v1alpha1.TopicACLSpec{
			BrokerRef: v1alpha1.BrokerRef{Name: "edge"},
			Subjects:  []v1alpha1.Subject{subject(i)},
			Rules: []v1alpha1.Rule{
				{Effect: v1alpha1.Allow, Actions: []v1alpha1.Action{v1alpha1.ActionAll}, Topics: []string{fmt.Sprintf("site/%d/#", i)}},
				{Effect: v1alpha1.Deny, Actions: []v1alpha1.Action{v1alpha1.ActionAll}, Topics: []string{fmt.Sprintf("site/%d/secret", i)}},
			},
		}
	}
	out, err := render.Render(in)
	if err != nil {
		b.Fatal(err)
	}
	in.Previous = out.Access
	return in
}

func BenchmarkRender(b *testing.B) {
	for name, subject := range map[string]func(i int) v1alpha1.Subject{
		"user": func(i int) v1alpha1.Subject { return v1alpha1.Subject{User: fmt.Sprintf("user-%05d", i)} },
		"selector": func(i int) v1alpha1.Subject {
			return v1alpha1.Subject{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"device": fmt.Sprintf("user-%05d", i)}}}
		},
	} {
		for _, users := range []int{1_000, 10_000} {
			in := fleet(b, users, 1_000, subject)
			b.Run(fmt.Sprintf("subject=%s/users=%d/acls=1000", name, users), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := render.Render(in); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
