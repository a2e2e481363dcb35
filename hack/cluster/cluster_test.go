//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// testCluster keeps everything in a directory of the test.
func testCluster(t *testing.T) *cluster {
	t.Helper()
	dir := t.TempDir()
	return &cluster{dir: dir, runDir: filepath.Join(dir, "run"), tools: map[string]string{
		"pause": "/cache/pause-0123/pause", "kubectl": "/cache/kubectl-4567/kubectl",
	}}
}

func sleeper(ready error) process {
	return process{name: "sleeper", binary: "sleep", args: []string{"60"}, ready: func(context.Context) error { return ready }}
}

func TestProcessIsStartedOnceAndStopped(t *testing.T) {
	c := testCluster(t)
	if err := c.ensure(t.Context(), sleeper(nil)); err != nil {
		t.Fatal(err)
	}
	first, ok := c.running("sleeper")
	if !ok {
		t.Fatal("does not run")
	}
	if err := c.ensure(t.Context(), sleeper(nil)); err != nil {
		t.Fatal(err)
	}
	if again, _ := c.running("sleeper"); again != first {
		t.Errorf("started again: %+v, then %+v", first, again)
	}
	if err := c.stop("sleeper", time.Second); err != nil {
		t.Fatal(err)
	}
	if first.alive() || exists(c.recordFile("sleeper")) {
		t.Error("still there after stop")
	}
}

func TestProcessIsRestartedWhenItsConfigurationChanges(t *testing.T) {
	c := testCluster(t)
	p := sleeper(nil)
	p.config = []string{c.path("config")}
	var pids []int
	for _, content := range []string{"a", "b"} {
		if err := writeFile(p.config[0], content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := c.ensure(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		r, _ := c.running(p.name)
		pids = append(pids, r.PID)
	}
	if pids[0] == pids[1] {
		t.Error("not restarted")
	}
	if err := c.stop(p.name, time.Second); err != nil {
		t.Fatal(err)
	}
}

func TestProcessThatEndsIsReportedWithItsLog(t *testing.T) {
	c := testCluster(t)
	p := process{name: "failing", binary: "sh", args: []string{"-c", "echo no such luck; sleep 0.2; exit 1"},
		ready: func(context.Context) error { return errors.New("not yet") }}
	err := c.ensure(t.Context(), p)
	if err == nil || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("error %v", err)
	}
}

// A process identifier is used again after a while: the record of one must not match another.
func TestRecordOfAnotherProcessIsNotAlive(t *testing.T) {
	begun, err := startTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	self := record{PID: os.Getpid(), StartTime: begun, Exe: exe}
	earlier, other := self, self
	earlier.StartTime = "1"
	other.Exe = "/usr/bin/other"
	if !self.alive() || earlier.alive() || other.alive() {
		t.Errorf("alive: self %v, earlier %v, other %v", self.alive(), earlier.alive(), other.alive())
	}
}

func TestProcessThatIgnoresSignalsIsKilled(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `trap "" TERM; while :; do sleep 0.1; done`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	alive := func() bool { _, err := startTime(pid); return err == nil }
	time.Sleep(100 * time.Millisecond) // for the trap to be set
	if err := end(alive, pid, 200*time.Millisecond); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
}

func TestCertificatesAreMadeOnceAndVerify(t *testing.T) {
	c := testCluster(t)
	if err := c.writePKI(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(c.pki("apiserver.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.writePKI(), c.writeKubeconfigs()); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(c.pki("apiserver.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("made again")
	}
	if _, err := c.httpClient(); err != nil {
		t.Errorf("administrator's certificate: %v", err)
	}
}

func TestEveryTemplateRenders(t *testing.T) {
	c := testCluster(t)
	entries, err := files.ReadDir("files")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out, err := c.render(e.Name(), map[string]any{
			"CA": "ca", "Certificate": "crt", "Key": "key", "Upstream": true, "PauseImage": "pause",
			"CoreDNSImage": "coredns", "CertManagerImage": "cert-manager", "ProvisionerImage": "provisioner",
		})
		if err != nil || strings.Contains(out, "{{") {
			t.Errorf("%s: %v\n%s", e.Name(), err, out)
		}
	}
}

func TestImageIsNamedByTheKeyOfItsTool(t *testing.T) {
	c := testCluster(t)
	name, err := c.imageName("pause")
	if err != nil || name != "docker.io/godwit-cluster/pause:0123" {
		t.Errorf("%q, %v", name, err)
	}
	if _, err := c.imageName("coredns"); err == nil {
		t.Error("a tool without a path has a name")
	}
}

func TestMountPointsAreUnescaped(t *testing.T) {
	if got := unescape(`/a\040b\134c`); got != `/a b\c` {
		t.Errorf("got %q", got)
	}
}

func TestEnvironmentPassesOnOnlyWhatIsNamed(t *testing.T) {
	t.Setenv("KUBECONFIG", "/home/me/.kube/config")
	t.Setenv("GOFLAGS", "-v")
	env := strings.Join(environment("GO*"), "\n")
	if strings.Contains(env, "KUBECONFIG") || !strings.Contains(env, "GOFLAGS=-v") {
		t.Errorf("environment:\n%s", env)
	}
}

func TestForeignDirectoryIsRefused(t *testing.T) {
	c := testCluster(t)
	if err := c.ownState(); err != nil {
		t.Errorf("empty directory: %v", err)
	}
	if err := writeFile(c.path("holiday.jpg"), "", 0o600); err != nil {
		t.Fatal(err)
	}
	if c.ownState() == nil {
		t.Error("a directory with something else in it was accepted")
	}
	if err := c.keepSysctls(); err != nil {
		t.Fatal(err)
	}
	if err := c.ownState(); err != nil {
		t.Errorf("state directory: %v", err)
	}
	for _, dir := range []string{"/", "state"} {
		if _, err := newCluster(dir); err == nil {
			t.Errorf("%s was accepted", dir)
		}
	}
}
