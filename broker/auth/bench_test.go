package auth

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/config"
)

// fleet is a configuration of n rules in all, most of which are for other devices
// than dev-0: a few for everybody, placeholders among them, and one policy of ten
// rules for each of n/10 devices.
func fleet(n int) config.Config {
	c := config.Config{Access: config.Access{Policies: []config.Policy{{
		Source: "iot/fleet", Authenticated: true,
		Rules: []config.Rule{
			allow("p", "telemetry/%u/#"), allow("s", "cmd/%c/+", "$share/w/jobs/#"), deny("*", "telemetry/+/secret"),
		},
	}}}}
	for i := range max(1, n/10) {
		name := fmt.Sprintf("dev-%d", i)
		p := config.Policy{Source: "iot/" + name, Users: []string{name}}
		for j := range 9 {
			p.Rules = append(p.Rules, allow("*", fmt.Sprintf("site/%d/%s/ch%d/#", i%100, name, j)))
		}
		p.Rules = append(p.Rules, allow("p", "status/+"))
		c.Access.Users = append(c.Access.Users, config.User{Username: name})
		c.Access.Policies = append(c.Access.Policies, p)
	}
	return c
}

// crowded is a configuration of n rules in all that are for every device, and of
// which most do not concern the topics that are asked for: they differ from them
// in a level that is spelled out, behind placeholders and wildcards too.
func crowded(n int) config.Config {
	c := fleet(10)
	everybody := &c.Access.Policies[0]
	for i := len(everybody.Rules); i < n; i++ {
		r := allow("*", fmt.Sprintf([]string{
			"telemetry/%%u/part%d/#", "%%u/part%d", "+/%%c/part%d/+", "site/+/part%d/#", "telemetry/+/part%d/%%u",
		}[i%5], i))
		if i%10 == 0 {
			r.Effect = config.Deny
		}
		everybody.Rules = append(everybody.Rules, r)
	}
	return c
}

var sizes = []int{10, 1000, 100_000}

// perSize measures f as device dev-0, where the rules are mostly those of others
// and where they are mostly its own.
func perSize(b *testing.B, f func(s *Snapshot, a *ACL)) {
	b.Helper()
	for _, shape := range []struct {
		of   string
		make func(n int) config.Config
	}{{"others", fleet}, {"everybody", crowded}} {
		for _, n := range sizes {
			s := compile(b, shape.make(n))
			a := s.ACL(dev0)
			b.Run(fmt.Sprintf("of=%s/rules=%d", shape.of, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					f(s, a)
				}
			})
		}
	}
}

var dev0 = Principal{Username: "dev-0", ClientID: "c7"}

func BenchmarkPublish(b *testing.B) {
	for name, topic := range map[string]string{
		"own":         "site/0/dev-0/ch3/temperature",
		"placeholder": "telemetry/dev-0/engine/rpm",
		"everybodys":  "status/up",
		"nobodys":     "other/topic/that/nobody/knows",
	} {
		t := []byte(topic)
		b.Run(name, func(b *testing.B) {
			perSize(b, func(_ *Snapshot, a *ACL) { a.Publish(t) })
		})
	}
}

func BenchmarkReceive(b *testing.B) {
	t := []byte("telemetry/dev-0/engine/rpm")
	perSize(b, func(_ *Snapshot, a *ACL) { a.Receive(t) })
}

func BenchmarkSubscribe(b *testing.B) {
	for name, filter := range map[string]string{
		"placeholder": "cmd/c7/+",
		"shared":      "$share/w/jobs/+",
		"nobodys":     "other/+/that/nobody/knows",
	} {
		b.Run(name, func(b *testing.B) {
			perSize(b, func(_ *Snapshot, a *ACL) { a.Subscribe(filter) })
		})
	}
}

func BenchmarkACL(b *testing.B) {
	perSize(b, func(s *Snapshot, _ *ACL) { s.ACL(dev0) })
}

func BenchmarkFingerprint(b *testing.B) {
	perSize(b, func(_ *Snapshot, a *ACL) { a.Fingerprint() })
}

func BenchmarkCompile(b *testing.B) {
	for _, n := range sizes {
		c := fleet(n)
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				compile(b, c)
			}
			before := heapInUse()
			s := compile(b, c)
			b.ReportMetric(float64(heapInUse()-before)/float64(n), "retained-B/rule")
			runtime.KeepAlive(s)
		})
	}
}

// heapInUse returns the bytes of the objects that are reachable.
func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func BenchmarkCached(b *testing.B) {
	s := compile(b, config.Config{Access: config.Access{Users: []config.User{{Username: "u", PasswordHashes: []string{quickHash}}}}})
	a := NewAuthenticator(Options{})
	c := Credentials{ClientID: "c", Username: "u", HasUsername: true, Password: []byte(quickPassword), HasPassword: true}
	if _, err := a.Authenticate(s, c); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, decided, _ := a.Cached(s, c); !decided {
			b.Fatal("not cached")
		}
	}
}
