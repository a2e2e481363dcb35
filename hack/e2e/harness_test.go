//go:build e2e

package e2e

import (
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// What the story relies on, tried without a cluster.

func TestClusterIsNeverGuessed(t *testing.T) {
	complete := map[string]string{
		"E2E_KUBECTL": "kubectl", "E2E_HELM": "helm", "E2E_CONTEXT": "kind", "E2E_IMAGE": "registry.example:5000/godwit:1",
	}
	c, err := clusterFromEnvironment(lookup(complete, "", ""))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.kubectl, " "); got != "kubectl --context kind" {
		t.Errorf("kubectl is %q", got)
	}
	if c.repository != "registry.example:5000/godwit" || c.tag != "1" {
		t.Errorf("image is %q, %q", c.repository, c.tag)
	}
	for name, wrong := range map[string][2]string{
		"no cluster":       {"E2E_CONTEXT", ""},
		"two clusters":     {"E2E_KUBECONFIG", "/a"},
		"no program":       {"E2E_HELM", ""},
		"no image":         {"E2E_IMAGE", ""},
		"image has no tag": {"E2E_IMAGE", "registry.example:5000/godwit"},
	} {
		if _, err := clusterFromEnvironment(lookup(complete, wrong[0], wrong[1])); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// lookup is an environment in which one variable is another.
func lookup(environment map[string]string, name, value string) func(string) string {
	return func(asked string) string {
		if asked == name {
			return value
		}
		return environment[asked]
	}
}

func TestProcessTellsItsLinesAsTheyCome(t *testing.T) {
	p := start(t, "sh", "-c", "echo one; echo two >&2; exec sleep 60")
	p.await(t, patience, "a line of standard output", containing("one"))
	if _, err := p.expect(50*time.Millisecond, "that line once more", containing("one")); err == nil {
		t.Error("a line was told twice")
	}
	p.stop()
	if n := p.count(containing("two")); n != 1 {
		t.Errorf("%d lines of standard error", n)
	}
}

func TestProcessThatEndsIsNotAwaited(t *testing.T) {
	p := start(t, "sh", "-c", "echo last; exit 3")
	_, err := p.expect(patience, "more", containing("more"))
	if err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v", err)
	}
}

func TestGatewayKeepsItsPortWhileBackendsChange(t *testing.T) {
	first, second := backend(t, "first"), backend(t, "second")
	var address atomic.Value
	address.Store(first.Addr().String())
	g := openGateway(t, func() (net.Conn, error) { return direct(address.Load().(string))() })
	if got := greeting(t, g.port); got != "first" {
		t.Errorf("greeted by %q", got)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if got := greeting(t, g.port); got != "" {
		t.Errorf("greeted by %q, which is gone", got)
	}
	address.Store(second.Addr().String())
	if got := greeting(t, g.port); got != "second" {
		t.Errorf("greeted by %q", got)
	}
}

// backend greets whoever connects.
func backend(t *testing.T, name string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() }) //nolint:errcheck // it may be closed
	go func() {                     // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Write([]byte(name)) //nolint:errcheck // the client looks at what arrives
			conn.Close()             //nolint:errcheck // as above
		}
	}()
	return l
}

// greeting is what a port has to say.
func greeting(t *testing.T, port int) string {
	t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()          //nolint:errcheck // it was read to its end
	said, _ := io.ReadAll(conn) // a reset is an end as well
	return string(said)
}
