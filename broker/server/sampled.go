package server

import (
	"log/slog"
	"net/netip"

	"golang.org/x/time/rate"
)

// What is logged of that which any client can bring about again and again: enough
// to find a mistake by, not enough to fill a disk with. The metrics count it all.
const (
	samplesPerSecond = 5
	samplesAtOnce    = 20
)

func newSample() *rate.Limiter { return rate.NewLimiter(samplesPerSecond, samplesAtOnce) }

// tellDenied logs that the rules refused a topic or a topic filter.
func (c *conn) tellDenied(action string, topic []byte) {
	if !c.server.denials.Allow() {
		return
	}
	const most = 256
	c.server.log.LogAttrs(c.server.ctx, slog.LevelInfo, "denied by the access rules",
		slog.String("action", action), slog.String("topic", string(topic[:min(len(topic), most)])),
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

// tellRefused logs that a connection is not taken.
func (p *port) tellRefused(remote netip.AddrPort, why string) {
	if !p.server.refusals.Allow() {
		return
	}
	p.server.log.LogAttrs(p.server.ctx, slog.LevelWarn, "connection refused",
		slog.Any("remote", remote), slog.String("listener", p.name()), slog.String("error", why))
}
