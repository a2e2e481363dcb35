package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/godwit-mqtt/godwit/broker/auth/password"
)

// maxPassword is the longest that CONNECT can carry, in bytes.
const maxPassword = 65535

func newPasswdCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "passwd",
		Short: "Hash a password for the key passwordHash of a Secret",
		Long: `Read a password, from a prompt or else all of standard input without its last
line break, and print its hash. The hash goes into the key passwordHash of a
Secret that a MQTTUser refers to.`,
		Example: `  kubectl create secret generic dev-1 --from-literal=passwordHash="$(godwit passwd)"`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			plain, err := readPassword(c.InOrStdin(), c.ErrOrStderr())
			if err != nil {
				return err
			}
			hash, err := password.Hash(plain)
			if err != nil {
				return fmt.Errorf("hash password: %w", err)
			}
			fmt.Fprintln(c.OutOrStdout(), hash)
			return nil
		},
	}
}

// readPassword asks twice on a terminal, and else reads all of in.
func readPassword(in io.Reader, prompt io.Writer) ([]byte, error) {
	plain, err := passwordFrom(in, prompt)
	switch {
	case err != nil:
		return nil, err
	case len(plain) == 0:
		return nil, errors.New("the password is empty")
	case len(plain) > maxPassword:
		return nil, fmt.Errorf("the password is longer than %d bytes, which MQTT cannot carry", maxPassword)
	}
	return plain, nil
}

func passwordFrom(in io.Reader, prompt io.Writer) ([]byte, error) {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return promptTwice(int(f.Fd()), prompt)
	}
	plain, err := io.ReadAll(io.LimitReader(in, maxPassword+3))
	if err != nil {
		return nil, fmt.Errorf("read password: %w", err)
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(plain, []byte("\n")), []byte("\r")), nil
}

func promptTwice(fd int, prompt io.Writer) ([]byte, error) {
	var answers [2][]byte
	for i, question := range []string{"Password: ", "Again: "} {
		fmt.Fprint(prompt, question)
		answer, err := term.ReadPassword(fd)
		fmt.Fprintln(prompt)
		if err != nil {
			return nil, fmt.Errorf("read password: %w", err)
		}
		answers[i] = answer
	}
	if !bytes.Equal(answers[0], answers[1]) {
		return nil, errors.New("the passwords differ")
	}
	return answers[0], nil
}
