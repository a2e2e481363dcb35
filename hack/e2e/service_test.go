//go:build e2e

package e2e

import (
	"net"
	"strconv"
	"testing"
)

// connectToService finds out how clients on this machine reach the Service.
func (s *story) connectToService(t *testing.T) {
	t.Helper()
	s.caPEM = s.secret(t, namespace, "edge-tls", "ca.crt")
	b := &broker{caFile: writeFile(s.whole, "ca.crt", s.caPEM)}
	b.tlsPort = s.openGateway(t, 8883)
	b.devicePort = s.openGateway(t, 8884)
	b.plainHost, b.plainPort = "localhost", s.openGateway(t, 1883)
	if s.reachesService {
		s.findService(t)
		b.plainHost, b.plainPort = *s.service.Load(), 1883
	}
	s.broker = b
}

// findService learns the address of the Service, which another one of its name does not have.
func (s *story) findService(t *testing.T) {
	t.Helper()
	s.service.Store(&s.get(t, namespace, "service/edge").Spec.ClusterIP)
}

// openGateway makes a port of the Service answer on a port of localhost.
func (s *story) openGateway(t *testing.T, port int) int {
	t.Helper()
	dial := openForward(s.whole, s.cluster, namespace, "service/edge", port).dial
	if s.reachesService {
		dial = func() (net.Conn, error) { return direct(net.JoinHostPort(*s.service.Load(), strconv.Itoa(port)))() }
	}
	return openGateway(s.whole, dial).port
}

// verifyCertificate verifies the served certificate for the names that clients in the cluster use.
func (s *story) verifyCertificate(t *testing.T) {
	service := "edge." + namespace + ".svc"
	for _, name := range []string{"edge", service, service + ".cluster.local", "localhost"} {
		if _, err := s.broker.certificate(s.caPEM, name); err != nil {
			t.Errorf("as %s: %v", name, err)
		}
	}
	if _, err := s.broker.certificate(s.caPEM, "else.example"); err == nil {
		t.Error("the certificate is one for any name")
	}
}
