package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/api/v1alpha1"
	admin "github.com/godwit-mqtt/godwit/broker/admin/client"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/controllers/resource"
)

// Pod is a broker pod that a kubelet might have started. Its admin endpoint is
// real, and enforces the mounted files as soon as they change, unless it is
// told otherwise.
type Pod struct {
	env    *Env
	broker types.NamespacedName
	name   types.NamespacedName

	mu     sync.Mutex
	status admin.Status
	held   bool
}

// RunPod waits for the StatefulSet of a Broker, and runs its first pod.
func (e *Env) RunPod(t *testing.T, b *v1alpha1.Broker) *Pod {
	t.Helper()
	p := &Pod{env: e, broker: client.ObjectKeyFromObject(b)}
	listener := listen(t)
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: p, ReadHeaderTimeout: time.Second}}
	server.Start()
	t.Cleanup(server.Close)
	p.name = e.place(t, p.broker, addressOf(listener))
	p.RollOut(t)
	return p
}

// place makes the pod of a Broker, once there is its StatefulSet, and says that it
// runs at an address.
func (e *Env) place(t *testing.T, broker types.NamespacedName, address string) types.NamespacedName {
	t.Helper()
	set := &appsv1.StatefulSet{}
	e.Eventually(t, func() error { return e.Client.Get(t.Context(), broker, set) })
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: broker.Name + "-0", Namespace: broker.Namespace, Labels: set.Spec.Template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))},
		},
		Spec: set.Spec.Template.Spec,
	}
	pod.Spec.Volumes = nil
	pod.Spec.Containers[0].VolumeMounts = nil
	e.Create(t, pod)
	e.sayRunning(t, pod, address, "1")
	return client.ObjectKeyFromObject(pod)
}

// sayRunning says of a pod what a kubelet would whose container runs, for the time
// of that name.
func (e *Env) sayRunning(t *testing.T, pod *corev1.Pod, address, run string) {
	t.Helper()
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: resource.ContainerName, ContainerID: "test://" + pod.Name + "/" + run, Ready: true,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}},
	}
	if err := e.Client.Status().Update(t.Context(), pod); err != nil {
		t.Fatal("run pod:", err)
	}
}

// RollOut says of the StatefulSet what its controller would, once its pod is of
// the newest kind.
func (p *Pod) RollOut(t *testing.T) {
	t.Helper()
	p.env.rollOut(t, p.broker)
}

func (e *Env) rollOut(t *testing.T, broker types.NamespacedName) {
	t.Helper()
	set := &appsv1.StatefulSet{}
	e.Eventually(t, func() error {
		if err := e.Client.Get(t.Context(), broker, set); err != nil {
			return err
		}
		set.Status = appsv1.StatefulSetStatus{
			ObservedGeneration: set.Generation, Replicas: 1, ReadyReplicas: 1, UpdatedReplicas: 1, CurrentReplicas: 1, AvailableReplicas: 1,
		}
		return e.Client.Status().Update(t.Context(), set)
	})
}

// Hold keeps the pod at what it enforces now, with the reason that it would
// give; Release lets it follow its files again.
func (p *Pod) Hold(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held, p.status.Error = true, reason
}

// Release ends Hold.
func (p *Pod) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held, p.status.Error = false, ""
}

// Serve has the pod tell of its listeners.
func (p *Pod) Serve(listeners ...admin.Listener) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Listeners = listeners
}

// Store has the pod tell of its storage.
func (p *Pod) Store(s *admin.Storage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Storage = s
}

// Crash says of the pod what a kubelet would whose container has ended with a
// status and last lines, over and over.
func (p *Pod) Crash(t *testing.T, status int32, last string) {
	t.Helper()
	pod := p.Object(t)
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: resource.ContainerName, RestartCount: 3,
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: status, Message: last}},
	}}
	if err := p.env.Client.Status().Update(t.Context(), pod); err != nil {
		t.Fatal("crash pod:", err)
	}
}

// Recover ends Crash.
func (p *Pod) Recover(t *testing.T) {
	t.Helper()
	pod := p.Object(t)
	last := pod.Status.ContainerStatuses[0].LastTerminationState
	p.env.sayRunning(t, pod, pod.Status.PodIP, "2")
	pod = p.Object(t)
	pod.Status.ContainerStatuses[0].LastTerminationState = last
	if err := p.env.Client.Status().Update(t.Context(), pod); err != nil {
		t.Fatal("recover pod:", err)
	}
}

// Deny lets the pod tell of something that the rules refused.
func (p *Pod) Deny(d admin.Denial) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status.Denials = append(p.status.Denials, d)
}

// Object reads the pod.
func (p *Pod) Object(t *testing.T) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	if err := p.env.Client.Get(t.Context(), p.name, pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// listen takes the port of the admin endpoint on an address that nobody else has.
// All of 127.0.0.0/8 is this machine; other tests take addresses of it as well.
func listen(t *testing.T) net.Listener {
	t.Helper()
	for range 10 {
		address := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254)) //nolint:gosec // no secret
		var lc net.ListenConfig
		listener, err := lc.Listen(t.Context(), "tcp", net.JoinHostPort(address, strconv.Itoa(resource.AdminPort)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			t.Fatal("run the admin endpoint:", err)
		}
		return listener
	}
	t.Fatal("run the admin endpoint: no address is free")
	return nil
}

func addressOf(l net.Listener) string { return l.Addr().(*net.TCPAddr).IP.String() }

// ServeHTTP answers what a broker would.
func (p *Pod) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.held {
		settings, access, err := p.env.mounted(r.Context(), p.broker)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		p.take(settings, access)
	}
	_ = json.NewEncoder(w).Encode(p.status)
}

// take puts files in force that are whole and valid, as a broker does.
func (p *Pod) take(settings []byte, access config.Files) {
	if config.Revision(settings, access) == p.status.Revision {
		p.status.Error = ""
		return
	}
	c, err := config.Parse(settings, access)
	switch {
	case errors.Is(err, config.ErrIncomplete): // a change that is under way
	case err != nil:
		p.status.Error = err.Error()
	default:
		p.status.Revision, p.status.Error = c.Revision, ""
	}
}

// mounted reads the files that the pods of a Broker mount.
func (e *Env) mounted(ctx context.Context, broker types.NamespacedName) (settings []byte, access config.Files, err error) {
	b := &v1alpha1.Broker{ObjectMeta: metav1.ObjectMeta{Name: broker.Name, Namespace: broker.Namespace}}
	content := &corev1.ConfigMap{}
	err = e.Client.Get(ctx, types.NamespacedName{Namespace: b.Namespace, Name: resource.SettingsName(b)}, content)
	if err == nil {
		access, err = e.AccessFiles(ctx, b)
	}
	return []byte(content.Data[config.SettingsFile]), access, err
}

// Revision is that of the configuration that the pods of a Broker mount.
func (e *Env) Revision(t *testing.T, b *v1alpha1.Broker) string {
	t.Helper()
	settings, access, err := e.mounted(t.Context(), client.ObjectKeyFromObject(b))
	if err != nil {
		t.Fatal(err)
	}
	return config.Revision(settings, access)
}

// AccessFiles reads all that the pods of a Broker mount of users and rules.
func (e *Env) AccessFiles(ctx context.Context, b *v1alpha1.Broker) (config.Files, error) {
	var secrets corev1.SecretList
	if err := e.Client.List(ctx, &secrets, client.InNamespace(b.Namespace), client.MatchingLabels(resource.Selector(b))); err != nil {
		return nil, err
	}
	files := config.Files{}
	for _, s := range secrets.Items {
		if strings.HasPrefix(s.Name, resource.AccessName(b)) {
			maps.Copy(files, s.Data)
		}
	}
	if files[config.AccessFile] == nil {
		return nil, fmt.Errorf("there is no %s of Broker %s", config.AccessFile, b.Name)
	}
	return files, nil
}
