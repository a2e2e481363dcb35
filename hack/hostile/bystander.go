package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/hack/torture/client"
)

// bystander is an honest client that does something while an attack goes on.
type bystander struct {
	target
	tls *tls.Config
}

// client is one of a user, that is not connected. The functions of o may be set.
func (b *bystander) client(id, user string, secure bool, o client.Options) *client.Client {
	o.Address, o.ID, o.Version, o.Username, o.Password = b.Plain, id, packet.V5, user, commonPassword
	if secure {
		o.Address, o.TLS = b.TLS, b.tls
	}
	return client.New(o)
}

// patience is that of an honest client for its CONNACK.
const patience = 10 * time.Second

// logIn connects as a user, and leaves.
func (b *bystander) logIn(ctx context.Context, id, user string, secure bool) error {
	trying, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := b.client(id, user, secure, client.Options{})
	began := time.Now()
	_, err := c.Connect(trying, true, nil)
	switch {
	case err == nil:
		c.Disconnect(trying)
		return nil
	case ctx.Err() != nil: // the attack is over
		return nil
	default:
		return fmt.Errorf("%s is not admitted, after %.1f s: %w", user, time.Since(began).Seconds(), err)
	}
}
