package router

import (
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

// keptRoutes returns the number of routes that w keeps, and the bytes of their names.
func keptRoutes(w *Worker) (routes, names int) {
	for _, rt := range append(w.routes.slots, w.routes.long) {
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
	if routes, _ := keptRoutes(w); routes != 1 {
		t.Errorf("%d routes are kept, want 1", routes)
	}
	r.SetAccess(rules(t, allow("b")))
	publish("a", packet.ReasonNotAuthorized)
	publish("b", packet.ReasonNoMatchingSubscribers)
}
