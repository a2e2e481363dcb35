//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// down ends the cluster and removes what it made. It goes on after a failure, so that as little as
// possible is left, and reports all of them; the state stays until nothing failed.
func (c *cluster) down(ctx context.Context) error {
	if !exists(c.dir) && !exists(c.runDir) {
		log.Print("nothing to take down")
		return nil
	}
	start := time.Now()
	var errs []error
	note := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	if err := c.deletePods(ctx); err != nil {
		log.Printf("deleting pods: %v; ending them as they are", err)
	}
	for _, name := range []string{"kube-proxy", "kubelet"} {
		note("stop", c.stop(name, 20*time.Second))
	}
	if _, ok := c.running("containerd"); ok {
		c.deleteContainers(ctx)
	}
	for _, name := range []string{"containerd", "kube-apiserver", "etcd"} {
		note("stop", c.stop(name, 20*time.Second))
	}
	note("stop container shims", c.stopShims())
	note("control groups", removeCgroups())
	note("mounts", c.unmountAll())
	note("network", removeNetwork(ctx))
	note("sysctls", c.restoreSysctls())
	if err := errors.Join(errs...); err != nil {
		return err
	}
	note("state", errors.Join(os.RemoveAll(c.dir), os.RemoveAll(c.runDir)))
	removeStrays(ctx)
	log.Printf("down after %s", time.Since(start).Round(time.Second))
	return errors.Join(errs...)
}

// deletePods deletes all pods through the API, so that each ends as its own rules say, after what
// would make or place new ones has ended.
func (c *cluster) deletePods(ctx context.Context) error {
	for _, name := range []string{"kube-scheduler", "kube-controller-manager"} {
		if err := c.stop(name, 20*time.Second); err != nil {
			return err
		}
	}
	for _, name := range []string{"kube-apiserver", "containerd", "kubelet"} {
		if _, ok := c.running(name); !ok {
			return fmt.Errorf("%s does not run", name)
		}
	}
	if err := c.findSource(); err != nil {
		return err
	}
	if err := c.findTools(ctx, "kubectl"); err != nil {
		return err
	}
	_, err := c.kubectl(ctx, "", "delete", "pods", "--all", "--all-namespaces", "--grace-period=5", "--timeout=60s")
	return err
}

// deleteContainers kills what the kubelet has left. Failures do not matter: what is still there is
// ended by its control group.
func (c *cluster) deleteContainers(ctx context.Context) {
	tasks, _ := c.ctr(ctx, "tasks", "ls", "-q")
	for id := range strings.FieldsSeq(tasks) {
		_, _ = c.ctr(ctx, "tasks", "delete", "--force", id)
	}
}

// stopShims ends containerd's shims that belong to this cluster: they carry its socket's path.
func (c *cluster) stopShims() error {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range lines {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // has ended meanwhile
		}
		args := strings.Split(string(b), "\x00")
		if !strings.HasPrefix(filepath.Base(args[0]), "containerd-shim") || !slices.Contains(args, c.socket()) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		begun, err := startTime(pid)
		if err != nil {
			continue
		}
		alive := func() bool {
			now, err := startTime(pid)
			return err == nil && now == begun
		}
		errs = append(errs, end(alive, pid, 2*time.Second))
	}
	return errors.Join(errs...)
}

// unmountAll unmounts everything under the cluster's directories, the innermost first.
func (c *cluster) unmountAll() error {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var points []string
	for line := range strings.Lines(string(info)) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		for _, dir := range []string{c.dir, c.runDir} {
			if strings.HasPrefix(f[4], dir+"/") {
				points = append(points, unescape(f[4]))
			}
		}
	}
	var errs []error
	for _, point := range slices.Backward(points) {
		if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", point, err))
		}
	}
	return errors.Join(errs...)
}

// unescape undoes mountinfo's way to write spaces, tabs, line feeds and backslashes.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// removeStrays removes what containerd, its network library and the kubelet make outside the state
// on their own, where nobody has anything in it.
func removeStrays(ctx context.Context) {
	if socketReady(devicePlugins)(ctx) != nil { // nobody listens
		_ = os.Remove(devicePlugins)
	}
	// What the network library noted of sandboxes that ended without it: ours by the network's name,
	// and the loopback of the same sandbox.
	const results = "/var/lib/cni/results/"
	paths, _ := filepath.Glob(results + natTable + "-*-eth0")
	for _, path := range paths {
		id := strings.TrimSuffix(strings.TrimPrefix(path, results+natTable+"-"), "-eth0")
		_ = errors.Join(os.Remove(path), os.Remove(results+"cni-loopback-"+id+"-lo"))
	}
	for _, dir := range []string{
		results, "/var/lib/cni", "/run/containerd/s", "/run/containerd", "/var/log/containers",
		filepath.Dir(devicePlugins), "/var/lib/kubelet",
	} {
		_ = syscall.Rmdir(dir)
	}
}
