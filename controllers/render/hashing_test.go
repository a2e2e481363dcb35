package render_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/godwit-mqtt/godwit/controllers/render"
)

// usersWithPasswords is an input of so many users, u0 to uN, each with a password of its own.
func usersWithPasswords(t *testing.T, n int) render.Input {
	t.Helper()
	var manifests []string
	for i := range n {
		manifests = append(manifests,
			fmt.Sprintf(`{kind: Secret, metadata: {name: s%d}, stringData: {password: pass-%d}}`, i, i),
			user(fmt.Sprintf("name: u%d", i), fmt.Sprintf(`authentication: {password: {secretRef: {name: s%d, key: password}}}`, i)))
	}
	return input(t, manifests...)
}

// setPassword changes the Secret of the user with that number.
func setPassword(in render.Input, number int, password string) {
	key := types.NamespacedName{Namespace: "iot", Name: fmt.Sprintf("s%d", number)}
	in.Secrets[key].StringData["password"] = password
}

func pending(out *render.Output) (names []string) {
	for _, u := range out.Users {
		if u.Pending {
			names = append(names, u.Username)
		}
	}
	return names
}

// passwordsOf are the passwords by username, which the hashes of the tests show.
func passwordsOf(t *testing.T, out *render.Output) map[string]string {
	t.Helper()
	passwords := map[string]string{}
	for _, u := range accessOf(t, out).Users {
		_, passwords[u.Username], _ = strings.Cut(u.PasswordHashes[0], "$")
	}
	return passwords
}

// inAHurry is closed: each rendering hashes the password of one user.
func inAHurry() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func TestPasswordsThatThereIsNoTimeForArePending(t *testing.T) {
	in := usersWithPasswords(t, 3)
	in.Hurry = inAHurry()
	for _, want := range [][]string{{"u1", "u2"}, {"u2"}, nil} {
		out := mustRender(t, in)
		if got := pending(out); !slices.Equal(got, want) || out.Unhashed != len(want) {
			t.Fatalf("%v are pending, %d by number; want %v", got, out.Unhashed, want)
		}
		if n := len(accessOf(t, out).Users); n != 3-len(want) {
			t.Errorf("%d users are in the configuration while %v are pending", n, want)
		}
		in.Previous = out.Access
	}
}

func TestAChangedPasswordIsHashedBeforeAllOthers(t *testing.T) {
	whole := usersWithPasswords(t, 6)
	in := whole
	in.Users = whole.Users[4:]
	in.Previous = mustRender(t, in).Access

	in.Users, in.Hurry, in.Passwords = whole.Users, inAHurry(), (&slowHash{}).passwords()
	setPassword(in, 5, "changed")
	in.Secrets[types.NamespacedName{Namespace: "iot", Name: "s5"}].ResourceVersion = "2"
	if got := passwordsOf(t, mustRender(t, in)); len(got) != 2 || got["u5"] != "changed" || got["u4"] != "pass-4" {
		t.Errorf("the first rendering has %v", got)
	}
}

func TestAPendingUserKeepsItsHash(t *testing.T) {
	in := usersWithPasswords(t, 3)
	before := mustRender(t, in)
	in.Previous = before.Access

	in.Passwords, in.Hurry = (&slowHash{}).passwords(), inAHurry() // the operator has restarted
	setPassword(in, 1, "changed")
	first := mustRender(t, in)
	if got := pending(first); !slices.Equal(got, []string{"u1", "u2"}) || first.Revision != before.Revision {
		t.Errorf("%v are pending, and the revision %s became %s", got, before.Revision, first.Revision)
	}
	second := mustRender(t, in)
	if got := passwordsOf(t, second); got["u1"] != "changed" || got["u2"] != "pass-2" {
		t.Errorf("the second rendering has %v", got)
	}
}

func TestAPendingUserInheritsNoHash(t *testing.T) {
	in := usersWithPasswords(t, 2)
	in.Previous = mustRender(t, in).Access

	// Another MQTTUser of the username, whose password is another.
	heir := in.Users[1]
	heir.Name, heir.UID, heir.Spec.Username = "heir", "heir", "u1"
	setPassword(in, 1, "of the heir")
	in.Users[1] = heir
	in.Passwords, in.Hurry = (&slowHash{}).passwords(), inAHurry()
	in.Users[0].Status.ObservedSecretVersion = "so that it comes first"
	out := mustRender(t, in)
	if got := passwordsOf(t, out); !slices.Equal(pending(out), []string{"u1"}) || len(got) != 1 {
		t.Errorf("%v are pending; passwords %v", pending(out), got)
	}
}

func TestAUserWhoseSecretCannotBeReadKeepsItsHash(t *testing.T) {
	in := usersWithPasswords(t, 3)
	before := in
	before.Users = in.Users[:2]
	in.Previous = mustRender(t, before).Access
	unread := func(number int) types.NamespacedName {
		return types.NamespacedName{Namespace: "iot", Name: fmt.Sprintf("s%d", number)}
	}
	in.Unread = map[types.NamespacedName]bool{unread(1): true, unread(2): true}
	delete(in.Secrets, unread(1))
	delete(in.Secrets, unread(2))
	out := mustRender(t, in)
	if got := passwordsOf(t, out); len(got) != 2 || got["u0"] != "pass-0" || got["u1"] != "pass-1" || out.Unhashed != 0 {
		t.Errorf("passwords %v, %d are unhashed", got, out.Unhashed)
	}
	if got := pending(out); !slices.Equal(got, []string{"u1", "u2"}) {
		t.Errorf("%v are pending", got)
	}
}

func TestRulesOfAPendingUserWaitForIt(t *testing.T) {
	in := usersWithPasswords(t, 2)
	in.ACLs = input(t, `{kind: TopicACL, metadata: {name: acl}, spec: {brokerRef: {name: edge}, subjects: [{user: u1}], rules: [{effect: Allow, actions: [All], topics: ["a"]}]}}`).ACLs
	in.Hurry = inAHurry()
	first := mustRender(t, in)
	in.Previous = first.Access
	second := mustRender(t, in)
	if len(pending(first)) != 1 || len(pending(second)) != 0 || first.ACLs[0].Digest != second.ACLs[0].Digest {
		t.Errorf("pending %v, then %v; digest of the ACL %s, then %s", pending(first), pending(second), first.ACLs[0].Digest, second.ACLs[0].Digest)
	}
	c := accessOf(t, second)
	if len(c.Policies) != 1 || !slices.Equal(c.Policies[0].Users, []string{"u1"}) {
		t.Errorf("policies %+v", c.Policies)
	}
}

func TestAHashThatWasMadeIsNotMadeAgain(t *testing.T) {
	slow := &slowHash{}
	in := usersWithPasswords(t, 2)
	in.Passwords = slow.passwords()
	first := mustRender(t, in)
	// What was rendered could not be written.
	if again := mustRender(t, in); again.Revision != first.Revision || slow.hashes.Load() != 2 {
		t.Errorf("revision %s became %s after %d hashes of 2 passwords", first.Revision, again.Revision, slow.hashes.Load())
	}
	in.Previous = first.Access
	setPassword(in, 1, "changed")
	changed := mustRender(t, in)
	if again := mustRender(t, in); again.Revision != changed.Revision || slow.hashes.Load() != 3 || slow.verifications.Load() != 1 {
		t.Errorf("revision %s became %s after %d hashes and %d verifications", changed.Revision, again.Revision, slow.hashes.Load(), slow.verifications.Load())
	}
}

func TestBrokersKeepTheirHashesOfOneUserAndPassword(t *testing.T) {
	one, two := usersWithPasswords(t, 1), usersWithPasswords(t, 1)
	two.Users[0].Name = "another" // of the same username, for another Broker
	two.Users[0].Spec.Username = "u0"
	one.Previous, two.Previous = mustRender(t, one).Access, mustRender(t, two).Access

	restarted := (&slowHash{}).passwords()
	for _, in := range []render.Input{one, two} {
		before := accessOf(t, mustRender(t, in)).Users[0].PasswordHashes
		in.Passwords = restarted
		if after := accessOf(t, mustRender(t, in)).Users[0].PasswordHashes; !slices.Equal(after, before) {
			t.Errorf("the hash %s became %s", before, after)
		}
	}
}
