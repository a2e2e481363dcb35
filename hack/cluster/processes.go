//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"
)

// processes lists the daemons in the order in which they start; they end in the reverse one.
func (c *cluster) processes() []process {
	return []process{
		c.etcd(), c.apiserver(), c.controllerManager(), c.scheduler(), c.containerd(), c.kubelet(), c.kubeProxy(),
	}
}

func (c *cluster) etcd() process {
	return process{
		name:   "etcd",
		binary: c.tools["etcd"],
		args: []string{
			"--name=" + nodeName,
			"--data-dir=" + c.path("etcd"),
			"--listen-client-urls=https://" + nodeIP + ":2379",
			"--advertise-client-urls=https://" + nodeIP + ":2379",
			"--listen-peer-urls=http://" + nodeIP + ":2380",
			"--initial-advertise-peer-urls=http://" + nodeIP + ":2380",
			"--initial-cluster=" + nodeName + "=http://" + nodeIP + ":2380",
			"--cert-file=" + c.pki("node.crt"),
			"--key-file=" + c.pki("node.key"),
			"--client-cert-auth",
			"--trusted-ca-file=" + c.pki("ca.crt"),
			// The cluster may be lost with the machine; its disk is shared with builds.
			"--unsafe-no-fsync",
		},
		ready: c.httpReady("https://" + nodeIP + ":2379/health"),
	}
}

func (c *cluster) apiserver() process {
	return process{
		name:   "kube-apiserver",
		binary: c.tools["kube-apiserver"],
		args: []string{
			"--bind-address=" + nodeIP,
			"--advertise-address=" + nodeIP,
			"--secure-port=6443",
			"--authorization-mode=Node,RBAC",
			"--enable-admission-plugins=NodeRestriction",
			"--allow-privileged=true",
			"--service-cluster-ip-range=" + serviceCIDR,
			"--tls-cert-file=" + c.pki("apiserver.crt"),
			"--tls-private-key-file=" + c.pki("apiserver.key"),
			"--client-ca-file=" + c.pki("ca.crt"),
			"--etcd-servers=https://" + nodeIP + ":2379",
			"--etcd-cafile=" + c.pki("ca.crt"),
			"--etcd-certfile=" + c.pki("admin.crt"),
			"--etcd-keyfile=" + c.pki("admin.key"),
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file=" + c.pki("service-account.pub"),
			"--service-account-signing-key-file=" + c.pki("service-account.key"),
			"--kubelet-certificate-authority=" + c.pki("ca.crt"),
			"--kubelet-client-certificate=" + c.pki("admin.crt"),
			"--kubelet-client-key=" + c.pki("admin.key"),
			"--kubelet-preferred-address-types=InternalIP",
			"--requestheader-client-ca-file=" + c.pki("front-proxy-ca.crt"),
			"--requestheader-allowed-names=front-proxy-client",
			"--requestheader-extra-headers-prefix=X-Remote-Extra-",
			"--requestheader-group-headers=X-Remote-Group",
			"--requestheader-username-headers=X-Remote-User",
			"--proxy-client-cert-file=" + c.pki("front-proxy.crt"),
			"--proxy-client-key-file=" + c.pki("front-proxy.key"),
		},
		ready: c.httpReady(apiURL + "/readyz"),
	}
}

func (c *cluster) controllerManager() process {
	kubeconfig := c.path("config", "controller-manager.kubeconfig")
	return process{
		name:   "kube-controller-manager",
		binary: c.tools["kube-controller-manager"],
		args: []string{
			"--kubeconfig=" + kubeconfig,
			"--authentication-kubeconfig=" + kubeconfig,
			"--authorization-kubeconfig=" + kubeconfig,
			"--bind-address=" + nodeIP,
			"--tls-cert-file=" + c.pki("node.crt"),
			"--tls-private-key-file=" + c.pki("node.key"),
			"--leader-elect=false", // alone; and it would end itself when the machine is busy
			"--use-service-account-credentials",
			"--root-ca-file=" + c.pki("ca.crt"),
			"--service-account-private-key-file=" + c.pki("service-account.key"),
			"--cluster-signing-cert-file=" + c.pki("ca.crt"),
			"--cluster-signing-key-file=" + c.pki("ca.key"),
			"--node-monitor-grace-period=2m", // a busy machine is not a lost node
		},
		config: []string{kubeconfig},
		ready:  c.httpReady("https://" + nodeIP + ":10257/healthz"),
	}
}

func (c *cluster) scheduler() process {
	kubeconfig := c.path("config", "scheduler.kubeconfig")
	return process{
		name:   "kube-scheduler",
		binary: c.tools["kube-scheduler"],
		args: []string{
			"--kubeconfig=" + kubeconfig,
			"--authentication-kubeconfig=" + kubeconfig,
			"--authorization-kubeconfig=" + kubeconfig,
			"--bind-address=" + nodeIP,
			"--tls-cert-file=" + c.pki("node.crt"),
			"--tls-private-key-file=" + c.pki("node.key"),
			"--leader-elect=false",
		},
		config: []string{kubeconfig},
		ready:  c.httpReady("https://" + nodeIP + ":10259/healthz"),
	}
}

func (c *cluster) containerd() process {
	config := c.path("config", "containerd.toml")
	return process{
		name:   "containerd",
		binary: "containerd",
		args:   []string{"--config=" + config, "--log-level=warn"},
		config: []string{config},
		ready:  socketReady(c.socket()),
	}
}

func (c *cluster) kubelet() process {
	config := c.path("config", "kubelet.yaml")
	return process{
		name:   "kubelet",
		binary: c.tools["kubelet"],
		args: []string{
			"--config=" + config,
			"--kubeconfig=" + c.path("config", "kubelet.kubeconfig"),
			"--root-dir=" + c.path("kubelet"),
			"--cert-dir=" + c.path("kubelet", "pki"),
			"--hostname-override=" + nodeName,
			"--node-ip=" + nodeIP,
		},
		config: []string{config, c.path("config", "kubelet.kubeconfig"), c.path("config", "resolv.conf")},
		ready:  c.httpReady("http://" + nodeIP + ":10248/healthz"),
	}
}

func (c *cluster) kubeProxy() process {
	config := c.path("config", "kube-proxy.yaml")
	return process{
		name:   "kube-proxy",
		binary: c.tools["kube-proxy"],
		args:   []string{"--config=" + config},
		config: []string{config, c.path("config", "kube-proxy.kubeconfig")},
		ready:  c.httpReady("http://" + nodeIP + ":10256/healthz"),
	}
}

// writeConfiguration writes the certificates, kubeconfigs and configuration files of all processes.
func (c *cluster) writeConfiguration() error {
	if err := c.writePKI(); err != nil {
		return err
	}
	if err := c.writeKubeconfigs(); err != nil {
		return err
	}
	pause, err := c.imageName("pause")
	if err != nil {
		return err
	}
	for name, path := range map[string]string{
		"containerd.toml": c.path("config", "containerd.toml"),
		"cni.conflist":    c.path("config", "cni", "10-godwit.conflist"),
		"kubelet.yaml":    c.path("config", "kubelet.yaml"),
		"kube-proxy.yaml": c.path("config", "kube-proxy.yaml"),
	} {
		content, err := c.render(name, map[string]any{"PauseImage": pause})
		if err != nil {
			return err
		}
		if err := writeFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return writeFile(c.path("config", "resolv.conf"), resolvConf(), 0o644)
}

// resolvConf lists the machine's name servers without those that answer only on loopback, which a
// pod would look for in itself. With none left, pods resolve the cluster's own names only.
func resolvConf() string {
	var servers strings.Builder
	for _, path := range []string{"/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"} {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) == 2 && f[0] == "nameserver" && !strings.HasPrefix(f[1], "127.") && f[1] != "::1" {
				fmt.Fprintf(&servers, "nameserver %s\n", f[1])
			}
		}
		if servers.Len() > 0 {
			break
		}
	}
	return servers.String()
}
