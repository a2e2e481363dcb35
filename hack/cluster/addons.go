//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// addons are the workloads that every cluster has, as namespace and name of their Deployments.
var addons = [][2]string{
	{"kube-system", "coredns"}, {"kube-system", "provisioner"}, {"cert-manager", "cert-manager"},
}

// applyAddons applies the add-ons' manifests and waits until they and the node are ready.
func (c *cluster) applyAddons(ctx context.Context) error {
	manifests, err := c.addonManifests(ctx)
	if err != nil {
		return err
	}
	if _, err := c.kubectl(ctx, manifests, "apply", "--server-side", "--force-conflicts", "--field-manager=godwit-cluster",
		"-f", "-"); err != nil {
		return err
	}
	timeout := fmt.Sprintf("--timeout=%s", readyTimeout)
	if _, err := c.kubectl(ctx, "", "wait", "--for=create", "node/"+nodeName, timeout); err != nil {
		return err
	}
	if _, err := c.kubectl(ctx, "", "wait", "--for=condition=Ready", "node/"+nodeName, timeout); err != nil {
		return err
	}
	for _, a := range addons {
		if _, err := c.kubectl(ctx, "", "rollout", "status", "--namespace", a[0], "deployment/"+a[1], timeout); err != nil {
			return err
		}
	}
	return nil
}

// addonManifests joins cert-manager's own CRDs and the manifests in files/addons.
func (c *cluster) addonManifests(ctx context.Context) (string, error) {
	crds, err := c.certManagerCRDs(ctx)
	if err != nil {
		return "", fmt.Errorf("cert-manager CRDs: %w", err)
	}
	images := map[string]any{"Upstream": resolvConf() != ""}
	for key, tool := range map[string]string{
		"CoreDNSImage": "coredns", "CertManagerImage": "cert-manager", "ProvisionerImage": "provisioner",
	} {
		if images[key], err = c.imageName(tool); err != nil {
			return "", err
		}
	}
	documents := crds
	for _, name := range []string{"coredns.yaml", "cert-manager.yaml", "provisioner.yaml"} {
		content, err := c.render(name, images)
		if err != nil {
			return "", err
		}
		documents = append(documents, content)
	}
	return strings.Join(documents, "\n---\n"), nil
}

// certManagerCRDs reads the CRDs from the very module version that the controllers are built from.
func (c *cluster) certManagerCRDs(ctx context.Context) ([]string, error) {
	// The binaries may come from a cache on a machine that has not got the module.
	out, err := output(ctx, "", "go", "-C", c.script("hack/tools/cert-manager"), "mod", "download", "-json",
		"github.com/cert-manager/cert-manager")
	if err != nil {
		return nil, err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal([]byte(out), &module); err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(module.Dir, "deploy/crds/*.yaml"))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("none in %q", module.Dir)
	}
	var crds []string
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		crds = append(crds, string(b))
	}
	return crds, nil
}
