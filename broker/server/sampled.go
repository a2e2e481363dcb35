package server

import (
	"log/slog"
	"net/netip"
	"unicode/utf8"

	"golang.org/x/time/rate"
)

// What is logged of that which any client can bring about again and again: enough
// to find a mistake by, not enough to fill a disk with. The metrics count it all.
const (
	samplesPerSecond = 5
	samplesAtOnce    = 20
)

// What is logged of a text that a client chose, in bytes.
const (
	longestName = 128
	longestText = 256
)

// clip returns the beginning of a text that is longer than most bytes.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

func newSample() *rate.Limiter { return rate.NewLimiter(samplesPerSecond, samplesAtOnce) }

// tellDenied logs that the rules refused a topic or a topic filter.
func (c *conn) tellDenied(action string, topic []byte) {
	if !c.server.denials.Allow() {
		return
	}
	c.server.log.LogAttrs(c.server.ctx, slog.LevelInfo, "denied by the access rules",
		slog.String("action", action), slog.String("topic", clip(string(topic), longestText)),
		slog.String("user", c.subscriber.Principal().Username), slog.String("client", c.clientID()))
}

// tellTooFast logs that a user is disconnected for what it publishes.
func (c *conn) tellTooFast() {
	if !c.server.denials.Allow() {
		return
	}
	c.server.log.LogAttrs(c.server.ctx, slog.LevelInfo, "far more is published than the user's rate",
		slog.String("user", c.subscriber.Principal().Username), slog.String("client", c.clientID()), slog.Any("remote", c.remote))
}

// tellRejected logs that a CONNECT is refused.
func (c *conn) tellRejected(err error) {
	if !c.server.rejections.Allow() {
		return
	}
	c.server.log.LogAttrs(c.server.ctx, slog.LevelInfo, "connection refused",
		slog.Any("remote", c.remote), slog.String("listener", c.listener.name()), slog.Any("error", err))
}

// tellFault logs what a client did that its protocol does not allow.
func (c *conn) tellFault(what string, err error) {
	if !c.server.faults.Allow() {
		return
	}
	user := ""
	if c.subscriber != nil {
		user = clip(c.subscriber.Principal().Username, longestName)
	}
	c.server.log.LogAttrs(c.server.ctx, slog.LevelInfo, what,
		slog.String("user", user), slog.String("client", c.clientID()), slog.Any("remote", c.remote),
		slog.String("listener", c.listener.name()), slog.String("error", clip(err.Error(), 2*longestText)))
}

// tellDisplaced logs that a connection ends for another one.
func (c *conn) tellDisplaced() {
	if !c.server.refusals.Allow() {
		return
	}
	c.server.log.LogAttrs(c.server.ctx, slog.LevelWarn, "connection ended for a newer one, for too many have not come past CONNECT",
		slog.Any("remote", c.remote), slog.String("listener", c.listener.name()))
}

// tellRefused logs that a connection is not taken.
func (p *port) tellRefused(remote netip.AddrPort, why string) {
	if !p.server.refusals.Allow() {
		return
	}
	p.server.log.LogAttrs(p.server.ctx, slog.LevelWarn, "connection refused",
		slog.Any("remote", remote), slog.String("listener", p.name()), slog.String("error", why))
}
