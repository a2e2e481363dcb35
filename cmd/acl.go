package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/godwit-mqtt/godwit/cmd/acl"
	"github.com/godwit-mqtt/godwit/cmd/dev/manifest"
	"github.com/godwit-mqtt/godwit/controllers"
)

// Exit codes of `godwit acl`.
const (
	exitNo    = 1 // the answer is no
	exitError = 2 // there is no answer
)

// aclOptions say where the rules are.
type aclOptions struct {
	files      []string
	broker     string
	kubeconfig string
	context    string
	namespace  string
	output     string
}

func newACLCommand() *cobra.Command {
	var o aclOptions
	c := &cobra.Command{
		Use:   "acl",
		Short: "Tell what users may publish and subscribe",
		Long: `Tell what users may publish and subscribe, by Brokers, MQTTUsers and TopicACLs
in files (-f) or in a cluster, with the evaluator of the broker itself. Secrets
are not read: credentials are taken for good.

The exit code is 0 for yes, 1 for no and 2 where there is no answer; of lint 0
where it finds nothing, and 1 where it does.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &exitStatus{exitError, err} })
	f := c.PersistentFlags()
	f.StringArrayVarP(&o.files, "file", "f", nil, "manifest, directory of manifests, or - for standard input; may be repeated (default: ask the cluster)")
	f.StringVar(&o.broker, "broker", "", "Broker, as name or namespace/name, where there are several")
	f.StringVarP(&o.namespace, "namespace", "n", "", "namespace of the Broker; with -f that of objects that name none")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "kubeconfig file (default: as kubectl finds it)")
	f.StringVar(&o.context, "context", "", "context of the kubeconfig (default: its current one)")
	f.StringVarP(&o.output, "output", "o", "text", "text or json")
	c.AddCommand(newCanICommand(&o), newExplainCommand(&o), newLintCommand(&o))
	return c
}

func newCanICommand(o *aclOptions) *cobra.Command {
	return newQuestionCommand(o, &cobra.Command{
		Use:   "can-i publish|subscribe TOPIC --as USER",
		Short: "Print yes or no",
		Example: `  godwit acl can-i publish telemetry/dev-1/temperature --as dev-1 -f manifests/
  godwit acl can-i subscribe 'cmd/dev-1/#' --as dev-1 --client-id dev-1 --namespace iot --broker edge`,
	}, func(out io.Writer, a *acl.Answer) {
		verdict := "no"
		if a.Allowed {
			verdict = "yes"
		}
		fmt.Fprintln(out, verdict)
	})
}

func newExplainCommand(o *aclOptions) *cobra.Command {
	return newQuestionCommand(o, &cobra.Command{
		Use:     "explain publish|subscribe TOPIC --as USER",
		Short:   "Print yes or no, and the rules that decide",
		Example: `  godwit acl explain subscribe 'telemetry/#' --as dashboard -f manifests/`,
	}, func(out io.Writer, a *acl.Answer) { a.Explain(out) })
}

func newLintCommand(o *aclOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "lint",
		Short: "Print the rules that decide nothing, because others cover them",
		Long: `Print the rules that decide nothing: those that a Deny rule covers, or that allow
no more than another rule does, for all users that they are for. Users count as
they are now.`,
		Example: `  godwit acl lint -f manifests/`,
		Args: func(c *cobra.Command, args []string) error {
			if err := cobra.NoArgs(c, args); err != nil {
				return &exitStatus{exitError, err}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			rights, err := o.rights(c)
			if err != nil {
				return &exitStatus{exitError, err}
			}
			found := rights.Lint()
			err = o.print(c.OutOrStdout(), found, func(out io.Writer) { acl.ExplainFindings(out, found) })
			switch {
			case err != nil:
				return &exitStatus{exitError, err}
			case len(found) > 0:
				return &exitStatus{code: exitNo}
			}
			return nil
		},
	}
}

// newQuestionCommand completes a command that asks one question and tells the
// answer as text by tell.
func newQuestionCommand(o *aclOptions, c *cobra.Command, tell func(io.Writer, *acl.Answer)) *cobra.Command {
	var q acl.Question
	c.Args = func(c *cobra.Command, args []string) error {
		if err := cobra.ExactArgs(2)(c, args); err != nil {
			return &exitStatus{exitError, fmt.Errorf("%w: say publish or subscribe, and a topic", err)}
		}
		return nil
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		q.Action, q.Topic = acl.Action(args[0]), args[1]
		rights, err := o.rights(c)
		if err != nil {
			return &exitStatus{exitError, err}
		}
		answer, err := rights.Answer(q)
		if err != nil {
			return &exitStatus{exitError, err}
		}
		if err := o.print(c.OutOrStdout(), answer, func(out io.Writer) { tell(out, answer) }); err != nil {
			return &exitStatus{exitError, err}
		}
		if !answer.Allowed {
			return &exitStatus{code: exitNo}
		}
		return nil
	}
	f := c.Flags()
	f.StringVar(&q.User, "as", "", "username of the client")
	f.BoolVar(&q.Anonymous, "anonymous", false, "the client presents no credentials")
	f.StringVar(&q.ClientID, "client-id", "", "client ID of the client; without it, rules with %c do not match")
	f.Uint8Var(&q.QoS, "qos", 0, "quality of service: 0, 1 or 2")
	f.BoolVar(&q.Retain, "retain", false, "publish a retained message")
	return c
}

// rights reads the rules, and notes what is not in force.
func (o *aclOptions) rights(c *cobra.Command) (*acl.Rights, error) {
	if o.output != "text" && o.output != "json" {
		return nil, fmt.Errorf("--output %q: use text or json", o.output)
	}
	objects, err := o.objects(c.Context(), c.InOrStdin())
	if err != nil {
		return nil, err
	}
	rights, err := acl.New(objects)
	if err != nil {
		return nil, err
	}
	for _, note := range rights.Notes {
		fmt.Fprintln(c.ErrOrStderr(), "note:", note)
	}
	return rights, nil
}

// print writes the result as JSON, or lets tell write it for people.
func (o *aclOptions) print(out io.Writer, result any, tell func(io.Writer)) error {
	if o.output == "text" {
		tell(out)
		return nil
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(result)
}

// objects reads the objects of the Broker, from files or from the cluster.
func (o *aclOptions) objects(ctx context.Context, stdin io.Reader) (acl.Objects, error) {
	if len(o.files) > 0 {
		return acl.FromManifests(manifest.Source{Paths: o.files, Stdin: stdin, Namespace: o.namespace}, o.broker)
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.kubeconfig
	kubeconfig := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules,
		&clientcmd.ConfigOverrides{CurrentContext: o.context})
	config, err := kubeconfig.ClientConfig()
	if err != nil {
		return acl.Objects{}, fmt.Errorf("find a cluster (or name manifests with -f): %w", err)
	}
	namespace := o.namespace
	if namespace == "" {
		if namespace, _, err = kubeconfig.Namespace(); err != nil {
			return acl.Objects{}, fmt.Errorf("find the namespace: %w", err)
		}
	}
	scheme, err := controllers.Scheme()
	if err != nil {
		return acl.Objects{}, err
	}
	reader, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return acl.Objects{}, errors.Join(errors.New("reach the cluster"), err)
	}
	return acl.FromCluster(ctx, reader, namespace, o.broker)
}
