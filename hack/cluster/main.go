//go:build linux

// Command cluster runs a real single-node Kubernetes on this machine, from the binaries that
// hack/tools pins: etcd, the control plane, containerd, a kubelet, kube-proxy, CoreDNS,
// cert-manager's controllers and a volume provisioner.
//
// Everything it makes is its own: state in one directory, a node address on a bridge of its own,
// processes known by process identifier and start time, one nftables table. "down" takes all of it
// away again. Other containers, kubeconfigs and firewall rules of the machine are left alone.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const usage = `usage: cluster COMMAND

  up             bring up what is not running; quick when all of it is
  down           end everything and remove its state
  status         say what runs; exits with 1 when something does not
  load ARCHIVE   import a docker or OCI image archive into the node
  kubeconfig     print the path of the administrator's kubeconfig

GODWIT_CLUSTER_DIR is the state directory (/var/lib/godwit-cluster).`

func main() {
	log.SetFlags(0)
	log.SetPrefix("cluster: ")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

// run dispatches a command. Those that change something hold the cluster's lock.
func run(ctx context.Context, args []string) error {
	c, err := newCluster(os.Getenv("GODWIT_CLUSTER_DIR"))
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && args[0] == "kubeconfig":
		fmt.Println(c.kubeconfig())
		return nil
	case len(args) == 1 && args[0] == "up":
		return c.locked(ctx, c.up)
	case len(args) == 1 && args[0] == "down":
		return c.locked(ctx, c.down)
	case len(args) == 1 && args[0] == "status":
		return c.status(ctx)
	case len(args) == 2 && args[0] == "load":
		return c.locked(ctx, func(ctx context.Context) error { return c.importImage(ctx, args[1]) })
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
		return nil
	}
}

// locked runs f as root while no other process changes the cluster.
func (c *cluster) locked(ctx context.Context, f func(context.Context) error) error {
	if os.Geteuid() != 0 {
		return errors.New("the local cluster needs root: it makes mounts, network interfaces and containers")
	}
	if err := c.ownState(); err != nil {
		return err
	}
	lock, err := os.OpenFile("/run/lock/"+filepath.Base(c.runDir)+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close() //nolint:errcheck // closing only gives the lock back
	for {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f(ctx)
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("lock %s: %w", lock.Name(), err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
