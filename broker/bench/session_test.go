package bench

import (
	"strings"
	"testing"

	"github.com/godwit-mqtt/godwit/broker/packet"
)

func TestASessionIsAskedForInConnect(t *testing.T) {
	for name, want := range map[string]struct {
		session session
		version packet.Version
		clean   bool
		expiry  uint32
	}{
		"3.1.1 transient": {transient, packet.V311, true, 0},
		"3.1.1 lasting":   {lasting, packet.V311, false, 0},
		"3.1.1 resumed":   {resumed, packet.V311, false, 0},
		"5 transient":     {transient, packet.V5, true, 0},
		"5 lasting":       {lasting, packet.V5, true, sessionExpiry},
		"5 resumed":       {resumed, packet.V5, false, sessionExpiry},
	} {
		t.Run(name, func(t *testing.T) {
			r := newTestRun(t, Options{Scenario: Idle, Connections: 1, Version: want.version})
			c := r.clients[0]
			c.session = want.session
			c.connected()
			sent := c.link.(*sink).sent
			h, n, err := packet.ParseHeader(sent)
			if err != nil || h.Type != packet.TypeConnect {
				t.Fatalf("%v, %v", h, err)
			}
			var p packet.Connect
			if err := p.Decode(sent[n:]); err != nil {
				t.Fatal(err)
			}
			if p.CleanStart != want.clean || p.Properties.SessionExpiry != want.expiry {
				t.Errorf("clean start %v, expiry %d", p.CleanStart, p.Properties.SessionExpiry)
			}
		})
	}
}

func TestABrokerThatForgetsASessionIsAnError(t *testing.T) {
	for _, present := range []bool{true, false} {
		r := newTestRun(t, Options{Scenario: Offline})
		c := r.comeBack()[0]
		c.link, c.state = &sink{}, opening
		c.received((&packet.Connack{SessionPresent: present}).Append(nil, packet.V311))
		if present != (r.err == nil) || !present && !strings.Contains(r.err.Error(), "has not kept the session") {
			t.Errorf("session present: %v, error %v", present, r.err)
		}
	}
}
