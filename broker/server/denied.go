package server

import (
	"log/slog"

	"golang.org/x/time/rate"
)

// Denials that are logged: enough to find a mistake by, not enough to fill a
// disk with. The metrics count them all.
const (
	denialsPerSecond = 5
	denialsAtOnce    = 20
)

func newDenials() *rate.Limiter { return rate.NewLimiter(denialsPerSecond, denialsAtOnce) }

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
