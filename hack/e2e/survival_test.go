//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// archive is a durable client that is away while something happens to the broker.
type archive struct {
	name string
	want []string // the messages that were acknowledged for it
}

// leaveMessages begins a session, leaves, and publishes messages of QoS 1 and 2 for it. All of them
// are acknowledged.
func (s *story) leaveMessages(t *testing.T, name string) archive {
	t.Helper()
	const each = 100
	a := archive{name: name}
	if out := run(t, patience, "mosquitto_sub", append(s.archiveArguments(a), "-E")...); out.code != 0 {
		t.Fatal(out)
	}
	for qos := 1; qos <= 2; qos++ {
		var lines strings.Builder
		for n := range each {
			text := fmt.Sprintf("%s %d %d", name, qos, n)
			lines.WriteString(text + "\n")
			a.want = append(a.want, fmt.Sprintf("%d %s", qos, text))
		}
		file := writeFile(t, "lines", []byte(lines.String()))
		args := append(s.broker.arguments(sensor), "-t", "telemetry/sensor/log", "-l", "-q", strconv.Itoa(qos))
		script := append([]string{"-c", `file=$1; shift; exec mosquitto_pub "$@" <"$file"`, "sh", file}, args...)
		if out := run(t, patience, "sh", script...); out.code != 0 || out.output != "" {
			t.Fatal(out)
		}
	}
	return a
}

// archiveArguments make mosquitto_sub go on with the session of a.
func (s *story) archiveArguments(a archive) []string {
	return append(s.broker.arguments(dashboard), "-V", "5", "-i", a.name, "-c", "-x", "3600", "-q", "2",
		"-t", "telemetry/sensor/log", "-F", "%q %p")
}

// mustGetAll checks that each message comes once, and in order.
func (s *story) mustGetAll(t *testing.T, a archive) {
	t.Helper()
	args := append(s.archiveArguments(a), "-C", strconv.Itoa(len(a.want)), "-W", strconv.Itoa(int(patience.Seconds())))
	out := run(t, 2*patience, "mosquitto_sub", args...)
	got := strings.Split(strings.TrimSpace(out.output), "\n")
	for qos := 1; qos <= 2; qos++ { // the order holds for each quality of service
		other := func(line string) bool { return !strings.HasPrefix(line, strconv.Itoa(qos)+" ") }
		want := slices.DeleteFunc(slices.Clone(a.want), other)
		if have := slices.DeleteFunc(slices.Clone(got), other); !slices.Equal(have, want) {
			t.Fatalf("QoS %d: received %d messages of %d:\n%s", qos, len(have), len(want), out)
		}
	}
}

// killProcess kills the broker's process from outside of its container, as a node does that is out
// of memory.
func (s *story) killProcess(t *testing.T) {
	if !s.local {
		t.Skip("the processes of the node are out of reach")
	}
	a := s.leaveMessages(t, "archive-1")
	pod := s.get(t, namespace, "pod/edge-0")
	pid, err := processOf(pod.Metadata.UID)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.witness.awaitEvent(t, patience, "disconnected")
	eventually(t, 2*time.Minute, "the container runs again", func() error {
		pod := s.get(t, namespace, "pod/edge-0")
		if c := pod.Status.ContainerStatuses; len(c) != 1 || c[0].RestartCount != 1 || pod.condition("Ready").Status != "True" {
			return fmt.Errorf("pod %+v", pod)
		}
		return nil
	})
	s.awaitWitness(t)
	s.mustGetAll(t, a)
}

// processOf finds the broker of a pod among the processes of this machine.
func processOf(podUID string) (pid int, err error) {
	all, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return 0, err
	}
	for _, file := range all {
		cgroups, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(cgroups, []byte("pod"+podUID)) {
			continue // it has ended, or is somebody else's
		}
		command, err := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if err == nil && slices.Contains(strings.Split(string(command), "\x00"), "broker") {
			return strconv.Atoi(filepath.Base(filepath.Dir(file)))
		}
	}
	return 0, errors.New("no process of the pod " + podUID)
}

// rescheduleBroker lets no node take pods, so that the next pod has to wait for one and for its
// volume.
func (s *story) rescheduleBroker(t *testing.T) {
	a := s.leaveMessages(t, "archive-2")
	gone := s.get(t, namespace, "pod/edge-0")
	uncordon := s.cordon(t)
	defer uncordon()
	s.do(t, "delete", "--namespace", namespace, "pod/edge-0")
	s.witness.awaitEvent(t, patience, "disconnected")
	eventually(t, 2*time.Minute, "the next pod waits for a node", func() error {
		pod := s.get(t, namespace, "pod/edge-0")
		if pod == nil || pod.Metadata.UID == gone.Metadata.UID || pod.condition("PodScheduled").Reason != "Unschedulable" {
			return fmt.Errorf("pod %+v", pod)
		}
		return nil
	})
	uncordon()
	s.awaitOtherPod(t, gone)
	s.awaitWitness(t)
	s.mustGetAll(t, a)
}

// cordon lets no node take pods until uncordon, which may be called again.
func (s *story) cordon(t *testing.T) (uncordon func()) {
	t.Helper()
	nodes := strings.Fields(s.do(t, "get", "nodes", "--field-selector", "spec.unschedulable!=true",
		"--output", "jsonpath={.items[*].metadata.name}"))
	s.do(t, append([]string{"cordon"}, nodes...)...)
	return func() {
		t.Helper()
		if _, err := s.try(context.WithoutCancel(t.Context()), "", append([]string{"uncordon"}, nodes...)...); err != nil {
			t.Error(err)
		}
	}
}

// recreateBroker deletes the Broker, whose volume stays, and applies it again.
//
//api:semantics 14
func (s *story) recreateBroker(t *testing.T) {
	const state = "telemetry/sensor/state"
	a := s.leaveMessages(t, "archive-3")
	s.broker.mustPublish(t, sensor, state, "outlives", "-q", "1", "-r")
	gone := s.get(t, namespace, "pod/edge-0")
	s.do(t, "delete", "--namespace", namespace, "broker/edge", "--timeout=2m")
	s.witness.awaitEvent(t, patience, "disconnected")
	eventually(t, 2*time.Minute, "pod and Service are gone", func() error {
		pod, service := s.get(t, namespace, "pod/edge-0"), s.get(t, namespace, "service/edge")
		if pod != nil || service != nil {
			return fmt.Errorf("pod %+v, service %+v", pod, service)
		}
		return nil
	})
	s.do(t, "apply", "--namespace", namespace, "--filename", "manifests/broker.yaml")
	s.awaitOtherPod(t, gone)
	if s.reachesService {
		s.findService(t)
		s.broker.plainHost = *s.service.Load()
	}
	s.awaitWitness(t)
	s.mustGetAll(t, a)
	s.broker.subscribe(t, dashboard, state, 1).awaitMessage(t, message(state, "outlives", 1, 1))
}
