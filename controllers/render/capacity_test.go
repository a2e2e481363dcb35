package render_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/controllers/render"
)

// devices are n users with certificates, one a second, of some size each.
func devices(n, size int) []v1alpha1.MQTTUser {
	users := make([]v1alpha1.MQTTUser, n)
	for i := range users {
		u := &users[i]
		u.Name = fmt.Sprintf("user-%05d", i)
		u.CreationTimestamp = metav1.Unix(int64(i), 0)
		u.Spec.BrokerRef.Name = "edge"
		u.Spec.Authentication.X509 = &v1alpha1.X509Authentication{CommonName: fmt.Sprintf("device %d", i)}
		for len(u.Spec.ClientIDs)*200 < size {
			u.Spec.ClientIDs = append(u.Spec.ClientIDs, fmt.Sprintf("%0200d", len(u.Spec.ClientIDs)))
		}
		place(u)
	}
	return users
}

// everybody is an old TopicACL that names every user there is room for.
func everybody(t *testing.T) v1alpha1.TopicACL {
	t.Helper()
	return input(t, `{kind: TopicACL, metadata: {name: everybody}, spec: {brokerRef: {name: edge}, subjects: [{selector: {}}],
		rules: [{effect: Allow, actions: [Publish], topics: [a]}]}}`).ACLs[0]
}

// largest is the size of the largest access file.
func largest(out *render.Output) int {
	size := 0
	for _, content := range out.Access {
		size = max(size, len(content))
	}
	return size
}

func TestTheNewestAreRefusedWhenTheBrokerIsFull(t *testing.T) {
	slow := &slowHash{}
	in := input(t, secrets, devACL)
	in.Passwords = slow.passwords()
	in.Users = devices(5000, 1600)
	// The newest of all has a password, which is not worth hashing.
	newest := input(t, dev).Users[0]
	newest.CreationTimestamp = metav1.Unix(5000, 0)
	in.Users = append(in.Users, newest)
	in.ACLs = append(in.ACLs, everybody(t))

	out := mustRender(t, in)
	if n := len(out.Access.Shards()); n != config.MaxShards {
		t.Errorf("%d shards", n)
	}
	if size := largest(out); size > 450<<10 || size < 447<<10 {
		t.Errorf("the largest access file has %d bytes", size)
	}
	var accepted int
	for _, u := range out.Users {
		if u.Verdict.Accepted() {
			accepted++
		} else if u.Verdict.Reason != v1alpha1.ReasonBrokerFull || !strings.Contains(u.Verdict.Message, "second Broker") {
			t.Fatalf("%s: %+v", u.Key.Name, u.Verdict)
		}
	}
	rendered := accessOf(t, out)
	for i, u := range rendered.Users {
		var n int
		if _, err := fmt.Sscanf(u.Username, "user-%d", &n); err != nil || n >= accepted {
			t.Fatalf("user %d is %s: not one of the %d oldest", i, u.Username, accepted)
		}
	}
	if len(rendered.Users) != accepted || slow.hashes.Load() != 0 {
		t.Errorf("%d are accepted, %d rendered, %d passwords hashed", accepted, len(rendered.Users), slow.hashes.Load())
	}
	for _, p := range rendered.Policies {
		if n := len(p.Users); p.Source == "iot/everybody" && n != accepted {
			t.Errorf("the ACL of all users names %d of %d", n, accepted)
		}
	}

	in.Users = slices.DeleteFunc(in.Users, func(u v1alpha1.MQTTUser) bool { return u.Name != "dev" })
	if out = mustRender(t, in); !out.Users[0].Verdict.Accepted() {
		t.Errorf("there is room, and still: %+v", out.Users[0].Verdict)
	}
}

func TestAnObjectThatIsTooLargeIsRefusedAlone(t *testing.T) {
	in := input(t, secrets, dev, devACL)
	huge := everybody(t)
	for range 64 {
		topics := make([]string, 256)
		for i := range topics {
			topics[i] = fmt.Sprintf("%030d", i)
		}
		huge.Spec.Rules = append(huge.Spec.Rules, v1alpha1.Rule{Effect: v1alpha1.Allow, Actions: []v1alpha1.Action{v1alpha1.ActionAll}, Topics: topics})
	}
	in.ACLs = append(in.ACLs, huge)
	newer := input(t, devACL).ACLs[0]
	newer.Name, newer.CreationTimestamp = "newer", metav1.Unix(1, 0)
	in.ACLs = append(in.ACLs, newer)
	for _, a := range mustRender(t, in).ACLs {
		if refused := a.Key.Name == "everybody"; refused == a.Verdict.Accepted() || refused && !strings.Contains(a.Verdict.Message, "split it") {
			t.Errorf("%s: %+v", a.Key.Name, a.Verdict)
		}
	}
}

func TestShardsAreAsManyAsTheSizeAsksFor(t *testing.T) {
	in := input(t, secrets)
	var many []v1alpha1.MQTTUser
	shards := func(users int) int {
		t.Helper()
		in.Users = many[:users]
		out := mustRender(t, in)
		in.Previous = out.Access
		if size := largest(out); size > 450<<10 {
			t.Errorf("%d users: the largest file has %d bytes", users, size)
		}
		return max(1, len(out.Access.Shards()))
	}
	many = devices(4000, 1600) // of some 1.7 KiB
	for _, step := range []struct{ users, shards int }{
		{0, 1}, {100, 1}, {200, 2}, {140, 2}, {50, 1}, {140, 1}, {1000, 8}, {4000, 16}, {1000, 16}, {300, 8}, {0, 1},
	} {
		if n := shards(step.users); n != step.shards {
			t.Errorf("%d users are in %d shards, want %d", step.users, n, step.shards)
		}
	}
}

func TestTenThousandUsersWithPasswordsHaveRoom(t *testing.T) {
	in := input(t, `{kind: Secret, metadata: {name: s}, stringData: {passwordHash: "$2y$05$`+strings.Repeat("x", 53)+`"}}`)
	const hashed = `authentication: {password: {secretRef: {name: s, key: passwordHash}}}`
	template := input(t, user("name: a", hashed)).Users[0]
	in.Users = devices(10_000, 0)
	for i := range in.Users {
		in.Users[i].Spec.Authentication = template.Spec.Authentication
	}
	in.ACLs = append(in.ACLs, everybody(t))
	first := mustRender(t, in)
	for _, u := range first.Users {
		if !u.Verdict.Accepted() {
			t.Fatalf("%s: %+v", u.Key, u.Verdict)
		}
	}
	in.Previous = first.Access
	in.Users[7].Spec.ClientIDs = []string{"another"}
	second := mustRender(t, in)
	var written int
	for name, content := range second.Access {
		if string(first.Access[name]) != string(content) {
			written++
		}
	}
	if written != 2 || second.Revision == first.Revision {
		t.Errorf("a change of one user writes %d of %d files", written, len(second.Access))
	}
}
