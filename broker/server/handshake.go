package server

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"github.com/godwit-mqtt/godwit/broker/listener"
)

// greeted takes up what the client said of itself, once it is known which version
// of TLS is spoken.
func (t *tlsStream) greeted(version uint16) {
	hello, _ := listener.ParseClientHello(t.hello)
	t.hello = nil
	t.record = t.config.MaxRecord
	if asked := hello.MaxRecord(version); asked > 0 && (t.record == 0 || asked < t.record) {
		t.record = asked
	}
}

// handshakeFailed counts and tells why a handshake ended.
func (c *conn) handshakeFailed(err error) {
	reason := handshakeFault(err)
	c.server.metrics.HandshakeFailed(c.listener.name(), reason)
	if !c.server.faults.Allow() {
		return
	}
	attrs := []slog.Attr{
		slog.Any("remote", c.remote), slog.String("listener", c.listener.name()), slog.String("reason", reason),
		slog.String("error", clip(err.Error(), 2*longestText)),
	}
	if hello, ok := listener.ParseClientHello(c.tls.hello); ok {
		attrs = append(attrs, slog.String("versions", names(hello.Versions, tls.VersionName)),
			slog.String("cipherSuites", names(hello.CipherSuites, tls.CipherSuiteName)))
	}
	c.server.log.LogAttrs(c.server.ctx, slog.LevelInfo, "TLS handshake failed", attrs...)
}

// Reasons for which handshakes fail.
const (
	faultNotTLS         = "not_tls"         // what came is no TLS
	faultVersion        = "version"         // the client speaks none of the versions
	faultAlgorithm      = "algorithm"       // no cipher suite, curve or signature in common
	faultNoCertificate  = "no_certificate"  // the client has to show one
	faultBadCertificate = "bad_certificate" // that of the client is not valid
	faultClient         = "client"          // the client gave up, and said why
	faultIncomplete     = "incomplete"      // the client left, or took too long
	faultOther          = "other"
)

// handshakeFaults are beginnings of the texts of crypto/tls, which has no types for
// most of its errors.
var handshakeFaults = []struct{ text, reason string }{
	{"tls: client offered only unsupported versions", faultVersion},
	{"tls: no cipher suite supported by both", faultAlgorithm},
	{"tls: no ECDHE curve supported by both", faultAlgorithm},
	{"tls: no key exchanges supported by both", faultAlgorithm},
	{"tls: peer doesn't support any of the certificate's signature algorithms", faultAlgorithm},
	{"tls: client didn't provide a certificate", faultNoCertificate},
	{"tls: failed to parse client certificate", faultBadCertificate},
	{"tls: failed to verify client certificate", faultBadCertificate},
	{"tls: failed to verify certificate", faultBadCertificate},
	{"tls: invalid signature by the client certificate", faultBadCertificate},
	{"tls: unsupported certificate", faultBadCertificate},
}

// handshakeFault sorts an error of crypto/tls.
func handshakeFault(err error) string {
	var alert *net.OpError
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &header):
		return faultNotTLS
	case errors.As(err, &alert) && alert.Op == "remote error":
		return faultClient
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return faultIncomplete
	}
	for _, f := range handshakeFaults {
		if strings.HasPrefix(err.Error(), f.text) {
			return f.reason
		}
	}
	return faultOther
}

// mostNames bounds what is logged of a list that a client sent.
const mostNames = 24

func names(numbers []uint16, name func(uint16) string) string {
	var all []string
	for _, n := range numbers[:min(len(numbers), mostNames)] {
		all = append(all, name(n))
	}
	if more := len(numbers) - len(all); more > 0 {
		all = append(all, "and "+strconv.Itoa(more)+" more")
	}
	return strings.Join(all, ", ")
}
