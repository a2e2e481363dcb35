//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// toolImages are the tools that run as pods: pause under every pod, and probe with busybox in the
// image busybox:local, for looking around.
var toolImages = []string{"pause", "coredns", "cert-manager", "provisioner", "probe"}

// imageName names the image of a tool by the content key that its path holds.
func (c *cluster) imageName(tool string) (string, error) {
	path, ok := c.tools[tool]
	if !ok {
		return "", fmt.Errorf("tool %s has not been built", tool)
	}
	key := strings.TrimPrefix(filepath.Base(filepath.Dir(path)), tool+"-")
	return "docker.io/godwit-cluster/" + tool + ":" + key, nil
}

// importTools makes images of the tools and imports those that the node does not have.
func (c *cluster) importTools(ctx context.Context) error {
	have, err := c.ctr(ctx, "images", "ls", "-q")
	if err != nil {
		return err
	}
	for _, tool := range toolImages {
		name, err := c.imageName(tool)
		if err != nil {
			return err
		}
		if strings.Contains("\n"+have, "\n"+name+"\n") {
			continue
		}
		if err := c.importTool(ctx, tool, name); err != nil {
			return fmt.Errorf("image %s: %w", name, err)
		}
	}
	return nil
}

func (c *cluster) importTool(ctx context.Context, tool, name string) error {
	user := "65532:65532"
	if tool == "provisioner" { // makes directories of the node
		user = "0:0"
	}
	if err := c.importBinaries(ctx, name, user, c.tools[tool]); err != nil || tool != "probe" {
		return err
	}
	return c.importBinaries(ctx, "docker.io/library/busybox:local", "0:0", "/bin/busybox", c.tools[tool])
}

// importBinaries packs an image and imports it.
func (c *cluster) importBinaries(ctx context.Context, name, user, binary string, more ...string) error {
	archive := c.path("image.tar")
	defer os.Remove(archive) //nolint:errcheck // "down" removes it with the rest
	args := []string{"run", "./hack/image", "-name", name, "-user", user, "-o", archive, "-binary", binary}
	for _, path := range more {
		args = append(args, "-add", path)
	}
	pack := command(ctx, "go", args...)
	pack.Dir, pack.Stderr = c.source, os.Stderr
	if err := pack.Run(); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	return c.importImage(ctx, archive)
}

// importImage imports an archive into the node's image store.
func (c *cluster) importImage(ctx context.Context, archive string) error {
	if _, ok := c.running("containerd"); !ok {
		return fmt.Errorf("the local cluster is not up")
	}
	_, err := c.ctr(ctx, "images", "import", archive)
	return err
}
