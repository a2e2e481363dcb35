//go:build e2e && scale

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
)

const (
	scaleNamespace     = "godwit-e2e-scale"
	unrelatedNamespace = "godwit-e2e-unrelated"

	scaleUsers     = 1000
	scaleACLs      = 1000
	scaleUnrelated = 10000
	scaleChanges   = 20
)

// TestScale measures what the operator takes for many users, rules and unrelated Secrets on one
// Broker: time until all are Ready, memory, CPU time and requests of the API. It prints a table, and
// asserts nothing but that all become Ready.
func TestScale(t *testing.T) {
	c, err := clusterFromEnvironment(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	m := &measurement{story: &story{cluster: c, whole: t}, api: c.api(t)}
	m.removeNamespaces(t)
	t.Cleanup(func() { m.removeNamespaces(t) })
	m.install(t)
	for _, name := range []string{scaleNamespace, unrelatedNamespace} {
		m.create(t, 1, func(int) client.Object {
			return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"mqtt.godwit.io/e2e": "story"}}}
		})
	}
	m.apply(t, scaleNamespace, "apiVersion: mqtt.godwit.io/v1alpha1\nkind: Broker\nmetadata: {name: edge}\nspec: {}\n")
	m.awaitReady(t, scaleNamespace, 5*time.Minute, "broker/edge")
	m.connectOperator(t)

	m.measure(t, fmt.Sprintf("%d unrelated Secrets", scaleUnrelated), func() {
		m.create(t, scaleUnrelated, unrelated)
	})
	m.measure(t, fmt.Sprintf("%d MQTTUsers and their Secrets, until all are Ready", scaleUsers), func() {
		m.create(t, scaleUsers, password)
		m.create(t, scaleUsers, device)
		m.awaitAll(t)
	})
	m.measure(t, fmt.Sprintf("%d TopicACLs, until all are Ready", scaleACLs), func() {
		m.create(t, scaleACLs, policy)
		m.awaitAll(t)
	})
	m.measure(t, "a minute in which nothing happens", func() { time.Sleep(time.Minute) })
	m.measureChanges(t, "a TopicACL changes", m.changePolicy)
	m.measureChanges(t, "the Secret of a MQTTUser changes", m.changeSecret)
	m.measureChanges(t, "a new MQTTUser", m.addDevice)

	deployment := "deployment/" + m.deployment(t)
	m.do(t, "rollout", "restart", "--namespace", m.systemNS, deployment)
	m.do(t, "rollout", "status", "--namespace", m.systemNS, deployment, "--timeout=2m")
	m.connectOperator(t)
	m.last = figures{}
	m.measure(t, "an operator that has started, until a change is Ready", func() { m.changePolicy(t, 0) })
	fmt.Printf("\n| What | seconds | CPU s | requests | resident MiB |\n|---|---:|---:|---:|---:|\n%s\n", strings.Join(m.rows, "\n"))
}

// measurement is a story of figures.
type measurement struct {
	*story
	api      client.Client
	operator string // address of its metrics
	last     figures
	rows     []string
	added    int
}

// figures of the operator since its start.
type figures struct{ cpu, requests, resident float64 }

func (m *measurement) connectOperator(t *testing.T) {
	t.Helper()
	address, err := openForward(m.whole, m.cluster, m.systemNS, "pod/"+m.operatorPod(t), 8080).running()
	if err != nil {
		t.Fatal(err)
	}
	m.operator = address
	m.last = m.figures(t)
}

// figures reads the operator's metrics.
func (m *measurement) figures(t *testing.T) (f figures) {
	t.Helper()
	response, err := http.Get("http://" + m.operator + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			continue
		}
		switch name, _, _ = strings.Cut(name, "{"); name {
		case "process_cpu_seconds_total":
			f.cpu = value
		case "process_resident_memory_bytes":
			f.resident = value / (1 << 20)
		case "rest_client_requests_total":
			f.requests += value
		}
	}
	return f
}

// measure tells what something cost.
func (m *measurement) measure(t *testing.T, what string, f func()) {
	t.Helper()
	begun := time.Now()
	f()
	took, now := time.Since(begun), m.figures(t)
	m.row(what, fmt.Sprintf("%.1f", took.Seconds()), now, 1)
}

// measureChanges makes changes one after the other, each until it is Ready.
func (m *measurement) measureChanges(t *testing.T, what string, change func(*testing.T, int)) {
	t.Helper()
	var took []time.Duration
	for i := range scaleChanges {
		begun := time.Now()
		change(t, i)
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	m.row(what+", until it is Ready (p50 / most)",
		fmt.Sprintf("%.2f / %.2f", percentile(took, 50).Seconds(), took[len(took)-1].Seconds()), m.figures(t), scaleChanges)
}

func (m *measurement) row(what, seconds string, now figures, times float64) {
	row := fmt.Sprintf("| %s | %s | %.2f | %.0f | %.0f |", what, seconds,
		(now.cpu-m.last.cpu)/times, (now.requests-m.last.requests)/times, now.resident)
	fmt.Println(row)
	m.rows, m.last = append(m.rows, row), now
}

// create makes objects, some at a time.
func (m *measurement) create(t *testing.T, n int, object func(i int) client.Object) {
	t.Helper()
	var g errgroup.Group
	g.SetLimit(8)
	for i := range n {
		g.Go(func() error { return m.api.Create(t.Context(), object(i)) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

func unrelated(i int) client.Object {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: unrelatedNamespace, Name: fmt.Sprintf("unrelated-%05d", i)},
		Data:       map[string][]byte{"data": make([]byte, 1<<10)},
	}
}

func deviceName(i int) string { return fmt.Sprintf("device-%05d", i) }

func password(i int) client.Object {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: scaleNamespace, Name: deviceName(i)},
		Data:       map[string][]byte{"password": []byte("of " + deviceName(i))},
	}
}

func device(i int) client.Object {
	return &v1alpha1.MQTTUser{
		ObjectMeta: metav1.ObjectMeta{Namespace: scaleNamespace, Name: deviceName(i)},
		Spec: v1alpha1.MQTTUserSpec{
			BrokerRef: v1alpha1.BrokerRef{Name: "edge"},
			Authentication: v1alpha1.UserAuthentication{Password: &v1alpha1.PasswordAuthentication{
				SecretRef: v1alpha1.SecretKeyRef{Name: deviceName(i), Key: "password"},
			}},
		},
	}
}

func policy(i int) client.Object {
	return &v1alpha1.TopicACL{
		ObjectMeta: metav1.ObjectMeta{Namespace: scaleNamespace, Name: deviceName(i)},
		Spec: v1alpha1.TopicACLSpec{
			BrokerRef: v1alpha1.BrokerRef{Name: "edge"},
			Subjects:  []v1alpha1.Subject{{User: deviceName(i)}},
			Rules: []v1alpha1.Rule{
				{Effect: v1alpha1.Allow, Actions: []v1alpha1.Action{v1alpha1.ActionPublish}, Topics: []string{"telemetry/%u/#"}},
				{Effect: v1alpha1.Allow, Actions: []v1alpha1.Action{v1alpha1.ActionSubscribe}, Topics: []string{fmt.Sprintf("line/%d/#", i), "commands/%u/+"}},
			},
		},
	}
}

func (m *measurement) changePolicy(t *testing.T, i int) {
	acl := policy(i).(*v1alpha1.TopicACL)
	m.change(t, acl, func() {
		acl.Spec.Rules[0].Topics = append(acl.Spec.Rules[0].Topics, fmt.Sprintf("more/%d", time.Now().UnixNano()))
	})
	m.await(t, acl, func() bool { return ready(acl.Status.Conditions, acl.Generation) })
}

func (m *measurement) changeSecret(t *testing.T, i int) {
	secret, user := password(i).(*corev1.Secret), device(i).(*v1alpha1.MQTTUser)
	m.change(t, secret, func() { secret.Data["password"] = fmt.Appendf(nil, "changed %d", i) })
	m.await(t, user, func() bool {
		return user.Status.ObservedSecretVersion == secret.ResourceVersion && ready(user.Status.Conditions, user.Generation)
	})
}

func (m *measurement) addDevice(t *testing.T, _ int) {
	i := scaleUsers + m.added
	m.added++
	m.create(t, 1, func(int) client.Object { return password(i) })
	m.create(t, 1, func(int) client.Object { return device(i) })
	user := device(i).(*v1alpha1.MQTTUser)
	m.await(t, user, func() bool { return ready(user.Status.Conditions, user.Generation) })
}

func (m *measurement) change(t *testing.T, o client.Object, change func()) {
	t.Helper()
	if err := m.api.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		t.Fatal(err)
	}
	before := o.DeepCopyObject().(client.Object)
	change()
	if err := m.api.Patch(t.Context(), o, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

func (m *measurement) await(t *testing.T, o client.Object, done func() bool) {
	t.Helper()
	eventually(t, 2*time.Minute, o.GetName()+" is Ready", func() error {
		if err := m.api.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			return err
		}
		if !done() {
			return errors.New("it is not")
		}
		return nil
	})
}

// awaitAll waits until all users and ACLs are Ready.
func (m *measurement) awaitAll(t *testing.T) {
	t.Helper()
	eventually(t, 15*time.Minute, "all are Ready", func() error {
		waiting := 0
		count := func(conditions []metav1.Condition, generation int64) {
			if !ready(conditions, generation) {
				waiting++
			}
		}
		var users v1alpha1.MQTTUserList
		var acls v1alpha1.TopicACLList
		if err := errors.Join(m.list(t.Context(), &users), m.list(t.Context(), &acls)); err != nil {
			return err
		}
		for _, u := range users.Items {
			count(u.Status.Conditions, u.Generation)
		}
		for _, a := range acls.Items {
			count(a.Status.Conditions, a.Generation)
		}
		if waiting > 0 {
			time.Sleep(time.Second) // to list thousands is work for the API server as well
			return fmt.Errorf("%d are not", waiting)
		}
		return nil
	})
}

func (m *measurement) list(ctx context.Context, into client.ObjectList) error {
	return m.api.List(ctx, into, client.InNamespace(scaleNamespace))
}

func ready(conditions []metav1.Condition, generation int64) bool {
	c := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == generation
}
