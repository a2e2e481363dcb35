package storetest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/packet"
	"github.com/godwit-mqtt/godwit/broker/session"
	"github.com/godwit-mqtt/godwit/broker/store"
)

var subscriptions = map[string]func(*testing.T, *place){
	"a subscription comes back as it was":                 subscriptionRoundTrip,
	"a subscription takes the place of the one before":    subscriptionReplaced,
	"changes of subscriptions take effect in their order": subscriptionsInOrder,
	"a replaced session keeps its subscriptions":          subscriptionsOfReplaced,
	"a session that ended has no subscriptions":           subscriptionsOfEnded,
	"the subscriptions of one session are nobody else's":  subscriptionsApart,
	"a subscription of no session is passed over":         subscriptionOfUnknown,
}

func subscribe(id uint64, subs ...session.Subscription) *store.Batch {
	b := &store.Batch{}
	for _, sub := range subs {
		b.Subscriptions = append(b.Subscriptions, store.Subscription{Session: id, Subscription: sub})
	}
	return b
}

// unsubscribe removes subscriptions of session 1.
func unsubscribe(filters ...string) *store.Batch {
	b := &store.Batch{}
	for _, filter := range filters {
		b.Subscriptions = append(b.Subscriptions, store.Subscription{
			Session: 1, Removed: true, Subscription: session.Subscription{Filter: filter},
		})
	}
	return b
}

func to(filters ...string) (subs []session.Subscription) {
	for _, filter := range filters {
		subs = append(subs, session.Subscription{Filter: filter, QoS: packet.QoS1})
	}
	return subs
}

func wantSubscriptions(t testing.TB, c *Content, id uint64, want ...session.Subscription) {
	t.Helper()
	byFilter := func(a, b session.Subscription) int { return cmp.Compare(a.Filter, b.Filter) }
	got := slices.SortedFunc(slices.Values(c.Subscriptions[id]), byFilter)
	if slices.SortFunc(want, byFilter); !slices.Equal(got, want) {
		t.Errorf("session %d has %d subscriptions, want %d:\n%.300s\n%.300s", id, len(got), len(want), fmt.Sprint(got), fmt.Sprint(want))
	}
}

func subscriptionRoundTrip(t *testing.T, p *place) {
	all := []session.Subscription{
		{Filter: "a/#", Requested: 2, QoS: 1, NoLocal: true, RetainAsPublished: true, ID: 268435455},
		{Filter: "$share/g/+/b", QoS: 1, Suspended: true},
		{Filter: "/"},
		{Filter: strings.Repeat("long/", 13_107)},
	}
	wantSubscriptions(t, p.after(t, begin(1), subscribe(1, all...)), 1, all...)
}

func subscriptionReplaced(t *testing.T, p *place) {
	other := session.Subscription{Filter: "a", QoS: packet.QoS2, ID: 7}
	wantSubscriptions(t, p.after(t, begin(1), subscribe(1, to("a", "b")...), subscribe(1, other)), 1, append(to("b"), other)...)
}

func subscriptionsInOrder(t *testing.T, p *place) {
	b := subscribe(1, to("a", "b")...)
	b.Subscriptions = append(b.Subscriptions, unsubscribe("a", "c", "never").Subscriptions...)
	b.Subscriptions = append(b.Subscriptions, subscribe(1, to("c")...).Subscriptions...)
	b.Subscriptions = append(b.Subscriptions, unsubscribe("b").Subscriptions...)
	b.Subscriptions = append(b.Subscriptions, subscribe(1, to("b")...).Subscriptions...)
	wantSubscriptions(t, p.after(t, begin(1), b), 1, to("b", "c")...)
	wantSubscriptions(t, p.after(t, unsubscribe("b")), 1, to("c")...)
}

func subscriptionsOfReplaced(t *testing.T, p *place) {
	wantSubscriptions(t, p.after(t, begin(1), subscribe(1, to("a")...), begin(1)), 1, to("a")...)
}

func subscriptionsOfEnded(t *testing.T, p *place) {
	for _, n := range []int{1, 1000} {
		b := begin(1)
		for i := range n {
			b.Subscriptions = append(b.Subscriptions, subscribe(1, to(fmt.Sprint(i))...).Subscriptions...)
		}
		c := p.after(t, b)
		if got := len(c.Subscriptions[1]); got != n {
			t.Errorf("%d subscriptions, want %d", got, n)
		}
		wantSubscriptions(t, p.after(t, &store.Batch{Ended: []uint64{1}}, begin(1)), 1)
	}
}

func subscriptionsApart(t *testing.T, p *place) {
	c := p.after(t, begin(1, 2), subscribe(1, to("a", "b")...), subscribe(2, to("b")...), unsubscribe("b"))
	wantSubscriptions(t, c, 1, to("a")...)
	wantSubscriptions(t, c, 2, to("b")...)
}

func subscriptionOfUnknown(t *testing.T, p *place) {
	wantSubscriptions(t, p.after(t, begin(1), subscribe(9, to("a")...), begin(9)), 9)
}
