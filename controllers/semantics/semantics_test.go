package semantics_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	"github.com/godwit-mqtt/godwit/broker/auth/password"
	"github.com/godwit-mqtt/godwit/broker/brokertest"
	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/cmd"
	"github.com/godwit-mqtt/godwit/controllers/render"
	"github.com/godwit-mqtt/godwit/controllers/testenv"
)

// options of every API server here: passwords as the engine knows them.
var options = testenv.Options{
	CertManager: true,
	Passwords: func() *render.Passwords {
		return render.NewPasswords(password.Verify, password.Hash, password.Validate)
	},
}

var shared *testenv.Env

func TestMain(m *testing.M) {
	os.Exit(testenv.Main(m, options, func(e *testenv.Env) { shared = e }))
}

// engine is `godwit broker`.
func engine(ctx context.Context, settingsDir, accessDir, adminAddress string) error {
	c := cmd.NewCommand()
	c.SetArgs([]string{
		"broker", "--settings-dir", settingsDir, "--access-dir", accessDir, "--admin-address", adminAddress, "--log-level", "error",
	})
	return c.ExecuteContext(ctx)
}

// world is a Broker "edge" in a namespace of its own, whose pod runs.
type world struct {
	*testenv.Env
	ns     string
	broker *v1alpha1.Broker
	pod    *testenv.EnginePod
	port   int
}

// newWorld makes a world on the API server of all tests.
func newWorld(t *testing.T, change ...func(*v1alpha1.Broker)) *world {
	t.Helper()
	return newWorldOf(t, shared, change...)
}

func newWorldOf(t *testing.T, env *testenv.Env, change ...func(*v1alpha1.Broker)) *world {
	t.Helper()
	w := &world{Env: env, ns: env.Namespace(t, nil), port: freePort(t)}
	w.broker = testenv.Broker(w.ns, "edge", append([]func(*v1alpha1.Broker){func(b *v1alpha1.Broker) {
		b.Spec.Listeners = []v1alpha1.Listener{{Name: "mqtt", Port: int32(w.port)}}
		b.Spec.Persistence.Enabled = new(false) // the directory is that of a pod
	}}, change...)...)
	w.Create(t, w.broker)
	w.pod = w.RunEngine(t, w.broker, engine)
	w.WaitFor(t, w.broker, testenv.Ready)
	return w
}

// freePort is one that was free a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // it was never used
	return l.Addr().(*net.TCPAddr).Port
}

// users makes MQTTUsers whose passwords are their names, and waits for them.
func (w *world) users(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		w.ready(t, testenv.Secret(w.ns, name, "password", name), testenv.User(w.ns, name, "edge"))
	}
}

// ready makes objects, and waits for each MQTTUser and TopicACL among them.
func (w *world) ready(t *testing.T, objects ...client.Object) {
	t.Helper()
	w.Create(t, objects...)
	for _, o := range objects {
		w.awaitReady(t, o)
	}
}

func (w *world) awaitReady(t *testing.T, o client.Object) {
	t.Helper()
	switch o.(type) {
	case *v1alpha1.MQTTUser, *v1alpha1.TopicACL:
		w.WaitFor(t, o, testenv.Ready)
	}
}

func (w *world) delete(t *testing.T, o client.Object) {
	t.Helper()
	if err := w.Client.Delete(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// everybody is a TopicACL of all users.
func (w *world) everybody(name string, rules ...v1alpha1.Rule) *v1alpha1.TopicACL {
	return testenv.ACL(w.ns, name, "edge", "", "", func(a *v1alpha1.TopicACL) {
		a.Spec.Subjects = []v1alpha1.Subject{{Authenticated: true}}
		a.Spec.Rules = rules
	})
}

// only gives a TopicACL of everybody to one user.
func only(user string, acl *v1alpha1.TopicACL) *v1alpha1.TopicACL {
	acl.Spec.Subjects = []v1alpha1.Subject{{User: user}}
	return acl
}

func allow(topics ...string) v1alpha1.Rule { return rule(v1alpha1.Allow, topics) }
func deny(topics ...string) v1alpha1.Rule  { return rule(v1alpha1.Deny, topics) }

func rule(effect v1alpha1.Effect, topics []string) v1alpha1.Rule {
	return v1alpha1.Rule{Effect: effect, Actions: []v1alpha1.Action{v1alpha1.ActionAll}, Topics: topics}
}

// dial opens a connection and sends nothing.
func (w *world) dial(t *testing.T, v packet.Version) *brokertest.Client {
	t.Helper()
	d := net.Dialer{Timeout: brokertest.Patience}
	conn, err := d.DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", w.port))
	if err != nil {
		t.Fatal(err)
	}
	return brokertest.NewClient(t, conn, v)
}

// connect connects a user, whose password is its name, by MQTT 5.
func (w *world) connect(t *testing.T, user, clientID string) *brokertest.Client {
	t.Helper()
	return w.connectBy(t, packet.V5, user, clientID)
}

func (w *world) connectBy(t *testing.T, v packet.Version, user, clientID string) *brokertest.Client {
	t.Helper()
	c := w.dial(t, v)
	c.Connect(clientID, brokertest.Login(user, user))
	return c
}

// login tries a password, and returns the reason code of the answer.
func (w *world) login(t *testing.T, user, password string) packet.ReasonCode {
	t.Helper()
	c := w.dial(t, packet.V5)
	c.Send(brokertest.NewConnect("", brokertest.Login(user, password)))
	return brokertest.Expect[*packet.Connack](c).Reason
}

// mustLogin checks what a password is answered.
func (w *world) mustLogin(t *testing.T, user, password string, want packet.ReasonCode) {
	t.Helper()
	if got := w.login(t, user, password); got != want {
		t.Errorf("user %q with password %q: CONNACK with %v, want %v", user, password, got, want)
	}
}

// refused and admitted are what a login is answered.
const (
	admitted = packet.ReasonSuccess
	refused  = packet.ReasonBadUserNameOrPassword
)

// publishes tries to publish at QoS 1, and returns whether the rules allow it.
func publishes(c *brokertest.Client, topic string) bool {
	p := brokertest.NewPublish(topic, "tried")
	p.QoS, p.ID = packet.QoS1, c.NextID()
	c.Send(p)
	return !brokertest.Expect[*packet.Ack](c).Reason.IsError()
}

// subscribes tries to subscribe, and returns the reason code of the answer.
func subscribes(c *brokertest.Client, filter string) packet.ReasonCode {
	p := &packet.Subscribe{ID: c.NextID(), Subscriptions: []packet.Subscription{{Filter: []byte(filter)}}}
	c.Send(p)
	return brokertest.Expect[*packet.Suback](c).Reasons[0]
}

// may checks what a client may publish and subscribe.
func may(t *testing.T, c *brokertest.Client, want map[string]bool) {
	t.Helper()
	for what, allowed := range want {
		action, topic := what[:4], what[4:]
		var got bool
		switch action {
		case "pub ":
			got = publishes(c, topic)
		case "sub ":
			if got = !subscribes(c, topic).IsError(); got {
				c.Unsubscribe(topic)
			}
		default:
			t.Fatalf("%q begins with neither pub nor sub", what)
		}
		if got != allowed {
			t.Errorf("%s: allowed is %v, want %v", what, got, allowed)
		}
	}
}
