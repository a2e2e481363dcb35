//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sysctls that the cluster's parts set. Their values are kept at the first "up", and restored by
// "down".
var sysctls = []string{
	"net/ipv4/ip_forward",
	"kernel/panic", "kernel/panic_on_oops", "vm/overcommit_memory", "vm/panic_on_oom",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

// setUpNode prepares the machine: address, forwarding, address translation, control groups.
func (c *cluster) setUpNode(ctx context.Context) error {
	if err := c.refuseForeign(ctx); err != nil {
		return err
	}
	if err := c.keepSysctls(); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return err
	}
	if err := addNodeLink(ctx); err != nil {
		return err
	}
	rules, err := c.render("nat.nft", nil)
	if err != nil {
		return err
	}
	if err := nft(ctx, rules); err != nil {
		return err
	}
	if err := acceptForwarding(ctx); err != nil {
		return err
	}
	return makeCgroups()
}

// devicePlugins is a socket that every kubelet makes, at a path that cannot be chosen.
const devicePlugins = "/var/lib/kubelet/device-plugins/kubelet.sock"

// refuseForeign stops before this cluster and another on the machine get into each other's way
// where names are fixed: the kubelet's socket and kube-proxy's table.
func (c *cluster) refuseForeign(ctx context.Context) error {
	if !exists(c.recordFile("kubelet")) && socketReady(devicePlugins)(ctx) == nil {
		return errors.New("another kubelet works on this machine (" + devicePlugins + ")")
	}
	if exists(c.recordFile("kube-proxy")) {
		return nil
	}
	if _, err := output(ctx, "", "nft", "list", "table", "ip", "kube-proxy"); err == nil {
		return errors.New("another kube-proxy works on this machine (nft table ip kube-proxy); " +
			"if it is only left over: nft delete table ip kube-proxy")
	}
	return nil
}

// sysctlsFile is the first file that "up" writes: it also marks a state directory as such.
func (c *cluster) sysctlsFile() string { return c.path("sysctls.json") }

func (c *cluster) keepSysctls() error {
	kept := c.sysctlsFile()
	if exists(kept) {
		return nil
	}
	values := map[string]string{}
	for _, name := range sysctls {
		if b, err := os.ReadFile(filepath.Join("/proc/sys", name)); err == nil {
			values[name] = strings.TrimSpace(string(b))
		}
	}
	b, err := json.Marshal(values)
	if err != nil {
		return err
	}
	return writeFile(kept, string(b), 0o644)
}

func (c *cluster) restoreSysctls() error {
	b, err := os.ReadFile(c.sysctlsFile())
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	}
	values := map[string]string{}
	if err := json.Unmarshal(b, &values); err != nil {
		return err
	}
	var errs []error
	for name, value := range values {
		errs = append(errs, os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0))
	}
	return errors.Join(errs...)
}

// addNodeLink makes the bridge that holds the node's address: an address of its own keeps the
// cluster independent of the machine's networks, and out of their sight.
func addNodeLink(ctx context.Context) error {
	if _, err := net.InterfaceByName(nodeLink); err != nil {
		if _, err := output(ctx, "", "ip", "link", "add", nodeLink, "type", "bridge"); err != nil {
			return err
		}
	}
	_, err1 := output(ctx, "", "ip", "address", "replace", nodeIP+"/32", "dev", nodeLink)
	_, err2 := output(ctx, "", "ip", "link", "set", nodeLink, "up")
	return errors.Join(err1, err2)
}

// forwarding are the rules that let pods' packets pass where the machine's firewall drops what it
// does not know, as it does after an installation of Docker.
var forwarding = [][]string{
	{"FORWARD", "-s", podCIDR, "-m", "comment", "--comment", natTable, "-j", "ACCEPT"},
	{"FORWARD", "-d", podCIDR, "-m", "comment", "--comment", natTable, "-j", "ACCEPT"},
}

func acceptForwarding(ctx context.Context) error {
	rules, err := output(ctx, "", "iptables", "-w", "-S", "FORWARD")
	if err != nil || !strings.Contains(rules, "-P FORWARD DROP") {
		return nil //nolint:nilerr // no iptables, nothing that drops
	}
	for _, rule := range forwarding {
		if _, err := output(ctx, "", "iptables", append([]string{"-w", "-C"}, rule...)...); err == nil {
			continue
		}
		if _, err := output(ctx, "", "iptables", append([]string{"-w", "-I"}, rule...)...); err != nil {
			return err
		}
	}
	return nil
}

// removeNetwork takes away the address, the tables and the rules.
func removeNetwork(ctx context.Context) error {
	for _, rule := range forwarding {
		for {
			if _, err := output(ctx, "", "iptables", append([]string{"-w", "-D"}, rule...)...); err != nil {
				break // no more of them
			}
		}
	}
	var errs []error
	for _, table := range []string{"ip kube-proxy", "ip6 kube-proxy", "ip " + natTable} {
		// Declaring a table makes deleting it succeed whether or not it was there.
		errs = append(errs, nft(ctx, "table "+table+"\ndelete table "+table+"\n"))
	}
	if _, err := net.InterfaceByName(nodeLink); err == nil {
		_, err := output(ctx, "", "ip", "link", "delete", nodeLink)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func nft(ctx context.Context, rules string) error {
	_, err := output(ctx, rules, "nft", "-f", "-")
	return err
}

// cgroupParents are the directories under which the cluster has its control group: one in version
// 2, one for each mounted hierarchy in version 1 and in the mix of both.
func cgroupParents() ([]string, error) {
	const root = "/sys/fs/cgroup"
	if exists(filepath.Join(root, "cgroup.controllers")) {
		return []string{root}, nil
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	var parents []string
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && strings.HasPrefix(f[2], "cgroup") && filepath.Dir(f[1]) == root {
			parents = append(parents, f[1])
		}
	}
	if len(parents) == 0 {
		return nil, errors.New("no control groups are mounted in " + root)
	}
	return parents, nil
}

// makeCgroups makes the group that holds all pods, so that "down" knows what is the cluster's.
func makeCgroups() error {
	parents, err := cgroupParents()
	if err != nil {
		return err
	}
	for _, parent := range parents {
		group := filepath.Join(parent, cgroupRoot)
		if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} { // empty in a new group of version 1
			if err := inherit(parent, group, name); err != nil {
				return err
			}
		}
		if !exists(filepath.Join(parent, "cgroup.controllers")) {
			continue
		}
		for _, dir := range []string{parent, group} {
			if err := enableControllers(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

func inherit(parent, group, name string) error {
	if !exists(filepath.Join(parent, name)) {
		return nil
	}
	value, err := os.ReadFile(filepath.Join(parent, name))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(group, name), value, 0)
}

// enableControllers gives a group of version 2's children the controllers that the kubelet uses.
func enableControllers(group string) error {
	available, err := os.ReadFile(filepath.Join(group, "cgroup.controllers"))
	if err != nil {
		return err
	}
	var enable []string
	for name := range strings.FieldsSeq(string(available)) {
		if slices.Contains([]string{"cpu", "cpuset", "memory", "pids", "io", "hugetlb"}, name) {
			enable = append(enable, "+"+name)
		}
	}
	if len(enable) == 0 {
		return nil // version 1 has them all
	}
	return os.WriteFile(filepath.Join(group, "cgroup.subtree_control"), []byte(strings.Join(enable, " ")), 0)
}

// removeCgroups kills what still runs in the cluster's groups and removes them.
func removeCgroups() error {
	parents, err := cgroupParents()
	if err != nil {
		return err
	}
	var errs []error
	for _, parent := range parents {
		group := filepath.Join(parent, cgroupRoot)
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			err := removeCgroup(group)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				errs = append(errs, err)
				break
			}
		}
	}
	return errors.Join(errs...)
}

// removeCgroup removes a group and those in it, the innermost first.
func removeCgroup(group string) error {
	entries, err := os.ReadDir(group)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeCgroup(filepath.Join(group, e.Name())); err != nil {
				return err
			}
		}
	}
	if procs, err := os.ReadFile(filepath.Join(group, "cgroup.procs")); err == nil {
		for field := range strings.FieldsSeq(string(procs)) {
			if pid, err := strconv.Atoi(field); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	if err := syscall.Rmdir(group); err != nil && !errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("remove %s: %w", group, err)
	}
	return nil
}
