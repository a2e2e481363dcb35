package cmd

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/godwit-mqtt/godwit/broker/bench"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// benchFlags are the options of a load as they stand on the command line.
type benchFlags struct {
	options   bench.Options
	version   string
	qos       uint8
	passFile  string
	ca        string
	cert, key string
	insecure  bool
	json      bool
	quiet     bool
}

func newBenchCommand() *cobra.Command {
	var f benchFlags
	c := &cobra.Command{
		Use:   "bench SCENARIO",
		Short: "Put load on a broker, and measure it",
		Long: `Put load on an MQTT broker, and measure throughput, latency and losses.

Scenarios:
  pub       publishers, and nobody who listens
  sub       subscribers to what another "godwit bench pub" publishes
  pair      publishers, each with a subscriber of its own
  fanin     many publishers to one subscriber, by a wildcard
  fanout    one publisher to many subscribers
  wildcard  many wildcard filters, one of which matches each message
  idle      connections with a subscription each, and no messages
  retained  --messages are retained, each in a topic of its own, and then read by
            a wildcard
  offline   --messages wait for sessions that are away, and then come back

Without --rate each publisher keeps --window messages on their way: that finds
the highest throughput, and the latency is that of a broker under full load. With
--rate messages are due at fixed times whatever the broker does, and latency
counts from then: a broker that stalls cannot hide the messages that waited. In
QoS 1 and 2 the time until the broker has acknowledged is a result of its own.
With --persistent that is the time until the message is safe, if the broker
promises as much.

The result says where this program, and not the broker, was the limit.`,
		Example: `  godwit bench pair --qos 1
  godwit bench pair --qos 1 --rate 10000 --duration 1m
  godwit bench pair --qos 1 --persistent --rate 10000
  godwit bench fanout --subscribers 1000 --url mqtts://broker.example:8883 --ca ca.crt
  godwit bench idle --connections 10000 --connect-rate 2000 --json
  godwit bench offline --messages 100000`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: scenarioNames(),
		RunE: func(c *cobra.Command, args []string) error {
			f.options.Scenario = bench.Scenario(args[0])
			return f.run(c)
		},
	}
	f.registerLoad(c)
	f.registerClient(c)
	return c
}

func scenarioNames() (names []string) {
	for _, s := range bench.Scenarios {
		names = append(names, string(s))
	}
	return names
}

// registerLoad adds the flags that say what is sent.
func (f *benchFlags) registerLoad(c *cobra.Command) {
	o, flags := &f.options, c.Flags()
	flags.IntVarP(&o.Connections, "connections", "c", 0, "connections on each side that has many of them in the scenario")
	flags.IntVar(&o.Publishers, "publishers", 0, "connections that publish, if other than --connections")
	flags.IntVar(&o.Subscribers, "subscribers", 0, "connections that subscribe, if other than --connections")
	flags.Float64Var(&o.ConnectRate, "connect-rate", 0, "connections opened a second; 0 is no limit")
	flags.Float64VarP(&o.Rate, "rate", "r", 0, "messages a second of all publishers together; 0 is as fast as --window allows")
	flags.IntVarP(&o.Window, "window", "w", 0, fmt.Sprintf("messages of one publisher that may be on their way (default %d, with --rate %d)", bench.DefaultWindow, bench.DefaultRateWindow))
	flags.Uint8VarP(&f.qos, "qos", "q", 0, "quality of service of messages and subscriptions")
	flags.IntVarP(&o.Size, "size", "s", bench.DefaultSize, "bytes of a payload")
	flags.StringVarP(&o.Topic, "topic", "t", "", "topic to publish to, %i is the publisher's number; with wildcard what topics begin with, with sub the filter")
	flags.IntVar(&o.Filters, "filters", bench.DefaultFilters, "filters of the scenario wildcard")
	flags.IntVar(&o.Messages, "messages", 0, fmt.Sprintf("messages that retained and offline store (default %d)", bench.DefaultMessages))
	flags.BoolVar(&o.Retain, "retain", false, "publish retained messages")
	flags.DurationVarP(&o.Duration, "duration", "d", 10*time.Second, "time to measure")
	flags.DurationVar(&o.WarmUp, "warm-up", time.Second, "time to send before measuring")
	flags.IntVar(&o.BrokerPID, "broker-pid", 0, "process of a broker on this machine, whose CPU time, memory and writes to disk to report")
	flags.StringVar(&o.BrokerDir, "broker-dir", "", "directory of its data, whose size retained and offline report")
	flags.BoolVar(&f.json, "json", false, "print the result as JSON")
	flags.BoolVar(&f.quiet, "quiet", false, "show no progress; there is none either where standard error is no terminal")
}

// registerClient adds the flags that say how to connect.
func (f *benchFlags) registerClient(c *cobra.Command) {
	o, flags := &f.options, c.Flags()
	flags.StringVarP(&o.URL, "url", "u", bench.DefaultURL, "broker: mqtt, mqtts, ws or wss://host[:port][/path]")
	flags.StringVar(&f.version, "mqtt-version", "3.1.1", "3.1.1 or 5")
	flags.StringVar(&o.Username, "username", "", "user, %i is the client's number")
	flags.StringVar(&o.Password, "password", "", "password, %i is the client's number; others may see it in the list of processes")
	flags.StringVar(&f.passFile, "password-file", "", "file that holds the password, - is standard input")
	flags.StringVar(&o.ClientIDPrefix, "client-id", "", `client identifiers are this and "p0", "s0", ... (default a new one each time)`)
	flags.DurationVar(&o.KeepAlive, "keep-alive", bench.DefaultKeepAlive, "keep alive of the connections; 0 turns it off")
	flags.BoolVar(&o.Persistent, "persistent", false, "sessions of subscribers outlive their connections, and are ended after the run")
	flags.StringVar(&f.ca, "ca", "", "file of certificates to trust instead of the system's")
	flags.StringVar(&f.cert, "cert", "", "file of the client's certificate")
	flags.StringVar(&f.key, "key", "", "file of the client's key")
	flags.BoolVar(&f.insecure, "insecure", false, "accept any certificate of the broker")
	c.MarkFlagsRequiredTogether("cert", "key")
	c.MarkFlagsMutuallyExclusive("password", "password-file")
}

func (f *benchFlags) run(c *cobra.Command) error {
	if err := f.complete(c.InOrStdin()); err != nil {
		return err
	}
	result, err := bench.Run(c.Context(), f.options, f.progress(c.ErrOrStderr()))
	if err != nil {
		return err
	}
	if !f.json {
		return result.WriteSummary(c.OutOrStdout())
	}
	e := json.NewEncoder(c.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(result)
}

// complete turns into options what is not one yet.
func (f *benchFlags) complete(in io.Reader) (err error) {
	f.options.QoS = packet.QoS(f.qos)
	switch f.version {
	case "3.1.1", "4":
		f.options.Version = packet.V311
	case "5", "5.0":
		f.options.Version = packet.V5
	default:
		return fmt.Errorf("--mqtt-version %q: use 3.1.1 or 5", f.version)
	}
	if f.passFile != "" {
		if f.options.Password, err = readPasswordFile(f.passFile, in); err != nil {
			return fmt.Errorf("--password-file: %w", err)
		}
	}
	f.options.TLS, err = f.tls()
	return err
}

func readPasswordFile(name string, in io.Reader) (string, error) {
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer file.Close() //nolint:errcheck // it was only read
		in = file
	}
	b, err := io.ReadAll(io.LimitReader(in, maxPassword+2))
	return strings.TrimRight(string(b), "\r\n"), err
}

// tls is the configuration that the flags ask for, with the system's roots where
// they name none.
func (f *benchFlags) tls() (*tls.Config, error) {
	cfg := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: f.insecure, //nolint:gosec // only if the user asks for it
	}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("--ca: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("--ca: the file holds no certificate in PEM")
		}
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("--cert: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// progress shows a line a second on a terminal.
func (f *benchFlags) progress(out io.Writer) func(bench.Progress) {
	file, ok := out.(*os.File)
	if f.quiet || !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return func(p bench.Progress) { fmt.Fprintln(out, p) }
}
