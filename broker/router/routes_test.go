package router

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// keptRoutes returns the number of routes that w keeps, and the bytes of their names.
func keptRoutes(w *Worker) (routes, names int) {
	for _, rt := range append(w.routes.slots, w.routes.passing) {
		if rt != nil {
			routes++
			names += cap(rt.topic)
		}
	}
	return routes, names
}

func TestLongNamesShareOneRoute(t *testing.T) {
	_, w := openWith(t, rules(t, allow("#")))
	s, l := connect(t, w, "c")
	subscribe(t, w, s, "#", packet.QoS0)
	for i := range 100 {
		publishTo(t, w, strings.Repeat("x", 60_000)+strings.Repeat("y", i), packet.QoS0)
	}
	if routes, names := keptRoutes(w); routes != 1 || names > 100_000 {
		t.Errorf("%d routes are kept with %d bytes of names", routes, names)
	}
	if l.written != 100 {
		t.Errorf("%d messages come, want 100", l.written)
	}
}

func TestDeniedTopicsTakeNoRoute(t *testing.T) {
	r, w := openWith(t, rules(t, allow("a")))
	s, _ := connect(t, w, "c")
	from := Publisher{Subscriber: s, Version: packet.V5}
	publish := func(name string, want packet.ReasonCode) {
		t.Helper()
		if got := w.Publish(&from, &packet.Publish{Topic: []byte(name)}, nil); got != want {
			t.Errorf("publish to %q: %v, want %v", name, got, want)
		}
	}
	for range 2 {
		publish("b", packet.ReasonNotAuthorized)
		publish("a", packet.ReasonNoMatchingSubscribers)
		publish("b/#", packet.ReasonTopicNameInvalid)
	}
	for _, rt := range append(w.routes.slots, w.routes.passing) {
		if rt != nil && string(rt.topic) != "a" {
			t.Errorf("a route is kept for %q", rt.topic)
		}
	}
	r.SetAccess(rules(t, allow("b")))
	publish("a", packet.ReasonNotAuthorized)
	publish("b", packet.ReasonNoMatchingSubscribers)
}

func TestTopicsThatComeOnceDriveNothingOut(t *testing.T) {
	_, w := openWith(t, rules(t, allow("#")))
	s, l := connect(t, w, "c")
	subscribe(t, w, s, "#", packet.QoS0)
	for range 2 {
		publishTo(t, w, "often", packet.QoS0)
		publishTo(t, w, "seldom", packet.QoS0)
	}
	const once = 4 * routeSlots
	for i := range once {
		publishTo(t, w, fmt.Sprint("once/", i), packet.QoS0)
	}
	for _, name := range []string{"often", "seldom"} {
		if w.routes.find([]byte(name)) == nil {
			t.Errorf("%q was driven out", name)
		}
	}
	if routes, _ := keptRoutes(w); routes > 10 {
		t.Errorf("%d routes are kept", routes)
	}
	if l.written != once+4 {
		t.Errorf("%d messages come, want %d", l.written, once+4)
	}
}
