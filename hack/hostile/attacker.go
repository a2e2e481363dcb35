package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// target is what an attacker knows of the broker.
type target struct {
	Plain, TLS string // addresses
	CAFile     string
	Short      bool
}

// attacker is the hostile clients of one attack.
type attacker struct {
	target
	tls  *tls.Config
	next atomic.Uint32 // number of the next client

	mu   sync.Mutex
	told map[string]int
}

func newAttacker(t target) (*attacker, error) {
	c, err := tlsConfig(t.CAFile)
	return &attacker{target: t, tls: c, told: map[string]int{}}, err
}

// size is that of an attack, or of a small one.
func (t target) size(full, short int) int {
	if t.Short {
		return short
	}
	return full
}

// hear counts what an attacker was told.
func (a *attacker) hear(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.told[what]++
}

// heard is what was told so far.
func (a *attacker) heard() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.told)
}

// together runs n workers until they return.
func (a *attacker) together(n int, work func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { work(i) })
	}
	all.Wait()
}

// source is the local address of the i-th of many attackers: 127.0.1.1 and on.
func source(i int) *net.TCPAddr {
	const addresses, perNetwork = 200, 250
	i %= addresses
	return &net.TCPAddr{IP: net.IPv4(127, 0, byte(1+i/perNetwork), byte(1+i%perNetwork))}
}

// dial opens a connection from one of many addresses, or from the one that all
// others share. A failure is heard.
func (a *attacker) dial(ctx context.Context, spread bool) (*link, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if i := a.next.Add(1); spread {
		d.LocalAddr = source(int(i))
	}
	conn, err := d.DialContext(ctx, "tcp", a.Plain)
	if err != nil {
		if ctx.Err() == nil {
			a.hear("not connected")
		}
		return nil, err
	}
	return a.adopt(ctx, conn, packet.V5), nil
}

// login is how an attacker connects.
type login struct {
	id        string
	version   packet.Version
	anonymous bool
	durable   bool
	change    func(*packet.Connect)
}

// connect opens a connection and has it accepted. A refusal is heard, and an
// error.
func (a *attacker) connect(ctx context.Context, l login) (*link, error) {
	c, err := a.dial(ctx, true)
	if err != nil {
		return nil, err
	}
	if l.version != 0 {
		c.version = l.version
	}
	p := &packet.Connect{ClientID: []byte(l.id), CleanStart: !l.durable}
	if !l.anonymous {
		p.HasUsername, p.Username = true, []byte(attackerUser)
		p.HasPassword, p.Password = true, []byte(commonPassword)
	}
	if l.durable {
		p.Properties.SessionExpiry = sessionExpiry
		p.Properties.Set(packet.PropSessionExpiry)
	}
	if l.change != nil {
		l.change(p)
	}
	c.send(p)
	h, body, err := c.receive()
	if err != nil {
		return nil, err
	}
	if reasons := reasonsOf(c.version, h, body); h.Type != packet.TypeConnack || len(reasons) == 0 || reasons[0].IsError() {
		c.close()
		return nil, fmt.Errorf("%v %v", h.Type, reasons)
	}
	return c, nil
}

// insist connects again and again, after pauses, until it is accepted or ctx
// ends: the link is nil then.
func (a *attacker) insist(ctx context.Context, l login) *link {
	for ctx.Err() == nil {
		if c, err := a.connect(ctx, l); err == nil {
			return c
		}
		sleep(ctx, 100*time.Millisecond)
	}
	return nil
}

// beAttacker is the other process: it attacks until its standard input ends, and
// writes what it was told so far again and again.
func beAttacker(ctx context.Context, name string, in io.Reader, out io.Writer) error {
	attack, ok := find(name)
	if !ok {
		return fmt.Errorf("there is no attack %q", name)
	}
	d := json.NewDecoder(in)
	var t target
	if err := d.Decode(&t); err != nil {
		return err
	}
	a, err := newAttacker(t)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	ended := make(chan error, 1)
	go func() { ended <- attack.run(ctx, a) }()
	report := json.NewEncoder(out)
	for ctx.Err() == nil {
		sleep(ctx, reportInterval)
		if err := report.Encode(a.heard()); err != nil {
			return err
		}
	}
	if err := <-ended; err != nil {
		return err
	}
	return report.Encode(a.heard())
}

// reportInterval is between two reports of an attacker.
const reportInterval = 100 * time.Millisecond

// launched is an attacker in a process of its own.
type launched struct {
	cmd  *exec.Cmd
	in   io.Closer
	read chan error // how its reports ended

	mu   sync.Mutex
	told map[string]int
}

// launch starts an attack.
func launch(name string, t target) (*launched, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := asAttacker(self, "-attacker", name)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	l := &launched{cmd: cmd, in: in, read: make(chan error, 1)}
	go func() { l.read <- l.follow(out) }()
	return l, json.NewEncoder(in).Encode(t)
}

// follow takes the reports, until the last.
func (l *launched) follow(out io.Reader) error {
	for d := json.NewDecoder(out); ; {
		var told map[string]int
		if err := d.Decode(&told); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		l.mu.Lock()
		l.told = told
		l.mu.Unlock()
	}
}

// heard is what the attackers were told by their last report.
func (l *launched) heard() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told
}

// end ends the attack, and returns what the attackers were told.
func (l *launched) end() (told map[string]int, err error) {
	const patience = 20 * time.Second
	_ = l.in.Close()
	kill := time.AfterFunc(patience, func() { _ = l.cmd.Process.Kill() })
	defer kill.Stop()
	err = errors.Join(<-l.read, l.cmd.Wait())
	if err != nil {
		err = fmt.Errorf("the attacker: %w", err)
	}
	return l.heard(), err
}
