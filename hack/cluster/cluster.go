//go:build linux

package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// The cluster's addresses are fixed: nothing outside this machine sees them, and certificates and
// kubeconfigs stay valid when the machine changes networks.
const (
	nodeName    = "godwit-node"
	nodeLink    = "godwit0" // a bridge without ports, which only holds nodeIP
	nodeIP      = "10.87.0.1"
	podCIDR     = "10.85.0.0/16"
	serviceCIDR = "10.86.0.0/16"
	apiIP       = "10.86.0.1" // the Service default/kubernetes
	dnsIP       = "10.86.0.10"
	apiURL      = "https://" + nodeIP + ":6443"

	cgroupRoot = "godwit-cluster"
	natTable   = "godwit-cluster"

	defaultDir    = "/var/lib/godwit-cluster"
	defaultRunDir = "/run/godwit-cluster"

	// readyTimeout is generous: the node may share two cores with a build.
	readyTimeout = 3 * time.Minute
)

//go:embed files
var files embed.FS

// cluster knows where everything is. Fields are set by newCluster, tools by up and down.
type cluster struct {
	dir    string            // state that outlives a reboot
	runDir string            // sockets, process records, containerd's live state
	source string            // the project's source tree
	tools  map[string]string // path of each binary, by name
}

func newCluster(dir string) (*cluster, error) {
	if dir == "" {
		dir = defaultDir
	}
	dir = filepath.Clean(dir)
	if !filepath.IsAbs(dir) || dir == "/" {
		return nil, fmt.Errorf("GODWIT_CLUSTER_DIR must be an absolute path below the root, not %s", dir)
	}
	runDir := defaultRunDir
	if dir != defaultDir {
		runDir += "-" + filepath.Base(dir)
	}
	return &cluster{dir: dir, runDir: runDir, tools: map[string]string{}}, nil
}

// ownState fails where the state directory holds something that is not a cluster's: "down" removes
// all of it.
func (c *cluster) ownState() error {
	entries, err := os.ReadDir(c.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if len(entries) > 0 && !exists(c.sysctlsFile()) {
		return fmt.Errorf("%s is not a directory of this cluster, and not empty", c.dir)
	}
	return nil
}

func (c *cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.dir}, elem...)...)
}
func (c *cluster) kubeconfig() string { return c.path("kubeconfig") }
func (c *cluster) socket() string     { return filepath.Join(c.runDir, "containerd.sock") }

// up brings the cluster from any state to a running one.
func (c *cluster) up(ctx context.Context) error {
	start := time.Now()
	if err := c.prepare(ctx); err != nil {
		return err
	}
	if err := c.setUpNode(ctx); err != nil {
		return fmt.Errorf("set up node: %w", err)
	}
	if err := c.writeConfiguration(); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	for _, p := range c.processes() {
		if err := c.ensure(ctx, p); err != nil {
			return err
		}
		if p.name == "containerd" { // the kubelet needs the pause image as soon as it starts
			if err := c.importTools(ctx); err != nil {
				return err
			}
		}
	}
	if err := c.applyAddons(ctx); err != nil {
		return fmt.Errorf("add-ons: %w", err)
	}
	log.Printf("up after %s; export KUBECONFIG=%s", time.Since(start).Round(time.Second), c.kubeconfig())
	return nil
}

// prepare finds the source tree, and installs and builds what the cluster runs from.
func (c *cluster) prepare(ctx context.Context) error {
	if err := c.findSource(); err != nil {
		return err
	}
	install := command(ctx, c.script("hack/cluster/install-debian.sh"))
	install.Stdout, install.Stderr = os.Stderr, os.Stderr
	if err := install.Run(); err != nil {
		return fmt.Errorf("install Debian packages: %w", err)
	}
	return c.findTools(ctx, "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet",
		"kube-proxy", "kubectl", "coredns", "cert-manager", "provisioner", "pause", "probe")
}

// findSource looks for the source tree upwards from the working directory.
func (c *cluster) findSource() error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "hack/tools/build.sh")); err == nil {
			c.source = dir
			return nil
		}
		if dir == "/" {
			return errors.New("run this inside the project's source tree")
		}
	}
}

func (c *cluster) script(name string) string { return filepath.Join(c.source, name) }

// findTools builds the named tools where needed, and notes their paths.
func (c *cluster) findTools(ctx context.Context, names ...string) error {
	build := command(ctx, c.script("hack/tools/build.sh"), names...)
	var out bytes.Buffer
	build.Stdout, build.Stderr = &out, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build tools: %w", err)
	}
	paths := strings.Fields(out.String())
	if len(paths) != len(names) {
		return fmt.Errorf("build tools: %d names, %d paths", len(names), len(paths))
	}
	for i, name := range names {
		c.tools[name] = paths[i]
	}
	return nil
}

// status prints a line for each process and one for the node, and fails where one is not well.
func (c *cluster) status(ctx context.Context) error {
	var down []string
	for _, p := range c.processes() {
		state := "down"
		if r, ok := c.running(p.name); ok {
			state = fmt.Sprintf("running, pid %d", r.PID)
			if p.ready(ctx) != nil {
				state += ", not ready"
				down = append(down, p.name)
			}
		} else {
			down = append(down, p.name)
		}
		fmt.Printf("%-24s %s\n", p.name, state)
	}
	if len(down) > 0 {
		return fmt.Errorf("not well: %s; logs are in %s", strings.Join(down, ", "), c.path("logs"))
	}
	return nil
}

// render fills a template from files/ with the cluster's addresses and paths, and extra.
func (c *cluster) render(name string, extra map[string]any) (string, error) {
	t, err := template.New(name).Option("missingkey=error").ParseFS(files, "files/"+name)
	if err != nil {
		return "", err
	}
	data := map[string]any{
		"Dir": c.dir, "RunDir": c.runDir, "Socket": c.socket(),
		"NodeName": nodeName, "NodeIP": nodeIP, "APIURL": apiURL,
		"PodCIDR": podCIDR, "ServiceCIDR": serviceCIDR, "DNSIP": dnsIP,
		"CgroupRoot": cgroupRoot, "NATTable": natTable,
	}
	maps.Copy(data, extra)
	var out strings.Builder
	err = t.ExecuteTemplate(&out, name, data)
	return out.String(), err
}

// command prepares a program that runs while the caller waits. Nothing of the caller's environment
// is passed on but what builds need; the user's KUBECONFIG in particular is not.
func command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = environment("HOME", "TMPDIR", "XDG_CACHE_HOME", "GODWIT_*", "GO*", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
		"http_proxy", "https_proxy", "no_proxy")
	return cmd
}

// environment keeps the variables that match one of patterns, and PATH with root's directories.
func environment(patterns ...string) []string {
	env := []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"}
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		for _, pattern := range patterns {
			if ok, _ := filepath.Match(pattern, name); ok {
				env = append(env, e)
			}
		}
	}
	return env
}

// output runs a program and returns what it printed; the error holds what it printed on stderr.
func output(ctx context.Context, stdin, path string, args ...string) (string, error) {
	cmd := command(ctx, path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", filepath.Base(path), strings.Join(args, " "), err,
			strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

func (c *cluster) kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	return output(ctx, stdin, c.tools["kubectl"], append([]string{"--kubeconfig", c.kubeconfig()}, args...)...)
}

func (c *cluster) ctr(ctx context.Context, args ...string) (string, error) {
	return output(ctx, "", "ctr", append([]string{"--address", c.socket(), "--namespace", "k8s.io"}, args...)...)
}

// writeFile writes a file of the cluster's state with its directories, unless it is as wanted.
func writeFile(path, content string, mode os.FileMode) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == content {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, []byte(content), mode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
