package render_test

import (
	"fmt"
	"math/rand/v2"
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

// youngestOf returns by shard the youngest of the users that devices made.
func youngestOf(access config.Access) map[int]string {
	out := map[int]string{}
	for _, u := range access.Users {
		shard := config.ShardOf(u.Username, config.MaxShards)
		out[shard] = max(out[shard], u.Username)
	}
	return out
}

// oldestRefused returns the oldest of the users that devices made whom a shard has
// no room for; where there is none, a name behind all others.
func oldestRefused(out *render.Output, shard int) string {
	oldest := "~"
	for _, u := range out.Users {
		if !u.Verdict.Accepted() && strings.HasPrefix(u.Username, "user-") && config.ShardOf(u.Username, config.MaxShards) == shard {
			oldest = min(oldest, u.Username)
		}
	}
	return oldest
}

// crowd is users of one shard, of some size each, and more of them than it holds.
func crowd(shard int) []v1alpha1.MQTTUser {
	return slices.DeleteFunc(devices(5000, 1600), func(u v1alpha1.MQTTUser) bool {
		return config.ShardOf(u.Name, config.MaxShards) != shard
	})
}

// aclsOf are TopicACLs with sources of one shard, one a second from some time on.
func aclsOf(t *testing.T, shard, n int, created int64, spec string) []v1alpha1.TopicACL {
	t.Helper()
	var out []v1alpha1.TopicACL
	for i := 0; len(out) < n; i++ {
		a := input(t, fmt.Sprintf(`{kind: TopicACL, metadata: {name: acl-%05d}, spec: {brokerRef: {name: edge}, %s}}`, i, spec)).ACLs[0]
		if config.ShardOf("iot/"+a.Name, config.MaxShards) == shard {
			a.CreationTimestamp = metav1.Unix(created+int64(len(out)), 0)
			out = append(out, a)
		}
	}
	return out
}

// fill gives a rule some kibibytes of topics below a level.
func fill(r *v1alpha1.Rule, level string, kib int) {
	for i := range kib {
		r.Topics = append(r.Topics, fmt.Sprintf("%s/%0*d", level, 1020-len(level), i))
	}
}

// policyOf returns what is in force of an ACL.
func policyOf(t *testing.T, out *render.Output, name string) config.Policy {
	t.Helper()
	for _, p := range accessOf(t, out).Policies {
		if p.Source == "iot/"+name {
			return p
		}
	}
	return config.Policy{}
}

func TestAFullShardRefusesNobodyElse(t *testing.T) {
	in := input(t)
	in.Users = crowd(3)
	full := aclsOf(t, 3, 1, 10_000, `subjects: [{authenticated: true}], rules: [{effect: Allow, actions: [All], topics: [a]}]`)[0]
	other := aclsOf(t, 4, 1, 10_000, `subjects: [{authenticated: true}], rules: [{effect: Allow, actions: [All], topics: [a]}]`)[0]
	small := devices(5100, 0)[5000:]
	in.Users = append(in.Users, small...)
	in.ACLs = append(in.ACLs, full, other)

	out := mustRender(t, in)
	for _, u := range small {
		refused := config.ShardOf(u.Name, config.MaxShards) == 3
		if v := verdictOf(t, out.Users, u.Name); refused == v.Accepted() {
			t.Errorf("%s: %+v", u.Name, v)
		}
	}
	if v := verdictOf(t, out.ACLs, full.Name); v.Reason != v1alpha1.ReasonBrokerFull || strings.Contains(v.Message, "denies") {
		t.Errorf("the ACL of the full shard: %+v", v)
	}
	if v := verdictOf(t, out.ACLs, other.Name); !v.Accepted() {
		t.Errorf("the ACL of another shard: %+v", v)
	}
	in.Previous = out.Access
	for range 3 {
		rand.Shuffle(len(in.Users), func(i, j int) { in.Users[i], in.Users[j] = in.Users[j], in.Users[i] })
		rand.Shuffle(len(in.ACLs), func(i, j int) { in.ACLs[i], in.ACLs[j] = in.ACLs[j], in.ACLs[i] })
		if again := mustRender(t, in); again.Revision != out.Revision {
			t.Fatal("another order gives another configuration")
		}
	}
}

func TestARefusedACLKeepsItsDenials(t *testing.T) {
	const rules = `rules: [{effect: Allow, actions: [All], topics: [open]}, {effect: Deny, actions: [All], topics: [secret]}]`
	for name, grow := range map[string]int{"for lack of room": 40, "for its size": 470} {
		t.Run(name, func(t *testing.T) {
			in := input(t)
			in.Users = crowd(3)
			acl := aclsOf(t, 3, 1, 10_000, `subjects: [{user: `+in.Users[0].Name+`}, {authenticated: true}], `+rules)[0]
			fill(&acl.Spec.Rules[0], "open", grow)
			in.ACLs = append(in.ACLs, acl)
			out := mustRender(t, in)
			v := verdictOf(t, out.ACLs, acl.Name)
			if v.Reason != v1alpha1.ReasonBrokerFull || !strings.Contains(v.Message, "what it denies stays denied") {
				t.Errorf("verdict %+v", v)
			}
			if out.ACLs[0].MatchedUsers != 1 {
				t.Errorf("%d users are matched", out.ACLs[0].MatchedUsers)
			}
			p := policyOf(t, out, acl.Name)
			if len(p.Rules) != 1 || p.Rules[0].Effect != config.Deny || p.Rules[0].Index != 1 || !p.Authenticated || len(p.Users) != 1 {
				t.Errorf("in force is %+v", p)
			}
		})
	}
}

func TestDenialsAreSafeFromACrowd(t *testing.T) {
	in := input(t)
	in.Users = crowd(3)
	before := len(accessOf(t, mustRender(t, in)).Users)
	acl := aclsOf(t, 3, 1, 10_000, `subjects: [{authenticated: true}], rules: [{effect: Deny, actions: [All], topics: [secret]}]`)[0]
	fill(&acl.Spec.Rules[0], "secret", 50)
	in.ACLs = append(in.ACLs, acl)
	out := mustRender(t, in)
	if v := verdictOf(t, out.ACLs, acl.Name); !v.Accepted() {
		t.Errorf("the newest object of all, which denies: %+v", v)
	}
	rendered := accessOf(t, out)
	if n := len(rendered.Users); n >= before || n == 0 {
		t.Errorf("%d users are left of %d", n, before)
	}
	if youngest, oldest := youngestOf(rendered)[3], oldestRefused(out, 3); oldest < youngest {
		t.Errorf("%s is refused, and %s, which is newer, is not", oldest, youngest)
	}
}

func TestClientsWhoseDenialsHaveNoRoomAreNotAdmitted(t *testing.T) {
	for subject, want := range map[string]struct {
		admitted  []string
		anonymous bool
	}{
		"user: user-00000":    {[]string{"user-00001"}, true},
		"authenticated: true": {nil, true},
		"anonymous: true":     {[]string{"user-00000", "user-00001"}, false},
	} {
		t.Run(subject, func(t *testing.T) {
			in := input(t, `{kind: Broker, spec: {authentication: {anonymous: true}, authorization: {default: Allow}}}`)
			in.Users = devices(2, 0)
			in.ACLs = aclsOf(t, 3, 1, 0, `subjects: [{`+subject+`}], rules: [
				{effect: Allow, actions: [All], topics: [a]}, {effect: Deny, actions: [All], topics: [secret]}]`)
			fill(&in.ACLs[0].Spec.Rules[1], "secret", 470)
			out := mustRender(t, in)
			if v := out.ACLs[0].Verdict; v.Reason != v1alpha1.ReasonBrokerFull || !strings.Contains(v.Message, "are not admitted") {
				t.Errorf("the ACL: %+v", v)
			}
			cfg, err := config.Parse(out.Settings, out.Access)
			if err != nil {
				t.Fatal(err)
			}
			var admitted []string
			for _, u := range cfg.Access.Users {
				admitted = append(admitted, u.Username)
			}
			if !slices.Equal(admitted, want.admitted) || cfg.Settings.Anonymous != want.anonymous || len(cfg.Access.Policies) > 0 {
				t.Errorf("admitted are %q, anonymous %v, in force %d policies", admitted, cfg.Settings.Anonymous, len(cfg.Access.Policies))
			}
			for _, u := range out.Users {
				if !u.Verdict.Accepted() && !strings.Contains(u.Verdict.Message, "TopicACL iot/"+in.ACLs[0].Name) {
					t.Errorf("%s: %+v", u.Key, u.Verdict)
				}
			}
		})
	}
}

// Whatever has room, and in whatever order it came: nobody is admitted without all
// that is denied to them.
func TestSizeNeverLoosensAccess(t *testing.T) {
	for seed := range uint64(5) {
		dice := rand.New(rand.NewPCG(seed, 0))
		in := input(t)
		in.Users = crowd(3)
		for i, a := range aclsOf(t, 3, 12, 0, `subjects: [], rules: [{effect: Allow, actions: [All], topics: [a]}, {effect: Deny, actions: [All], topics: [b]}]`) {
			a.CreationTimestamp = metav1.Unix(dice.Int64N(5000), 0)
			for range 20 {
				a.Spec.Subjects = append(a.Spec.Subjects, v1alpha1.Subject{User: in.Users[dice.IntN(len(in.Users))].Name})
			}
			fill(&a.Spec.Rules[0], "a", dice.IntN(60))
			fill(&a.Spec.Rules[1], fmt.Sprint("b", i), dice.IntN(100))
			in.ACLs = append(in.ACLs, a)
		}
		out := mustRender(t, in)
		if size := largest(out); size > 450<<10 {
			t.Errorf("seed %d: the largest file has %d bytes", seed, size)
		}
		access := accessOf(t, out)
		policies := map[string]config.Policy{}
		for _, p := range access.Policies {
			policies[p.Source] = p
		}
		for _, u := range access.Users {
			for _, a := range in.ACLs {
				if !slices.ContainsFunc(a.Spec.Subjects, func(s v1alpha1.Subject) bool { return s.User == u.Username }) {
					continue
				}
				p := policies["iot/"+a.Name]
				denied := slices.ContainsFunc(p.Rules, func(r config.Rule) bool {
					return r.Effect == config.Deny && slices.Equal(r.Topics, a.Spec.Rules[1].Topics)
				})
				if !denied || !slices.Contains(p.Users, u.Username) {
					t.Fatalf("seed %d: %s is admitted, and free of what %s denies", seed, u.Username, a.Name)
				}
			}
		}
	}
}

func TestDisabledUsersTakeNoRoom(t *testing.T) {
	in := input(t)
	in.Users = devices(3, 0)
	in.Users[1].Spec.Disabled = true
	in.ACLs = append(in.ACLs, everybody(t))
	out := mustRender(t, in)
	if p := policyOf(t, out, "everybody"); !slices.Equal(p.Users, []string{"user-00000", "user-00002"}) {
		t.Errorf("the ACL is for %q", p.Users)
	}
	if n := out.ACLs[0].MatchedUsers; n != 3 {
		t.Errorf("%d users are matched", n)
	}
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
	for shard, youngest := range youngestOf(rendered) {
		if oldest := oldestRefused(out, shard); oldest < youngest {
			t.Errorf("shard %d: %s is refused, and %s, which is newer, is not", shard, oldest, youngest)
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

// A shard that has no room for a large ACL has room for a small user who is newer.
func TestAnACLThatIsRefusedForItsSizeShutsItsShardToNobody(t *testing.T) {
	in := input(t)
	large := func(name string, second int64, kib int) v1alpha1.TopicACL {
		a := everybody(t)
		a.Name, a.CreationTimestamp = name, metav1.Unix(second, 0)
		a.Spec.Subjects = []v1alpha1.Subject{{Authenticated: true}}
		for i := range kib {
			a.Spec.Rules[0].Topics = append(a.Spec.Rules[0].Topics, fmt.Sprintf("%01020d", i))
		}
		place(&a)
		return a
	}
	// The second belongs to the shard of the first, and so do the users.
	shard := func(name string) int { return config.ShardOf(name, config.MaxShards) }
	second := 0
	for shard(fmt.Sprintf("iot/second-%d", second)) != shard("iot/first") {
		second++
	}
	in.ACLs = []v1alpha1.TopicACL{large("first", 1, 100), large(fmt.Sprintf("second-%d", second), 2, 400)}
	in.Users = slices.DeleteFunc(devices(100, 1), func(u v1alpha1.MQTTUser) bool { return shard(u.Name) != shard("iot/first") })
	for i := range in.Users {
		in.Users[i].CreationTimestamp = metav1.Unix(10, 0)
	}
	out := mustRender(t, in)
	if first, refused := out.ACLs[0].Verdict, out.ACLs[1].Verdict; !first.Accepted() || refused.Reason != v1alpha1.ReasonBrokerFull {
		t.Fatalf("the ACLs are %+v and %+v", first, refused)
	}
	for _, u := range out.Users {
		if !u.Verdict.Accepted() {
			t.Errorf("%s: %+v", u.Username, u.Verdict)
		}
	}
	if len(out.Users) == 0 {
		t.Error("no user belongs to the shard")
	}
}

// TestNoShardIsTooLargeWhateverTheUsernames: some characters take more room in the
// files than in the username.
func TestNoShardIsTooLargeWhateverTheUsernames(t *testing.T) {
	var manifests []string
	for i := range 1500 {
		name := fmt.Sprintf("%04d", i) + strings.Repeat("<", 250)
		manifests = append(manifests, fmt.Sprintf(`{kind: MQTTUser, metadata: {name: u%d}, spec: {brokerRef: {name: edge}, username: %q, authentication: {x509: {commonName: u%d}}}}`, i, name, i))
	}
	for i := range 5 {
		manifests = append(manifests, fmt.Sprintf(`{kind: TopicACL, metadata: {name: a%d}, spec: {brokerRef: {name: edge}, subjects: [{selector: {}}], `+
			`rules: [{effect: Allow, actions: [All], topics: ["t/%%u"]}]}}`, i))
	}
	for name, content := range mustRender(t, input(t, manifests...)).Access {
		if len(content) > 450<<10 {
			t.Errorf("%s has %d bytes", name, len(content))
		}
	}
}
