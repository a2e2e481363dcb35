package server

import (
	"crypto/x509"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/godwit-mqtt/godwit/broker/auth"
	"github.com/godwit-mqtt/godwit/broker/config"
	"github.com/godwit-mqtt/godwit/broker/listener"
	"github.com/godwit-mqtt/godwit/broker/packet"
)

// Apply puts a configuration in force, with the certificates as they are in
// their files now. When it returns, new decisions are made by c; connections that
// c no longer admits are being ended. On an error everything stays as it was,
// but for who may do what: that a certificate cannot be loaded, or a port cannot
// be opened, is no reason to let anybody do what c forbids. That is also all that
// takes force while Serve disconnects the clients that are left.
func (s *Server) Apply(c *config.Config) error {
	s.applying.Lock()
	defer s.applying.Unlock()
	access, err := s.compile(c)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return ErrClosed
	}
	if access != nil {
		s.applyAccess(access)
		s.enforced = c
	}
	if s.ports == nil {
		return nil
	}
	if err := s.applyListeners(c.Settings.Listeners); err != nil {
		return err
	}
	s.setConfig(c)
	s.router.SetLimits(s.routerLimits())
	return nil
}

// compile returns the users and rules of c, nil if they are in force: that a
// certificate is bad for long costs no more than trying to load it.
func (s *Server) compile(c *config.Config) (*auth.Snapshot, error) {
	if sameAccess(c, s.enforced) {
		return nil, nil
	}
	access, err := auth.Compile(c)
	if err != nil {
		return nil, fmt.Errorf("compile access rules: %w", err)
	}
	return access, nil
}

// sameAccess reports whether auth.Compile has the same to go by.
func sameAccess(a, b *config.Config) bool {
	return a == b || a.Settings.Anonymous == b.Settings.Anonymous &&
		a.Settings.AnonymousLimits == b.Settings.AnonymousLimits &&
		a.Settings.DefaultEffect == b.Settings.DefaultEffect && reflect.DeepEqual(a.Access, b.Access)
}

// applyAccess puts users and rules in force.
func (s *Server) applyAccess(access *auth.Snapshot) {
	s.quotas.review(access)
	before := s.access.Swap(access)
	s.router.SetAccess(access)
	if strangers := (auth.Principal{Anonymous: true}); before.Limits(strangers) != access.Limits(strangers) {
		for c := range s.table.all() {
			c.post(c.reviewQuota)
		}
	}
}

// change is what becomes of one listener.
type change struct {
	port     *port
	opened   bool
	settings config.Listener
	tls      *listener.TLS
}

// applyListeners opens, changes and closes ports so that they are those of
// wanted. What can fail is done before anything changes.
func (s *Server) applyListeners(wanted []config.Listener) error {
	changes, err := s.prepare(wanted)
	if err != nil {
		for _, ch := range changes {
			if ch.opened {
				ch.port.close()
			}
		}
		return err
	}
	before := s.ports
	s.ports = make(map[string]*port, len(changes))
	for _, ch := range changes {
		old := ch.port.tls.Load()
		ch.port.configure(&ch.settings, ch.tls)
		s.ports[ch.settings.Name] = ch.port
		if ch.tls != nil && !ch.opened && !ch.tls.AsksLike(old) {
			s.reviewClients(ch.port)
		}
	}
	s.publishPorts()
	for _, ch := range changes {
		if ch.opened {
			err = errors.Join(err, s.loops[0].poller.add(ch.port.fd))
		}
	}
	for _, p := range before {
		if !s.isOpen(p) {
			s.closePort(p)
		}
	}
	return err
}

func (s *Server) prepare(wanted []config.Listener) (changes []change, err error) {
	for _, l := range wanted {
		ch := change{settings: l, port: s.portAt(&l)}
		var old *listener.TLS
		if ch.port != nil {
			old = ch.port.tls.Load()
		} else if ch.port, err = openPort(s, &l); err != nil {
			return changes, err
		} else {
			ch.opened = true
		}
		if l.TLS != nil {
			ch.tls, err = listener.LoadTLS(l.TLS, old)
		}
		changes = append(changes, ch)
		if err != nil {
			return changes, fmt.Errorf("listener %q: %w", l.Name, err)
		}
	}
	return changes, nil
}

// portAt returns the open port of l's address. One whose number the kernel chose
// is known by its name.
func (s *Server) portAt(l *config.Listener) *port {
	for _, p := range s.ports {
		if have := p.settings.Load(); have.Port == l.Port && have.Address == l.Address && (l.Port != 0 || have.Name == l.Name) {
			return p
		}
	}
	return nil
}

func (s *Server) isOpen(p *port) bool { return s.ports[p.name()] == p }

// publishPorts lets the accepting loop know the ports by their descriptors.
func (s *Server) publishPorts() {
	byFD := make(map[int]*port, len(s.ports))
	for _, p := range s.ports {
		byFD[p.fd] = p
	}
	s.byFD.Store(&byFD)
}

// reviewClients judges the connections of a port by what it asks of clients now.
func (s *Server) reviewClients(p *port) {
	for c := range s.table.all() {
		if c.listener == p {
			c.post(c.reviewCertificate)
		}
	}
}

// closePort ends a listener and the connections that came through it.
func (s *Server) closePort(p *port) {
	p.close()
	for c := range s.table.all() {
		if c.listener == p {
			c.Kick(packet.ReasonAdministrativeAction, "the listener was removed")
		}
	}
}

// closePorts stops accepting, for good.
func (s *Server) closePorts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.ports {
		p.close()
	}
	s.ports = nil
	s.byFD.Store(&map[int]*port{})
}

// end has Apply come too late from now on.
func (s *Server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

// ListenerStatus is what is told of one listener.
type ListenerStatus struct {
	Name, Address string
	// Certificate that is served to new connections, nil on a plain listener.
	Certificate *x509.Certificate
	// Additional certificates, for clients that cannot take it.
	Additional []listener.Certificate
}

// Status returns what is in force.
func (s *Server) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Revision: s.config.Load().Revision, Clients: s.router.Connected()}
	for name, p := range s.ports {
		l := ListenerStatus{Name: name, Address: p.addr.String()}
		if t := p.tls.Load(); t != nil {
			l.Certificate, l.Additional = t.Certificate, t.Additional
		}
		st.Listeners = append(st.Listeners, l)
	}
	slices.SortFunc(st.Listeners, func(a, b ListenerStatus) int { return strings.Compare(a.Name, b.Name) })
	return st
}
