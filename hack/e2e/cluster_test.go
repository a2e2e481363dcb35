//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// cluster is the Kubernetes of the story, spoken to as a person does. Every command names the
// kubeconfig or the context, so that what is current elsewhere does not count.
type cluster struct {
	kubectl, helm  []string // program and first arguments
	repository     string   // image of the operator and of brokers
	tag            string
	release        string // of Helm
	systemNS       string // where the operator lives
	reachesService bool   // cluster IPs answer on this machine
	local          bool   // its node is this machine
}

// clusterFromEnvironment reads what hack/e2e/run decided. It guesses nothing.
func clusterFromEnvironment(getenv func(string) string) (*cluster, error) {
	c := &cluster{
		release:        cmp.Or(getenv("RELEASE"), "godwit"),
		systemNS:       cmp.Or(getenv("RELEASE_NAMESPACE"), "godwit-system"),
		reachesService: getenv("E2E_ACCESS") == "service",
		local:          getenv("E2E_KUBECONFIG") != "",
	}
	kubectl, helm := getenv("E2E_KUBECTL"), getenv("E2E_HELM")
	kubeconfig, context := getenv("E2E_KUBECONFIG"), getenv("E2E_CONTEXT")
	colon := strings.LastIndex(getenv("E2E_IMAGE"), ":")
	switch {
	case kubectl == "" || helm == "":
		return nil, errors.New("E2E_KUBECTL and E2E_HELM must name the programs; run `make e2e`")
	case (kubeconfig == "") == (context == ""):
		return nil, errors.New("set one of E2E_KUBECONFIG and E2E_CONTEXT: the cluster of the story is never guessed")
	case colon < 0 || strings.Contains(getenv("E2E_IMAGE")[colon:], "/"):
		return nil, errors.New("E2E_IMAGE must be an image with a tag")
	}
	c.repository, c.tag = getenv("E2E_IMAGE")[:colon], getenv("E2E_IMAGE")[colon+1:]
	if kubeconfig != "" {
		c.kubectl, c.helm = []string{kubectl, "--kubeconfig", kubeconfig}, []string{helm, "--kubeconfig", kubeconfig}
	} else {
		c.kubectl, c.helm = []string{kubectl, "--context", context}, []string{helm, "--kube-context", context}
	}
	return c, nil
}

// try runs kubectl with a manifest on its standard input.
func (c *cluster) try(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.kubectl[0], slices.Concat(c.kubectl[1:], args)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, indent(string(out)))
	}
	return string(out), nil
}

// do runs kubectl, and fails the test where kubectl does.
func (c *cluster) do(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.try(t.Context(), "", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// apply applies manifests that are given as text to a namespace.
func (c *cluster) apply(t *testing.T, namespace, manifests string) string {
	t.Helper()
	out, err := c.try(t.Context(), manifests, "apply", "--namespace", namespace, "--filename", "-")
	if err != nil {
		t.Fatalf("%v\nof:\n%s", err, indent(manifests))
	}
	return out
}

// awaitReady waits until all objects of the resources are Ready, in the generation that they have.
func (c *cluster) awaitReady(t *testing.T, namespace string, limit time.Duration, resources ...string) {
	t.Helper()
	args := []string{"wait", "--namespace", namespace, "--for=condition=Ready", "--timeout", limit.String()}
	c.do(t, append(args, resources...)...)
}

// get reads an object, or nil where there is none.
func (c *cluster) get(t *testing.T, namespace, resource string) *object {
	t.Helper()
	out := c.do(t, "get", "--namespace", namespace, resource, "--ignore-not-found", "--output", "json")
	if out == "" {
		return nil
	}
	o := &object{}
	if err := json.Unmarshal([]byte(out), o); err != nil {
		t.Fatalf("%s: %v", resource, err)
	}
	return o
}

// secret reads a key of a Secret.
func (c *cluster) secret(t *testing.T, namespace, name, key string) []byte {
	t.Helper()
	o := c.get(t, namespace, "secret/"+name)
	if o == nil {
		t.Fatalf("there is no Secret %s", name)
	}
	value, err := base64.StdEncoding.DecodeString(o.Data[key])
	if err != nil || len(value) == 0 {
		t.Fatalf("Secret %s, key %s: %q (%v)", name, key, o.Data[key], err)
	}
	return value
}

// object holds what the story reads of any object.
type object struct {
	Metadata struct{ UID string }
	Data     map[string]string
	Spec     struct{ ClusterIP string }
	Status   struct {
		Conditions        []condition
		ContainerStatuses []struct{ RestartCount int }
		Certificate       struct{ NotAfter time.Time }
		Listeners         []struct {
			Name        string
			Certificate struct{ SHA256 string }
		}
	}
}

type condition struct{ Type, Status, Reason, Message string }

// condition is the condition of that type, or an empty one.
func (o *object) condition(kind string) condition {
	for _, c := range o.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return condition{}
}

// diagnose writes down what one would look at first. It works when the test has failed.
func (c *cluster) diagnose(t *testing.T, namespace string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	broker := []string{"--namespace", namespace}
	system := []string{"--namespace", c.systemNS}
	for _, question := range [][]string{
		append(broker, "get", "all,brokers,mqttusers,topicacls,certificates,persistentvolumeclaims", "--output", "wide"),
		append(broker, "get", "brokers,mqttusers,topicacls,certificates", "--output",
			`jsonpath={range .items[*]}{.kind}/{.metadata.name} generation {.metadata.generation}{"\n"}{range .status.conditions[*]}    {.type}={.status} {.reason} ({.observedGeneration}): {.message}{"\n"}{end}{end}`),
		append(broker, "describe", "pods"),
		append(broker, "get", "events", "--sort-by", ".lastTimestamp"),
		append(broker, "logs", "--selector", "app.kubernetes.io/component=broker", "--all-containers", "--prefix", "--tail", "100"),
		append(broker, "logs", "--selector", "app.kubernetes.io/component=broker", "--previous", "--tail", "50"),
		append(system, "get", "all", "--output", "wide"),
		append(system, "describe", "pods"),
		append(system, "get", "events", "--sort-by", ".lastTimestamp"),
		append(system, "logs", "--selector", "app.kubernetes.io/name=godwit", "--all-containers", "--prefix", "--tail", "150"),
	} {
		out, err := c.try(ctx, "", question...)
		if err != nil {
			out = err.Error()
		}
		fmt.Fprintf(os.Stderr, "\n----- kubectl %s\n%s\n", strings.Join(question, " "), strings.TrimSpace(out))
	}
}
