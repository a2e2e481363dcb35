//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// toolImages are the tools that run as pods (pause: under every pod), and busybox, which gives a
// pod a shell for looking around.
var toolImages = []string{"pause", "coredns", "cert-manager", "provisioner", "busybox"}

// imageName names the image of a tool by the content key that its path holds.
func (c *cluster) imageName(tool string) (string, error) {
	if tool == "busybox" {
		return "docker.io/library/busybox:local", nil
	}
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
	binary, user := c.tools[tool], "65532:65532"
	switch tool {
	case "busybox":
		binary, user = "/bin/busybox", "0:0"
	case "provisioner": // makes directories of the node
		user = "0:0"
	}
	archive := filepath.Join(c.dir, tool+".tar")
	defer os.Remove(archive) //nolint:errcheck // "down" removes it with the rest
	pack := command(ctx, "go", "run", "./hack/image", "-binary", binary, "-name", name, "-user", user, "-o", archive)
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
