package session

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// TestSubscriptionsAreASetByFilter compares with a map, below and above the
// number from which on there is one.
func TestSubscriptionsAreASetByFilter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s Session
	want := map[string]packet.QoS{}
	for range 5000 {
		filter, q := fmt.Sprint("f", rng.IntN(3*fewSubscriptions)), packet.QoS(rng.IntN(3))
		_, had := want[filter]
		if rng.IntN(100) < 55 {
			if s.Subscribe(Subscription{Filter: filter, QoS: q}) != had {
				t.Fatalf("subscribing to %s: existed is not %t", filter, had)
			}
			want[filter] = q
		} else {
			if s.Unsubscribe(filter) != had {
				t.Fatalf("unsubscribing from %s: existed is not %t", filter, had)
			}
			delete(want, filter)
		}
		got := map[string]packet.QoS{}
		for sub := range s.EachSubscription {
			got[sub.Filter] = sub.QoS
		}
		if !maps.Equal(got, want) || s.Subscriptions() != len(want) {
			t.Fatalf("subscriptions %v, want %v", got, want)
		}
		if sub := s.Subscription(filter); (sub != nil) != contains(want, filter) {
			t.Fatalf("subscription to %s: %v", filter, sub)
		}
	}
}

func contains(m map[string]packet.QoS, filter string) bool {
	_, ok := m[filter]
	return ok
}
