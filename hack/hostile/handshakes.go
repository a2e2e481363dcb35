package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// TLS handshakes: many at once, and some that never end.
var (
	handshakes = attack{
		name: "tls-handshakes", what: "10,000 TLS handshakes at once, which then say nothing, over and over",
		run: func(ctx context.Context, a *attacker) error {
			a.together(a.size(10000, 50), func(int) {
				for ctx.Err() == nil {
					if c, err := a.dialTLS(ctx); err == nil && c.secure(ctx) == nil {
						c.drain()
					}
					sleep(ctx, time.Second)
				}
			})
			return nil
		},
		beside: logInBeside,
	}
	slowHandshakes = attack{
		name: "tls-slow", what: "4,000 TLS handshakes that go on by a byte each 2 seconds",
		run: func(ctx context.Context, a *attacker) error {
			a.together(a.size(4000, 50), func(int) {
				for ctx.Err() == nil {
					if c, err := a.dialTLS(ctx); err == nil {
						go c.swallow()
						c.greetSlowly(ctx)
						c.close()
					}
					sleep(ctx, 100*time.Millisecond)
				}
			})
			return nil
		},
		beside: logInBeside,
	}
)

// dialTLS opens a connection to the listener with TLS, and sends nothing.
func (a *attacker) dialTLS(ctx context.Context) (*link, error) {
	d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: source(int(a.next.Add(1)))}
	conn, err := d.DialContext(ctx, "tcp", a.TLS)
	if err != nil {
		if ctx.Err() == nil {
			a.hear("not connected")
		}
		return nil, err
	}
	return a.adopt(ctx, conn, packet.V5), nil
}

// greetSlowly begins a ClientHello and never comes to its end.
func (c *link) greetSlowly(ctx context.Context) {
	b := []byte{22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3} // a record of 512 bytes with a ClientHello
	for !c.over.Load() && ctx.Err() == nil && c.shout(b) == nil {
		b = []byte{0}
		sleep(ctx, 2*time.Second)
	}
}

// swallow takes bytes that are no packets, and hears of the end.
func (c *link) swallow() {
	buf := make([]byte, 256)
	for {
		if _, err := c.in.Read(buf); err != nil {
			c.over.Store(true)
			c.ended(err)
			return
		}
	}
}

// logInBeside has an honest client connect over TLS, once a second. Each has to
// be admitted.
func logInBeside(ctx context.Context, b *bystander) error {
	for i := 0; ctx.Err() == nil; i++ {
		if err := b.logIn(ctx, fmt.Sprintf("beside-%d", i), bystanderUser, true); err != nil {
			return err
		}
		sleep(ctx, time.Second)
	}
	return nil
}
