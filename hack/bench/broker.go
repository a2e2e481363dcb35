package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	hashes "github.com/godwit-mqtt/godwit/broker/auth/password"
	"github.com/godwit-mqtt/godwit/broker/config"
)

// broker is a program that is compared.
type broker struct {
	name string
	// command prepares a start in an empty directory that holds a certificate
	// and a key, tls.crt and tls.key.
	command func(dir string, port int, s scenario) ([]string, error)
	floor   bool // it is the relay: it knows no topics, no sessions and no TLS
	variant bool // it is another godwit, to be compared with godwit
}

func relay(path string) broker {
	return broker{name: "relay", floor: true, command: func(_ string, port int, s scenario) ([]string, error) {
		return []string{path, strconv.Itoa(port), s.relay}, nil
	}}
}

// mosquitto keeps nothing on disk, logs nothing and drops nothing.
func mosquitto(path string) broker {
	return broker{name: "mosquitto", command: func(dir string, port int, s scenario) ([]string, error) {
		settings := fmt.Sprintf(`listener %d 127.0.0.1
allow_anonymous true
persistence false
log_type none
sys_interval 0
set_tcp_nodelay true
max_inflight_messages 0
max_queued_messages 0
max_queued_bytes 0
`, port)
		if s.secure() {
			settings += fmt.Sprintf("certfile %s\nkeyfile %s\n", filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
		}
		if s.login() {
			name := filepath.Join(dir, "passwd")
			if err := writePasswords(name, int(s.size)); err != nil {
				return nil, err
			}
			settings += "password_file " + name + "\n"
		}
		if os.Getuid() == 0 {
			settings += "user root\n" // or it could not read its key
		}
		name := filepath.Join(dir, "mosquitto.conf")
		return []string{path, "-c", name}, os.WriteFile(name, []byte(settings), 0o600)
	}}
}

// writePasswords has mosquitto_passwd hash the password, with the iterations that it
// chooses, and gives the hash to all users.
func writePasswords(name string, users int) error {
	if out, err := exec.Command("mosquitto_passwd", "-c", "-b", name, "one", password).CombinedOutput(); err != nil {
		return fmt.Errorf("mosquitto_passwd: %w: %s", err, out)
	}
	line, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var all bytes.Buffer
	for i := range users {
		fmt.Fprintf(&all, usernamePattern+"%s", i, bytes.TrimPrefix(line, []byte("one")))
	}
	return os.WriteFile(name, all.Bytes(), 0o600)
}

// dataDir is where godwit has its data, in a broker's directory.
const dataDir = "data"

// godwit runs with metrics on, checks every message against accessRules, and has
// what has to last on disk before it acknowledges.
func godwit(name, path string) broker {
	return broker{name: name, variant: name != "godwit", command: func(dir string, port int, s scenario) ([]string, error) {
		l := config.Listener{Name: "bench", Address: "127.0.0.1", Port: port}
		if s.secure() {
			l.TLS = &config.TLS{CertFile: filepath.Join(dir, certFile), KeyFile: filepath.Join(dir, keyFile)}
		}
		admin, err := freePort()
		if err != nil {
			return nil, err
		}
		return []string{
			path, "broker", "--settings-dir", dir, "--access-dir", dir, "--data-dir", filepath.Join(dir, dataDir),
			"--admin-address", net.JoinHostPort("127.0.0.1", strconv.Itoa(admin)),
		}, writeConfig(dir, l, s)
	}}
}

func writeConfig(dir string, l config.Listener, s scenario) error {
	settings := config.Settings{
		Name: "bench/godwit", Listeners: []config.Listener{l}, Anonymous: true, DefaultEffect: config.Deny,
		MQTT: unlimited(), Persistence: &config.Persistence{},
		Drain: config.Drain{Timeout: config.Duration(time.Second)},
	}
	access := config.Access{Policies: []config.Policy{{Source: "bench/rules", Anonymous: true, Authenticated: true, Rules: accessRules()}}}
	if s.login() {
		hash, err := hashes.Hash([]byte(password))
		if err != nil {
			return err
		}
		for i := range int(s.size) {
			access.Users = append(access.Users, config.User{Username: fmt.Sprintf(usernamePattern, i), PasswordHashes: []string{hash}})
		}
	}
	for name, content := range map[string]any{config.SettingsFile: settings, config.AccessFile: access} {
		b, err := json.Marshal(content)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// unlimited is no limit on what the loads store and subscribe to.
func unlimited() config.MQTT {
	const messages, bytes = 10_000_000, 16 << 30
	return config.MQTT{
		MaxSubscriptionsPerClient: messages,
		MaxQueuedMessages:         messages, MaxQueuedBytes: bytes,
		MaxRetainedMessages: messages, MaxRetainedBytes: bytes,
	}
}

// accessRules are 100 rules of a kind that people write, the last of which
// allows the load.
func accessRules() (rules []config.Rule) {
	for i := range 99 {
		rule := config.Rule{Effect: config.Allow, Actions: []config.Action{config.ActionAll}}
		switch i % 3 {
		case 0:
			rule.Topics = []string{fmt.Sprintf("plant/%d/#", i)}
		case 1:
			rule.Topics = []string{fmt.Sprintf("plant/+/line/%d/state", i)}
		default:
			rule.Effect, rule.Topics = config.Deny, []string{fmt.Sprintf("plant/%d/secret/#", i)}
		}
		rules = append(rules, rule)
	}
	return append(rules, config.Rule{Effect: config.Allow, Actions: []config.Action{config.ActionAll}, Topics: []string{"bench/#"}})
}

// process is a broker that runs.
type process struct {
	cmd   *exec.Cmd
	port  int
	dir   string
	ended chan struct{} // closed when the process has ended
}

// start runs a broker on a free port, with its files in a new directory below
// parent, and waits until it accepts connections.
func (b broker) start(ctx context.Context, parent string, s scenario) (*process, error) {
	dir, err := os.MkdirTemp(parent, "broker-")
	if err != nil {
		return nil, err
	}
	p := &process{dir: dir, ended: make(chan struct{})}
	if err := b.launch(p, s); err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("start %s: %w", b.name, err)
	}
	if err := p.waitReady(ctx); err != nil {
		p.stop()
		return nil, fmt.Errorf("start %s: %w", b.name, err)
	}
	return p, nil
}

func (b broker) launch(p *process, s scenario) (err error) {
	if p.port, err = freePort(); err != nil {
		return err
	}
	if err := writeCertificate(p.dir); err != nil {
		return err
	}
	args, err := b.command(p.dir, p.port, s)
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(p.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the process has its own descriptor
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // ProcessState tells
	}()
	return nil
}

// waitReady waits until the port is served, and a moment for the rest of the
// start.
func (p *process) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)))
		if err == nil {
			_ = conn.Close()
		}
		select {
		case <-p.ended:
			log, _ := os.ReadFile(filepath.Join(p.dir, "log"))
			return fmt.Errorf("it ended, %s, before it was ready: %s", p.cmd.ProcessState, log)
		case <-ctx.Done():
			return fmt.Errorf("port %d is not served: %w", p.port, ctx.Err())
		case <-time.After(300 * time.Millisecond):
		}
		if err == nil {
			return nil
		}
	}
}

// stop ends the process, by force if it takes long, and removes its directory.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	_ = os.RemoveAll(p.dir)
}

// freePort is one that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close() //nolint:errcheck // it was only to be found
	return l.Addr().(*net.TCPAddr).Port, nil
}
