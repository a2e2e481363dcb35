package cmd

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/godwit-mqtt/godwit/cmd/dev/manifest"
	"github.com/godwit-mqtt/godwit/cmd/mosquitto"
)

// mosquittoOptions of `godwit import mosquitto`.
type mosquittoOptions struct {
	passwd, acl, config string
	broker, namespace   string
	output              string
}

func newImportCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "import",
		Short: "Make manifests of another broker's configuration",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newImportMosquittoCommand())
	return c
}

func newImportMosquittoCommand() *cobra.Command {
	var o mosquittoOptions
	c := &cobra.Command{
		Use:   "mosquitto",
		Short: "Make manifests of Mosquitto's users, rules and configuration",
		Long: `Make manifests of the files of a Mosquitto broker: MQTTUsers and Secrets of its
password file, TopicACLs of its ACL file, a Broker of mosquitto.conf. What cannot
be moved never widens access: it is left out or, where it denies, denies more. Notes
on standard error and comments in the manifests say what and why.`,
		Example: `  godwit import mosquitto --config /etc/mosquitto/mosquitto.conf --broker edge -o manifests
  godwit import mosquitto --passwd passwd --acl acl --broker edge --namespace iot | kubectl apply -f -`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c.OutOrStdout(), c.ErrOrStderr()) },
	}
	f := c.Flags()
	f.StringVar(&o.passwd, "passwd", "", "password file (default: the one that --config names)")
	f.StringVar(&o.acl, "acl", "", "ACL file (default: the one that --config names)")
	f.StringVar(&o.config, "config", "", "mosquitto.conf, of which a Broker is made")
	f.StringVar(&o.broker, "broker", "mosquitto", "name of the Broker")
	f.StringVarP(&o.namespace, "namespace", "n", "", "namespace of the objects (default: none is named)")
	f.StringVarP(&o.output, "output", "o", "-", "directory to write to, or - for standard output")
	return c
}

func (o *mosquittoOptions) run(out, notes io.Writer) error {
	in, err := o.read()
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	converted, err := mosquitto.Convert(in)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	manifests := converted.Join()
	if _, err := (manifest.Source{Paths: []string{"-"}, Stdin: bytes.NewReader(manifests)}).Load(); err != nil {
		return fmt.Errorf("import: a cluster would refuse what came of it: %w", err)
	}
	for _, note := range converted.Notes {
		fmt.Fprintln(notes, "note:", note)
	}
	if o.output == "-" {
		_, err := out.Write(manifests)
		return err
	}
	return writeManifests(o.output, converted.Files)
}

// read reads the files that there are.
func (o *mosquittoOptions) read() (in mosquitto.Input, err error) {
	in.Broker, in.Namespace = o.broker, o.namespace
	passwd, acl := o.passwd, o.acl
	if o.config != "" {
		if in.Config, err = mosquitto.ReadConfig(o.config); err != nil {
			return in, err
		}
		passwd, acl = cmp.Or(passwd, in.Config.PasswdFile()), cmp.Or(acl, in.Config.ACLFile())
	}
	if o.config == "" && passwd == "" && acl == "" {
		return in, errors.New("name the files of Mosquitto: --config, or --passwd and --acl")
	}
	if in.Passwd, err = readSource(passwd, "--passwd"); err != nil {
		return in, err
	}
	in.ACL, err = readSource(acl, "--acl")
	return in, err
}

// readSource reads a file, if one is named.
func readSource(path, flag string) (*mosquitto.Source, error) {
	if path == "" {
		return nil, nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: say with %s where a copy is", err, flag)
	}
	return &mosquitto.Source{Name: filepath.Base(path), Content: content}, nil
}

// writeManifests writes files that are not there yet, for their owner alone: there
// are password hashes in them.
func writeManifests(dir string, files []mosquitto.File) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, file := range files {
		f, err := os.OpenFile(filepath.Join(dir, file.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(file.Content)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}
