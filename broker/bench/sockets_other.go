//go:build !linux

package bench

import "context"

// newNetwork returns a network that reaches the target.
func newNetwork(ctx context.Context, o *Options, t target) (network, error) {
	return newStreams(ctx, t, o.TLS), nil
}
